//! The audience changes while it is told.

use std::collections::BTreeSet;
use std::time::Duration;

use rstest::rstest;

use super::scene::*;
use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::by_recipient;
use crate::support::outage::LateCommit;

/// Those who are there at first, in three groups.
const GROUP: usize = PEOPLE;

fn addresses(prefix: &str, from: usize, to: usize) -> BTreeSet<String> {
    (from..to).map(|i| format!("{prefix}{i}@example.com")).collect()
}

/// Frozen, and with ids in the middle of the range those whose transaction commits while mail flows
/// (`SQLite` has one writer at a time, so nobody there can commit late).
async fn fill(db: &TestDatabase, kind: Kind) -> Option<LateCommit> {
    db.add_numbered(7, "a", GROUP);
    let late = match kind {
        Kind::Sqlite => None,
        _ => Some(LateCommit::begin(db, 7, "late", 20).await),
    };
    db.add_numbered(7, "b", GROUP);
    db.add_numbered(7, "c", GROUP);
    late
}

/// Removes some who were told and some who were not read yet.
fn remove(db: &TestDatabase) -> BTreeSet<String> {
    for pattern in ["a1_@example.com", "c1__@example.com"] {
        db.execute(&format!("DELETE FROM participants WHERE email LIKE '{pattern}'"));
    }
    &addresses("a", 10, 20) | &addresses("c", 100, 200)
}

#[rstest]
#[tokio::test]
async fn inserted_and_deleted_while_it_runs(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (mut moments, mut tally) = (
        Moments(0x2127_599b),
        Tally::new("audience: participants inserted and deleted", kind, 0),
    );
    for _ in 0..runs(1).min(10) {
        let scene = Scene::new(kind).await;
        let mut late = fill(&scene.db, kind).await;
        let worker = scene.settings.start().await;
        scene.publish(7).await;
        scene.smtp.wait_for(1, LIMIT).await;
        let mut removed = BTreeSet::new();
        for step in 0..3 {
            tokio::time::sleep(Duration::from_millis(50) + moments.next(100)).await;
            scene.db.add_numbered(7, &format!("new{step}-"), 20);
            // A server may let nobody delete while that transaction is open.
            match (step, late.take()) {
                (1, Some(late)) => late.commit().await,
                (2, _) => removed = remove(&scene.db),
                (_, other) => late = other,
            }
        }
        let so_far = scene.smtp.messages().len();
        assert!(so_far < 2 * GROUP, "not in mid-run: {so_far}");
        let recovery = scene.completed(1).await;
        scene.rabbit.wait_counts(0, 0).await;

        let told: BTreeSet<String> = by_recipient(scene.smtp.messages()).into_keys().collect();
        let frozen: BTreeSet<_> = ["a", "b", "c"]
            .iter()
            .flat_map(|prefix| addresses(prefix, 0, GROUP))
            .collect();
        let missed: Vec<_> = frozen
            .difference(&removed)
            .filter(|a| !told.contains(*a))
            .collect();
        assert!(missed.is_empty(), "{missed:?}");
        assert!(
            told.iter().all(|a| !a.starts_with("new")),
            "inserted after the acceptance"
        );
        assert!(
            addresses("c", 100, 200).iter().any(|a| !told.contains(a)),
            "they were deleted too late"
        );
        let people = told.len();
        tally.add(scene.end(vec![worker], people).await, recovery);
    }
    tally.tell();
}
