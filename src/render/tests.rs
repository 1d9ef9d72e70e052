//! The whole way from facts to e-mail, and from a directory to a set of templates.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use rstest::rstest;
use tempfile::TempDir;

use super::*;
use crate::domain::DisplayName;
use crate::message::{Change, EventKind};

fn built_in() -> Arc<Templates> {
    static SET: OnceLock<Arc<Templates>> = OnceLock::new();
    Arc::clone(SET.get_or_init(|| Arc::new(Templates::load(None).unwrap())))
}

fn accepted() -> DateTime<Utc> {
    "2026-11-20T09:30:00Z".parse().unwrap()
}

fn compose(templates: &Arc<Templates>, facts: &EventFacts, people: &Sample) -> Rendered {
    let composer = Composer::new(Arc::clone(templates), facts, &people.sender, accepted()).unwrap();
    let rendered = composer.compose(&people.recipient()).unwrap();
    assert_eq!(rendered.subject, composer.subject());
    assert_eq!(
        composer.compose(&people.recipient()),
        Ok(rendered.clone()),
        "the same bytes each time"
    );
    rendered
}

/// Everything that a recipient gets, for a snapshot.
fn shown(rendered: &Rendered) -> String {
    let calendar = rendered.calendar.as_ref().map_or_else(
        || "none".to_owned(),
        |c| format!("method={}\n{}", c.method, c.body.replace("\r\n", "␍␊\n")),
    );
    format!(
        "Subject: {}\n\n--- text\n{}\n--- calendar\n{calendar}\n--- html\n{}",
        rendered.subject, rendered.text, rendered.html
    )
}

#[rstest]
#[case("created", EventKind::Created)]
#[case("updated", EventKind::Updated)]
#[case("cancelled", EventKind::Cancelled)]
fn every_template(#[case] name: &str, #[case] kind: EventKind) {
    let full = compose(&built_in(), &EventFacts::sample(kind), &Sample::new());
    assert!(
        full.html.len() < 5 * 1024,
        "{} bytes for each recipient",
        full.html.len()
    );
    insta::assert_snapshot!(format!("{name}_full"), shown(&full));
    let bare = compose(&built_in(), &EventFacts::bare(kind), &Sample::nameless());
    insta::assert_snapshot!(format!("{name}_bare"), shown(&bare));
}

#[test]
fn two_days_and_one_sided_changes() {
    let mut facts = EventFacts::sample(EventKind::Updated);
    facts.version = None;
    facts.details.timezone = None;
    facts.details.ends_at = Some("2026-12-03T12:00:00+01:00".parse().unwrap());
    let change = |from: Option<&str>, to: Option<&str>| Change {
        field: "dress_code".to_owned(),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
    };
    facts.changes = vec![
        change(None, Some("casual")),
        change(Some("formal"), None),
        change(None, None),
    ];
    facts.changes.extend(vec![change(Some("a"), Some("b")); 20]);
    let rendered = compose(&built_in(), &facts, &Sample::new());
    insta::assert_snapshot!(rendered.text);
    insta::assert_snapshot!(rendered.calendar.unwrap().body.replace("\r\n", "\n"));
    assert!(rendered.html.contains("and 3 more"));
    assert!(
        rendered
            .html
            .contains("<strong>Thursday, 3 December 2026, 12:00</strong>")
    );
}

#[test]
fn hostile_text_stays_text() {
    let mut facts = EventFacts::sample(EventKind::Created);
    facts.details.title = Some("{{ 7*7 }}<script>alert(1)</script>\r\nBcc: eve@example.com".to_owned());
    let rendered = compose(&built_in(), &facts, &Sample::new());
    let line = "{{ 7*7 }}<script>alert(1)</script> Bcc: eve@example.com";
    assert_eq!(rendered.subject, format!("New event: {line}"));
    assert!(rendered.text.contains(line), "no HTML escapes in text");
    assert!(
        rendered
            .html
            .contains("{{ 7*7 }}&lt;script&gt;alert(1)&lt;/script&gt; Bcc")
    );
    assert!(!rendered.html.contains("<script"));
}

/// Counts what could only change if a value broke out of its place.
fn structure(rendered: &Rendered) -> [usize; 6] {
    let count = |text: &str, c: char| text.matches(c).count();
    let calendar = &rendered.calendar.as_ref().unwrap().body;
    assert!(
        calendar
            .split("\r\n")
            .all(|line| line.len() <= 75 && !line.contains(['\r', '\n']))
    );
    assert!(!rendered.subject.contains(char::is_control));
    [
        count(&rendered.html, '<'),
        count(&rendered.html, '>'),
        count(&rendered.html, '"'),
        count(&rendered.html, '\''),
        count(&rendered.text, '\n'),
        calendar.replace("\r\n ", "").matches("\r\n").count(),
    ]
}

