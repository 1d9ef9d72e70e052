//! Rendering and MIME.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use divan::{Bencher, black_box, counter::BytesCount};
use herald::mailer::{Draft, Email, Letterhead};
use herald::message::EventKind;
use herald::render::{Composer, EventFacts, Facts, Rendered, Sample, Templates};

const KINDS: [EventKind; 3] = [EventKind::Created, EventKind::Updated, EventKind::Cancelled];

fn composer(kind: EventKind) -> Composer {
    let templates = Arc::new(Templates::load(None).expect("the built-in templates"));
    let facts = Facts::Event(EventFacts::sample(kind));
    Composer::new(templates, &facts, &Sample::new().sender, accepted()).expect("a composer")
}

fn accepted() -> DateTime<Utc> {
    DateTime::from_timestamp(1_796_000_000, 0).expect("a time")
}

/// Once for each dispatch.
#[divan::bench(args = KINDS)]
fn composer_new(bencher: Bencher<'_, '_>, kind: EventKind) {
    let templates = Arc::new(Templates::load(None).expect("the built-in templates"));
    let (facts, sample) = (Facts::Event(EventFacts::sample(kind)), Sample::new());
    bencher.bench(|| {
        Composer::new(
            Arc::clone(&templates),
            black_box(&facts),
            &sample.sender,
            accepted(),
        )
    });
}

/// Subject, HTML, text and calendar for one recipient.
#[divan::bench(args = KINDS)]
fn render(bencher: Bencher<'_, '_>, kind: EventKind) {
    let (composer, sample) = (composer(kind), Sample::new());
    let recipient = sample.recipient();
    bencher.bench(|| composer.compose(black_box(&recipient)));
}

/// The whole e-mail for one recipient out of what was rendered.
pub(crate) fn assemble(letterhead: &Letterhead, rendered: &Rendered, sample: &Sample) -> Email {
    let recipient = sample.recipient();
    let draft = Draft {
        to: recipient.address,
        to_name: recipient.name,
        message_id: "01a1f9c07f677407ad66199d574d064c.8eac3ac9e3746f7c@example.com",
        date: accepted(),
        unsubscribe_url: recipient.unsubscribe_url,
        boundary_id: "01a1f9c07f677407ad66199d574d064c-8eac3ac9e3746f7c",
        text: &rendered.text,
        html: &rendered.html,
        calendar: rendered.calendar.as_ref().map(|c| (c.method, c.body.as_str())),
    };
    letterhead.assemble(&draft).expect("an e-mail")
}

/// The sample's e-mail, rendered and assembled.
pub(crate) fn sample_email() -> Vec<u8> {
    let (composer, sample) = (composer(EventKind::Updated), Sample::new());
    let rendered = composer.compose(&sample.recipient()).expect("rendered");
    let letterhead = Letterhead::new(&sample.sender, composer.subject());
    assemble(&letterhead, &rendered, &sample).own.to_vec()
}

/// Headers, parts, transfer encodings.
#[divan::bench(args = KINDS)]
fn mime(bencher: Bencher<'_, '_>, kind: EventKind) {
    let (composer, sample) = (composer(kind), Sample::new());
    let rendered = composer.compose(&sample.recipient()).expect("rendered");
    let letterhead = Letterhead::new(&sample.sender, composer.subject());
    let size = assemble(&letterhead, &rendered, &sample).len();
    bencher
        .counter(BytesCount::new(size))
        .bench(|| assemble(&letterhead, black_box(&rendered), &sample));
}
