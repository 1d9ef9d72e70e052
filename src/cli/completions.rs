//! `herald completions`: the outbox, with or without a running worker.

use serde_json::{Value, json};

use super::arguments::{Completions, OfRecipe};
use super::status::rfc3339;
use super::{CLOCK, Failure, load_config, open_database, quiet_logs};
use crate::message::Recipe;
use crate::repository::{self, CompletionView, Database};

/// Completions listed.
const LISTED: u32 = 1_000;

pub(super) async fn completions(what: Completions) -> Result<(), Failure> {
    let config = load_config()?;
    let _guard = quiet_logs(&config.log)?;
    let db = open_database(&config).await?;
    match what {
        Completions::List { which, json } => list(&db, which, json).await,
        Completions::Retry { which, json } => retry(&db, which, json).await,
    }
}

async fn list(db: &Database, which: OfRecipe, as_json: bool) -> Result<(), Failure> {
    let recipe = which.recipe;
    let listed = db
        .read(move |conn| repository::completion_page(conn, recipe.as_ref().map(Recipe::as_str), 1, LISTED));
    let (views, total) = listed.await?;
    if as_json {
        println!("{}", views.iter().map(to_json).collect::<Value>());
    } else {
        views.iter().for_each(print);
        println!("{} pending.", counted(total));
    }
    if views.len() < usize::try_from(total).unwrap_or(usize::MAX) {
        eprintln!("Only the newest {LISTED} are shown.");
    }
    Ok(())
}

async fn retry(db: &Database, which: OfRecipe, as_json: bool) -> Result<(), Failure> {
    let (recipe, now) = (which.recipe, CLOCK().naive_utc());
    let retried =
        db.write(move |conn| repository::retry_completions(conn, recipe.as_ref().map(Recipe::as_str), now));
    let retried = retried.await?;
    if as_json {
        println!("{}", json!({"retried": retried}));
    } else {
        let count = counted(i64::try_from(retried).unwrap_or(i64::MAX));
        println!("{count} due now; a running worker tries them, or the next one at its start.");
    }
    Ok(())
}

fn counted(count: i64) -> String {
    match count {
        0 => "no completion".to_owned(),
        1 => "1 completion".to_owned(),
        n => format!("{n} completions"),
    }
}

fn print(view: &CompletionView) {
    let what = if view.notice { "notice" } else { "bundle alone" };
    println!(
        "{}  {:28}  {what}, {} tries, next {}",
        view.dispatch_id,
        view.recipe_id,
        view.attempts,
        rfc3339(view.next_at)
    );
    if let Some(error) = &view.error {
        println!("  error  {error}");
    }
}

fn to_json(view: &CompletionView) -> Value {
    json!({
        "key": view.key, "dispatch_id": view.dispatch_id, "bundle_id": view.dispatch_id,
        "recipe_id": view.recipe_id, "notice": view.notice, "attempts": view.attempts,
        "next_at": rfc3339(view.next_at), "error": view.error, "created_at": rfc3339(view.created_at),
    })
}
