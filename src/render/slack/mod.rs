//! Posts for Slack's incoming webhooks. A post stays within the limits that Slack publishes, whatever it
//! tells; text from outside can call nobody, link to nothing and break out of no code block; and the same
//! facts give the same bytes.

mod text;

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::domain::Severity;
use crate::message::PipelineKind;
use crate::policy::SlackAddress;

use super::context::PipelineContext;
use super::facts::PipelineFacts;
use super::text::held_back as held_back_words;
use text::{code, escaped};

/// Longest header, in characters.
const MAX_HEADER: usize = 150;
/// Longest text of a section, in characters.
const MAX_SECTION: usize = 3000;
/// Longest field of a section, in characters.
const MAX_FIELD: usize = 2000;
/// Fields of a section.
const MAX_FIELDS: usize = 10;
/// Longest text for notifications, its mentions not counted, in characters.
const MAX_TEXT: usize = 1000;
/// People mentioned.
const MAX_MENTIONS: usize = 50;
/// Longest id of a person, in bytes.
const MAX_USER: usize = 50;

/// The body of a post about a pipeline, JSON. `held_back` is how many equal messages a cooldown held back,
/// `created_at` when the dispatch was accepted.
pub fn slack_post(
    facts: &PipelineFacts,
    address: &SlackAddress,
    held_back: u64,
    created_at: DateTime<Utc>,
) -> String {
    let pipeline = PipelineContext::new(facts, created_at, held_back);
    let (color, sign) = look(facts);
    let line = summary(&pipeline);
    // Mentions stand here and not in the attachment, where they need not ring.
    let text = mentions(facts.severity, address) + &line;
    let mut post = json!({"text": text});
    if let Some(channel) = &address.channel {
        post["channel"] = json!(channel);
    }
    post["attachments"] = json!([{"color": color, "fallback": line, "blocks": blocks(&pipeline, sign)}]);
    post.to_string()
}

/// The colour of the bar beside a post, and the sign before its title.
fn look(facts: &PipelineFacts) -> (&'static str, &'static str) {
    match facts.severity {
        Severity::Info if facts.report.kind == PipelineKind::Success => ("#15803d", "✅"),
        Severity::Info => ("#1d4ed8", "ℹ️"),
        Severity::Warning => ("#d97706", "⚠️"),
        Severity::Error => ("#b42318", "❌"),
        Severity::Critical => ("#7f1d1d", "🚨"),
    }
}

/// What a notification shows: as the subject of an e-mail.
fn summary(pipeline: &PipelineContext) -> String {
    let id = pipeline.pipeline_id.as_ref();
    let id = id.filter(|id| !pipeline.title.contains(id.as_str()));
    let id = id.map(|id| format!(" ({id})")).unwrap_or_default();
    let severity = pipeline.severity.to_uppercase();
    escaped(&format!("[{severity}] {}{id}", pipeline.title), MAX_TEXT)
}

/// Those who are called, each followed by a space. What is no id calls nobody.
fn mentions(severity: Severity, address: &SlackAddress) -> String {
    let everybody = address.mention_channel && severity == Severity::Critical;
    let is_id =
        |id: &&String| (1..=MAX_USER).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    let users = address.mention_users.iter().filter(is_id).take(MAX_MENTIONS);
    everybody
        .then(|| "<!channel> ".to_owned())
        .into_iter()
        .chain(users.map(|id| format!("<@{id}> ")))
        .collect()
}

/// At most ten: header, message, facts, error, checks, three of details, what is not shown, context.
fn blocks(pipeline: &PipelineContext, sign: &str) -> Vec<Value> {
    let title = escaped(&format!("{sign} {}", pipeline.title), MAX_HEADER);
    let mut blocks =
        vec![json!({"type": "header", "text": {"type": "plain_text", "text": title, "emoji": true}})];
    if !pipeline.message.is_empty() {
        blocks.push(section(&escaped(&pipeline.message, MAX_SECTION)));
    }
    let facts = [
        ("Pipeline", &pipeline.pipeline_id),
        ("Run", &pipeline.run),
        ("Table", &pipeline.table),
        ("Duration", &pipeline.duration),
    ];
    let facts = facts
        .iter()
        .filter_map(|(name, value)| Some(field(name, value.as_ref()?)));
    blocks.extend(fields(facts));
    if let Some(error) = &pipeline.error {
        blocks.push(section(&format!("*Error*\n{}", code(error, MAX_SECTION - 8))));
    }
    if !pipeline.failed_checks.is_empty() {
        let checks = pipeline.failed_checks.iter().map(|check| format!("\n• {check}"));
        let more = (pipeline.more_checks > 0).then(|| format!("\n• and {} more", pipeline.more_checks));
        let list: String = checks.chain(more).collect();
        blocks.push(section(&format!(
            "*Failed checks*{}",
            escaped(&list, MAX_SECTION - 15)
        )));
    }
    let details = pipeline.details.iter();
    blocks.extend(fields(details.map(|detail| field(&detail.label, &detail.value))));
    if pipeline.more_details > 0 {
        blocks.push(section(&format!("and {} more details", pipeline.more_details)));
    }
    blocks.push(context(pipeline));
    blocks
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": markdown(text)})
}

/// Text whose only markup is what stands in it: nothing is made a link or a mention by guessing.
fn markdown(text: &str) -> Value {
    json!({"type": "mrkdwn", "text": text, "verbatim": true})
}

/// A name, which is bold and so must not end that itself, above its value.
fn field(name: &str, value: &str) -> Value {
    let name = name.replace('*', "∗");
    markdown(&format!(
        "*{}*\n{}",
        escaped(&name, MAX_HEADER),
        escaped(value, MAX_FIELD - MAX_HEADER - 3)
    ))
}

/// As many sections as it takes.
fn fields(fields: impl Iterator<Item = Value>) -> Vec<Value> {
    let fields: Vec<Value> = fields.collect();
    let sections = fields.chunks(MAX_FIELDS);
    sections
        .map(|some| json!({"type": "section", "fields": some}))
        .collect()
}

fn context(pipeline: &PipelineContext) -> Value {
    let tenant = pipeline.tenant.as_ref().map(|tenant| format!("Tenant: {tenant}"));
    let elements: Vec<Value> = [
        Some(format!("Severity: {}", pipeline.severity)),
        tenant,
        Some(pipeline.at.clone()),
        held_back_words(pipeline.held_back),
    ]
    .into_iter()
    .flatten()
    .map(|text| markdown(&escaped(&text, MAX_FIELD)))
    .collect();
    json!({"type": "context", "elements": elements})
}
