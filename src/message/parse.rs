//! From the bytes of a delivery to a [`Message`].

use chrono::DateTime;

use super::fields::Fields;
use super::json::parse_object;
use super::refusal::quote;
use super::{
    Attachment, Change, Customer, Detail, EventDetails, EventKind, EventMessage, Item, Message, MessageKind,
    Order, OrderKind, OrderMessage, PipelineKind, PipelineMessage, Reason, Refusal, Report,
};
use crate::domain::{EventId, Severity, TenantId};

/// Bytes of a body at most.
pub const MAX_BODY: usize = 1_048_576;
/// Entries of `changes` at most.
pub const MAX_CHANGES: usize = 1_000;
/// Entries of `attachments` at most.
pub const MAX_ATTACHMENTS: usize = 20;
/// Entries of `items`, `details` and `failed_checks` at most, each.
pub const MAX_ENTRIES: usize = 1_000;

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
    let kind = MessageKind::from_word(&word).ok_or_else(|| {
        let error = format!("type: `{}` is not a type that is known here", quote(&word));
        Refusal::new(Reason::UnknownType, &error).at("type")
    })?;
    match kind {
        MessageKind::Event(kind) => event_message(kind, fields).map(Message::Event),
        MessageKind::Order(kind) => order_message(kind, fields).map(Message::Order),
        MessageKind::Pipeline(kind) => pipeline_message(kind, fields).map(Message::Pipeline),
    }
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

fn order_message(kind: OrderKind, mut fields: Fields) -> Result<OrderMessage, Refusal> {
    let wanted = "a text of 1 to 255 characters without control characters";
    let order_id = fields.parsed("order_id", wanted, |s| s.parse().ok())?;
    let order_id = order_id.ok_or_else(|| fields.missing("order_id"))?;
    let customer = fields.object("customer")?;
    let customer = customer.ok_or_else(|| fields.missing("customer.email"))?;
    let status = match kind {
        OrderKind::Created => fields.string("status")?,
        OrderKind::StatusUpdated => Some(fields.required("status")?),
    };
    Ok(OrderMessage {
        tenant_id: tenant_id(&mut fields)?,
        version: fields.integer("version", 0)?,
        customer: self::customer(customer)?,
        order: Order {
            kind,
            order_id,
            currency: fields.string("currency")?,
            total: fields.money("total")?,
            items: fields.objects("items", MAX_ENTRIES, item)?,
            previous_status: fields.string("previous_status")?,
            status,
        },
    })
}

fn customer(mut fields: Fields) -> Result<Customer, Refusal> {
    let email = fields.parsed("email", "an e-mail address", |s| s.parse().ok())?;
    Ok(Customer {
        email: email.ok_or_else(|| fields.missing("email"))?,
        name: fields.string("name")?,
    })
}

fn item(mut fields: Fields) -> Result<Item, Refusal> {
    Ok(Item {
        name: fields.string("name")?,
        quantity: fields.integer("quantity", 0)?,
        price: fields.money("price")?,
    })
}

fn pipeline_message(kind: PipelineKind, mut fields: Fields) -> Result<PipelineMessage, Refusal> {
    let severities = "one of info, warning, error and critical";
    let details = fields.texts("details", MAX_ENTRIES)?.into_iter();
    Ok(PipelineMessage {
        tenant_id: tenant_id(&mut fields)?,
        version: fields.integer("version", 0)?,
        severity: fields.parsed("severity", severities, |s| s.parse::<Severity>().ok())?,
        title: fields.string("title")?,
        message: fields.string("message")?,
        report: Report {
            kind,
            pipeline_id: fields.string("pipeline_id")?,
            pipeline_logging_id: fields.string("pipeline_logging_id")?,
            duration_ms: fields.amount("duration_ms")?,
            error_message: fields.string("error_message")?,
            table_name: fields.string("table_name")?,
            failed_checks: fields.strings("failed_checks", MAX_ENTRIES)?,
            details: details.map(|(name, value)| Detail { name, value }).collect(),
        },
    })
}
