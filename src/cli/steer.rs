//! `herald pause`, `resume` and `cancel`: on the ledger, with or without a running worker.

use super::{CLOCK, Failure, load_config, open_database, quiet_logs};
use crate::domain::DispatchId;
use crate::repository::{self, Steered};

/// What is wanted of a dispatch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    Pause,
    Resume,
    Cancel,
}

pub(super) async fn steer(dispatch: DispatchId, wish: Wish) -> Result<(), Failure> {
    let config = load_config()?;
    let _guard = quiet_logs(&config.log)?;
    let db = open_database(&config).await?;
    let now = CLOCK().naive_utc();
    let steered = db.write(move |conn| match wish {
        Wish::Pause => repository::request_pause(conn, dispatch, now),
        Wish::Resume => repository::request_resume(conn, dispatch, now),
        Wish::Cancel => repository::request_cancel(conn, dispatch, now),
    });
    let (done, senseless) = match wish {
        Wish::Pause => ("pausing", "it is paused already, or closed"),
        Wish::Resume => ("resumed; a running worker takes it up", "it is not paused"),
        Wish::Cancel => ("cancelling", "it is closed already"),
    };
    match steered.await? {
        Steered::Accepted | Steered::Closed { .. } => {
            println!("Dispatch {dispatch}: {done}.");
            Ok(())
        }
        Steered::NotFound => Err(Failure::Failed(format!("there is no dispatch {dispatch}"))),
        Steered::MakesNoSense => Err(Failure::Failed(format!("dispatch {dispatch}: {senseless}"))),
    }
}
