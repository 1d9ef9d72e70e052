//! What Slack takes: the shapes and limits that it publishes for incoming webhooks and blocks. Stricter than
//! Slack where that is lenient: what is not known here is refused.

use serde_json::{Map, Value};

/// What is wrong with a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Slack's word for it, which is its answer.
    pub word: &'static str,
    /// What a person wants to know.
    pub reason: String,
}

type Checked = Result<(), String>;

const KEYS: &[&str] = &[
    "text",
    "blocks",
    "attachments",
    "channel",
    "username",
    "icon_emoji",
    "icon_url",
    "mrkdwn",
    "link_names",
    "unfurl_links",
    "unfurl_media",
    "thread_ts",
];

const ATTACHMENT_KEYS: &[&str] = &[
    "color",
    "blocks",
    "fallback",
    "text",
    "pretext",
    "title",
    "title_link",
    "footer",
    "ts",
    "mrkdwn_in",
];

/// Holds a payload to the limits.
pub fn check(payload: &Value) -> Result<(), Violation> {
    let refuse = |word| move |reason| Violation { word, reason };
    let payload = object(payload, "the payload").map_err(refuse("invalid_payload"))?;
    message(payload).map_err(refuse("invalid_payload"))?;
    attachments(payload).map_err(refuse("invalid_payload"))?;
    all_blocks(payload).map_err(refuse("invalid_blocks"))?;
    let filled = |key: &str| match payload.get(key) {
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::String(text)) => !text.trim().is_empty(),
        _ => false,
    };
    if ["text", "blocks", "attachments"].into_iter().any(filled) {
        Ok(())
    } else {
        Err(refuse("no_text")("it says nothing".to_owned()))
    }
}

fn message(payload: &Map<String, Value>) -> Checked {
    known(payload, KEYS)?;
    optional(payload, "text", 40_000)?;
    for key in ["channel", "username", "icon_emoji", "icon_url", "thread_ts"] {
        optional(payload, key, 255)?;
    }
    Ok(())
}

fn attachments(payload: &Map<String, Value>) -> Checked {
    for attachment in list(payload, "attachments", 0..=100)? {
        let attachment = object(attachment, "an attachment")?;
        known(attachment, ATTACHMENT_KEYS)?;
        if let Some(color) = attachment.get("color") {
            let digits = color.as_str().and_then(|color| color.strip_prefix('#'));
            let fits = |digits: &str| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            if !digits.is_some_and(fits) {
                return Err(format!("{color} is no color"));
            }
        }
    }
    Ok(())
}

/// Those of the message, and those of its attachments.
fn all_blocks(payload: &Map<String, Value>) -> Checked {
    blocks(payload)?;
    let attachments = list(payload, "attachments", 0..=100)?;
    attachments
        .iter()
        .filter_map(Value::as_object)
        .try_for_each(blocks)
}

fn blocks(holder: &Map<String, Value>) -> Checked {
    let mut ids = Vec::new();
    for block in list(holder, "blocks", 0..=50)? {
        let block = object(block, "a block")?;
        optional(block, "block_id", 255)?;
        if let Some(id) = block.get("block_id") {
            if ids.contains(&id) {
                return Err(format!("block_id {id} stands twice"));
            }
            ids.push(id);
        }
        match kind(block)? {
            "header" => header(block),
            "section" => section(block),
            "divider" => known(block, &["type", "block_id"]),
            "context" => context(block),
            "actions" => actions(block),
            "image" => image(block, &["type", "block_id", "image_url", "alt_text", "title"]),
            other => Err(format!("unknown block {other}")),
        }?;
    }
    Ok(())
}

fn header(block: &Map<String, Value>) -> Checked {
    known(block, &["type", "block_id", "text"])?;
    plain(block, 150)
}

fn section(block: &Map<String, Value>) -> Checked {
    known(
        block,
        &["type", "block_id", "text", "fields", "accessory", "expand"],
    )?;
    if !block.contains_key("text") && !block.contains_key("fields") {
        return Err("a section has neither text nor fields".to_owned());
    }
    if let Some(text) = block.get("text") {
        text_object(text, 3000)?;
    }
    if block.contains_key("fields") {
        for field in list(block, "fields", 1..=10)? {
            text_object(field, 2000)?;
        }
    }
    match block.get("accessory") {
        Some(accessory) => element(object(accessory, "an accessory")?),
        None => Ok(()),
    }
}

