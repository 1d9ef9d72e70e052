//! The operators' page, in a browser, on a running worker.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::database::Kind;
use crate::support::smtp::{At, Options};
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::Worker;

const LIMIT: Duration = Duration::from_mins(1);
const TOKEN: &str = "s3cret-token";
/// Markup that would say so if anything took it for markup.
const HOSTILE: &str = "<img src=x onerror=\"window.hit=1\">";

/// A hundredth of it reaches nobody, and it takes some seconds.
const PEOPLE: usize = 2000;
const REFUSED: usize = 20;

/// A worker, and a browser at `place`.
async fn opened(stage: &Stage, token: Option<&str>, place: &str) -> Option<(Worker, Browser)> {
    let browser = Browser::start().await?;
    let settings = stage.settings().set("SMTP_RATE_LIMIT", 300);
    let worker = settings.set("API_TOKEN", token.unwrap_or_default()).start().await;
    browser.open(&worker.url(&format!("/#/{place}"))).await;
    if let Some(token) = token {
        browser
            .wait(
                "the question for the token",
                "document.querySelector('#token').open",
            )
            .await;
        browser.write("#token-value", "wrong").await;
        browser.press("#token-yes").await;
        browser
            .wait("a refusal", "!document.querySelector('#token-error').hidden")
            .await;
        browser.write("#token-value", token).await;
        browser.press("#token-yes").await;
        browser
            .wait("no more question", "!document.querySelector('#token').open")
            .await;
    }
    browser
        .wait(
            "a live connection",
            "document.querySelector('#link').dataset.state === 'live'",
        )
        .await;
    // Gone after a reload.
    browser.eval("window.stays = true").await;
    Some((worker, browser))
}

/// No errors, nothing that the policy forbade, no reload, and nothing hostile was run.
async fn closed(browser: Browser, token: Option<&str>) {
    assert_eq!(
        browser.eval("return window.stays").await,
        true,
        "the page was loaded anew"
    );
    assert_eq!(browser.eval("return window.hit ?? null").await, Value::Null);
    let complaints = browser.complaints().await;
    // The browser itself notes that a token was asked for.
    let unexpected: Vec<_> = complaints
        .iter()
        .filter(|complaint| token.is_none() || !complaint.contains("401"))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    browser.close().await;
}

async fn go(browser: &Browser, words: &str) {
    browser.press_words(words).await;
    browser.wait_text("main h1", words).await;
}

/// Answers the question that is asked.
async fn yes(browser: &Browser) {
    browser.press("#question[open] #question-yes").await;
    browser
        .wait(
            "an end of the question",
            "!document.querySelector('#question').open",
        )
        .await;
}

/// The first bar moves; whole percents that were seen.
async fn watch_the_bar(browser: &Browser) -> Vec<i64> {
    let mut seen = Vec::new();
    until("a bar that moves", LIMIT, async || {
        let now =
            browser.eval("return document.querySelector('main [role=progressbar]')?.ariaValueNow ?? null");
        let now: Option<i64> = now.await.as_str().and_then(|value| value.parse().ok());
        if let Some(now) = now.filter(|now| seen.last() != Some(now)) {
            seen.push(now);
        }
        (seen.len() >= 5).then_some(())
    })
    .await;
    seen
}

