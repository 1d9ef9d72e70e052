//! Whole posts.

use proptest::prelude::*;

use super::*;
use crate::message::Detail;

const EVERY: [PipelineKind; 4] = [
    PipelineKind::Success,
    PipelineKind::DataQualityFailure,
    PipelineKind::Failure,
    PipelineKind::SystemError,
];

fn address() -> SlackAddress {
    SlackAddress {
        channel: Some("#data-alerts".to_owned()),
        mention_users: vec!["U123".to_owned(), "U456".to_owned()],
        mention_channel: true,
    }
}

fn accepted() -> DateTime<Utc> {
    "2026-11-20T09:30:00Z".parse().unwrap()
}

fn post(facts: &PipelineFacts, address: &SlackAddress, held_back: u64) -> Value {
    let body = slack_post(facts, address, held_back, accepted());
    assert_eq!(
        slack_post(facts, address, held_back, accepted()),
        body,
        "the same bytes"
    );
    serde_json::from_str(&body).unwrap()
}

fn shown(post: &Value) -> String {
    serde_json::to_string_pretty(post).unwrap()
}

#[test]
fn every_severity() {
    for kind in EVERY {
        let post = post(&PipelineFacts::sample(kind), &address(), 19);
        insta::assert_snapshot!(format!("post_{}", kind.as_str()), shown(&post));
        check(&post);
    }
}

#[test]
fn bare() {
    let post = post(
        &PipelineFacts::bare(PipelineKind::Started),
        &SlackAddress::default(),
        0,
    );
    insta::assert_snapshot!(shown(&post));
    check(&post);
}

#[test]
fn hostile() {
    let mut facts = PipelineFacts::sample(PipelineKind::Failure);
    facts.title = "<!channel> @channel <https://evil.example|Log in>\n*x*".to_owned();
    facts.message = "<!here> & <@U999>\n```\nnot code".to_owned();
    facts.report.pipeline_id = Some("<!everyone>".to_owned());
    facts.report.error_message = Some("``` <!channel> ```\nends in a backtick`".to_owned());
    facts.report.failed_checks = vec!["<!subteam^S1>\n* y".to_owned()];
    facts.report.details = vec![Detail {
        name: "a* <b>".to_owned(),
        value: "<#C1>\r\n&lt;".to_owned(),
    }];
    let address = SlackAddress {
        mention_users: vec!["U1> <!channel".to_owned(), String::new(), "U123".to_owned()],
        ..address()
    };
    let post = post(&facts, &address, 1);
    insta::assert_snapshot!(shown(&post));
    check(&post);
}

#[test]
fn oversized() {
    let mut facts = PipelineFacts::sample(PipelineKind::SystemError);
    facts.title = "t".repeat(1000);
    facts.message = "&".repeat(5000);
    facts.report.error_message = Some("🚨".repeat(5000));
    facts.report.failed_checks = vec!["<".repeat(500); 100];
    facts.report.details = vec![
        Detail {
            name: ">".repeat(500),
            value: "&".repeat(5000)
        };
        100
    ];
    let address = SlackAddress {
        mention_users: vec!["U0123456789".to_owned(); 500],
        ..address()
    };
    let post = post(&facts, &address, u64::MAX);
    check(&post);
    let blocks = post["attachments"][0]["blocks"].as_array().unwrap();
    let kinds: Vec<_> = blocks
        .iter()
        .map(|block| block["type"].as_str().unwrap())
        .collect();
    insta::assert_snapshot!(kinds.join(" "), @"header section section section section section section section section context");
    let message = blocks[1]["text"]["text"].as_str().unwrap();
    assert!(message.ends_with("&amp;… (cut)"), "{message}");
    assert_eq!(post["text"].as_str().unwrap().matches("<@").count(), MAX_MENTIONS);
}

#[test]
fn the_channel_is_called_only_when_it_is_critical() {
    for kind in EVERY {
        let critical = kind.default_severity() == Severity::Critical;
        let called = |address: &SlackAddress| {
            let body = slack_post(&PipelineFacts::sample(kind), address, 0, accepted());
            body.contains("<!channel>")
        };
        assert_eq!(called(&address()), critical);
        assert!(!called(&SlackAddress {
            mention_channel: false,
            ..address()
        }));
    }
}

fn units(value: &Value) -> usize {
    value.as_str().unwrap().encode_utf16().count()
}

/// Text from outside holds none of Slack's own characters but in entities.
fn is_inert(text: &str) -> bool {
    let rest = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
    !rest.contains(['<', '>', '&'])
}

/// What Slack demands, and that nothing but the known mentions means something.
fn check(post: &Value) {
    let text = post["text"].as_str().unwrap();
    assert!(units(&post["text"]) <= 4000);
    let said = text.split_whitespace().filter(|word| !word.starts_with('<'));
    assert!(is_inert(&said.collect::<String>()), "{text}");
    let attachment = &post["attachments"][0];
    let blocks = attachment["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    assert!(is_inert(attachment["fallback"].as_str().unwrap()));
    for block in blocks {
        let (texts, max): (Vec<&Value>, _) = match (block["type"].as_str().unwrap(), &block["fields"]) {
            ("header", _) => (vec![&block["text"]], 150),
            ("section", Value::Array(fields)) => {
                assert!((1..=10).contains(&fields.len()));
                (fields.iter().collect(), 2000)
            }
            ("section", _) => (vec![&block["text"]], 3000),
            ("context", _) => {
                let elements = block["elements"].as_array().unwrap();
                assert!((1..=10).contains(&elements.len()));
                (elements.iter().collect(), 2000)
            }
            (other, _) => panic!("{other}"),
        };
        for text in texts {
            assert!((1..=max).contains(&units(&text["text"])), "{block}");
            assert!(is_inert(text["text"].as_str().unwrap()), "{block}");
            assert!(
                text["type"] == "plain_text" || text["verbatim"] == true,
                "{block}"
            );
        }
    }
}

proptest! {
    #[test]
    fn limits_hold_and_nothing_is_injected(
        texts in prop::collection::vec(
            prop_oneof!["[<>&`*_~!@#|\\n a]{0,200}", "\\PC{0,80}", ".{0,300}", "[🚨<]{0,2500}"], 8,
        ),
        copies in 1usize..60, held_back: u64, kind in 0usize..4,
    ) {
        let mut facts = PipelineFacts::sample(EVERY[kind]);
        facts.title.clone_from(&texts[0]);
        facts.message.clone_from(&texts[1]);
        facts.report.pipeline_id = Some(texts[2].clone());
        facts.report.table_name = Some(texts[3].clone());
        facts.report.error_message = Some(texts[4].clone());
        facts.report.failed_checks = vec![texts[5].clone(); copies];
        facts.report.details = vec![Detail { name: texts[6].clone(), value: texts[7].clone() }; copies];
        let post = post(&facts, &SlackAddress::default(), held_back);
        check(&post);
        prop_assert!(!post.to_string().contains(['<', '>']));
    }
}