fn context(block: &Map<String, Value>) -> Checked {
    known(block, &["type", "block_id", "elements"])?;
    for entry in list(block, "elements", 1..=10)? {
        match kind(object(entry, "an element")?)? {
            "image" => element(object(entry, "an image")?)?,
            _ => text_object(entry, 3000)?,
        }
    }
    Ok(())
}

fn actions(block: &Map<String, Value>) -> Checked {
    known(block, &["type", "block_id", "elements"])?;
    for entry in list(block, "elements", 1..=25)? {
        element(object(entry, "an element")?)?;
    }
    Ok(())
}

/// A button or an image.
fn element(element: &Map<String, Value>) -> Checked {
    match kind(element)? {
        "button" => {
            known(element, &["type", "text", "url", "value", "style", "action_id"])?;
            plain(element, 75)?;
            optional(element, "url", 3000)?;
            optional(element, "value", 2000)?;
            optional(element, "action_id", 255)?;
            let style = element.get("style").and_then(Value::as_str);
            match style.or(element.get("style").map(|_| "")) {
                None | Some("primary" | "danger") => Ok(()),
                Some(style) => Err(format!("unknown style {style}")),
            }
        }
        "image" => image(element, &["type", "image_url", "alt_text"]),
        other => Err(format!("unknown element {other}")),
    }
}

fn image(image: &Map<String, Value>, keys: &[&str]) -> Checked {
    known(image, keys)?;
    text(image, "image_url", 3000)?;
    text(image, "alt_text", 2000)
}

/// The member `text` as a text object of plain text.
fn plain(holder: &Map<String, Value>, limit: usize) -> Checked {
    let text = holder.get("text").ok_or("no text")?;
    if kind(object(text, "a text")?)? != "plain_text" {
        return Err("not plain_text".to_owned());
    }
    text_object(text, limit)
}

fn text_object(value: &Value, limit: usize) -> Checked {
    let object = object(value, "a text")?;
    let (keys, flag) = match kind(object)? {
        "plain_text" => (["type", "text", "emoji"], "emoji"),
        "mrkdwn" => (["type", "text", "verbatim"], "verbatim"),
        other => return Err(format!("unknown text {other}")),
    };
    known(object, &keys)?;
    if object.get(flag).is_some_and(|value| !value.is_boolean()) {
        return Err(format!("{flag} is not a boolean"));
    }
    text(object, "text", limit)
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or(format!("{what} is not an object"))
}

fn kind(object: &Map<String, Value>) -> Result<&str, String> {
    let kind = object.get("type").and_then(Value::as_str);
    kind.ok_or("something has no type".to_owned())
}

fn known(object: &Map<String, Value>, keys: &[&str]) -> Checked {
    match object.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => Err(format!("unknown key {key}")),
        None => Ok(()),
    }
}

/// A text that may be missing.
fn optional(object: &Map<String, Value>, key: &str, limit: usize) -> Checked {
    match object.get(key) {
        None => Ok(()),
        Some(Value::String(text)) if text.chars().count() <= limit => Ok(()),
        Some(Value::String(_)) => Err(format!("{key} is longer than {limit} characters")),
        Some(_) => Err(format!("{key} is not a text")),
    }
}

/// A text that may be neither missing nor empty.
fn text(object: &Map<String, Value>, key: &str, limit: usize) -> Checked {
    match object.get(key) {
        None => Err(format!("{key} is missing")),
        Some(Value::String(text)) if text.is_empty() => Err(format!("{key} is empty")),
        Some(_) => optional(object, key, limit),
    }
}

/// A list, empty if it is missing.
fn list<'a>(
    object: &'a Map<String, Value>,
    key: &str,
    count: std::ops::RangeInclusive<usize>,
) -> Result<&'a [Value], String> {
    match object.get(key) {
        None if count.contains(&0) => Ok(&[]),
        Some(Value::Array(list)) if count.contains(&list.len()) => Ok(list),
        Some(Value::Array(list)) => Err(format!("{key} has {} entries, not {count:?}", list.len())),
        _ => Err(format!("{key} is not a list")),
    }
}
