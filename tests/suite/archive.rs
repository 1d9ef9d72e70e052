//! What is kept of each dispatch: every e-mail byte for byte, provably, whatever happened on the way.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use mailparse::MailHeaderMap as _;
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::command::{Said, Shell};
use crate::support::database::Kind;
use crate::support::mailed::{by_recipient, everybody_once, surplus};
use crate::support::smtp::{Action, At, Options};
use crate::support::stage::Stage;
use crate::support::until;
use crate::support::worker::Settings;

const LIMIT: Duration = Duration::from_mins(1);

/// A stage whose dispatches are kept in a folder.
struct Kept {
    stage: Stage,
    folder: TempDir,
}

impl Kept {
    async fn new(kind: Kind, options: Options) -> Self {
        let (stage, folder) = (Stage::new(kind, options).await, TempDir::new().unwrap());
        Self { stage, folder }
    }

    fn settings(&self) -> Settings {
        self.stage
            .settings()
            .set("OC_STORAGE_TYPE", "file")
            .set("OC_STORAGE_FILE_PATH", self.folder.path().display())
    }

    fn shell(&self) -> Shell {
        Shell::new()
            .set("DATABASE_URL", self.stage.db.url())
            .set("OC_STORAGE_TYPE", "file")
            .set("OC_STORAGE_FILE_PATH", self.folder.path().display())
    }

    fn bundle(&self) -> PathBuf {
        let id = self.stage.db.dispatch().id;
        self.folder.path().join(format!("bundle_{id}"))
    }

    /// The manifest, once it is there and says `status`.
    async fn manifest(&self, status: &str) -> Value {
        until("a bundle.json", LIMIT, async || {
            self.stage.db.dispatches().pop()?;
            let text = fs::read(self.bundle().join("bundle.json")).ok()?;
            let manifest: Value = serde_json::from_slice(&text).unwrap();
            (manifest["meta"]["status"] == status).then_some(manifest)
        })
        .await
    }

    async fn verify(&self) -> Said {
        let id = self.stage.db.dispatch().id;
        self.shell().herald(&["archive", "verify", &id]).await
    }

    async fn send(&self, message: Value) {
        self.stage.rabbit.send(&message).await;
    }

    /// Everybody's e-mail as `archive show` gives it is one that the server received.
    async fn every_byte_is_there(&self, people: usize) {
        let id = self.stage.db.dispatch().id;
        let received = by_recipient(self.stage.smtp.messages());
        assert_eq!(received.len(), people);
        let kept = kept_by_message_id(&self.bundle());
        for (to, copies) in &received {
            let found = kept.values().filter(|email| **email == copies[0].raw).count();
            assert_eq!(found, 1, "{to} in the bundle's pages");
        }
        let (to, copies) = received.first_key_value().unwrap();
        let shown = self
            .shell()
            .herald(&["archive", "show", &id, "--recipient", to])
            .await;
        assert_eq!(shown.done().into_bytes(), copies[0].raw);
    }
}

/// All e-mails of the pages, by what stands in their Message-ID.
fn kept_by_message_id(bundle: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut kept = BTreeMap::new();
    for page in pages(bundle) {
        for email in emails(&unpacked(&page)) {
            let mail = mailparse::parse_mail(&email).unwrap();
            let id = mail.headers.get_first_value("Message-ID");
            kept.insert(id.unwrap(), email.clone());
        }
    }
    kept
}

fn pages(bundle: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(bundle).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = entries
        .filter(|path| path.to_string_lossy().ends_with(".mbox.gz"))
        .collect();
    pages.sort();
    pages
}

fn unpacked(page: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    GzDecoder::new(fs::File::open(page).unwrap())
        .read_to_end(&mut text)
        .unwrap();
    text
}

/// By a reader of the tests' own: separators, quoting, the empty line at the end.
fn emails(mbox: &[u8]) -> Vec<Vec<u8>> {
    let mut emails: Vec<Vec<u8>> = Vec::new();
    for line in mbox.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b"From ") {
            emails.push(Vec::new());
            continue;
        }
        let unquoted = line.iter().position(|&b| b != b'>').unwrap_or(0);
        let line = if unquoted > 0 && line[unquoted..].starts_with(b"From ") {
            &line[1..]
        } else {
            line
        };
        emails.last_mut().unwrap().extend_from_slice(line);
    }
    for email in &mut emails {
        assert_eq!(email.pop(), Some(b'\n'));
    }
    emails
}

