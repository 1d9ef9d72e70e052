//! An S3 that fails, denies, hangs or takes large things: no e-mail waits for it, and the bundle is complete
//! in the end.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use crate::support::aws::endpoint;
use crate::support::command::Shell;
use crate::support::database::Kind;
use crate::support::files::{FileHost, Reply};
use crate::support::mailed::{by_recipient, everybody_once};
use crate::support::notices::{Topic, aws, aws_shell};
use crate::support::s3::Bucket;
use crate::support::smtp::Options;
use crate::support::stage::Stage;
use crate::support::trouble::{Mood, Trouble};
use crate::support::until;
use crate::support::worker::Settings;

/// What hangs is given up after half a minute, and tried again.
const LIMIT: Duration = Duration::from_mins(3);

const DENIED: &str =
    "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
const ERROR: &str =
    "<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>We broke.</Message></Error>";
const BUSY: &str = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Slower.</Message></Error>";

struct Scene {
    stage: Stage,
    bucket: Bucket,
    topic: Topic,
    way: Trouble,
}

impl Scene {
    async fn new(mood: Mood) -> Self {
        Self {
            stage: Stage::new(Kind::Sqlite, Options::default()).await,
            bucket: Bucket::new().await,
            topic: Topic::new().await,
            way: Trouble::before(&endpoint(), mood).await,
        }
    }

    fn settings(&self) -> Settings {
        aws(self.stage.settings())
            .set("AWS_ENDPOINT_URL", self.way.endpoint())
            .set("OC_STORAGE_TYPE", "s3")
            .set("OC_S3_BUCKET", &self.bucket.name)
            .set("COMPLETIONS_EXCHANGE", &self.topic.exchange)
    }

    fn shell(&self) -> Shell {
        aws_shell(Shell::new())
            .set("DATABASE_URL", self.stage.db.url())
            .set("OC_STORAGE_TYPE", "s3")
            .set("OC_S3_BUCKET", &self.bucket.name)
            .set("COMPLETIONS_EXCHANGE", &self.topic.exchange)
    }

    /// Waits for the notice of a bundle, which is whole then.
    async fn wait_whole(&self, dispatch: &str, emails: &str) {
        let notice = until("the notice", LIMIT, async || {
            self.shell().herald(&["completions", "retry"]).await;
            self.topic.take().await
        })
        .await;
        assert_eq!(notice.bundle(), dispatch);
        let said = self.shell().herald(&["archive", "verify", dispatch]).await.done();
        assert!(said.contains(emails), "{said}");
    }
}

#[rstest]
#[case::fails(Mood::Says(500, ERROR), "does not answer as it should")]
#[case::is_busy(Mood::Says(503, BUSY), "does not answer as it should")]
#[case::denies(Mood::Says(403, DENIED), "access to the storage is denied")]
#[case::hangs(Mood::Hangs, "does not answer as it should")]
#[tokio::test]
async fn an_s3_in_trouble_holds_nobody_up(#[case] mood: Mood, #[case] why: &str) {
    let scene = Scene::new(mood).await;
    let stage = &scene.stage;
    stage.db.add_people(7, 150);
    let worker = scene.settings().start().await;
    stage
        .rabbit
        .send(&json!({"type": "UPDATED", "event_id": 7}))
        .await;
    let dispatch = stage.db.wait_closed().await;
    assert_eq!(dispatch.status, "completed");
    stage.rabbit.wait_counts(0, 0).await;
    everybody_once(&stage.smtp, 150);
    until("the reason", LIMIT, async || {
        let listed = scene.shell().herald(&["completions", "list", "--json"]).await.out;
        listed.contains(why).then_some(())
    })
    .await;
    assert!(
        scene.topic.take().await.is_none(),
        "told before there is a bundle"
    );
    scene.way.turn(Mood::Well);
    scene.wait_whole(&dispatch.id, "150 e-mails").await;
    scene.topic.remove().await;
    scene.stage.end(worker).await;
}

/// Pages above 8 MiB go in parts.
#[tokio::test]
async fn large_pages_go_in_parts() {
    let scene = Scene::new(Mood::Well).await;
    let (stage, host) = (&scene.stage, FileHost::start().await);
    let mut seed = 7_u64;
    // Nothing that packs.
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    });
    let file: Vec<u8> = noise.take(9 << 20).collect();
    host.put("/large", Reply::File(file));
    stage.db.add_people(7, 3);
    let worker = scene
        .settings()
        .set("ATTACHMENT_HOSTS", "localhost")
        .set("HERALD_TEST_ATTACHMENTS", host.ca().display())
        .start()
        .await;
    let attachments = json!([{"url": host.url("/large"), "name": "large.bin"}]);
    let message = json!({"type": "UPDATED", "event_id": 7, "attachments": attachments});
    stage.rabbit.send(&message).await;
    let dispatch = stage.db.wait_closed().await;
    everybody_once(&stage.smtp, 3);
    scene.wait_whole(&dispatch.id, "3 e-mails").await;
    let received = by_recipient(stage.smtp.messages());
    let (to, copies) = received.first_key_value().unwrap();
    let shown = scene
        .shell()
        .herald(&["archive", "show", &dispatch.id, "--recipient", to])
        .await;
    assert!(shown.done().into_bytes() == copies[0].raw);
    scene.topic.remove().await;
    scene.stage.end(worker).await;
}
