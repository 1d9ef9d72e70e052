//! The parts shaped like AWS: where its services are, what is kept of a dispatch, and who is told of its end.

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

use super::notifications::hosts;
use super::reader::{Reader, Takes};
use super::{AwsConfig, CompletionsConfig, Environment, SourceKind, StorageConfig, StorageKind};

/// Longest name of an SQS queue, in characters; `-dead` has to fit behind it.
const MAX_QUEUE: usize = 80 - "-dead".len();
/// Octets of an AMQP short string.
const MAX_EXCHANGE: usize = 255;
/// Longest key prefix, in bytes; a key has 1,024.
const MAX_PREFIX: usize = 512;

pub(super) fn source(r: &mut Reader<'_>) -> SourceKind {
    let sqs = r.value("SOURCE", false, |s| match s.to_ascii_lowercase().as_str() {
        "amqp" => Ok(false),
        "sqs" => Ok(true),
        _ => Err("amqp or sqs".to_owned()),
    });
    let queue = r.value("SQS_QUEUE_NAME", "notification-queue".to_owned(), queue);
    if sqs {
        SourceKind::Sqs { queue }
    } else {
        SourceKind::Amqp
    }
}

/// `used`: something of AWS is configured, so where it is has to be known.
pub(super) fn aws(r: &mut Reader<'_>, used: bool) -> AwsConfig {
    let endpoint = r.optional("AWS_ENDPOINT_URL", web);
    let region = r.optional("AWS_REGION", region);
    if used && region.is_none() && endpoint.is_none() {
        r.problem("AWS_REGION", "has to be set for SQS and S3, such as eu-central-1");
    }
    let id = r.text("AWS_ACCESS_KEY_ID");
    let secret = r.text("AWS_SECRET_ACCESS_KEY").map(SecretString::from);
    let session = r.text("AWS_SESSION_TOKEN").map(SecretString::from);
    if id.is_some() != secret.is_some() {
        let missing = if id.is_some() {
            "AWS_SECRET_ACCESS_KEY"
        } else {
            "AWS_ACCESS_KEY_ID"
        };
        r.problem(missing, "has to be set together with its counterpart, or neither");
    }
    AwsConfig {
        endpoint,
        region: region.unwrap_or_else(|| "us-east-1".to_owned()),
        credentials: id.zip(secret).map(|(id, secret)| (id, secret, session)),
    }
}

pub(super) fn storage(r: &mut Reader<'_>, environment: &Environment) -> StorageConfig {
    let word = r.value("OC_STORAGE_TYPE", "none".to_owned(), |s| {
        let word = s.to_ascii_lowercase();
        match word.as_str() {
            "none" | "file" | "s3" => Ok(word),
            _ => Err("none, file or s3".to_owned()),
        }
    });
    let path = r
        .text("OC_STORAGE_FILE_PATH")
        .unwrap_or_else(|| "./bundles".to_owned());
    let bucket = r.optional("OC_S3_BUCKET", |s| bucket(s, environment));
    let prefix = r.value("OC_S3_PREFIX", String::new(), prefix);
    if word == "s3" && r.text("OC_S3_BUCKET").is_none() {
        r.problem("OC_S3_BUCKET", "has to be set where OC_STORAGE_TYPE is s3");
    }
    let kind = match (word.as_str(), bucket) {
        ("file", _) => StorageKind::File(PathBuf::from(path)),
        ("s3", Some(bucket)) => StorageKind::S3 { bucket, prefix },
        _ => StorageKind::None,
    };
    StorageConfig {
        kind,
        unzip: r.boolean("OC_STORAGE_USE_UNZIP", false),
        bundler: r.boolean("OC_STORAGE_USE_BUNDLER", false),
    }
}

pub(super) fn completions(r: &mut Reader<'_>, storage: &StorageConfig) -> CompletionsConfig {
    let given = r.text("OC_SQS_QUEUE_URL").is_some() || r.text("COMPLETIONS_EXCHANGE").is_some();
    if matches!(storage.kind, StorageKind::S3 { .. }) && !given {
        r.problem(
            "OC_SQS_QUEUE_URL",
            "has to be set where OC_STORAGE_TYPE is s3, or COMPLETIONS_EXCHANGE: somebody has to be told of the bundles",
        );
    }
    CompletionsConfig {
        sqs_queue_url: r.optional("OC_SQS_QUEUE_URL", web),
        exchange: r.optional("COMPLETIONS_EXCHANGE", exchange),
    }
}

pub(super) fn attachment_hosts(r: &mut Reader<'_>) -> Vec<String> {
    r.value("ATTACHMENT_HOSTS", Vec::new(), hosts)
}

fn web(s: &str) -> Result<Url, Takes> {
    let url = Url::parse(s).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
    });
    url.ok_or_else(|| "an http:// or https:// URL without user and password".to_owned())
}

fn region(s: &str) -> Result<String, Takes> {
    let fits = (1..=63).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits.then(|| s.to_owned())
        .ok_or_else(|| "the name of a region such as eu-central-1".to_owned())
}

/// As SQS takes them, `.fifo` at the end included.
fn queue(s: &str) -> Result<String, Takes> {
    let stem = s.strip_suffix(".fifo").unwrap_or(s);
    let plain = stem
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    (plain && !stem.is_empty() && s.len() <= MAX_QUEUE)
        .then(|| s.to_owned())
        .ok_or_else(|| {
            format!("an SQS queue's name of letters, digits, - and _, at most {MAX_QUEUE} characters")
        })
}

/// A bucket's name, in which `${NAME}` is looked up.
fn bucket(s: &str, environment: &Environment) -> Result<String, Takes> {
    let mut name = String::new();
    let mut rest = s;
    while let Some((before, behind)) = rest.split_once("${") {
        let (variable, after) = behind.split_once('}').ok_or("${NAME} with its closing brace")?;
        let value = environment.get(variable).filter(|value| !value.is_empty());
        name.push_str(before);
        name.push_str(&value.ok_or("variables in ${NAME} that are set")?);
        rest = after;
    }
    name.push_str(rest);
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let ends = [name.bytes().next(), name.bytes().last()];
    let fits = (3..=63).contains(&name.len())
        && name.bytes().all(inner)
        && ends.iter().flatten().all(u8::is_ascii_alphanumeric);
    fits.then_some(name).ok_or_else(|| {
        "a bucket's name of 3 to 63 lower-case letters, digits, - and .; ${NAME} is filled in".to_owned()
    })
}

/// A trailing slash is dropped.
fn prefix(s: &str) -> Result<String, Takes> {
    let prefix = s.strip_suffix('/').unwrap_or(s);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"!-_.*'()/=".contains(&b);
    let parts = prefix.is_empty()
        || prefix
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..");
    (parts && prefix.len() <= MAX_PREFIX && prefix.bytes().all(plain))
        .then(|| prefix.to_owned())
        .ok_or_else(|| "a key's beginning such as data or a/b, of letters, digits and !-_.*'()=".to_owned())
}

fn exchange(s: &str) -> Result<String, Takes> {
    let fits = s.len() <= MAX_EXCHANGE && !s.starts_with("amq.") && !s.chars().any(char::is_control);
    fits.then(|| s.to_owned()).ok_or_else(|| {
        format!("an exchange's name of at most {MAX_EXCHANGE} bytes that does not begin with amq.")
    })
}