#[rstest]
#[tokio::test]
async fn a_bundle_has_what_was_handed_over(#[values(Kind::Sqlite, Kind::Postgres, Kind::Mysql)] kind: Kind) {
    let kept = Kept::new(kind, Options::default()).await;
    kept.stage.db.add_people(7, 250);
    kept.stage.db.add_numbered(7, "perm", 3);
    let worker = kept.settings().start().await;
    let body = json!({"type": "UPDATED", "event_id": 7, "changes": [{"field": "From here\nFrom there", "from": "From", "to": "x"}]});
    kept.send(body.clone()).await;
    let closed = kept.stage.db.wait_closed().await;
    let manifest = kept.manifest("partial").await;
    assert_eq!(manifest["bid"], closed.id.as_str());
    assert_eq!(manifest["primary_url"], "herald://events/7");
    assert_eq!(manifest["meta"]["counts"], json!({"sent": 250, "failed": 3}));
    let resources = manifest["resources"].as_array().unwrap();
    assert_eq!(manifest["resources_count"], resources.len());
    assert_eq!(pages(&kept.bundle()).len(), 3, "a page for each hundred");
    let request: Value =
        serde_json::from_slice(&fs::read(kept.bundle().join("request.json")).unwrap()).unwrap();
    assert_eq!(request, body);
    kept.every_byte_is_there(250).await;
    let said = kept.verify().await.done();
    assert!(said.contains("ok, 5 resources, 250 e-mails"), "{said}");
    everybody_once(&kept.stage.smtp, 250);
    kept.stage.end(worker).await;
}

#[tokio::test]
async fn verify_finds_what_is_wrong() {
    let kept = Kept::new(Kind::Sqlite, Options::default()).await;
    kept.stage.db.add_people(7, 120);
    let worker = kept.settings().start().await;
    kept.send(json!({"type": "CREATED", "event_id": 7})).await;
    kept.manifest("completed").await;
    let page = pages(&kept.bundle()).pop().unwrap();
    let name = page.file_name().unwrap().to_str().unwrap().to_owned();
    let good = fs::read(&page).unwrap();

    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&page, flipped).unwrap();
    let said = kept.verify().await;
    assert_eq!(said.code, Some(1));
    assert!(
        said.out.contains(&format!("{name} is not what it was")),
        "{said:?}"
    );

    fs::remove_file(&page).unwrap();
    let said = kept.verify().await;
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains(&format!("{name} is missing")), "{said:?}");

    // Somebody who knows how to write hashes leaves one recipient out.
    let mut all = emails(&unpacked_bytes(&good));
    let gone = all.pop().unwrap();
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for email in all {
        packed.write_all(b"From x Thu Jan  1 00:00:00 1970\n").unwrap();
        packed.write_all(&email).unwrap();
        packed.write_all(b"\n").unwrap();
    }
    let forged = packed.finish().unwrap();
    fs::write(&page, &forged).unwrap();
    rehash(&kept.bundle(), &name, &forged);
    let said = kept.verify().await;
    let mail = mailparse::parse_mail(&gone).unwrap();
    let to = mail.headers.get_first_value("To").unwrap();
    let to = to.rsplit('<').next().unwrap().trim_end_matches('>');
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains(&format!("were mailed: {to}")), "{said:?}");

    fs::write(&page, &good).unwrap();
    rehash(&kept.bundle(), &name, &good);
    kept.verify().await.done();
    kept.stage.end(worker).await;
}

fn unpacked_bytes(packed: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut text).unwrap();
    text
}

/// Makes meta and manifest agree with `content`.
fn rehash(bundle: &Path, name: &str, content: &[u8]) {
    let sha256 = hex::encode(Sha256::digest(content));
    let change = |path: PathBuf, at: &dyn Fn(&mut Value) -> &mut Value| {
        let mut text: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let entry = at(&mut text);
        entry["sha256"] = json!(sha256);
        entry["size"] = json!(content.len());
        fs::write(path, text.to_string()).unwrap();
    };
    change(bundle.join(format!("{name}.meta")), &|text| text);
    change(bundle.join("bundle.json"), &|text| {
        let all = text["resources"].as_array_mut().unwrap();
        all.iter_mut().find(|r| r["name"] == name).unwrap()
    });
}

