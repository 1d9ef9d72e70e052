//! Participants as they should not be: hostile names are cleaned and told, impossible addresses fail
//! alone with the reason, and headers and bodies stay what they are meant to be.

use std::collections::BTreeMap;

use rstest::rstest;
use serde_json::json;

use crate::support::database::{Kind, TestDatabase};
use crate::support::mail::{HEADERS, Mail};
use crate::support::smtp::{Message, Options};
use crate::support::stage::Stage;

/// PostgreSQL's texts cannot hold NUL.
fn fits(kind: Kind, text: &str) -> bool {
    kind != Kind::Postgres || !text.contains('\0')
}

fn utf8() -> Options {
    Options {
        offers: &["SMTPUTF8", "8BITMIME"],
        ..Options::default()
    }
}

/// What was received, by recipient; also looks at what every e-mail has to be.
fn received(messages: &[Message]) -> BTreeMap<String, Mail> {
    let mut all = BTreeMap::new();
    for message in messages {
        let mail = Mail::parse(message);
        assert_eq!(mail.names, HEADERS, "{}", message.to);
        assert_eq!(
            mail.kinds[..3],
            ["multipart/alternative", "text/plain", "text/html"]
        );
        assert_eq!(mail.to, message.to);
        for line in message.raw.split_inclusive(|&b| b == b'\n') {
            let line = line.strip_suffix(b"\r\n").expect("a bare LF");
            assert!(
                line.len() <= 998 && !line.contains(&b'\r') && !line.contains(&0),
                "{}",
                message.to
            );
        }
        assert!(
            all.insert(message.to.clone(), mail).is_none(),
            "{} was told twice",
            message.to
        );
    }
    all
}

/// Sends UPDATED for event 7 and waits for the end, which is no panic.
async fn tell(stage: Stage, status: &str) -> (TestDatabase, BTreeMap<String, Mail>) {
    // Bad ones on the same page as good ones, and pages in plenty.
    let worker = stage.settings().set("BATCH_SIZE", 7).start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    assert_eq!(stage.db.wait_closed().await.status, status);
    worker.stop().await;
    assert_eq!(stage.rabbit.ready(&stage.rabbit.broker.queue).await, Some(0));
    let mails = received(&stage.smtp.messages());
    let rcpts = stage
        .smtp
        .commands()
        .into_iter()
        .filter(|(_, line)| line.starts_with("RCPT"))
        .count();
    assert_eq!(rcpts, mails.len(), "one RCPT each");
    stage.rabbit.clean().await;
    (stage.db, mails)
}

#[rstest]
#[tokio::test]
async fn impossible_addresses_fail_alone(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let control = "the address contains a control character";
    let (local, domain) = (
        "the part before the @ is not a mailbox name",
        "the part after the @ is not a domain name",
    );
    let long = "the address is too long (64 octets before the @, 254 in all)";
    let overlong = format!("{}@example.com", "x".repeat(10_000));
    let bad = [
        ("", "the address is empty"),
        ("nobody", "the address has no @"),
        ("@example.com", local),
        ("ann@", domain),
        ("a b@example.com", local),
        (".a@example.com", local),
        ("Ann <ann@example.com>", local),
        ("a@example.com,b@example.com", local),
        ("ann@exam ple.com", domain),
        ("ann@-.example", domain),
        ("a@example.com\r\nRCPT TO:<victim@example.com>", control),
        ("a@example.com>\r\nDATA\r\nBcc: victim@example.com", control),
        ("nul\0@example.com", control),
        ("bell\u{7}@example.com", control),
        ("bidi\u{202e}moc.elpmaxe@example.com", control),
        ("hidden\u{200b}@example.com", control),
        (&overlong, long),
    ];
    let bad: Vec<_> = bad.into_iter().filter(|(email, _)| fits(kind, email)).collect();
    let stage = Stage::new(kind, utf8()).await;
    for (i, (email, _)) in bad.iter().enumerate() {
        stage.db.add(
            7,
            &[
                (*email, format!("Bad {i}")),
                (&format!("good{i}@example.com"), format!("Good {i}")),
            ],
        );
    }
    let (db, mails) = tell(stage, "partial").await;
    let rows = db.rows();
    assert_eq!(rows.len(), bad.len() * 2);
    for (i, (email, error)) in bad.iter().enumerate() {
        let row = rows
            .iter()
            .find(|row| row.name == format!("Bad {i}"))
            .expect("a row for each");
        assert_eq!(
            (row.status.as_str(), row.attempts, row.reason()),
            ("failed", 0, *error),
            "{email:?}"
        );
        assert!(!row.to().chars().any(char::is_control) && row.to().chars().count() <= 320);
        assert_eq!(db.row(&format!("good{i}@example.com")).status, "sent");
    }
    assert_eq!(mails.len(), bad.len());
    assert!(mails.keys().all(|to| to.starts_with("good")));
}

