//! Whose is a redelivery without id? An equal dispatch that was closed and whose ack is not proven may be
//! its own: then it is absorbed. Or the ack arrived, and this is another message, which must not be
//! swallowed. A worker that lives says which, as it begins to ack and proves it; one that has died between
//! the two left nothing to tell by, and a repetition is then preferred to a loss.

use std::time::{Duration, Instant};

use crate::repository::{self, Doubt, Equals};

/// What one delivery has seen of the dispatch that is in doubt.
#[derive(Default)]
pub(super) struct Doubts {
    seen: Option<(Doubt, Instant)>,
}

impl Doubts {
    /// Decides after a whole `lease` without a change, or at once if the one who acked is dead; false: look
    /// again in a moment.
    pub(super) fn decide(&mut self, doubt: &Doubt, lease: Duration, equals: &mut Equals) -> bool {
        let since = match &self.seen {
            Some((seen, since)) if seen == doubt => *since,
            _ => {
                let now = Instant::now();
                self.seen = Some((doubt.clone(), now));
                now
            }
        };
        let dead = doubt.acking.as_deref().is_some_and(repository::is_dead);
        if !dead && since.elapsed() < lease {
            return false;
        }
        match doubt.acking {
            Some(_) => equals.others.push(doubt.dispatch),
            None => equals.unacked.push(doubt.dispatch),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DispatchId;

    fn decided(acking: Option<String>, lease: Duration) -> (bool, usize, usize) {
        let (mut doubts, mut equals) = (Doubts::default(), Equals::default());
        let dispatch = DispatchId::generate();
        let decided = doubts.decide(&Doubt { dispatch, acking }, lease, &mut equals);
        (decided, equals.others.len(), equals.unacked.len())
    }

    #[test]
    fn a_living_worker_is_waited_for() {
        let long = Duration::from_hours(1);
        assert_eq!(decided(Some(repository::this_process()), long), (false, 0, 0));
        assert_eq!(decided(None, long), (false, 0, 0));
    }

    #[test]
    fn what_may_have_been_acked_absorbs_nothing() {
        assert_eq!(
            decided(Some(repository::this_process()), Duration::ZERO),
            (true, 1, 0)
        );
        assert_eq!(decided(None, Duration::ZERO), (true, 0, 1));
    }
}
