//! The ledger on a file of its own (SQLite, WAL, `synchronous=FULL`): reading pages and recording outcomes.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};

use chrono::{NaiveDateTime, Utc};
use divan::{Bencher, counter::ItemsCount};
use herald::config::{DatabaseConfig, DatabaseTarget};
use herald::domain::{Audience, DispatchId, EventId, LeaseToken, Source};
use herald::repository::{
    self, Accepted, Claimant, Database, DbError, Entry, Equals, MessageKey, NewDispatch, NewPlan, Outcome,
    PageRequest, WorkRow, Writer,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Participants of the event, and so rows of a dispatch.
const AUDIENCE: usize = 1_000;
const PAGES: [usize; 2] = [100, 1_000];

struct Ledger {
    runtime: Runtime,
    db: Database,
    _dir: TempDir,
}

fn now() -> NaiveDateTime {
    Utc::now().naive_utc()
}

/// One for all, with an event in it.
fn ledger() -> &'static Ledger {
    static LEDGER: OnceLock<Ledger> = OnceLock::new();
    LEDGER.get_or_init(|| {
        let dir = TempDir::new().expect("a folder");
        let runtime = Runtime::new().expect("a runtime");
        let config = DatabaseConfig {
            target: DatabaseTarget::Sqlite(dir.path().join("ledger.db")),
            echo: false,
        };
        let db = Database::new(&config).expect("a database");
        let people: Vec<_> = (0..AUDIENCE)
            .map(|i| (format!("participant{i}@example.com"), format!("Participant {i}")))
            .collect();
        runtime
            .block_on(async {
                db.migrate().await?;
                db.write(move |conn| {
                    repository::put_event(conn, event(), None)?;
                    repository::add_participants(conn, event(), &people)
                })
                .await
            })
            .expect("a ledger with an event");
        Ledger {
            runtime,
            db,
            _dir: dir,
        }
    })
}

fn event() -> EventId {
    EventId::new(1).expect("an id")
}

impl Ledger {
    /// A dispatch of ours whose audience was not read yet.
    fn accept(&self) -> (DispatchId, LeaseToken) {
        let (id, token) = (DispatchId::generate(), LeaseToken::generate());
        let new = NewDispatch {
            id,
            key: MessageKey::Named(id.to_string()),
            message_id: Some(id.to_string()),
            body: Vec::new(),
            body_hash: id.to_string(),
            kind: "UPDATED",
            tenant_id: None,
            event_id: Some(event()),
            order_id: None,
            version: None,
            plan: Some(NewPlan {
                text: String::new(),
                subject: String::new(),
                sender: "environment".into(),
                domain: "example.com".into(),
                audience: Audience::Participants,
                cooldown: None,
            }),
            redelivered: false,
            source: Source::Amqp,
            conflicts: 0,
        };
        let who = Claimant {
            token,
            delivered: true,
            holder: "bench".into(),
            now: now(),
        };
        let accept = self
            .db
            .write(move |conn| repository::accept(conn, &new, &who, &Equals::default()));
        let accepted = self.runtime.block_on(accept).expect("accepted");
        assert!(matches!(accepted, Accepted::Mine(_)), "{accepted:?}");
        (id, token)
    }

    fn read_page(&self, (dispatch, token): (DispatchId, LeaseToken), size: usize) -> Vec<WorkRow> {
        let read = self.db.write(move |conn| {
            let request = PageRequest {
                dispatch,
                token,
                size,
                domain: "example.com",
                now: now(),
            };
            Ok::<_, DbError>(repository::read_page(conn, request)?.rows)
        });
        self.runtime.block_on(read).expect("a page")
    }

    /// So many outcomes of a dispatch of their own.
    fn entries(&self, size: usize) -> Vec<Entry> {
        let claim = self.accept();
        let rows = self.read_page(claim, size);
        assert_eq!(rows.len(), size);
        rows.iter()
            .map(|row| Entry {
                notification: row.id,
                dispatch: claim.0,
                token: claim.1,
                outcome: Outcome::Sent,
                first: false,
            })
            .collect()
    }
}

/// Participants read, notifications inserted, committed.
#[divan::bench(args = PAGES, sample_count = 30, sample_size = 1)]
fn page(bencher: Bencher<'_, '_>, size: usize) {
    let ledger = ledger();
    bencher
        .with_inputs(|| ledger.accept())
        .input_counter(move |_| ItemsCount::new(size))
        .bench_local_values(|claim| ledger.read_page(claim, size));
}

/// `sent` recorded and committed.
#[divan::bench(args = PAGES, sample_count = 30, sample_size = 1)]
fn record(bencher: Bencher<'_, '_>, size: usize) {
    let ledger = ledger();
    bencher
        .with_inputs(|| ledger.entries(size))
        .input_counter(move |_| ItemsCount::new(size))
        .bench_local_values(|entries| {
            let record = ledger
                .db
                .write(move |conn| repository::record(conn, &entries, now()));
            ledger.runtime.block_on(record).expect("recorded")
        });
}

/// The same through the writer's thread, until the last ticket is back.
#[divan::bench(args = PAGES, sample_count = 30, sample_size = 1)]
fn writer(bencher: Bencher<'_, '_>, size: usize) {
    let ledger = ledger();
    let (sender, tickets) = channel();
    let committed = move |group: Vec<((), repository::Taken)>, _| {
        // Nobody waits for tickets after the end.
        let _ = sender.send(group.len());
    };
    let abandon = Arc::new(AtomicBool::new(false));
    let (writer, thread) = Writer::start(ledger.db.clone(), now, abandon, committed).expect("a thread");
    bencher
        .with_inputs(|| ledger.entries(size))
        .input_counter(move |_| ItemsCount::new(size))
        .bench_local_values(|entries| {
            for entry in entries {
                writer.record(entry, ());
            }
            let mut back = 0;
            while back < size {
                back += tickets.recv().expect("the thread lives");
            }
        });
    drop(writer);
    thread.join().expect("the thread ended well");
}
