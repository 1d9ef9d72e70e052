//! The server in Slack's place refuses what Slack would refuse: what Herald posts is held to that.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::slack::check;

fn header(text: &str) -> Value {
    json!({"type": "header", "text": {"type": "plain_text", "text": text, "emoji": true}})
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

fn fields(count: usize, length: usize) -> Value {
    let field = json!({"type": "mrkdwn", "text": "x".repeat(length)});
    json!({"type": "section", "fields": vec![field; count]})
}

fn context(count: usize) -> Value {
    let element = json!({"type": "mrkdwn", "text": "x"});
    json!({"type": "context", "elements": vec![element; count]})
}

fn button(label: &str, url: &str) -> Value {
    let text = json!({"type": "plain_text", "text": label});
    json!({"type": "actions", "elements": [{"type": "button", "text": text, "url": url}]})
}

fn blocks(blocks: &[Value]) -> Value {
    json!({"text": "x", "blocks": blocks})
}

fn attachments(count: usize, color: &str) -> Value {
    let attachment = json!({"color": color, "blocks": [section("x")]});
    json!({"attachments": vec![attachment; count]})
}

#[rstest]
#[case(json!({"text": "x".repeat(40_000)}))]
#[case(json!({"text": "ß".repeat(40_000), "channel": "#data-alerts"}))]
#[case(blocks(&[header(&"x".repeat(150))]))]
#[case(blocks(&[section(&"ß".repeat(3000))]))]
#[case(blocks(&vec![json!({"type": "divider"}); 50]))]
#[case(blocks(&[fields(10, 2000), context(10), button("Open", "https://example.com")]))]
#[case(blocks(&[json!({"type": "image", "image_url": "https://example.com/x.png", "alt_text": "x"})]))]
#[case(attachments(100, "#d00000"))]
fn taken(#[case] payload: Value) {
    assert_eq!(check(&payload), Ok(()));
}

#[rstest]
#[case(json!(null), "invalid_payload")]
#[case(json!([]), "invalid_payload")]
#[case(json!("x"), "invalid_payload")]
#[case(json!({}), "no_text")]
#[case(json!({"text": " ", "blocks": []}), "no_text")]
#[case(json!({"text": 1}), "invalid_payload")]
#[case(json!({"text": "x".repeat(40_001)}), "invalid_payload")]
#[case(json!({"text": "x", "colour": "red"}), "invalid_payload")]
#[case(json!({"text": "x", "channel": 7}), "invalid_payload")]
#[case(json!({"text": "x", "blocks": {}}), "invalid_blocks")]
#[case(blocks(&[json!("x")]), "invalid_blocks")]
#[case(blocks(&[json!({})]), "invalid_blocks")]
#[case(blocks(&[json!({"type": "heading"})]), "invalid_blocks")]
#[case(blocks(&[json!({"type": "divider", "text": "x"})]), "invalid_blocks")]
#[case(blocks(&vec![json!({"type": "divider"}); 51]), "invalid_blocks")]
#[case(blocks(&vec![json!({"type": "divider", "block_id": "a"}); 2]), "invalid_blocks")]
#[case(blocks(&[header(&"x".repeat(151))]), "invalid_blocks")]
#[case(blocks(&[header("")]), "invalid_blocks")]
#[case(blocks(&[json!({"type": "header", "text": {"type": "mrkdwn", "text": "x"}})]), "invalid_blocks")]
#[case(blocks(&[json!({"type": "header", "text": "x"})]), "invalid_blocks")]
#[case(blocks(&[section(&"x".repeat(3001))]), "invalid_blocks")]
#[case(blocks(&[section("")]), "invalid_blocks")]
#[case(blocks(&[json!({"type": "section"})]), "invalid_blocks")]
#[case(blocks(&[json!({"type": "section", "text": {"type": "html", "text": "x"}})]), "invalid_blocks")]
#[case(blocks(&[json!({"type": "section", "text": {"type": "mrkdwn", "text": "x", "emoji": true}})]), "invalid_blocks")]
#[case(blocks(&[fields(11, 1)]), "invalid_blocks")]
#[case(blocks(&[fields(0, 1)]), "invalid_blocks")]
#[case(blocks(&[fields(1, 2001)]), "invalid_blocks")]
#[case(blocks(&[context(0)]), "invalid_blocks")]
#[case(blocks(&[context(11)]), "invalid_blocks")]
#[case(blocks(&[button(&"x".repeat(76), "https://example.com")]), "invalid_blocks")]
#[case(blocks(&[button("x", &"x".repeat(3001))]), "invalid_blocks")]
#[case(blocks(&[json!({"type": "image", "image_url": "https://example.com/x.png"})]), "invalid_blocks")]
#[case(attachments(101, "#d00000"), "invalid_payload")]
#[case(attachments(1, "d00000"), "invalid_payload")]
#[case(attachments(1, "#d0000g"), "invalid_payload")]
#[case(attachments(1, "red"), "invalid_payload")]
#[case(json!({"attachments": [{"blocks": [section("")]}]}), "invalid_blocks")]
fn refused(#[case] payload: Value, #[case] word: &str) {
    assert_eq!(check(&payload).map_err(|violation| violation.word), Err(word));
}
