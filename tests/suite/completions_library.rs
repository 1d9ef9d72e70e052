//! The relay of completions as a library has it: hooks, bundles, claims, and what retention leaves alone.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use herald::completion::{
    Bundled, CompletionHook, Finalise, HOOK_LIMIT, HookError, Notice, Relay, Setup, Targets, Unfinished,
    nothing_stored,
};
use herald::config::{DatabaseConfig, DatabaseTarget};
use herald::domain::{LeaseToken, NotificationId};
use herald::metrics::Metrics;
use herald::repository::{self, Database, Entry, Outcome, Taken};
use rstest::rstest;
use serde_json::json;
use tokio::sync::watch;

use crate::support::command::Shell;
use crate::support::database::{Kind, TestDatabase};
use crate::support::until;

/// A database with a dispatch that was closed, and whose completion is pending.
struct Scene {
    seen: TestDatabase,
    db: Database,
    dispatch: herald::domain::DispatchId,
}

impl Scene {
    async fn new(kind: Kind) -> Self {
        let seen = TestDatabase::new(kind);
        seen.add_people(7, 1);
        // Nobody listens at port 1: the command cannot tell, and leaves it.
        let shell = Shell::new()
            .set("DATABASE_URL", seen.url())
            .set("LAVINMQ_URL", "amqp://guest:guest@127.0.0.1:1/")
            .set("COMPLETIONS_EXCHANGE", "nobody");
        let body = json!({"type": "UPDATED", "event_id": 7}).to_string();
        shell
            .herald_reading(&["dispatch", "-"], body.as_bytes())
            .await
            .done();
        let url = seen.url();
        let target = match kind {
            Kind::Sqlite => DatabaseTarget::Sqlite(PathBuf::from(url.trim_start_matches("sqlite:///"))),
            Kind::Postgres => DatabaseTarget::Postgres(url.into()),
            Kind::Mysql => DatabaseTarget::Mysql(url.into()),
        };
        let db = Database::new(&DatabaseConfig { target, echo: false }).expect("a database");
        let dispatch = seen.dispatch().id.parse().expect("an id");
        Self { seen, db, dispatch }
    }

    fn relay(
        &self,
        finalise: Finalise,
        hooks: Vec<Arc<dyn CompletionHook>>,
        hook_limit: Duration,
    ) -> Arc<Relay> {
        Relay::new(Setup {
            db: self.db.clone(),
            targets: Targets::default(),
            finalise,
            hooks,
            hook_limit,
            metrics: Metrics::default(),
            now: Utc::now,
        })
    }
}

/// What a hook does.
enum Way {
    Keeps(Arc<Mutex<Vec<Notice>>>),
    Fails,
    Hangs,
    Panics,
}

#[async_trait::async_trait]
impl CompletionHook for Way {
    fn name(&self) -> &'static str {
        "way"
    }

    async fn completed(&self, notice: &Notice) -> Result<(), HookError> {
        match self {
            Self::Keeps(kept) => kept.lock().expect("no panic").push(notice.clone()),
            Self::Fails => return Err(HookError::new(&"no\nthanks")),
            Self::Hangs => std::future::pending().await,
            Self::Panics => panic!("a hook's own doing"),
        }
        Ok(())
    }
}

fn keeping() -> (Arc<Mutex<Vec<Notice>>>, Arc<dyn CompletionHook>) {
    let kept = Arc::<Mutex<Vec<Notice>>>::default();
    (Arc::clone(&kept), Arc::new(Way::Keeps(kept)))
}

#[tokio::test]
async fn bad_hooks_stop_nobody() {
    let scene = Scene::new(Kind::Sqlite).await;
    let ((first, a), (last, b)) = (keeping(), keeping());
    let hooks: Vec<Arc<dyn CompletionHook>> = vec![
        a,
        Arc::new(Way::Fails),
        Arc::new(Way::Hangs),
        Arc::new(Way::Panics),
        b,
    ];
    let relay = scene.relay(nothing_stored(), hooks, Duration::from_millis(100));
    assert_eq!(relay.complete(scene.dispatch).await, Ok(true));
    assert_eq!(scene.seen.pending(), []);
    let told = last.lock().expect("no panic").clone();
    assert_eq!(told.len(), 1);
    assert_eq!(*first.lock().expect("no panic"), told);
    assert_eq!(
        (told[0].bundle_id, told[0].storage_key.as_ref()),
        (scene.dispatch, None)
    );
    assert_eq!(relay.complete(scene.dispatch).await, Ok(false), "it is done");
}

