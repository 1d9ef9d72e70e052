//! `herald dead-letters`.

use serde_json::{Value, json};

use super::arguments::{DeadLetters, Which};
use super::progress::Progress;
use super::{CLOCK, Failure, load_config, open_database, quiet_logs};
use crate::config::Config;
use crate::consumer::{Letter, Listing, Queue, Redrive};
use crate::message::Reason;

/// Letters looked at by `list`.
const LOOKED: u32 = 10_000;

pub(super) async fn dead_letters(what: DeadLetters) -> Result<(), Failure> {
    let config = load_config()?;
    let _guard = quiet_logs(&config.log)?;
    match what {
        DeadLetters::List { which, json } => list(&config, which.reason, json).await,
        DeadLetters::Drop { which, json } => redrive(&Queue::of(&config), &which, &Redrive::Drop, json).await,
        DeadLetters::Replay { which, json } => {
            let db = open_database(&config).await?;
            let replay = Redrive::Replay(db, CLOCK().naive_utc());
            redrive(&Queue::of(&config), &which, &replay, json).await
        }
    }
}

async fn list(config: &Config, reason: Option<Reason>, as_json: bool) -> Result<(), Failure> {
    let queue = Queue::of(config);
    let listing = queue
        .letters(reason, LOOKED)
        .await
        .map_err(|e| Failure::Failed(format!("{}: {e}", queue.shown())))?;
    if as_json {
        println!("{}", listing.letters.iter().map(to_json).collect::<Value>());
    } else {
        listing.letters.iter().for_each(print);
        println!("{}.", found(&listing, reason, &queue));
    }
    if listing.looked < listing.there {
        eprintln!(
            "Only the first {} of {} were looked at.",
            listing.looked, listing.there
        );
    }
    Ok(())
}

fn found(listing: &Listing, reason: Option<Reason>, queue: &Queue) -> String {
    let count = u32::try_from(listing.letters.len()).unwrap_or(u32::MAX);
    let dead = queue.dead_name();
    match reason {
        None => format!("{} in {dead}", letters(count)),
        Some(reason) => format!("{} in {dead} with the reason {reason}", letters(count)),
    }
}

fn letters(count: u32) -> String {
    match count {
        0 => "no dead letter".to_owned(),
        1 => "1 dead letter".to_owned(),
        n => format!("{n} dead letters"),
    }
}

fn print(letter: &Letter) {
    println!(
        "{:24}  {:19}  {}",
        letter.dead_at.as_deref().unwrap_or("(at no known time)"),
        letter.reason.as_deref().unwrap_or("(no reason)"),
        letter.message_id.as_deref().unwrap_or("(without id)"),
    );
    if let Some(error) = &letter.error {
        println!("  error     {error}");
    }
    if let Some(dispatch) = &letter.dispatch_id {
        println!("  dispatch  {dispatch}");
    }
    if let Some(attempts) = letter.attempts.filter(|n| *n > 0) {
        println!("  attempts  {attempts}");
    }
    println!("  body      {} bytes: {}", letter.bytes, letter.body);
}

fn to_json(letter: &Letter) -> Value {
    json!({
        "message_id": letter.message_id, "reason": letter.reason, "error": letter.error,
        "attempts": letter.attempts, "dead_at": letter.dead_at, "dispatch_id": letter.dispatch_id,
        "bytes": letter.bytes, "body": letter.body,
    })
}

async fn redrive(queue: &Queue, which: &Which, what: &Redrive, as_json: bool) -> Result<(), Failure> {
    let (doing, done) = match what {
        Redrive::Drop => ("dropping dead letters", "dropped"),
        Redrive::Replay(..) => ("replaying dead letters", "replayed"),
    };
    let mut progress = None;
    let redriven = queue
        .redrive(what, which.reason, |looked, there| {
            progress
                .get_or_insert_with(|| Progress::new(doing, there.into()))
                .set(looked.into());
        })
        .await;
    if let Some(progress) = progress {
        progress.finish();
    }
    let summary = format!(
        "{} {done}, {} left alone",
        letters(redriven.done),
        redriven.others
    );
    match redriven.error {
        None if as_json => {
            println!("{}", json!({done: redriven.done, "left": redriven.others}));
            Ok(())
        }
        None => {
            println!("{summary}.");
            Ok(())
        }
        Some(error) if redriven.done == 0 => Err(Failure::Failed(format!("{}: {error}", queue.shown()))),
        Some(error) => Err(Failure::Failed(format!(
            "{}: {error}; until then {summary}; the rest is in place",
            queue.shown()
        ))),
    }
}
