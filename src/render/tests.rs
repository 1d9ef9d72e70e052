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
use crate::message::{Change, EventKind, MessageKind};

fn built_in() -> Arc<Templates> {
    static SET: OnceLock<Arc<Templates>> = OnceLock::new();
    Arc::clone(SET.get_or_init(|| Arc::new(Templates::load(None).unwrap())))
}

fn accepted() -> DateTime<Utc> {
    "2026-11-20T09:30:00Z".parse().unwrap()
}

fn compose(templates: &Arc<Templates>, facts: &EventFacts, people: &Sample) -> Rendered {
    compose_any(templates, &Facts::Event(facts.clone()), people, 0)
}

fn compose_any(templates: &Arc<Templates>, facts: &Facts, people: &Sample, held_back: u64) -> Rendered {
    let composer = Composer::new(Arc::clone(templates), facts, &people.sender, accepted()).unwrap();
    let composer = composer.held_back(held_back);
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

#[test]
fn every_template() {
    for (name, kind) in Templates::names().zip(MessageKind::all()) {
        let full = compose_any(&built_in(), &Facts::sample(kind), &Sample::new(), 19);
        let most = if matches!(kind, MessageKind::Event(_)) {
            5
        } else {
            6
        };
        let size = full.html.len();
        assert!(size < most * 1024, "{name}: {size} bytes for each recipient");
        assert_eq!(full.calendar.is_some(), matches!(kind, MessageKind::Event(_)));
        insta::assert_snapshot!(format!("{name}_full"), shown(&full));
        let bare = compose_any(&built_in(), &Facts::bare(kind), &Sample::nameless(), 0);
        insta::assert_snapshot!(format!("{name}_bare"), shown(&bare));
    }
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
            let composer = Composer::new(built_in(), &Facts::Event(facts), &people.sender, accepted()).unwrap();
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
    for (name, kind) in Templates::names().zip(MessageKind::all()) {
        let rendered = built_in().preview(name).unwrap();
        assert!(rendered.html.contains("You get this e-mail because"), "{name}");
        assert_eq!(built_in().preview(kind.as_str()), Ok(rendered));
    }
    let error = built_in().preview("reminder").unwrap_err();
    insta::assert_snapshot!(error, @r#"there is no template "reminder"; there are created, updated, cancelled, order_created, order_status_updated, pipeline_started, pipeline_success, pipeline_failure, pipeline_warning, data_quality_failure, data_quality_warning, rate_limit_exceeded, system_error"#);
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
#[case::unknown_parent("created.txt", b"{% extends \"frame.txt\" %}")]
#[case::extends_itself("layout.txt", b"{% extends \"created.txt\" %}")]
#[case::includes_itself("created.txt", b"{% include \"created.txt\" %}")]
#[case::throws("created.txt", b"{{ throw(message=\"no\") }}")]
#[case::endless(
    "created.txt",
    b"{% for i in range(end=99999) %}{{ event.title }}{% endfor %}"
)]
fn refused(#[case] name: &str, #[case] content: &[u8]) {
    insta::assert_snapshot!(
        format!("refused_{}", case_name()),
        refusal(dir(&[(name, content)]).path())
    );
}

/// The name of the case that this test runs.
fn case_name() -> String {
    let thread = std::thread::current();
    let case = thread.name().unwrap().rsplit("::").next().unwrap();
    case.splitn(3, '_').last().unwrap().to_owned()
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

/// What would take memory or time without bound.
#[rstest]
#[case::doubles("{% set a = event.title %}REPEAT{{ a | length }}", "{% set a = a ~ a %}")]
#[case::doubles_by_a_list("{% set a = [event.title] %}REPEAT{{ a | length }}", "{% set a = [a, a] %}")]
#[case::doubles_by_join(
    "{% set a = event.title %}REPEAT{{ a | length }}",
    "{% set a = [a, a] | join %}"
)]
#[case::doubles_by_replace(
    "{% set a = 'xx' %}REPEAT{{ a | length }}",
    "{% set a = a | replace(from='x', to='xx') %}"
)]
#[case::squares_by_replace(
    "{% set a = 'xxxx' %}REPEAT{{ a | length }}",
    "{% set a = a | replace(from='x', to=a) %}"
)]
#[case::doubles_in_a_loop(
    "{% for i in range(end=30) %}REPEAT{% endfor %}x",
    "{% set_global event = event ~ event %}"
)]
#[case::doubles_in_a_block(
    "{% extends 'layout.txt' %}{% block lead %}{% set a = event.title %}REPEAT{% endblock %}",
    "{% set a = a ~ a %}"
)]
#[case::nests_lists("{% set a = [1] %}REPEAT{{ a | length }}", "{% set a = [a] %}")]
#[case::captures("x{% set a %}{{ event.title }}{% endset %}", "")]
#[case::filter_section("x{% filter upper %}{{ event.title }}{% endfilter %}", "")]
#[case::component("x{% component twice(a) %}{{ a }}{{ a }}{% endcomponent twice %}", "")]
#[case::comprehension("{{ [i for i in range(end=99999)] | length }}", "")]
#[case::spread("{% set a = [1] %}REPEAT{{ a | length }}", "{% set a = [...a, ...a] %}")]
#[case::quotes("{{ '\"' | split(pat='x')REPEAT | length }}", " | str | split(pat='x')")]
#[case::long_sum("{{ event.titleREPEAT }}", " ~ event.title")]
#[case::long_chain("{{ event.titleREPEAT }}", " | escape_html")]
#[case::loops_in_loops(
    "x{% for i in range(end=99999) %}{% for j in range(end=99999) %}{% if j %}{% endif %}{% endfor %}{% endfor %}",
    ""
)]
#[case::loops_by_include("x{% for i in range(end=99999) %}{% include 'updated.txt' %}{% endfor %}", "")]
#[case::wide_indent(
    "{% for i in range(end=9999) %}{% if event.title | indent(width=100000, first=true) %}{% endif %}{% endfor %}x",
    ""
)]
#[case::refunds("{% for i in range(end=99999) %}{{ herald_pay(cost=-99) }}{% endfor %}x", "")]
fn growth(#[case] source: &str, #[case] repeated: &str) {
    let source = source.replace("REPEAT", &repeated.repeat(30));
    let updated = b"{% for i in range(end=999) %}{% if i %}{% endif %}{% endfor %}x";
    let began = std::time::Instant::now();
    let error = refusal(dir(&[("created.txt", source.as_bytes()), ("updated.txt", updated)]).path());
    assert!(
        began.elapsed() < std::time::Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert!(memory_peak() < 1024 * 1024, "{} KiB", memory_peak());
    insta::assert_snapshot!(format!("growth_{}", case_name()), error);
}

/// The most memory that this process has had, in KiB.
fn memory_peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap())
}

