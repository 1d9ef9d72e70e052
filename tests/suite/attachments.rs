//! Files that a message names go out with every e-mail, or the message says why they do not.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use flate2::write::GzEncoder;
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::command::Shell;
use crate::support::database::Kind;
use crate::support::files::{FileHost, Reply};
use crate::support::mailed::{by_recipient, everybody_once, surplus};
use crate::support::rabbit::{address, header};
use crate::support::smtp::{Action, At, Message, Options};
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::Settings;

const LIMIT: Duration = Duration::from_mins(1);

/// A stage with a host of files, which the worker may ask.
struct Hosted {
    stage: Stage,
    host: FileHost,
}

impl Hosted {
    async fn new(options: Options) -> Self {
        let (stage, host) = (Stage::new(Kind::Sqlite, options).await, FileHost::start().await);
        Self { stage, host }
    }

    fn settings(&self) -> Settings {
        self.stage
            .settings()
            .set("ATTACHMENT_HOSTS", "localhost")
            .set("HERALD_TEST_ATTACHMENTS", self.host.ca().display())
    }

    fn shell(&self) -> Shell {
        let rabbit = &self.stage.rabbit;
        Shell::new()
            .set("DATABASE_URL", self.stage.db.url())
            .set("LAVINMQ_URL", address())
            .set("LAVINMQ_QUEUE", &rabbit.broker.queue)
    }

    fn message(&self, files: &[(&str, &str)]) -> Value {
        let files = files
            .iter()
            .map(|(path, name)| json!({"url": self.host.url(path), "name": name}));
        json!({"type": "UPDATED", "event_id": 7, "attachments": files.collect::<Vec<_>>()})
    }

