//! What the ledger remembers of acks to messages without id.

use chrono::{NaiveDateTime, Utc};
use herald::config::{DatabaseConfig, DatabaseTarget};
use herald::domain::{Audience, DispatchId, EventId, LeaseToken, Source};
use herald::repository::{
    Accepted, Claimant, Database, Entry, Equals, MessageKey, NewDispatch, NewPlan, Outcome, PageRequest,
    accept, ack_begun, finish, open_rows, read_page, record, take_up_waiting,
};

fn now() -> NaiveDateTime {
    Utc::now().naive_utc()
}

fn who(holder: &str) -> Claimant {
    Claimant {
        token: LeaseToken::generate(),
        delivered: true,
        holder: holder.into(),
        now: now(),
    }
}

fn message(redelivered: bool) -> NewDispatch {
    NewDispatch {
        id: DispatchId::generate(),
        key: MessageKey::Anonymous("a:x".into()),
        message_id: None,
        body: b"{}".to_vec(),
        body_hash: "x".into(),
        kind: "UPDATED",
        tenant_id: None,
        event_id: EventId::new(7).ok(),
        order_id: None,
        version: None,
        plan: Some(NewPlan {
            text: "{}".into(),
            subject: "s".into(),
            sender: "environment".into(),
            domain: "x".into(),
            audience: Audience::Participants,
            cooldown: None,
        }),
        redelivered,
        source: Source::Amqp,
        conflicts: 0,
    }
}

/// The worker began to ack and died, the ack arrived; the sweeper of another finishes the dispatch. An equal
/// message that is redelivered later has to be one of its own, as it is without the sweeper.
#[tokio::test]
async fn a_sweeper_forgets_that_an_ack_had_begun() {
    for swept in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let config = DatabaseConfig {
            target: DatabaseTarget::Sqlite(dir.path().join("x.db")),
            echo: false,
        };
        let db = Database::new(&config).unwrap();
        db.migrate().await.unwrap();
        db.write(|c| {
            herald::repository::add_participants(
                c,
                EventId::new(7).unwrap(),
                &[("a@example.com".to_owned(), "A".to_owned())],
            )
        })
        .await
        .unwrap();
        let doubt = db
            .write(move |c| {
                let one = who("w1");
                let token = one.token;
                let Accepted::Mine(claim) = accept(c, &message(false), &one, &Equals::default())? else {
                    panic!()
                };
                let d = claim.dispatch;
                let page = read_page(
                    c,
                    PageRequest {
                        dispatch: d,
                        token,
                        size: 10,
                        domain: "x",
                        now: now(),
                    },
                )?;
                let entry = |token, outcome| Entry {
                    notification: page.rows[0].id,
                    dispatch: d,
                    token,
                    outcome,
                    first: true,
                };
                record(
                    c,
                    &[entry(
                        token,
                        Outcome::Deferred {
                            error: "451".into(),
                            at: now(),
                        },
                    )],
                    now(),
                )?;
                finish(c, d, token, now())?;
                ack_begun(c, d, "w1")?;
                // w1 acks, the ack arrives, w1 is killed.
                if swept {
                    let two = who("w2");
                    take_up_waiting(c, d, chrono::Duration::hours(10), &two)?.unwrap();
                    open_rows(c, d, herald::domain::NotificationId(0), 10)?;
                    record(c, &[entry(two.token, Outcome::Sent)], now())?;
                    finish(c, d, two.token, now())?;
                }
                accept(c, &message(true), &who("w3"), &Equals::default())
            })
            .await
            .unwrap();
        let Accepted::Doubtful(doubt) = doubt else {
            panic!("{doubt:?}")
        };
        assert_eq!(
            doubt.acking.as_deref(),
            Some("w1"),
            "swept: {swept}: it will be swallowed"
        );
    }
}
