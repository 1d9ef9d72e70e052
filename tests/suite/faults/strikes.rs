//! Faults of the relay that strike by chance, and pass.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::scene::*;
use crate::support::database::Kind;
use crate::support::smtp::{Action, At, Event, Options, SmtpServer};
use crate::support::worker::Settings;

/// Steps of a second each, more than any row needs.
const SCHEDULE: &str =
    "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s";

/// What the relay offers: each run another, and each point of the conversation begins with another.
pub(super) fn offers(at: At, run: usize) -> &'static [&'static str] {
    [&[][..], &["PIPELINING", "CHUNKING"], &["PIPELINING"]][(at as usize + run) % 3]
}

/// When a fault strikes, and when it did.
#[derive(Clone)]
pub(super) struct Strikes(Arc<Mutex<State>>);

struct State {
    on: bool,
    share: u64,
    most: usize,
    dice: Moments,
    hits: usize,
    last: Instant,
}

impl Strikes {
    /// Strikes so many of a hundred passages, the first one always, until it struck `most` times. Who
    /// strikes all of them begins and ends it.
    pub(super) fn new(seed: u64, share: u64, most: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            on: share < 100,
            share,
            most,
            dice: Moments(seed),
            hits: 0,
            last: Instant::now(),
        })))
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn begin(&self) {
        self.state(|s| s.on = true);
    }

    pub(super) fn end(&self) {
        self.state(|s| (s.on, s.last) = (false, Instant::now()));
    }

    pub(super) fn hits(&self) -> usize {
        self.state(|s| s.hits)
    }

    /// How long ago it struck last, or was ended.
    pub(super) fn since(&self) -> Duration {
        self.state(|s| s.last.elapsed())
    }

    /// Whether this passage is struck.
    pub(super) fn hit(&self) -> bool {
        self.state(|s| {
            let drawn = s.hits == 0 || s.dice.next(100).as_millis() < s.share.into();
            let hit = s.on && s.hits < s.most && drawn;
            if hit {
                s.hits += 1;
                s.last = Instant::now();
            }
            hit
        })
    }

    /// A relay that takes 40 ms for each e-mail and does `action` where these strike.
    pub(super) async fn relay(&self, offers: &'static [&'static str], at: At, action: Action) -> SmtpServer {
        let strikes = self.clone();
        scripted(offers, move |event| {
            (event.at == at && strikes.hit()).then(|| action.clone())
        })
        .await
    }
}

/// A relay that takes 40 ms for each e-mail where the script says nothing.
pub(super) async fn scripted(
    offers: &'static [&'static str],
    script: impl Fn(&Event) -> Option<Action> + Send + Sync + 'static,
) -> SmtpServer {
    let options = Options {
        offers,
        ..Options::default()
    };
    let usual = Action::Delay(Duration::from_millis(40));
    SmtpServer::start(
        options.script(move |event| script(event).or_else(|| (event.at == At::Dot).then(|| usual.clone()))),
    )
    .await
}

/// A scene whose worker tries again soon.
pub(super) async fn scene(kind: Kind, smtp: SmtpServer, people: usize) -> Scene {
    let mut scene = Scene::with(kind, smtp).await;
    scene.db.add_people(7, people);
    scene.settings = impatient(scene.settings.clone());
    scene
}

fn impatient(settings: Settings) -> Settings {
    settings.set("RETRY_DELAY", "0.1").set("RETRY_SCHEDULE", SCHEDULE)
}

/// Attempts that were charged without being the last of their row: refusals for now and unknowns.
pub(super) fn charged(scene: &Scene) -> usize {
    let rows = scene.db.rows();
    let tries = rows.iter().map(|row| usize::try_from(row.attempts).expect("few"));
    tries.map(|tries| tries.saturating_sub(1)).sum()
}