#[tokio::test]
async fn a_bundle_is_waited_for() {
    let scene = Scene::new(Kind::Sqlite).await;
    let (kept, hook) = keeping();
    let answering = |answer: Result<Bundled, Unfinished>| -> Finalise {
        Arc::new(move |_| Box::pin(std::future::ready(answer.clone())))
    };
    let not_yet = Err(Unfinished::NotYet("the disk\nis full".into()));
    let relay = scene.relay(answering(not_yet), vec![Arc::clone(&hook)], HOOK_LIMIT);
    let error = "the bundle cannot be finalised yet: the disk is full";
    assert_eq!(relay.complete(scene.dispatch).await, Err(error.to_owned()));
    let pending = scene.seen.pending();
    // The command's own try was the first.
    assert_eq!((pending[0].2, pending[0].3.as_deref()), (2, Some(error)));
    let panicking: Finalise = Arc::new(|_| Box::pin(async { panic!("a storage's own doing") }));
    let relay = scene.relay(panicking, vec![Arc::clone(&hook)], HOOK_LIMIT);
    let error = "the bundle cannot be finalised yet: it panicked";
    assert_eq!(relay.complete(scene.dispatch).await, Err(error.to_owned()));
    assert_eq!(
        kept.lock().expect("no panic").len(),
        0,
        "no hook before the bundle"
    );
    let bundled = Bundled {
        resources_count: 3,
        storage_key: Some("data/bundles/x/resources".into()),
    };
    let relay = scene.relay(answering(Ok(bundled)), vec![hook], HOOK_LIMIT);
    assert_eq!(relay.complete(scene.dispatch).await, Ok(true));
    let told = kept.lock().expect("no panic")[0].clone();
    assert_eq!((told.resources_count, told.metadata.resources_count), (3, 3));
    assert_eq!(told.storage_key.as_deref(), Some("data/bundles/x/resources"));
    assert_eq!(told.metadata.bundle, None);

    let scene = Scene::new(Kind::Sqlite).await;
    let (kept, hook) = keeping();
    let never = Err(Unfinished::Never("the bucket is gone".into()));
    let relay = scene.relay(answering(never), vec![hook], HOOK_LIMIT);
    assert_eq!(relay.complete(scene.dispatch).await, Ok(true));
    let told = kept.lock().expect("no panic")[0].clone();
    assert_eq!(
        (told.storage_key, told.metadata.bundle.as_deref()),
        (None, Some("incomplete"))
    );
}

/// Two are not at the same row, unless one of them gives no sign of life for too long.
#[rstest]
#[tokio::test]
async fn a_claim_lapses(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let scene = Scene::new(kind).await;
    let (tell, mut begun) = watch::channel(false);
    let hanging: Finalise = Arc::new(move |_| {
        tell.send_replace(true);
        Box::pin(std::future::pending())
    });
    let (id, one) = (scene.dispatch, scene.relay(hanging, Vec::new(), HOOK_LIMIT));
    let task = tokio::spawn(async move { one.complete(id).await });
    begun.wait_for(|begun| *begun).await.expect("it begins");
    let (kept, hook) = keeping();
    let other = scene.relay(nothing_stored(), vec![hook], HOOK_LIMIT);
    assert_eq!(
        other.complete(scene.dispatch).await,
        Ok(false),
        "somebody is at it"
    );
    let long_ago = (Utc::now() - TimeDelta::minutes(6)).format("%Y-%m-%d %H:%M:%S");
    scene
        .seen
        .execute(&format!("UPDATE completions SET claimed_at = '{long_ago}'"));
    assert_eq!(other.complete(scene.dispatch).await, Ok(true));
    assert_eq!(
        (scene.seen.pending(), kept.lock().expect("no panic").len()),
        (Vec::new(), 1)
    );
    task.abort();
}

/// A process that is certainly gone is not waited for.
#[tokio::test]
async fn the_dead_claim_nothing() {
    let scene = Scene::new(Kind::Sqlite).await;
    let gone = repository::this_process()
        .rsplit_once('/')
        .expect("parts")
        .0
        .to_owned()
        + "/1";
    let now = Utc::now().naive_utc();
    let token = "0".repeat(32);
    let claim = format!(
        "UPDATE completions SET claim_token = '{token}', claim_holder = '{gone}', claimed_at = '{now}'"
    );
    assert_eq!(scene.seen.execute(&claim), 1);
    let relay = scene.relay(nothing_stored(), Vec::new(), HOOK_LIMIT);
    assert_eq!(relay.complete(scene.dispatch).await, Ok(true));
}

