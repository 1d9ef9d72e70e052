//! What a dispatch reads of the ledger: rows left open, pages of the audience, rows to be tried again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use chrono::NaiveDateTime;

use super::engine::Engine;
use super::job::Work;
use super::outcome::LONGEST_DELAY;
use super::telling::settled_of;
use crate::domain::{DispatchId, NotificationId};
use crate::failpoint;
use crate::repository::{self, AnyConnection, DbError, PageRequest, SettledRow, WorkRow};

/// What is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Rows that an earlier start left open, from behind this id on.
    Resume(NotificationId),
    /// Pages of the audience.
    Pages,
    /// Nothing: all is read.
    Read,
}

/// What a read brought.
pub(super) struct Brought {
    pub(super) rows: Vec<WorkRow>,
    pub(super) stage: Stage,
    /// Those of a page that are not to be handed over.
    pub(super) settled: Vec<SettledRow>,
    /// Next time of the earliest row to be tried again, where that was asked.
    pub(super) next_due: Option<NaiveDateTime>,
}

/// A read under way.
pub(super) type Reading = Pin<Box<dyn Future<Output = Result<Brought, DbError>> + Send>>;

/// Reads on from `stage`.
pub(super) fn ahead(engine: &Engine, work: &Work, stage: Stage) -> Reading {
    let lease = Arc::clone(&work.lease);
    let (size, alone) = (engine.config.batch_size, work.quarantined);
    let domain = work.plan.identity.address.domain().to_owned();
    let now = (engine.now)().naive_utc();
    let db = engine.db.clone();
    let running = Arc::clone(&work.running);
    Box::pin(async move {
        let mut brought = db
            .write(move |conn| {
                let (dispatch, token, domain) = (lease.dispatch, lease.token, domain.as_str());
                match stage {
                    Stage::Resume(_) if alone => next_alone(conn, dispatch),
                    Stage::Resume(after) => resume(conn, dispatch, after, size),
                    Stage::Pages | Stage::Read => page(
                        conn,
                        PageRequest {
                            dispatch,
                            token,
                            size,
                            domain,
                            now,
                        },
                    ),
                }
            })
            .await?;
        if stage == Stage::Pages {
            failpoint::reached("s3-after-commit");
            running.read(
                brought.rows.len(),
                &settled_of(std::mem::take(&mut brought.settled)),
            );
        }
        Ok(if alone { brought.one_by_one(stage) } else { brought })
    })
}

impl Brought {
    /// In quarantine a page only adds its rows; they are then read one by one.
    fn one_by_one(self, asked: Stage) -> Self {
        match asked {
            Stage::Pages if !self.rows.is_empty() || self.stage == Stage::Pages => Self {
                rows: Vec::new(),
                stage: Stage::Resume(NotificationId(0)),
                settled: Vec::new(),
                next_due: None,
            },
            _ => self,
        }
    }
}

/// The first open row; pages again when there is none.
fn next_alone(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<Brought, DbError> {
    let rows = repository::open_rows(conn, dispatch, NotificationId(0), 1)?;
    let next_due = overdue(conn, dispatch)?;
    let stage = if rows.is_empty() {
        Stage::Pages
    } else {
        Stage::Resume(NotificationId(0))
    };
    Ok(Brought {
        rows,
        stage,
        settled: Vec::new(),
        next_due,
    })
}

fn resume(
    conn: &mut AnyConnection,
    dispatch: DispatchId,
    after: NotificationId,
    size: usize,
) -> Result<Brought, DbError> {
    let rows = repository::open_rows(conn, dispatch, after, size)?;
    let next_due = overdue(conn, dispatch)?;
    let full = rows.len() == size;
    let last = rows.last().filter(|_| full).map(|row| Stage::Resume(row.id));
    Ok(Brought {
        rows,
        stage: last.unwrap_or(Stage::Pages),
        settled: Vec::new(),
        next_due,
    })
}

/// Who has set the next times and when is not known: whether they have come is asked at once.
fn overdue(conn: &mut AnyConnection, dispatch: DispatchId) -> Result<Option<NaiveDateTime>, DbError> {
    let timed = repository::is_timed(conn, dispatch)?;
    Ok(timed.then(NaiveDateTime::default))
}

fn page(conn: &mut AnyConnection, request: PageRequest<'_>) -> Result<Brought, DbError> {
    failpoint::reached("s3-before");
    let page = repository::read_page(conn, request)?;
    failpoint::reached("s3-before-commit");
    tracing::debug!(
        dispatch.id = %request.dispatch,
        participants = page.participants,
        notifications = page.rows.len(),
        "page read"
    );
    Ok(Brought {
        rows: page.rows,
        stage: if page.end { Stage::Read } else { Stage::Pages },
        settled: page.settled,
        next_due: None,
    })
}

/// Reads the rows whose next time has come; `stage` stays as it is.
pub(super) fn due(engine: &Engine, work: &Work, stage: Stage) -> Reading {
    let (dispatch, size) = (work.dispatch(), engine.config.batch_size);
    let now = (engine.now)().naive_utc();
    let longest = chrono::Duration::from_std(LONGEST_DELAY).unwrap_or_default();
    let db = engine.db.clone();
    Box::pin(async move {
        db.read(move |conn| {
            let time = repository::schedule_time(conn, now)?;
            let rows = repository::due_rows(conn, dispatch, time, longest, size)?;
            // Rows that were due before are in hand by now, unless there were more than one page of them.
            let next_due = if rows.len() == size {
                Some(now)
            } else {
                let next = repository::next_due(conn, dispatch, time, longest)?;
                next.map(|at| at - (time - now))
            };
            Ok(Brought {
                rows,
                stage,
                settled: Vec::new(),
                next_due,
            })
        })
        .await
    })
}

/// The result of the read under way; pending for ever when there is none.
pub(super) async fn outcome(reading: &mut Option<Reading>) -> Result<Brought, DbError> {
    match reading {
        Some(future) => {
            let brought = future.as_mut().await;
            *reading = None;
            brought
        }
        None => std::future::pending().await,
    }
}