/// After a crash in mid-run another start finishes; what the first one had packed and lost is made anew, the
/// same bytes.
#[rstest]
#[tokio::test]
async fn a_crash_leaves_nobody_out(#[values(30, 150)] after: usize) {
    let slow = Options::default().at(At::Dot, Action::Delay(Duration::from_millis(30)));
    let kept = Kept::new(Kind::Sqlite, slow).await;
    kept.stage.db.add_people(7, 300);
    let settings = kept.settings().set("IN_FLIGHT", 32).set("BATCH_SIZE", 50);
    let mut first = settings.start().await;
    kept.send(json!({"type": "UPDATED", "event_id": 7})).await;
    kept.stage.smtp.wait_for(after, LIMIT).await;
    first.kill9();
    let second = settings.start().await;
    kept.stage.db.wait_closed().await;
    kept.manifest("completed").await;
    assert!(surplus(&kept.stage.smtp, 300) <= 32);
    kept.every_byte_is_there(300).await;
    kept.verify().await.done();
    kept.stage.end(second).await;
}

/// What was sent after the close is a further resource, and `bundle.json` is replaced.
#[tokio::test]
async fn what_is_retried_comes_after() {
    let options = Options::default().script({
        let asked = std::sync::atomic::AtomicUsize::new(0);
        move |event| {
            let bad = event.at == At::Rcpt && event.recipient.starts_with("late");
            let first = bad && asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            first.then_some(Action::Reply("550 5.1.1 not yet"))
        }
    });
    let kept = Kept::new(Kind::Sqlite, options).await;
    kept.stage.db.add_people(7, 20);
    kept.stage.db.add_numbered(7, "late", 1);
    let worker = kept.settings().start().await;
    kept.send(json!({"type": "UPDATED", "event_id": 7})).await;
    let first = kept.manifest("partial").await;
    let id = kept.stage.db.dispatch().id;
    kept.shell().herald(&["retry", "--dispatch", &id]).await.done();
    let second = kept.manifest("completed").await;
    let count = |manifest: &Value| manifest["resources_count"].as_u64().unwrap();
    assert_eq!(count(&second), count(&first) + 1);
    kept.every_byte_is_there(21).await;
    kept.verify().await.done();
    kept.stage.end(worker).await;
}

/// A storage that is away costs no e-mail; the bundle is completed when it is back.
#[tokio::test]
async fn a_storage_that_is_away_holds_nobody_up() {
    let kept = Kept::new(Kind::Sqlite, Options::default()).await;
    kept.stage.db.add_people(7, 150);
    let place = kept.folder.path().join("later");
    let worker = kept
        .settings()
        .set("OC_STORAGE_FILE_PATH", place.display())
        .start()
        .await;
    fs::remove_dir(&place).unwrap();
    fs::write(&place, "no folder").unwrap();
    kept.send(json!({"type": "UPDATED", "event_id": 7})).await;
    kept.stage.db.wait_closed().await;
    kept.stage.rabbit.wait_counts(0, 0).await;
    everybody_once(&kept.stage.smtp, 150);
    fs::remove_file(&place).unwrap();
    fs::create_dir(&place).unwrap();
    let id = kept.stage.db.dispatch().id;
    let manifest = place.join(format!("bundle_{id}/bundle.json"));
    let shell = kept.shell().set("OC_STORAGE_FILE_PATH", place.display());
    until("the bundle", LIMIT, async || {
        shell.herald(&["completions", "retry"]).await;
        manifest.exists().then_some(())
    })
    .await;
    let said = shell.herald(&["archive", "verify", &id]).await.done();
    assert!(said.contains("150 e-mails"), "{said}");
    kept.stage.end(worker).await;
}

/// What is made anew is made page by page; a crash between two pages costs none of them.
#[tokio::test]
async fn a_crash_between_pages_that_are_made_anew() {
    let kept = Kept::new(Kind::Sqlite, Options::default()).await;
    kept.stage.db.add_people(7, 250);
    let place = kept.folder.path().join("later");
    let settings = kept.settings().set("OC_STORAGE_FILE_PATH", place.display());
    let worker = settings.start().await;
    fs::remove_dir(&place).unwrap();
    fs::write(&place, "no folder").unwrap();
    kept.send(json!({"type": "UPDATED", "event_id": 7})).await;
    let id = kept.stage.db.wait_closed().await.id;
    let shell = kept.shell().set("OC_STORAGE_FILE_PATH", place.display());
    worker.stop().await;
    fs::remove_file(&place).unwrap();
    // Each ends the process behind the first page that it made.
    for _ in 0..2 {
        shell.herald(&["completions", "retry"]).await.done();
        let mut worker = settings.clone().set("FAILPOINTS", "bundle-again=return").spawn();
        assert!(!worker.wait_exit(LIMIT).await.success());
    }
    shell.herald(&["completions", "retry"]).await.done();
    let worker = settings.start().await;
    until("the bundle", LIMIT, async || {
        shell.herald(&["completions", "retry"]).await;
        place
            .join(format!("bundle_{id}/bundle.json"))
            .exists()
            .then_some(())
    })
    .await;
    let said = shell.herald(&["archive", "verify", &id]).await.done();
    assert!(said.contains("250 e-mails"), "{said}");
    everybody_once(&kept.stage.smtp, 250);
    kept.stage.end(worker).await;
}