/// An address that only looks like another one must not take the other one's place in the ledger.
#[rstest]
#[tokio::test]
async fn a_broken_address_hides_no_good_one(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let stage = Stage::new(kind, Options::default()).await;
    let people = [
        "ann@example.com\r\n",
        "ann@example.com",
        "bob\u{202e}@example.com",
        "bob@example.com",
    ];
    stage.db.add(7, &people.map(|email| (email, "P")));
    stage.db.add_people(7, 10);
    stage.db.add(
        7,
        &["\tcarol@exam\u{200b}ple.com", "carol@example.com"].map(|email| (email, "P")),
    );
    let (db, mails) = tell(stage, "partial").await;
    assert_eq!((db.count("sent"), db.count("failed")), (13, 3));
    for name in ["ann", "bob", "carol"] {
        assert!(
            mails.contains_key(&format!("{name}@example.com")),
            "{name} was not told"
        );
    }
}

#[rstest]
#[tokio::test]
async fn hostile_names_are_cleaned_and_told(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let (long, cut) = ("x".repeat(10_000), format!("{}…", "x".repeat(119)));
    let wide = "\u{1f600}".repeat(10_000);
    let wide_cut = format!("{}…", "\u{1f600}".repeat(119));
    let names = [
        ("Eve\r\nBcc: victim@example.com", "Eve Bcc: victim@example.com"),
        ("Eve\n\n<p>body</p>", "Eve <p>body</p>"),
        (
            "Eve\r.\r\nMAIL FROM:<x@example.com>",
            "Eve . MAIL FROM:<x@example.com>",
        ),
        ("N\0ul", "N ul"),
        ("\u{202e}txt.exe\u{2066}", "txt.exe"),
        ("Zero\u{200b}\u{feff}width", "Zerowidth"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        (
            "\"><img src=x onerror=alert(1)>",
            "\"><img src=x onerror=alert(1)>",
        ),
        (
            "{{ 7 * 7 }}{% include \"layout.html\" %}",
            "{{ 7 * 7 }}{% include \"layout.html\" %}",
        ),
        ("{% if", "{% if"),
        ("O'Neil, \"Ann\" <a@b>; \\", "O'Neil, \"Ann\" <a@b>; \\"),
        ("Zoë 👩‍🚀 Łódź 山田", "Zoë 👩‍🚀 Łódź 山田"),
        (&long, &cut),
        (&wide, &wide_cut),
        ("", ""),
        (" \t\r\n", ""),
    ];
    let names: Vec<_> = names.into_iter().filter(|(name, _)| fits(kind, name)).collect();
    let stage = Stage::new(kind, Options::default()).await;
    for (i, (name, _)) in names.iter().enumerate() {
        stage.db.add(7, &[(format!("p{i}@example.com"), *name)]);
    }
    let (db, mails) = tell(stage, "completed").await;
    assert_eq!(db.count("sent"), i64::try_from(names.len()).unwrap());
    for (i, (given, clean)) in names.iter().enumerate() {
        let mail = &mails[&format!("p{i}@example.com")];
        assert_eq!(mail.to_name.as_deref().unwrap_or(""), *clean, "{given:.100?}");
        let greeting = if clean.is_empty() {
            "Hello,".to_owned()
        } else {
            format!("Hello {clean},")
        };
        assert!(mail.text.contains(&greeting), "{}", mail.text);
        for tag in ["<script", "<img src=x", "<p>body"] {
            assert!(!mail.html.contains(tag), "{}", mail.html);
        }
        if clean.starts_with("<script") {
            assert!(mail.html.contains("&lt;script&gt;"), "{}", mail.html);
        }
    }
}

#[rstest]
#[case::offered(utf8(), "completed")]
#[case::not_offered(Options::default(), "partial")]
#[tokio::test]
async fn addresses_of_the_world(
    #[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind,
    #[case] options: Options,
    #[case] status: &str,
) {
    let stage = Stage::new(kind, options).await;
    let people = [
        "ann@bücher.example",
        "ann@例え.テスト",
        "josé@example.com",
        "用户@例え.テスト",
        "ann@example.com",
    ];
    stage.db.add(7, &people.map(|email| (email, "P")));
    let (db, mails) = tell(stage, status).await;
    for to in [
        "ann@xn--bcher-kva.example",
        "ann@xn--r8jz45g.xn--zckzah",
        "ann@example.com",
    ] {
        assert!(mails.contains_key(to), "{to}");
    }
    for to in ["josé@example.com", "用户@xn--r8jz45g.xn--zckzah"] {
        let row = db.row(to);
        if status == "completed" {
            assert_eq!(row.status, "sent");
            assert!(mails.contains_key(to), "{to}");
        } else {
            assert_eq!(row.status, "failed");
            assert!(
                row.reason()
                    .contains("needs SMTPUTF8, which the relay does not offer"),
                "{row:?}"
            );
            assert!(!mails.contains_key(to), "{to}");
        }
    }
}

/// SQLite checks neither a text's encoding nor a column's type.
#[tokio::test]
async fn texts_that_are_not_utf8() {
    let stage = Stage::new(Kind::Sqlite, utf8()).await;
    let rows = [
        // "Z", 0xff, "oe" as text, and as a blob
        ("'text@example.com'", "CAST(X'5AFF6F65' AS TEXT)"),
        ("'blob@example.com'", "X'5AFF6F65'"),
        // "a", 0xff, "@example.com"
        ("CAST(X'61FF406578616D706C652E636F6D' AS TEXT)", "'Bad text'"),
        ("X'61FE406578616D706C652E636F6D'", "'Bad blob'"),
        // "c@example.com" as a blob: odd, but an address
        ("X'63406578616D706C652E636F6D'", "'Good blob'"),
        ("'number@example.com'", "42"),
        ("7", "'A number'"),
    ];
    for (email, name) in rows {
        stage.db.execute(&format!(
            "INSERT INTO participants (event_id, email, name) VALUES (7, {email}, {name})"
        ));
    }
    stage.db.add_people(7, 20);
    let event = "INSERT INTO events (id, title, location, starts_at, timezone)
        VALUES (7, CAST(X'4DFF7570' AS TEXT), X'48FF6C6C', 'soon', X'FF')";
    stage.db.execute(event);
    let (db, mails) = tell(stage, "partial").await;
    let told = [
        "text@example.com",
        "blob@example.com",
        "c@example.com",
        "number@example.com",
    ];
    assert!(
        told.iter().all(|to| mails.contains_key(*to)),
        "{:?}",
        mails.keys()
    );
    assert_eq!(mails.len(), 24);
    let failed: Vec<_> = db
        .rows()
        .into_iter()
        .filter(|row| row.status == "failed")
        .collect();
    assert_eq!(failed.len(), 3, "{failed:#?}");
    assert!(
        failed
            .iter()
            .all(|row| !row.reason().is_empty() && row.attempts == 0)
    );
    let mail = &mails["text@example.com"];
    assert!(
        mail.subject.contains("M\u{fffd}up") && mail.text.contains("H\u{fffd}ll"),
        "{mail:?}"
    );
    let name = mail.to_name.as_deref();
    assert!(
        name.is_some_and(|name| name.starts_with('Z') && name.ends_with("oe")),
        "{name:?}"
    );
}