/// Closed anew while a relay is at it: the notice is not sent again, but the bundle is finalised once more.
#[rstest]
#[tokio::test]
async fn closed_again_meanwhile(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let scene = Scene::new(kind).await;
    let (gate, opened) = watch::channel(0);
    let slow: Finalise = {
        let gate = gate.clone();
        Arc::new(move |_| {
            gate.send_modify(|stage| *stage += 1);
            let mut opened = opened.clone();
            Box::pin(async move {
                let _ = opened.wait_for(|stage| *stage >= 2).await;
                Ok(Bundled::default())
            })
        })
    };
    let (kept, hook) = keeping();
    let relay = scene.relay(slow, vec![hook], HOOK_LIMIT);
    let task = tokio::spawn({
        let (relay, id) = (Arc::clone(&relay), scene.dispatch);
        async move { relay.complete(id).await }
    });
    gate.subscribe()
        .wait_for(|stage| *stage == 1)
        .await
        .expect("it begins");
    // What a close does with a row that is there.
    scene
        .seen
        .execute("UPDATE completions SET next_at = '2026-01-01 00:00:00'");
    let other = scene.relay(nothing_stored(), Vec::new(), HOOK_LIMIT);
    assert_eq!(
        other.complete(scene.dispatch).await,
        Ok(false),
        "two at one bundle"
    );
    gate.send_modify(|stage| *stage += 1);
    assert_eq!(task.await.expect("no panic"), Ok(true));
    let pending = scene.seen.pending();
    assert_eq!((pending.len(), pending[0].1), (1, false), "the bundle alone");
    assert_eq!(relay.complete(scene.dispatch).await, Ok(true));
    assert_eq!(*gate.borrow(), 3, "finalised once more");
    assert_eq!(
        (scene.seen.pending(), kept.lock().expect("no panic").len()),
        (Vec::new(), 1)
    );
}

/// Who lost its lease may come with a `sent` when the dispatch is closed: the bundle is made whole once more.
#[rstest]
#[tokio::test]
async fn sent_after_the_close(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let scene = Scene::new(kind).await;
    let relay = scene.relay(nothing_stored(), Vec::new(), HOOK_LIMIT);
    assert_eq!(relay.complete(scene.dispatch).await, Ok(true));
    assert_eq!(scene.seen.pending(), []);
    scene
        .seen
        .execute("UPDATE notifications SET status = 'cancelled'");
    let entry = Entry {
        notification: NotificationId(scene.seen.rows()[0].id),
        dispatch: scene.dispatch,
        token: LeaseToken::generate(),
        outcome: Outcome::Sent,
        first: false,
    };
    let recorded = scene
        .db
        .write(move |conn| repository::record(conn, &[entry], Utc::now().naive_utc()));
    assert_eq!(recorded.await.expect("the ledger"), [Taken::Yes]);
    assert_eq!(scene.seen.count("sent"), 1);
    let pending = scene.seen.pending();
    assert_eq!((pending.len(), pending[0].1), (1, false), "the bundle alone");
    assert_eq!(relay.complete(scene.dispatch).await, Ok(true));
    assert_eq!(scene.seen.pending(), []);
}

/// Told to stop, a relay gives back what it is at.
#[tokio::test]
async fn a_stopped_relay_holds_nothing() {
    let scene = Scene::new(Kind::Sqlite).await;
    let (tell, mut begun) = watch::channel(false);
    let hanging: Finalise = Arc::new(move |_| {
        tell.send_replace(true);
        Box::pin(std::future::pending())
    });
    let stop = tokio_util::sync::CancellationToken::new();
    let relay = scene.relay(hanging, Vec::new(), HOOK_LIMIT);
    let task = tokio::spawn(relay.run(stop.clone()));
    begun.wait_for(|begun| *begun).await.expect("it begins");
    stop.cancel();
    task.await.expect("no panic");
    let next = scene.relay(nothing_stored(), Vec::new(), HOOK_LIMIT);
    assert_eq!(next.complete(scene.dispatch).await, Ok(true));
}

#[rstest]
#[tokio::test]
async fn what_is_pending_is_not_removed(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let scene = Scene::new(kind).await;
    let forget = async || {
        let later = Utc::now().naive_utc() + TimeDelta::days(1);
        let gone = scene.db.write(move |conn| repository::forget(conn, later));
        gone.await.expect("it is written")
    };
    assert_eq!(forget().await, 0);
    assert_eq!((scene.seen.dispatches().len(), scene.seen.rows().len()), (1, 1));
    let relay = scene.relay(nothing_stored(), Vec::new(), HOOK_LIMIT);
    assert_eq!(relay.complete(scene.dispatch).await, Ok(true));
    until("all of it goes", Duration::from_secs(30), async || {
        (forget().await == 0).then_some(())
    })
    .await;
    assert_eq!((scene.seen.dispatches().len(), scene.seen.rows().len()), (0, 0));
}
