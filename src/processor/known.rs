//! What the `events` table says, as far as it makes sense: other systems write it, and a value that is
//! none is left out of the e-mail rather than holding it up.

use chrono::{DateTime, FixedOffset, NaiveDateTime};

use crate::message::EventDetails;
use crate::repository::EventRow;

pub(super) fn details(row: EventRow) -> EventDetails {
    let url = row.url.and_then(|u| url::Url::parse(u.trim()).ok());
    EventDetails {
        title: text(row.title),
        starts_at: row.starts_at.map(utc),
        ends_at: row.ends_at.map(utc),
        timezone: row.timezone.and_then(|t| t.trim().parse().ok()),
        location: text(row.location),
        url: url.filter(|u| matches!(u.scheme(), "http" | "https")),
    }
}

fn text(value: Option<String>) -> Option<String> {
    value.filter(|v| !v.trim().is_empty())
}

fn utc(time: NaiveDateTime) -> DateTime<FixedOffset> {
    time.and_utc().fixed_offset()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_left_out() {
        let row = EventRow {
            title: Some("  ".into()),
            timezone: Some("Mars/Olympus".into()),
            url: Some("javascript:alert(1)".into()),
            location: Some("Hall 1".into()),
            ..EventRow::default()
        };
        let details = details(row);
        assert_eq!(
            details,
            EventDetails {
                location: Some("Hall 1".into()),
                ..EventDetails::default()
            }
        );
    }
}