    async fn replay(&self) {
        let shell = self.shell();
        let said = shell
            .herald(&["dead-letters", "replay", "--reason", "attachment"])
            .await;
        assert_eq!(said.done(), "1 dead letter replayed, 0 left alone.\n");
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Names and bytes of what is attached to an e-mail.
fn attached(message: &Message) -> BTreeMap<String, Vec<u8>> {
    let mail = mailparse::parse_mail(&message.raw).unwrap();
    assert_eq!(mail.ctype.mimetype, "multipart/mixed");
    assert_eq!(mail.subparts[0].ctype.mimetype, "multipart/alternative");
    let files = mail.subparts[1..].iter();
    let files = files.map(|part| {
        let disposition = part.get_content_disposition();
        let name = disposition.params.get("filename").unwrap().clone();
        (name, part.get_body_raw().unwrap())
    });
    files.collect()
}

/// Everything that the bundle lists: URLs by names.
fn listed(folder: &TempDir, dispatch: &str) -> BTreeMap<String, String> {
    let text = std::fs::read(folder.path().join(format!("bundle_{dispatch}/bundle.json"))).unwrap();
    let manifest: Value = serde_json::from_slice(&text).unwrap();
    let resources = manifest["resources"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    resources.map(|r| (text(&r["name"]), text(&r["url"]))).collect()
}

#[tokio::test]
async fn everybody_gets_the_files() {
    let hosted = Hosted::new(Options::default()).await;
    let (stage, host, folder) = (&hosted.stage, &hosted.host, TempDir::new().unwrap());
    let (agenda, picture) = (
        b"%PDF-1.7 agenda\n.\n".repeat(5000),
        (0..=255).collect::<Vec<u8>>(),
    );
    host.put("/agenda.pdf.gz", Reply::File(gzip(&agenda)));
    host.put("/picture", Reply::Redirect("/moved".into()));
    host.put("/moved", Reply::Endless(picture.clone()));
    stage.db.add_people(7, 120);
    let stored = |settings: Settings| {
        settings
            .set("OC_STORAGE_TYPE", "file")
            .set("OC_STORAGE_USE_UNZIP", "true")
            .set("OC_STORAGE_FILE_PATH", folder.path().display())
    };
    let worker = stored(hosted.settings()).start().await;
    let files = [
        ("/agenda.pdf.gz?key=s3cr3tkey", "agenda.pdf"),
        ("/picture", "Übersicht.png"),
    ];
    stage.rabbit.send(&hosted.message(&files)).await;
    let dispatch = stage.db.wait_closed().await;
    assert_eq!(dispatch.status, "completed");
    everybody_once(&stage.smtp, 120);
    let mails = stage.smtp.messages();
    for mail in &mails {
        let files = attached(mail);
        assert_eq!(files.keys().collect::<Vec<_>>(), ["agenda.pdf", "Übersicht.png"]);
        assert!(files["agenda.pdf"] == agenda && files["Übersicht.png"] == picture);
    }
    assert_eq!(
        host.asked("/agenda.pdf.gz?key=s3cr3tkey") + host.asked("/moved"),
        2,
        "once a dispatch"
    );
    stage.db.wait_completed().await;
    let listed = listed(&folder, &dispatch.id);
    let url = host.url("/agenda.pdf.gz?key=s3cr3tkey#agenda.pdf");
    assert_eq!(listed.get("attachment-1-agenda.pdf"), Some(&url));
    assert_eq!(listed.get("attachment-2-picture"), Some(&host.url("/picture")));
    let shell = hosted
        .shell()
        .set("OC_STORAGE_TYPE", "file")
        .set("OC_STORAGE_FILE_PATH", folder.path().display());
    let said = shell.herald(&["archive", "verify", &dispatch.id]).await.done();
    assert!(said.contains("120 e-mails"), "{said}");
    let someone = &mails[0];
    let shown = shell
        .herald(&["archive", "show", &dispatch.id, "--recipient", &someone.to])
        .await;
    assert!(
        shown.done().as_bytes() == someone.raw,
        "other bytes than the server received"
    );
    assert!(!worker.log().contains("s3cr3tkey"));
    hosted.stage.end(worker).await;
}

#[rstest]
#[case::gone(Reply::Status(404), "the server answered 404")]
#[case::denied(Reply::Status(403), "the server answered 403")]
#[case::redirected_out(Reply::Redirect("https://files.example.com/a".into()), "files.example.com is not among ATTACHMENT_HOSTS")]
#[case::redirected_to_http(Reply::Redirect("http://localhost/a".into()), "not asked over https")]
#[case::in_a_circle(Reply::Redirect("/a".into()), "redirects more than 3 times")]
#[case::large(Reply::File(vec![b'x'; (10 << 20) + 1]), "it has more than 10485760 bytes")]
#[case::endless(Reply::Endless(vec![b'x'; (10 << 20) + 1]), "it has more than 10485760 bytes")]
#[case::a_bomb(Reply::File(gzip(&vec![0; 11 << 20])), "unpacked it has more than 10485760 bytes")]
#[case::broken(Reply::File(vec![0x1f, 0x8b, 8, 0]), "it is not gzip to its end")]
#[tokio::test]
async fn what_cannot_be_had_is_a_dead_letter(#[case] reply: Reply, #[case] why: &str) {
    let hosted = Hosted::new(Options::default()).await;
    let (stage, host) = (&hosted.stage, &hosted.host);
    host.put("/a", reply);
    stage.db.add_people(7, 3);
    let worker = hosted.settings().start().await;
    stage
        .rabbit
        .send(&hosted.message(&[("/a?key=s3cr3tkey", "a.pdf")]))
        .await;
    let letter = stage.rabbit.wait_dead().await;
    assert_eq!(header(&letter, "x-herald-reason").as_deref(), Some("attachment"));
    let error = header(&letter, "x-herald-error").unwrap();
    assert!(
        error.starts_with("“a.pdf” from localhost: ") && error.contains(why),
        "{error}"
    );
    let dispatch = stage.db.wait_closed().await;
    assert_eq!(dispatch.status, "failed");
    assert_eq!(header(&letter, "x-herald-dispatch"), Some(dispatch.id.clone()));
    assert!(stage.smtp.messages().is_empty(), "an e-mail without its file");
    assert!(!worker.log().contains("s3cr3tkey"));

    // Put right and replayed, the same dispatch goes on.
    stage
        .rabbit
        .publish_to(&stage.rabbit.dead(), &letter.data, letter.properties.clone())
        .await;
    host.put("/a", Reply::File(b"here".to_vec()));
    hosted.replay().await;
    stage.smtp.wait_for(3, LIMIT).await;
    let closed = stage.db.wait_dispatches(1, &["completed"]).await;
    assert_eq!(closed[0].id, dispatch.id);
    everybody_once(&stage.smtp, 3);
    assert_eq!(attached(&stage.smtp.messages()[0])["a.pdf"], b"here");
    hosted.stage.end(worker).await;
}

#[rstest]
#[case::another_authority("localhost", true, "certificate")]
#[case::a_host_that_is_not_listed("files.example.com", true, "localhost is not among ATTACHMENT_HOSTS")]
#[case::none_listed("", true, "localhost is not among ATTACHMENT_HOSTS")]
#[case::an_address_inside("localhost", false, "which is not a public address")]
#[tokio::test]
async fn who_is_not_asked(#[case] hosts: &str, #[case] open: bool, #[case] why: &str) {
    let hosted = Hosted::new(Options::default()).await;
    let (stage, other) = (&hosted.stage, FileHost::named("DNS:localhost").await);
    hosted.host.put("/a", Reply::File(b"inside".to_vec()));
    stage.db.add_people(7, 1);
    let settings = stage.settings().set("ATTACHMENT_HOSTS", hosts);
    let settings = if open {
        settings.set("HERALD_TEST_ATTACHMENTS", other.ca().display())
    } else {
        settings
    };
    let worker = settings.start().await;
    stage.rabbit.send(&hosted.message(&[("/a", "a.pdf")])).await;
    let letter = stage.rabbit.wait_dead().await;
    let error = header(&letter, "x-herald-error").unwrap();
    assert!(error.contains(why), "{error}");
    assert_eq!(hosted.host.asked("/a"), 0);
    assert!(stage.smtp.messages().is_empty());
    hosted.stage.end(worker).await;
}

#[tokio::test]
async fn what_fails_for_now_is_asked_for_again() {
    let hosted = Hosted::new(Options::default()).await;
    let (stage, host) = (&hosted.stage, &hosted.host);
    host.put("/a", Reply::Status(503));
    host.put("/b", Reply::CutOff(b"half".to_vec()));
    stage.db.add_people(7, 5);
    stage.db.add_people(8, 5);
    let worker = hosted.settings().start().await;
    stage.rabbit.send(&hosted.message(&[("/a", "a.pdf")])).await;
    let mut other = hosted.message(&[("/b", "b.pdf")]);
    other["event_id"] = 8.into();
    stage.rabbit.send(&other).await;
    let waiting = stage.db.wait_dispatches(2, &["waiting"]).await;
    stage.rabbit.wait_counts(0, 0).await;
    assert_eq!(
        (host.asked("/a"), host.asked("/b")),
        (3, 3),
        "some tries, then it waits"
    );
    assert!(stage.smtp.messages().is_empty());
    let reasons = [
        "“a.pdf” from localhost: the server answered 503",
        "“b.pdf” from localhost: end of file before message length reached",
    ];
    let mut said = String::new();
    for dispatch in &waiting {
        said += &hosted.shell().herald(&["status", &dispatch.id]).await.done();
    }
    for why in reasons {
        assert!(
            said.contains(&format!("waits for its attachments: {why}")),
            "{said}"
        );
    }
    host.put("/a", Reply::File(b"there".to_vec()));
    host.put("/b", Reply::File(b"there".to_vec()));
    stage.db.wait_dispatches(2, &["completed"]).await;
    assert_eq!(
        by_recipient(stage.smtp.messages())
            .values()
            .map(Vec::len)
            .sum::<usize>(),
        10
    );
    hosted.stage.end(worker).await;
}

#[tokio::test]
async fn herald_dispatch_says_what_waits_and_what_is_refused() {
    let hosted = Hosted::new(Options::default()).await;
    hosted.stage.db.add_people(7, 2);
    let shell = hosted
        .shell()
        .set("ATTACHMENT_HOSTS", "localhost")
        .set("HERALD_TEST_ATTACHMENTS", hosted.host.ca().display());
    let dispatch = async |name: &str, reply| {
        hosted.host.put("/a", reply);
        let body = hosted.message(&[("/a", name)]).to_string();
        shell.herald_reading(&["dispatch", "-"], body.as_bytes()).await
    };
    let said = dispatch("a", Reply::Status(503)).await;
    assert_eq!(said.code, Some(1));
    let waits =
        "waiting (waits for its attachments: “a” from localhost: the server answered 503): a running worker";
    assert!(said.out.starts_with(waits), "{said:?}");
    let said = dispatch("b", Reply::Status(404)).await;
    assert_eq!(said.code, Some(1));
    let refused = "refused: attachment: “b” from localhost: the server answered 404";
    assert!(said.err.contains(refused), "{said:?}");
    let said = dispatch("c", Reply::File(b"c".to_vec())).await;
    assert!(said.done().starts_with("completed: 2 sent"));
    let said = shell.herald(&["status"]).await.done();
    assert!(
        said.contains("nobody told") && said.contains("more to come"),
        "{said}"
    );
    hosted.stage.rabbit.clean().await;
}

/// Its message was acked while it waited: the ledger says to everybody why there was no e-mail.
#[tokio::test]
async fn what_is_refused_after_the_ack_is_in_everybodys_row() {
    let hosted = Hosted::new(Options::default()).await;
    let (stage, host) = (&hosted.stage, &hosted.host);
    host.put("/a", Reply::Status(503));
    stage.db.add_people(7, 5);
    let worker = hosted.settings().start().await;
    stage.rabbit.send(&hosted.message(&[("/a", "a.pdf")])).await;
    let waiting = stage.db.wait_dispatches(1, &["waiting"]).await;
    host.put("/a", Reply::Status(410));
    stage.db.wait_dispatches(1, &["failed"]).await;
    let rows = stage.db.rows();
    assert_eq!(rows.len(), 5);
    for row in rows {
        assert_eq!(row.status, "failed");
        assert_eq!(
            row.error.as_deref(),
            Some("attachment: “a.pdf” from localhost: the server answered 410")
        );
    }
    assert_eq!(stage.rabbit.ready(&stage.rabbit.dead()).await.unwrap_or(0), 0);
    host.put("/a", Reply::File(b"there".to_vec()));
    hosted
        .shell()
        .herald(&["retry", "--dispatch", &waiting[0].id])
        .await
        .done();
    stage.db.wait_dispatches(1, &["completed"]).await;
    everybody_once(&stage.smtp, 5);
    hosted.stage.end(worker).await;
}

/// Some were told before a crash, and the file is gone since: the rest goes on once it is there again.
#[rstest]
#[tokio::test]
async fn what_is_refused_in_a_later_start(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let slow = Options::default().at(At::Dot, Action::Delay(Duration::from_millis(20)));
    let (stage, host) = (Stage::new(kind, slow).await, FileHost::start().await);
    let hosted = Hosted { stage, host };
    let (stage, host) = (&hosted.stage, &hosted.host);
    host.put("/a", Reply::File(b"here".to_vec()));
    stage.db.add_people(7, 150);
    let settings = hosted.settings().set("LEASE", 2).set("SMTP_CONNECTIONS", 2);
    let mut worker = settings.start().await;
    stage.rabbit.send(&hosted.message(&[("/a", "a.pdf")])).await;
    stage.smtp.wait_for(30, LIMIT).await;
    worker.kill9();
    host.put("/a", Reply::Status(404));
    let worker = settings.start().await;
    let letter = stage.rabbit.wait_dead().await;
    assert_eq!(header(&letter, "x-herald-reason").as_deref(), Some("attachment"));
    assert_eq!(stage.db.wait_closed().await.status, "failed");
    let counts = stage.db.counts();
    assert!(counts["sent"] > 0 && counts["failed"] > 0, "{counts:?}");
    host.put("/a", Reply::File(b"here".to_vec()));
    let dead = stage.rabbit.dead();
    stage
        .rabbit
        .publish_to(&dead, &letter.data, letter.properties.clone())
        .await;
    hosted.replay().await;
    stage.db.wait_dispatches(1, &["completed"]).await;
    assert_eq!(
        stage.db.counts().into_iter().collect::<Vec<_>>(),
        [("sent".to_owned(), 150)]
    );
    surplus(&stage.smtp, 150);
    hosted.stage.end(worker).await;
}

/// What a crash left in the middle of a handover is the operator's to judge, whatever happens to the files since.
#[tokio::test]
async fn a_fetch_that_fails_mails_nobody_twice() {
    let slow = Options::default().at(At::Dot, Action::Delay(Duration::from_millis(30)));
    let hosted = Hosted::new(slow).await;
    let (stage, host) = (&hosted.stage, &hosted.host);
    host.put("/a", Reply::File(b"here".to_vec()));
    stage.db.add_people(7, 120);
    let settings = hosted
        .settings()
        .set("ON_UNKNOWN", "hold")
        .set("LEASE", 2)
        .set("SMTP_CONNECTIONS", 4);
    let mut worker = settings.start().await;
    stage.rabbit.send(&hosted.message(&[("/a", "a.pdf")])).await;
    stage.smtp.wait_for(30, LIMIT).await;
    worker.kill9();
    let held = stage.db.count("sending");
    assert!(held > 0, "nobody in the middle of a handover");
    host.put("/a", Reply::Status(503));
    let worker = settings.start().await;
    stage.db.wait_dispatches(1, &["waiting"]).await;
    assert_eq!(stage.db.count("unknown"), held);
    host.put("/a", Reply::File(b"here".to_vec()));
    stage.db.wait_closed().await;
    assert_eq!(
        (stage.db.count("unknown"), stage.db.count("sent")),
        (held, 120 - held)
    );
    let most = by_recipient(stage.smtp.messages()).values().map(Vec::len).max();
    assert_eq!(most, Some(1), "somebody was mailed twice");
    hosted.stage.end(worker).await;
}

/// What an earlier start fetched goes out with the rest as well, and into the e-mails that are made anew for the
/// bundle, though the host has something else by now.
#[tokio::test]
async fn after_a_crash_the_files_are_the_same() {
    let slow = Options::default().at(At::Dot, Action::Delay(Duration::from_millis(20)));
    let hosted = Hosted::new(slow).await;
    let (stage, host, folder) = (&hosted.stage, &hosted.host, TempDir::new().unwrap());
    host.put("/a.gz", Reply::File(gzip(b"first")));
    stage.db.add_people(7, 150);
    let settings = hosted
        .settings()
        .set("LEASE", 2)
        .set("SMTP_CONNECTIONS", 2)
        .set("OC_STORAGE_TYPE", "file")
        .set("OC_STORAGE_FILE_PATH", folder.path().display());
    let mut worker = settings.start().await;
    stage.rabbit.send(&hosted.message(&[("/a.gz", "a.txt")])).await;
    stage.smtp.wait_for(30, LIMIT).await;
    worker.kill9();
    host.put("/a.gz", Reply::File(gzip(b"second")));
    let worker = settings.start().await;
    let dispatch = stage.db.wait_closed().await;
    surplus(&stage.smtp, 150);
    assert_eq!(host.asked("/a.gz"), 1);
    for mail in stage.smtp.messages() {
        assert_eq!(attached(&mail)["a.txt"], b"first");
    }
    stage.db.wait_completed().await;
    let shell = hosted
        .shell()
        .set("OC_STORAGE_TYPE", "file")
        .set("OC_STORAGE_FILE_PATH", folder.path().display());
    let said = shell.herald(&["archive", "verify", &dispatch.id]).await.done();
    assert!(said.contains("150 e-mails"), "{said}");
    hosted.stage.end(worker).await;
}

#[tokio::test]
async fn an_archive_is_sent_as_it_came_and_kept_unpacked() {
    let hosted = Hosted::new(Options::default()).await;
    let (stage, host, folder) = (&hosted.stage, &hosted.host, TempDir::new().unwrap());
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["word/request.json", "outcome.json"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(b"{}").unwrap();
    }
    let bytes = zip.finish().unwrap().into_inner();
    host.put("/emails-1-1.mbox.gz", Reply::File(bytes.clone()));
    stage.db.add_people(7, 2);
    let worker = hosted
        .settings()
        .set("OC_STORAGE_TYPE", "file")
        .set("OC_STORAGE_USE_UNZIP", "true")
        .set("OC_STORAGE_FILE_PATH", folder.path().display())
        .start()
        .await;
    stage
        .rabbit
        .send(&hosted.message(&[("/emails-1-1.mbox.gz", "a.docx")]))
        .await;
    let dispatch = stage.db.wait_closed().await;
    stage.db.wait_completed().await;
    assert!(attached(&stage.smtp.messages()[0])["a.docx"] == bytes);
    let names: Vec<String> = listed(&folder, &dispatch.id).into_keys().collect();
    assert_eq!(
        names,
        [
            "attached-1",
            "attachment-1-outcome.json",
            "attachment-1-request.json",
            "attachments.json",
            "emails-1-1.mbox.gz",
            "outcome.json",
            "request.json"
        ]
    );
    hosted.stage.end(worker).await;
}

#[tokio::test]
async fn a_fetch_that_hangs_holds_up_no_wish_and_no_stop() {
    let hosted = Hosted::new(Options::default()).await;
    let (stage, host) = (&hosted.stage, &hosted.host);
    host.put("/a", Reply::Hang);
    host.put("/b", Reply::Hang);
    stage.db.add_people(7, 5);
    let mut worker = hosted.settings().start().await;
    stage.rabbit.send(&hosted.message(&[("/a", "a.pdf")])).await;
    let asked =
        async |path: &str| until("a request", LIMIT, async || (host.asked(path) > 0).then_some(())).await;
    asked("/a").await;
    let running = stage.db.dispatch();
    hosted.shell().herald(&["cancel", &running.id]).await.done();
    assert_eq!(stage.db.wait_closed().await.status, "cancelled");

    stage.rabbit.send(&hosted.message(&[("/b", "b.pdf")])).await;
    asked("/b").await;
    worker.sigterm();
    worker.wait_exit(Duration::from_secs(20)).await;
    stage.rabbit.wait_ready(1).await;
    assert!(stage.smtp.messages().is_empty());
    hosted.stage.rabbit.clean().await;
}
