//! The ledger and the audience, on SQLite, PostgreSQL or MySQL. One function for each question asked;
//! what returned `Ok` is committed.

mod accept;
mod acks;
mod admit;
mod archive;
mod browse;
mod clock;
mod closing;
mod completions;
mod connection;
mod cooldown;
mod durability;
mod echo;
mod error;
mod events;
mod foreign;
mod fresh;
mod given_up;
mod holder;
mod idempotency;
mod insert;
mod lease;
mod ledger;
mod listing;
mod manager;
mod migrate;
mod open;
mod outbox;
mod pages;
mod progress;
mod reopen;
mod replay;
mod retention;
mod retry;
pub mod schema;
mod settled;
mod start;
mod steer;
mod sweep;
mod test_data;
mod writer;

pub use accept::{Accepted, Claimant, MessageKey, accept};
pub use acks::{Doubt, Equals, ack_begun, ack_lost, ack_proven};
pub use admit::{NewDispatch, NewPlan};
pub use archive::{Told, handed_over, handed_over_ids, handed_over_rows, told};
pub use browse::{
    DispatchView, Missed, NotificationFilter, NotificationView, audience, dispatch, dispatches, missed,
    notification, notifications, settled,
};
pub use clock::schedule_time;
pub use closing::{Counts, End, Parking, counts, counts_of, finish, park};
pub use completions::{
    Completion, CompletionView, claim_completion, completion_done, completion_failed, completion_of,
    completion_page, completion_released, completions_due, completions_pending, renew_completion,
    retry_completions,
};
pub use connection::{AnyConnection, Database};
pub use error::DbError;
pub use events::{EventRow, event_row};
pub use fresh::message_id_left;
pub use given_up::{GivenUp, give_up, given_up};
pub use holder::{is_dead, this_process};
pub use idempotency::{Once, once};
pub use lease::{
    Claim, Seen, beat, delivery_lost, observe, release, set_delivered, take_over, take_up_waiting,
};
pub use ledger::{Entry, Outcome, Taken, record};
pub use listing::{DispatchFilter, ReasonGroup, dispatch_page, reasons};
pub use open::open_dispatches;
pub use outbox::bundle_again;
pub use pages::{Page, PageRequest, WorkRow, due_rows, is_timed, next_due, open_rows, read_page};
pub use reopen::{Reopened, reopen_dead};
pub use replay::{ReplayFilter, Replayable, replay, replayable};
pub use retention::forget;
pub use retry::{Retried, retry_dispatch, retry_notification, retryable};
pub use settled::{SettledRow, settled_rows};
pub use start::{Start, Starting, begin, look};
pub use steer::{Steered, Wanted, obey, request_cancel, request_pause, request_resume, wanted};
pub use sweep::{Due, Unattended, due, running, ways};
pub use test_data::{add_participants, known_participants, put_event};
pub use writer::Writer;
