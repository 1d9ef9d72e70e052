//! An e-mail to show, assembled as those that are sent.

use chrono::{DateTime, Utc};

use super::email::{Draft, Letterhead, MimeError};
use crate::render::{Rendered, Sample};

/// What was rendered from sample data, as it would be handed over.
pub fn preview(rendered: &Rendered, date: DateTime<Utc>) -> Result<Vec<u8>, MimeError> {
    let sample = Sample::new();
    let recipient = sample.recipient();
    let draft = Draft {
        to: recipient.address,
        to_name: recipient.name,
        message_id: "preview@example.com",
        date,
        unsubscribe_url: recipient.unsubscribe_url,
        boundary_id: "preview",
        text: &rendered.text,
        html: &rendered.html,
        calendar: rendered.calendar.as_ref().map(|c| (c.method, c.body.as_str())),
    };
    Letterhead::new(&sample.sender, &rendered.subject)
        .assemble(&draft)
        .map(|email| email.own.to_vec())
}