proptest! {
    #[test]
    fn nothing_is_injected(texts in prop::collection::vec(
        prop_oneof!["[a<>\"'&{}%#;:,^\\\\\r\n\t\u{0}\u{85}\u{2028}-]{0,60}", "\\PC{0,60}", ".{0,600}"], 6,
    )) {
        let render = |texts: &[String]| {
            // The x keeps each value from being empty and left out.
            let value = |i: usize| Some(format!("x{}", texts[i]));
            let mut facts = EventFacts::sample(EventKind::Updated);
            facts.details.title = value(0);
            facts.details.location = value(1);
            facts.changes = vec![Change { field: format!("x{}", texts[2]), from: value(3), to: value(4) }];
            let mut people = Sample::new();
            people.sender.name = DisplayName::clean(&format!("x{}", texts[5]));
            let name = people.sender.name.clone();
            let composer = Composer::new(built_in(), &facts, &people.sender, accepted()).unwrap();
            composer.compose(&Recipient { name: &name, ..people.recipient() }).unwrap()
        };
        let plain = vec![String::new(); 6];
        prop_assert_eq!(structure(&render(&texts)), structure(&render(&plain)));
    }
}

#[test]
fn tasks_can_share_a_composer() {
    fn shared<T: Send + Sync>() {}
    shared::<Templates>();
    shared::<Composer>();
}

#[test]
fn previews_by_name() {
    for name in Templates::names() {
        assert!(built_in().preview(name).unwrap().html.contains("Hello Ann,"));
    }
    let error = built_in().preview("reminder").unwrap_err();
    insta::assert_snapshot!(error, @r#"there is no template "reminder"; there are created, updated, cancelled"#);
}

/// A `TEMPLATES_DIR` of these files.
fn dir(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

fn refusal(dir: &Path) -> String {
    let error = Templates::load(Some(dir)).unwrap_err();
    error.to_string().replace(&dir.display().to_string(), "DIR")
}

#[test]
fn overrides_replace_file_by_file() {
    let dir = dir(&[
        (
            "created.subject.txt",
            b"\xef\xbb\xbfJoin\r\n {{ event.title }}\r\n",
        ),
        (
            "created.txt",
            b"Dear {{ recipient.name }},\r\n{% if event.url %}{{ event.url }}{% endif %}",
        ),
        (".layout.txt.swp", b"\xff"),
    ]);
    let templates = Arc::new(Templates::load(Some(dir.path())).unwrap_or_else(|e| panic!("{e}")));
    let rendered = compose(
        &templates,
        &EventFacts::sample(EventKind::Created),
        &Sample::new(),
    );
    assert_eq!(rendered.subject, "Join Rust Meetup: Winter Edition");
    assert!(
        rendered.text.starts_with("Dear Ann,\nhttps://example.com/e/123"),
        "{}",
        rendered.text
    );
    let own = compose(
        &built_in(),
        &EventFacts::sample(EventKind::Created),
        &Sample::new(),
    );
    assert_eq!(rendered.html, own.html);
}

#[rstest]
#[case::unknown_name("receipt.html", b"x")]
#[case::not_utf8("created.txt", b"\xff")]
#[case::syntax("created.txt", b"Hello\n{% if event.title %}x")]
#[case::undefined("created.txt", b"Hello\n{{ event.titel }}")]
#[case::only_sometimes_there("updated.html", b"{{ event.when.start_date }}")]
#[case::recipient_in_subject("created.subject.txt", b"{{ recipient.name }}, join us")]
#[case::empty_subject("created.subject.txt", b" \n")]
#[case::empty_part("cancelled.txt", b"{% if event.url %}x{% endif %}")]
#[case::environment("created.txt", b"{{ get_env(name=\"PATH\") }}")]
#[case::unknown_filter("created.txt", b"{{ event.title | shout }}")]
#[case::unknown_include("created.txt", b"{% include \"/etc/passwd\" %}")]
#[case::unknown_parent("created.txt", b"{% extends \"base.txt\" %}")]
#[case::extends_itself("layout.txt", b"{% extends \"created.txt\" %}")]
#[case::includes_itself("created.txt", b"{% include \"created.txt\" %}")]
#[case::throws("created.txt", b"{{ throw(message=\"no\") }}")]
#[case::endless(
    "created.txt",
    b"{% for i in range(end=99999) %}{{ event.title }}{% endfor %}"
)]
fn refused(#[case] name: &str, #[case] content: &[u8]) {
    let case = std::thread::current()
        .name()
        .unwrap()
        .rsplit("::")
        .next()
        .unwrap()
        .to_owned();
    let case = case.splitn(3, '_').last().unwrap().to_owned();
    insta::assert_snapshot!(format!("refused_{case}"), refusal(dir(&[(name, content)]).path()));
}