#[rstest]
#[tokio::test]
async fn from_the_first_dispatch_to_its_end(#[values(None, Some(TOKEN))] token: Option<&str>) {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    stage.db.add_people(1, PEOPLE - REFUSED - 1);
    stage.db.add_numbered(1, "perm", REFUSED);
    stage.db.add(1, &[(HOSTILE, HOSTILE)]);
    let Some((worker, browser)) = opened(&stage, token, "dispatches").await else {
        return stage.rabbit.clean().await;
    };
    browser.wait_text("main", "Nothing was sent yet").await;
    let message = json!({"type": "UPDATED", "event_id": 1, "event": {"title": HOSTILE}});
    stage.rabbit.send(&message).await;
    browser.wait_text("main tbody .main-link", "event 1").await;
    let seen = watch_the_bar(&browser).await;
    assert!(seen.is_sorted(), "{seen:?}");

    browser.press("main tbody .main-link").await;
    browser.wait_text("main .progress", "left").await;
    let more = watch_the_bar(&browser).await;
    assert!(more.is_sorted() && more[0] >= seen[4], "{seen:?}, then {more:?}");
    browser.wait_text("main .head .badge", "partial").await;
    assert_eq!(stage.smtp.messages().len(), PEOPLE - REFUSED - 1);
    browser
        .wait_text("section[aria-label=Why]", "550 5.1.1 no such user")
        .await;
    browser
        .wait_text("section[aria-label=Why]", "the address has no @")
        .await;
    let legend = browser.text("main .legend").await;
    assert!(legend.contains(&format!("failed {}", REFUSED + 1)), "{legend}");

    browser.press("main .legend a[href*='status=failed']").await;
    browser.wait_text("#notifications tbody", HOSTILE).await;
    assert_eq!(
        browser.eval("return document.querySelector('main img')").await,
        Value::Null
    );
    let tried = |to: &str| {
        let attempts = stage.smtp.attempts();
        attempts.iter().filter(|a| a.at == At::Rcpt && a.to == to).count()
    };
    assert_eq!(tried("perm7@example.com"), 1);
    browser
        .press("button[aria-label='Retry perm7@example.com']")
        .await;
    browser.wait_text("#question", "perm7@example.com").await;
    yes(&browser).await;
    until("another attempt", LIMIT, async || {
        (tried("perm7@example.com") == 2).then_some(())
    })
    .await;
    assert_eq!(tried("perm8@example.com"), 1);
    browser.wait_text("main .head .badge", "partial").await;
    closed(browser, token).await;
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn a_dispatch_is_paused_and_cancelled(#[values(None, Some(TOKEN))] token: Option<&str>) {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    stage.db.add_people(2, 4 * PEOPLE);
    let Some((worker, browser)) = opened(&stage, token, "").await else {
        return stage.rabbit.clean().await;
    };
    browser.wait_text("main", "Nothing is being sent").await;
    stage
        .rabbit
        .send(&json!({"type": "CREATED", "event_id": 2}))
        .await;
    browser.wait_text("main tbody .main-link", "event 2").await;
    browser.press("main tbody .main-link").await;
    watch_the_bar(&browser).await;

    browser.press_words("Pause").await;
    yes(&browser).await;
    browser.wait_text("main .head .badge", "paused").await;
    stage.db.wait_dispatches(1, &["paused"]).await;
    let sent = stage.smtp.messages().len();
    browser.press_words("Resume").await;
    yes(&browser).await;
    stage.smtp.wait_for(sent + 1, LIMIT).await;

    // Thinking better of it changes nothing.
    browser.press_words("Cancel").await;
    browser.press("#question[open] #question-no").await;
    browser
        .wait(
            "an end of the question",
            "!document.querySelector('#question').open",
        )
        .await;
    browser.press_words("Cancel").await;
    yes(&browser).await;
    browser.wait_text("main .head .badge", "cancelled").await;
    stage.db.wait_dispatches(1, &["cancelled"]).await;
    assert!(stage.smtp.messages().len() < 4 * PEOPLE);
    closed(browser, token).await;
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn a_dead_letter_is_replayed_and_another_dropped(#[values(None, Some(TOKEN))] token: Option<&str>) {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    stage.db.add_people(3, 1);
    stage.db.add_people(4, 1);
    let Some((worker, browser)) = opened(&stage, token, "dead-letters").await else {
        return stage.rabbit.clean().await;
    };
    browser.wait_text("main", "No dead letters").await;
    stage
        .rabbit
        .send_as("twice", &json!({"type": "UPDATED", "event_id": 3}))
        .await;
    stage.db.wait_closed().await;
    stage
        .rabbit
        .send_as("twice", &json!({"type": "UPDATED", "event_id": 4}))
        .await;
    let odd = json!({"type": HOSTILE, "large": 9_223_372_036_854_775_807_i64});
    stage.rabbit.send(&odd).await;
    browser
        .wait(
            "two letters",
            "document.querySelectorAll('main .letter').length === 2",
        )
        .await;
    browser.wait_text("main .letters", "9223372036854775807").await;
    assert_eq!(
        browser.eval("return document.querySelector('main img')").await,
        Value::Null
    );

    browser.press_words("Replay message-id-conflict").await;
    yes(&browser).await;
    browser
        .wait_text("#toasts", "1 dead letter replayed, 1 left.")
        .await;
    stage.db.wait_dispatches(2, &["completed"]).await;
    browser.press_words("Drop unknown-type").await;
    yes(&browser).await;
    browser.wait_text("main", "No dead letters").await;
    assert_eq!(stage.rabbit.ready(&stage.rabbit.dead()).await, Some(0));
    closed(browser, token).await;
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn who_could_not_be_told_is_shown(#[values(None, Some(TOKEN))] token: Option<&str>) {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    stage.db.add_people(3, 1);
    let Some((worker, browser)) = opened(&stage, token, "completions").await else {
        return stage.rabbit.clean().await;
    };
    browser.wait_text("main", "Nothing is pending").await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 3}))
        .await;
    let id = stage.db.wait_closed().await.id;
    stage.db.wait_completed().await;
    // Far from due, with what a target might have said.
    let key = format!("sqs_notifications:pending:event.updated:{id}");
    stage.db.execute(&format!(
        "INSERT INTO completions (completion_key, dispatch_id, recipe_id, value, notice, attempts, next_at, error, created_at) \
         SELECT '{key}', id, 'event.updated', '{{}}', 1, 4, datetime('now', '+5 minutes'), '{}', closed_at FROM dispatches",
        HOSTILE.replace('\'', "''")
    ));
    browser.press_words("Look again").await;
    browser.wait_text("main", &id).await;
    browser.wait_text("main .error-text", HOSTILE).await;
    assert_eq!(
        browser.eval("return document.querySelector('main img')").await,
        Value::Null
    );
    closed(browser, token).await;
    stage.end(worker).await;
}