/// As after the power failed: a page and a description that are not what they should be. Nobody's e-mail is
/// missing for it, and the broken page is found.
#[tokio::test]
async fn what_is_broken_is_made_anew() {
    let kept = Kept::new(Kind::Sqlite, Options::default()).await;
    kept.stage.db.add_people(7, 300);
    let mut worker = kept
        .settings()
        .set("FAILPOINTS", "bundle-unlisted=return")
        .start()
        .await;
    kept.send(json!({"type": "UPDATED", "event_id": 7})).await;
    assert!(!worker.wait_exit(LIMIT).await.success());
    let pages = pages(&kept.bundle());
    let (first, second) = (&pages[0], &pages[1]);
    let mut content = fs::read(first).unwrap();
    let half = content.len() / 2;
    content[half..].fill(0);
    fs::write(first, content).unwrap();
    fs::write(format!("{}.meta", second.display()), "").unwrap();
    let worker = kept.settings().start().await;
    kept.manifest("completed").await;
    let id = kept.stage.db.dispatch().id;
    for message in kept.stage.smtp.messages().iter().step_by(23) {
        let show = ["archive", "show", &id, "--recipient", &message.to];
        let shown = kept.shell().herald(&show).await.done();
        assert!(shown.as_bytes() == message.raw, "{} got other bytes", message.to);
    }
    everybody_once(&kept.stage.smtp, 300);
    let said = kept.verify().await;
    assert_eq!(said.code, Some(1));
    let name = first.file_name().unwrap().to_str().unwrap();
    assert!(
        said.out.contains(&format!("{name} is not what it was")),
        "{said:?}"
    );
    kept.stage.end(worker).await;
}

#[tokio::test]
async fn a_person_is_erased() {
    let kept = Kept::new(Kind::Sqlite, Options::default()).await;
    kept.stage.db.add_people(7, 30);
    let worker = kept.settings().start().await;
    kept.send(json!({"type": "UPDATED", "event_id": 7})).await;
    kept.manifest("completed").await;
    let id = kept.stage.db.dispatch().id;
    let who = kept.stage.smtp.messages()[0].to.clone();
    let said = kept
        .shell()
        .herald(&["archive", "erase", "--recipient", &who])
        .await;
    assert_eq!(
        said.done().trim(),
        "erased 1 e-mails and 0 requests from 1 bundles"
    );
    let show = kept
        .shell()
        .herald(&["archive", "show", &id, "--recipient", &who])
        .await;
    assert_eq!(show.code, Some(1));
    for entry in fs::read_dir(kept.bundle()).unwrap() {
        let content = fs::read(entry.unwrap().path()).unwrap();
        let plain = if content.starts_with(&[0x1f, 0x8b]) {
            unpacked_bytes(&content)
        } else {
            content
        };
        let found = memchr::memmem::find(&plain, who.as_bytes());
        assert_eq!(found, None);
    }
    // Nothing is missing, and finalising once more does not bring it back.
    kept.verify().await.done();
    let again = kept
        .shell()
        .herald(&["archive", "erase", "--recipient", &who])
        .await;
    assert_eq!(
        again.done().trim(),
        "erased 0 e-mails and 0 requests from 0 bundles"
    );
    kept.stage.end(worker).await;
}

#[tokio::test]
async fn a_customer_is_erased_from_the_request() {
    let kept = Kept::new(Kind::Sqlite, Options::default()).await;
    let worker = kept.settings().start().await;
    let order = json!({"type": "order.created", "order_id": "O-1", "customer": {"email": "ann@example.com", "name": "Ann"}});
    kept.send(order).await;
    kept.manifest("completed").await;
    for other in ["nn@example.com", "Ann@example.com", "ann@example.co"] {
        let said = kept
            .shell()
            .herald(&["archive", "erase", "--recipient", other])
            .await;
        assert_eq!(
            said.done().trim(),
            "erased 0 e-mails and 0 requests from 0 bundles"
        );
    }
    let said = kept
        .shell()
        .herald(&["archive", "erase", "--recipient", "ann@example.com"])
        .await;
    assert_eq!(
        said.done().trim(),
        "erased 1 e-mails and 1 requests from 1 bundles"
    );
    let request = fs::read_to_string(kept.bundle().join("request.json")).unwrap();
    assert!(!request.contains("ann@"), "{request}");
    kept.verify().await.done();
    kept.stage.end(worker).await;
}

