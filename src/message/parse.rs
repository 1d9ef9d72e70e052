//! From the bytes of a delivery to a [`Message`].

use chrono::DateTime;

use super::fields::Fields;
use super::json::parse_object;
use super::refusal::quote;
use super::{Attachment, Change, EventDetails, EventKind, EventMessage, Message, Reason, Refusal};
use crate::domain::{EventId, TenantId};

/// Bytes of a body at most.
pub const MAX_BODY: usize = 1_048_576;
/// Entries of `changes` at most.
pub const MAX_CHANGES: usize = 1_000;
/// Entries of `attachments` at most.
pub const MAX_ATTACHMENTS: usize = 20;

/// Takes exactly what the contract allows. Fields that it does not know are ignored.
///
/// # Errors
/// The first thing that is wrong; the same body is refused for the same reason every time.
pub fn parse(body: &[u8]) -> Result<Message, Refusal> {
    if body.len() > MAX_BODY {
        let error = format!("the body has {} bytes, {MAX_BODY} at most are taken", body.len());
        return Err(Refusal::new(Reason::TooLarge, &error));
    }
    let mut fields = Fields::root(parse_object(body)?);
    let word = fields.string("type")?.ok_or_else(|| fields.missing("type"))?;
    let kind = EventKind::ALL.iter().find(|kind| kind.as_str() == word);
    let kind = kind.ok_or_else(|| {
        let error = format!("type: `{}` is not a type that is known here", quote(&word));
        Refusal::new(Reason::UnknownType, &error)
    })?;
    event_message(*kind, fields).map(Message::Event)
}

fn event_message(kind: EventKind, mut fields: Fields) -> Result<EventMessage, Refusal> {
    let id = fields.integer("event_id", 1)?;
    let id = id.and_then(|id| EventId::new(id).ok());
    Ok(EventMessage {
        kind,
        event_id: id.ok_or_else(|| fields.missing("event_id"))?,
        tenant_id: tenant_id(&mut fields)?,
        version: fields.integer("version", 0)?,
        event: fields
            .object("event")?
            .map(event_details)
            .transpose()?
            .unwrap_or_default(),
        changes: fields.objects("changes", MAX_CHANGES, change)?,
        attachments: fields.objects("attachments", MAX_ATTACHMENTS, attachment)?,
    })
}

fn tenant_id(fields: &mut Fields) -> Result<Option<TenantId>, Refusal> {
    let text = fields.string("tenant_id")?;
    text.map(|text| {
        text.parse()
            .map_err(|e| Refusal::field(&fields.path("tenant_id"), &format!("`{}`: {e}", quote(&text))))
    })
    .transpose()
}

fn event_details(mut fields: Fields) -> Result<EventDetails, Refusal> {
    let time = "an RFC 3339 time such as 2026-12-01T18:00:00+01:00";
    let parse_time = |s: &str| DateTime::parse_from_rfc3339(s).ok();
    Ok(EventDetails {
        title: fields.string("title")?,
        starts_at: fields.parsed("starts_at", time, parse_time)?,
        ends_at: fields.parsed("ends_at", time, parse_time)?,
        timezone: fields.parsed("timezone", "an IANA time zone such as Europe/Berlin", |s| {
            s.parse().ok()
        })?,
        location: fields.string("location")?,
        url: fields.url("url")?,
    })
}

fn change(mut fields: Fields) -> Result<Change, Refusal> {
    Ok(Change {
        field: fields.required("field")?,
        from: fields.string("from")?,
        to: fields.string("to")?,
    })
}

fn attachment(mut fields: Fields) -> Result<Attachment, Refusal> {
    Ok(Attachment {
        url: fields.url("url")?.ok_or_else(|| fields.missing("url"))?,
        name: fields.required("name")?,
    })
}