#[rstest]
#[tokio::test]
async fn the_other_views(#[values(None, Some(TOKEN))] token: Option<&str>) {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    stage.db.add(5, &[("ann@example.com", "Ann")]);
    let Some((worker, browser)) = opened(&stage, token, "").await else {
        return stage.rabbit.clean().await;
    };
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 5, "event": {"title": HOSTILE}}))
        .await;
    stage.db.wait_closed().await;

    go(&browser, "Templates").await;
    browser.press_words("updated").await;
    browser
        .wait(
            "previews",
            "document.querySelectorAll('iframe.frame').length === 2",
        )
        .await;
    let widths = "return [...document.querySelectorAll('iframe.frame')].map((frame) => frame.clientWidth)";
    assert_eq!(browser.eval(widths).await, json!([760, 390]));
    for frame in [0, 1] {
        let preview = "const inner = document.querySelector('iframe'); return [inner?.getAttribute('sandbox'), inner?.srcdoc.includes('Rust Meetup')]";
        until("an e-mail in its frame", LIMIT, async || {
            (browser.eval_in_frame(frame, preview).await == json!(["", true])).then_some(())
        })
        .await;
    }
    browser.wait_text("#as-text", "Rust Meetup").await;
    browser.wait_text("#as-source", "MIME-Version: 1.0").await;

    go(&browser, "Notifications").await;
    browser.write("[name=recipient]", "ann@example.com").await;
    browser.press_words("Filter").await;
    browser.wait_text("main .pager", "1–1 of 1").await;
    browser.press("main tbody .main-link").await;
    browser.wait_text("main .facts", HOSTILE).await;
    assert_eq!(
        browser.eval("return document.querySelector('main img')").await,
        Value::Null
    );

    go(&browser, "Relays").await;
    browser.wait_text("main .relay", "open").await;
    go(&browser, "Tenants").await;
    browser
        .wait(
            "something to see",
            "document.querySelector('main tbody, main .state')?.role !== undefined",
        )
        .await;
    go(&browser, "Overview").await;
    browser.wait_text("main .chart", "1 sent").await;
    let shown = browser
        .eval("return document.documentElement.dataset.theme ?? null")
        .await;
    browser.press("#theme").await;
    let other = browser
        .eval("return document.documentElement.dataset.theme ?? null")
        .await;
    assert_ne!(shown, other, "the colours did not change");
    closed(browser, token).await;
    stage.end(worker).await;
}

#[tokio::test]
async fn it_is_served_whole_without_a_token_and_guarded() {
    let stage = Stage::new(Kind::Sqlite, Options::default()).await;
    let worker = stage.settings().set("API_TOKEN", TOKEN).start().await;
    let page = worker.get("/").await;
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    assert_eq!(page.headers()["referrer-policy"], "no-referrer");
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let tag = page.headers()["etag"].clone();
    let again = reqwest::Client::new()
        .get(worker.url("/"))
        .header("if-none-match", tag);
    assert_eq!(again.send().await.expect("an answer").status(), 304);
    let script = worker.get("/assets/main.js").await;
    assert_eq!(script.headers()["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(worker.get("/assets/nothing.js").await.status(), 404);
    stage.end(worker).await;
}
