//! The events of this process by number: the newest are kept, for whoever asks for what was missed.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::lock;

/// Events that are kept at most, and bytes of them.
const KEPT: (usize, usize) = (10_000, 4 * 1024 * 1024);

/// Events that a client may be behind the others before it is let go.
const BEHIND: usize = 4_096;

/// For clients to hear that this was all.
const FAREWELL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Ring {
    state: Mutex<State>,
    out: broadcast::Sender<Arc<str>>,
    ended: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    kept: VecDeque<Arc<str>>,
    bytes: usize,
    /// The number of the newest event.
    newest: u64,
}

/// What a client gets.
#[derive(Debug)]
pub struct Subscription {
    /// What was missed, in order.
    pub missed: Vec<Arc<str>>,
    /// What comes now.
    pub coming: broadcast::Receiver<Arc<str>>,
    /// Nothing will come any more.
    pub ended: CancellationToken,
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            out: broadcast::Sender::new(BEHIND),
            ended: CancellationToken::new(),
        }
    }
}

impl Ring {
    /// `event`: the rest of a JSON object, without its first brace.
    pub(super) fn push(&self, at: DateTime<Utc>, event: &str) {
        let at = rfc3339(at);
        let mut state = lock(&self.state);
        state.newest += 1;
        let mut text = String::with_capacity(event.len() + 64);
        let _ = write!(text, "{{\"seq\":{},\"at\":\"{at}\",{event}", state.newest);
        let text: Arc<str> = text.into();
        state.keep(Arc::clone(&text));
        // Under the lock, so that everybody gets them in order. Nobody may be listening.
        let _ = self.out.send(text);
    }

    pub(super) fn subscribe(&self, since: Option<u64>, now: DateTime<Utc>) -> Subscription {
        let state = lock(&self.state);
        let missed = since.map_or_else(Vec::new, |since| state.missed(since, now));
        Subscription {
            missed,
            coming: self.out.subscribe(),
            ended: self.ended.clone(),
        }
    }

    /// Sends everybody away, and waits a moment for them.
    pub(super) async fn end(&self) {
        self.ended.cancel();
        let all_gone = async {
            while self.out.receiver_count() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, all_gone).await;
    }
}

impl State {
    fn keep(&mut self, text: Arc<str>) {
        self.bytes += text.len();
        self.kept.push_back(text);
        while self.kept.len() > KEPT.0 || self.bytes > KEPT.1 {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
        }
    }

    /// Everything behind `since`. What is not kept any more, or was another process's, is a gap, which has
    /// the number of the last event in it.
    fn missed(&self, since: u64, now: DateTime<Utc>) -> Vec<Arc<str>> {
        let before = self.newest - self.kept.len() as u64;
        let foreign = since > self.newest;
        let mut missed = Vec::new();
        let from = if foreign { 0 } else { since };
        if foreign || since < before {
            let first = if foreign {
                "null".to_owned()
            } else {
                (since + 1).to_string()
            };
            let at = rfc3339(now);
            missed.push(
                format!(r#"{{"seq":{before},"at":"{at}","type":"gap","from":{first},"to":{before}}}"#).into(),
            );
        }
        let skip = usize::try_from(from.saturating_sub(before)).unwrap_or(usize::MAX);
        missed.extend(self.kept.iter().skip(skip).map(Arc::clone));
        missed
    }
}

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(ring: &Ring, count: usize, size: usize) {
        for _ in 0..count {
            ring.push(DateTime::UNIX_EPOCH, &format!("\"x\":\"{}\"}}", "x".repeat(size)));
        }
    }

    fn missed(ring: &Ring, since: u64) -> Vec<serde_json::Value> {
        let missed = ring.subscribe(Some(since), DateTime::UNIX_EPOCH).missed;
        missed
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect()
    }

    #[test]
    fn what_was_missed_comes_again() {
        let ring = Ring::default();
        push(&ring, 3, 1);
        assert!(ring.subscribe(None, DateTime::UNIX_EPOCH).missed.is_empty());
        let again = missed(&ring, 1);
        assert_eq!(again.len(), 2);
        assert_eq!((&again[0]["seq"], &again[1]["seq"]), (&2.into(), &3.into()));
        assert!(missed(&ring, 3).is_empty());
        assert_eq!(missed(&ring, 0).len(), 3);
    }

    #[test]
    fn what_is_not_kept_is_a_gap() {
        let ring = Ring::default();
        push(&ring, 10_050, 1);
        let again = missed(&ring, 20);
        let gap = serde_json::json!({"seq": 50, "at": "1970-01-01T00:00:00.000Z", "type": "gap", "from": 21, "to": 50});
        assert_eq!(again[0], gap);
        assert_eq!((again.len(), &again[1]["seq"]), (10_001, &51.into()));
        assert_eq!(missed(&ring, 50)[0]["seq"], 51);
        push(&ring, 1, 5 * 1024 * 1024);
        let again = missed(&ring, 10_000);
        assert_eq!((again.len(), &again[0]["to"]), (1, &10_051.into()));
    }

    #[test]
    fn another_process_numbers_are_a_gap() {
        let ring = Ring::default();
        assert_eq!(missed(&ring, 7)[0]["seq"], 0);
        push(&ring, 2, 1);
        let again = missed(&ring, 7);
        assert_eq!(
            (&again[0]["type"], &again[0]["from"]),
            (&"gap".into(), &().into())
        );
        assert_eq!((again.len(), &again[1]["seq"]), (3, &1.into()));
    }
}