/// Nothing that a usual template does is touched by what is done against unusual ones.
#[test]
fn guarded_templates_write_the_same() {
    let own: Vec<(&str, Vec<u8>)> = Templates::files()
        .iter()
        .map(|&name| (name, fs::read(Path::new("templates").join(name)).unwrap()))
        .collect();
    let files: Vec<(&str, &[u8])> = own
        .iter()
        .map(|(name, content)| (*name, content.as_slice()))
        .collect();
    let dir = dir(&files);
    let templates = Arc::new(Templates::load(Some(dir.path())).unwrap_or_else(|e| panic!("{e}")));
    for name in Templates::names() {
        assert_eq!(templates.preview(name), built_in().preview(name), "{name}");
    }
}

#[test]
fn what_templates_may_do() {
    let source = b"{#- {% set x %} -#}{%- raw -%} {{ '%}' {% set y %} {% endraw -%}
{% set a = (1 if event.url else 2) -%}
{% set b = 'x' ~ \"%}\" ~ `~|~` -%}
{% for k, v in {'one': [1, 2], \"two\": 'for ... ='} -%}
  {{ k }}={{ v | length }}{% if not loop.last %}, {% endif %}{% set_global last = k == 'two' -%}
{%- endfor %}
{{- a }}{{ b }}{{ last }}{{ [3, 1] | sort | join(sep='\"') }}{{ 'a\nb' | indent(width=1) }}
{%- include 'created.subject.txt' -%}
";
    let source: Vec<u8> = String::from_utf8_lossy(source).replace("\\\"", "\"").into_bytes();
    let dir = dir(&[("created.txt", &source)]);
    let templates = Arc::new(Templates::load(Some(dir.path())).unwrap_or_else(|e| panic!("{e}")));
    insta::assert_snapshot!(templates.preview("created").unwrap().text, @r#"
    {{ '%}' {% set y %} one=2, two=91x%}~|~true1"3a
     bNew event: Rust Meetup: Winter Edition
    "#);
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
    let tricks: &[u8] = b"{% set lt = '<' | safe %}{% set t = event.title %}
        {{ t }}{{ t | safe }}
        {{ t | escape | replace(from='&lt;', to=lt) }}{{ t | replace(from='i', to=lt) }}
        {{ [t] | join(sep=lt) }}{{ t ~ lt }}{{ t | escape | safe }}{{ t | escape | indent(indentation=lt) }}{% include 'created.txt' %}";
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
