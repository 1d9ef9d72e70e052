//! The whole chain: messages from AMQP or SQS, bundles in a folder or in S3, notices to an exchange or a queue.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::support::aws::Sqs;
use crate::support::database::{Kind, TestDatabase};
use crate::support::mailed::{by_recipient, everybody_once};
use crate::support::notices;
use crate::support::s3::Bucket;
use crate::support::smtp::{Options, SmtpServer};
use crate::support::until;

const LIMIT: Duration = Duration::from_mins(1);

/// SQS in, S3 for what was sent, SQS for the notice: no AMQP at all.
#[tokio::test]
async fn from_sqs_into_s3_and_told_on_sqs() {
    let (db, sqs, told) = (
        TestDatabase::new(Kind::Sqlite),
        Sqs::new("").await,
        notices::Sqs::new().await,
    );
    let (bucket, smtp) = (Bucket::new().await, SmtpServer::start(Options::default()).await);
    sqs.create(&[(QueueAttributeName::VisibilityTimeout, "30")]).await;
    db.add_people(7, 120);
    let settings = sqs
        .settings(&db)
        .relay(&smtp)
        .set("OC_STORAGE_TYPE", "s3")
        .set("OC_S3_BUCKET", &bucket.name)
        .set("OC_S3_PREFIX", "data/")
        .set("OC_SQS_QUEUE_URL", &told.url);
    let worker = settings.start().await;
    let message = json!({"type": "UPDATED", "event_id": 7});
    sqs.send(&message, Some("m-1")).await;
    let closed = db.wait_closed().await;
    let notice = until("the notice", LIMIT, async || told.take().await.pop()).await;
    let body = notice.json();
    assert_eq!(body["bundle_id"], closed.id.as_str());
    assert_eq!(
        body["storage_key"],
        format!("data/bundles/{}/resources", closed.id)
    );
    assert_eq!(body["resources_count"], 4, "{body}");
    assert_eq!(body["metadata"]["source"], "sqs");
    assert_eq!(notice.attributes["recipe_id"], "event.updated");
    assert_eq!(notice.attributes["bundle_id"], closed.id);

    let root = format!("data/bundles/{}", closed.id);
    let manifest: Value = serde_json::from_slice(&bucket.get(&format!("{root}/bundle.json")).await).unwrap();
    assert_eq!(manifest["resources_count"], 4);
    let request = bucket.get(&format!("{root}/resources/request.json")).await;
    assert_eq!(request, message.to_string().as_bytes());
    let meta = bucket
        .get(&format!("{root}/resources/emails-1-1.mbox.gz.meta"))
        .await;
    let meta: Value = serde_json::from_slice(&meta).unwrap();
    for key in [
        "url",
        "content_type",
        "status_code",
        "size",
        "encoding",
        "sha256",
        "bid",
        "stored_at",
    ] {
        assert!(!meta[key].is_null(), "{key} in {meta}");
    }
    let shell = sqs
        .shell(&db)
        .set("OC_STORAGE_TYPE", "s3")
        .set("OC_S3_BUCKET", &bucket.name)
        .set("OC_S3_PREFIX", "data")
        .set("OC_SQS_QUEUE_URL", &told.url);
    let said = shell.herald(&["archive", "verify", &closed.id]).await.done();
    assert!(said.contains("120 e-mails"), "{said}");
    let doctor = shell.herald(&["doctor"]).await.out;
    assert!(
        doctor.contains("a probe was written, read back and removed"),
        "{doctor}"
    );
    everybody_once(&smtp, 120);
    let received = by_recipient(smtp.messages());
    let (to, copies) = received.first_key_value().unwrap();
    let shown = shell
        .herald(&["archive", "show", &closed.id, "--recipient", to])
        .await;
    assert_eq!(shown.done().into_bytes(), copies[0].raw);
    sqs.wait_empty().await;
    worker.stop().await;
}

/// A bucket that is not there costs no e-mail; the bundle and the notice follow when it is.
#[tokio::test]
async fn a_bucket_that_comes_later() {
    let (db, sqs, told) = (
        TestDatabase::new(Kind::Sqlite),
        Sqs::new("").await,
        notices::Sqs::new().await,
    );
    let (bucket, smtp) = (Bucket::absent(), SmtpServer::start(Options::default()).await);
    sqs.create(&[]).await;
    db.add_people(7, 30);
    let settings = sqs
        .settings(&db)
        .relay(&smtp)
        .set("OC_STORAGE_TYPE", "s3")
        .set("OC_S3_BUCKET", &bucket.name)
        .set("OC_SQS_QUEUE_URL", &told.url);
    let worker = settings.start().await;
    sqs.send(&json!({"type": "UPDATED", "event_id": 7}), None).await;
    let closed = db.wait_closed().await;
    everybody_once(&smtp, 30);
    let shell = sqs.shell(&db);
    until("the reason", LIMIT, async || {
        let listed = shell.herald(&["completions", "list", "--json"]).await.out;
        listed.contains("bucket").then_some(())
    })
    .await;
    assert!(told.take().await.is_empty(), "told before there is a bundle");
    bucket.create().await;
    shell.herald(&["completions", "retry"]).await.done();
    let notice = until("the notice", LIMIT, async || told.take().await.pop()).await;
    assert_eq!(
        notice.json()["storage_key"],
        format!("bundles/{}/resources", closed.id)
    );
    bucket.get(&format!("bundles/{}/bundle.json", closed.id)).await;
    worker.stop().await;
}