#[cfg(unix)]
#[test]
fn only_regular_files_of_bounded_size() {
    let dir = dir(&[
        ("created.txt", &vec![b'x'; 256 * 1024]),
        ("updated.txt", &vec![b'x'; 256 * 1024 + 1]),
    ]);
    fs::create_dir(dir.path().join("layout.html")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("layout.txt")).unwrap();
    std::os::unix::fs::symlink("gone", dir.path().join("cancelled.txt")).unwrap();
    insta::assert_snapshot!(refusal(dir.path()), @r"
    the templates cannot be used:
      cancelled.txt: cannot be read: No such file or directory (os error 2)
      layout.html: is not a regular file
      layout.txt: is not a regular file
      updated.txt: is larger than 262144 bytes
    ");
}

#[test]
fn a_directory_that_is_none() {
    let dir = dir(&[("file", b"x")]);
    assert!(refusal(&dir.path().join("gone")).contains("DIR: TEMPLATES_DIR cannot be read: "));
    assert!(refusal(&dir.path().join("file")).contains("DIR: TEMPLATES_DIR cannot be read: "));
}

#[test]
fn all_problems_are_told_at_once() {
    let dir = dir(&[
        ("a\nb", b"x"),
        ("created.html", b"{% if %}"),
        ("created.txt", b"{{ }}"),
        ("updated.txt", b"\xff"),
    ]);
    insta::assert_snapshot!("problems_of_files", refusal(dir.path()));
    let dir = self::dir(&[("created.html", b"{{ x }}"), ("updated.txt", b"\n{{ y }}")]);
    insta::assert_snapshot!("problems_of_rendering", refusal(dir.path()));
}

/// Each refused, or rendered in vain, but none overflows the stack of this thread.
#[rstest]
#[case::ifs("{% if event %}", "x", "{% endif %}", 5_000)]
#[case::fors("{% for c in event.changes %}", "x", "{% endfor %}", 5_000)]
#[case::filters("{% filter upper %}", "x", "{% endfilter %}", 5_000)]
#[case::elifs("{% if 0 %}", "{% elif 0 %}", "", 0)]
#[case::parentheses("{{ ", "(", "", 0)]
#[case::brackets("{{ ", "[", "", 0)]
#[case::maps("{{ ", "{\"a\":", "", 0)]
#[case::nots("{{ ", "not ", "", 0)]
#[case::minuses("{{ ", "-", "", 0)]
#[case::sums("{{ 1", "+1", " }}", 0)]
#[case::powers("{{ 1", "**1", " }}", 0)]
#[case::ternaries("{{ 1", " if 1 else 1", " }}", 0)]
#[case::fields("{{ event", ".a", " }}", 0)]
#[case::indexes("{{ event", "[0]", " }}", 0)]
#[case::chained("{{ event.title", "|upper", " }}", 0)]
#[case::arguments("{{ event.title", "|default(value=event", "", 0)]
#[case::calls("{{ ", "range(end=", "", 0)]
fn no_depth_overflows(#[case] open: &str, #[case] middle: &str, #[case] close: &str, #[case] depth: usize) {
    let source = if depth > 0 {
        open.repeat(depth) + middle + &close.repeat(depth)
    } else {
        open.to_owned() + &middle.repeat(250_000 / middle.len()) + close
    };
    let error = refusal(dir(&[("created.txt", source.as_bytes())]).path());
    assert!(error.contains("created.txt: "), "{error}");
    assert!(error.len() < 1000, "{} bytes of error", error.len());
}

#[test]
fn an_override_cannot_turn_escaping_off() {
    let tricks: &[u8] = b"{% set lt %}<{% endset %}{% set t = event.title %}
        {{ t }}{{ t | safe }}{% filter safe %}{{ t }}{% endfilter %}
        {{ t | escape | replace(from='&lt;', to=lt) }}{{ t | replace(from='i', to=lt) }}
        {{ [t] | join(sep=lt) }}{{ t ~ lt }}{{ t | escape | safe }}{% include 'created.txt' %}";
    let dir = dir(&[
        ("created.html", tricks),
        ("created.txt", b"{{ event.title | safe }}"),
    ]);
    let templates = Arc::new(Templates::load(Some(dir.path())).unwrap_or_else(|e| panic!("{e}")));
    let mut facts = EventFacts::sample(EventKind::Created);
    facts.details.title = Some("<img src=x>".to_owned());
    let html = compose(&templates, &facts, &Sample::new()).html;
    assert!(html.contains("&lt;img") && !html.contains("<img"), "{html}");
}
