//! `herald preview`.

use std::io::Write;
use std::sync::Arc;

use super::arguments::Format;
use super::{Failure, load_config};
use crate::mailer::{Draft, Letterhead};
use crate::render::{Rendered, Sample, Templates};

pub(super) fn preview(template: &str, format: Format) -> Result<(), Failure> {
    let config = load_config()?;
    let templates = Templates::load(config.templates_dir.as_deref());
    let templates = Arc::new(templates.map_err(|e| Failure::Usage(e.to_string()))?);
    let rendered = templates
        .preview(template)
        .map_err(|e| Failure::Usage(e.to_string()))?;
    let shown = match format {
        Format::Html => rendered.html.into_bytes(),
        Format::Text => format!("Subject: {}\n\n{}", rendered.subject, rendered.text).into_bytes(),
        Format::Eml => eml(&rendered)?,
    };
    // A reader that has seen enough (`| head`) is no failure.
    let _ = std::io::stdout().write_all(&shown);
    Ok(())
}

fn eml(rendered: &Rendered) -> Result<Vec<u8>, Failure> {
    let sample = Sample::new();
    let recipient = sample.recipient();
    let draft = Draft {
        to: recipient.address,
        to_name: recipient.name,
        message_id: "preview@example.com",
        date: super::CLOCK(),
        unsubscribe_url: recipient.unsubscribe_url,
        boundary_id: "preview",
        text: &rendered.text,
        html: &rendered.html,
        calendar: rendered.calendar.as_ref().map(|c| (c.method, c.body.as_str())),
    };
    Letterhead::new(&sample.sender, &rendered.subject)
        .assemble(&draft)
        .map_err(|e| Failure::Failed(e.to_string()))
}