/// A bundle may be finalised by another worker than the one that still stores pages of it: what comes late is
/// listed as well.
#[rstest]
#[tokio::test]
async fn pages_that_come_late_are_listed(#[values(false, true)] bundler: bool) {
    let kept = Kept::new(Kind::Postgres, Options::default()).await;
    let settings = kept
        .settings()
        .set("OC_STORAGE_USE_BUNDLER", bundler)
        .set("LAVINMQ_PREFETCH", 1)
        .set("FAILPOINTS", "page-before=sleep(700)");
    let (one, other) = (settings.start().await, settings.start().await);
    for event in 1..=6 {
        kept.stage.db.add_numbered(event, &format!("e{event}"), 150);
        kept.send(json!({"type": "UPDATED", "event_id": event})).await;
    }
    let dispatches = kept.stage.db.wait_dispatches(6, &["completed"]).await;
    until("nothing on its way and all of it listed", LIMIT, async || {
        if !kept.stage.db.pending().is_empty() {
            return None;
        }
        let said = kept.shell().herald(&["archive", "verify"]).await;
        (said.code == Some(0)).then_some(())
    })
    .await;
    let said = kept.shell().herald(&["archive", "verify"]).await.done();
    assert_eq!(said.matches("150 e-mails").count(), dispatches.len(), "{said}");
    assert_eq!(kept.stage.smtp.messages().len(), 900);
    other.stop().await;
    kept.stage.end(one).await;
}

/// All in one zip.
#[tokio::test]
async fn a_bundle_in_one_file() {
    let kept = Kept::new(Kind::Sqlite, Options::default()).await;
    kept.stage.db.add_people(7, 230);
    let worker = kept.settings().set("OC_STORAGE_USE_BUNDLER", true).start().await;
    kept.send(json!({"type": "UPDATED", "event_id": 7})).await;
    kept.manifest("completed").await;
    until("one file", LIMIT, async || {
        let loose = pages(&kept.bundle()).len();
        (kept.bundle().join("resources.zip").exists() && loose == 0).then_some(())
    })
    .await;
    let shell = kept.shell().set("OC_STORAGE_USE_BUNDLER", true);
    let id = kept.stage.db.dispatch().id;
    let said = shell.herald(&["archive", "verify", &id]).await.done();
    assert!(said.contains("230 e-mails"), "{said}");
    let message = &kept.stage.smtp.messages()[7];
    let shown = shell
        .herald(&["archive", "show", &id, "--recipient", &message.to])
        .await;
    assert_eq!(shown.done().into_bytes(), message.raw);
    kept.stage.end(worker).await;
}

/// A crash between any two steps of packing costs nothing: done again, it gives the same.
#[rstest]
#[case::before_the_list("bundler-packed=return")]
#[case::before_what_is_inside_goes("bundler-listed=return")]
#[case::while_it_goes("bundler-removed=2*off->1*return")]
#[tokio::test]
async fn a_crash_while_it_is_packed(#[case] point: &str) {
    let kept = Kept::new(Kind::Sqlite, Options::default()).await;
    kept.stage.db.add_people(7, 230);
    let settings = kept
        .settings()
        .set("OC_STORAGE_USE_BUNDLER", true)
        .set("LEASE", 2);
    let mut worker = settings.clone().set("FAILPOINTS", point).start().await;
    kept.send(json!({"type": "UPDATED", "event_id": 7})).await;
    assert!(!worker.wait_exit(LIMIT).await.success());
    let worker = settings.start().await;
    kept.stage.db.wait_completed().await;
    let mut left: Vec<_> = fs::read_dir(kept.bundle())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["bundle.json", "resources.zip"]);
    let said = kept.verify().await.done();
    assert!(said.contains("ok, 5 resources, 230 e-mails"), "{said}");
    everybody_once(&kept.stage.smtp, 230);
    kept.stage.end(worker).await;
}

#[tokio::test]
async fn without_a_storage_there_is_no_archive() {
    let said = Shell::new().herald(&["archive", "verify"]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("OC_STORAGE_TYPE is none"), "{said:?}");
}
