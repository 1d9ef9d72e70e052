//! Times as people read them, in the event's zone.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use crate::message::EventDetails;

use super::context::WhenContext;

/// What times are shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    Named(Tz),
    Fixed(FixedOffset),
}

/// A time in a zone: its wall clock, and what the zone is called then.
struct Local {
    clock: NaiveDateTime,
    offset: FixedOffset,
    zone: String,
}

impl Zone {
    /// The event's zone, else the offset of its start; `None` where neither is known.
    pub(super) fn of(details: &EventDetails) -> Option<Self> {
        let fixed = || details.starts_at.map(|t| Self::Fixed(*t.offset()));
        details.timezone.map(Self::Named).or_else(fixed)
    }

    fn local(self, at: DateTime<Utc>) -> Local {
        let (offset, zone) = match self {
            Self::Fixed(offset) => (offset, utc_offset(offset)),
            Self::Named(tz) => {
                let offset = tz.offset_from_utc_datetime(&at.naive_utc());
                (offset.fix(), named(tz, &offset.to_string(), offset.fix()))
            }
        };
        let clock = at.with_timezone(&offset).naive_local();
        Local { clock, offset, zone }
    }

    /// The zone's name where it is without regard to a time.
    fn name(self) -> String {
        match self {
            Self::Fixed(offset) => utc_offset(offset),
            Self::Named(tz) => tz.name().to_owned(),
        }
    }
}

/// When the event takes place, where a start is known that a calendar can hold.
pub(super) fn words(details: &EventDetails, zone: Option<Zone>) -> Option<WhenContext> {
    let (start, end) = span(details)?;
    let zone = zone?;
    let first = zone.local(start);
    let last = end.map(|end| zone.local(end));
    let other_day = last.as_ref().filter(|l| l.clock.date() != first.clock.date());
    // Across a change of the clocks one abbreviation would be wrong for one of the two times.
    let one_offset = last.as_ref().is_none_or(|l| l.offset == first.offset);
    Some(WhenContext {
        start_date: date(first.clock),
        start_time: time(first.clock),
        end_date: other_day.map(|l| date(l.clock)),
        end_time: last.as_ref().map(|l| time(l.clock)),
        starts_at: start.with_timezone(&first.offset).to_rfc3339(),
        ends_at: end
            .zip(last.as_ref())
            .map(|(end, l)| end.with_timezone(&l.offset).to_rfc3339()),
        zone: if one_offset { first.zone } else { zone.name() },
    })
}

/// Start and end in UTC. An end that is not after the start is as good as unknown, and so is a year
/// that has not four digits (RFC 5545 3.3.4).
pub(super) fn span(details: &EventDetails) -> Option<(DateTime<Utc>, Option<DateTime<Utc>>)> {
    let sane = |at: DateTime<FixedOffset>| {
        let at = at.to_utc();
        (1..=9998).contains(&at.year()).then_some(at)
    };
    let start = details.starts_at.and_then(sane)?;
    let end = details.ends_at.and_then(sane).filter(|&end| end > start);
    Some((start, end))
}

/// An RFC 3339 time as people read it, `None` for any other text. Names its offset unless it is shown in
/// `zone`, which stands beside it.
pub(super) fn moment(text: &str, zone: Option<Zone>) -> Option<String> {
    let at = DateTime::parse_from_rfc3339(text).ok()?;
    if !(1..=9998).contains(&at.to_utc().year()) {
        return None;
    }
    let local = zone.unwrap_or(Zone::Fixed(*at.offset())).local(at.to_utc());
    let words = format!("{}, {}", date(local.clock), time(local.clock));
    Some(if zone.is_some() {
        words
    } else {
        format!("{words} ({})", local.zone)
    })
}

fn date(clock: NaiveDateTime) -> String {
    clock.format("%A, %-d %B %Y").to_string()
}

fn time(clock: NaiveDateTime) -> String {
    clock.format("%H:%M").to_string()
}

/// `Europe/Berlin, CET`; where a zone has no abbreviation of letters, `Asia/Dubai, UTC+04:00`.
fn named(tz: Tz, abbreviation: &str, offset: FixedOffset) -> String {
    let name = tz.name();
    if abbreviation == name {
        name.to_owned()
    } else if abbreviation.starts_with(|c: char| c.is_ascii_alphabetic()) {
        format!("{name}, {abbreviation}")
    } else {
        format!("{name}, {}", utc_offset(offset))
    }
}

fn utc_offset(offset: FixedOffset) -> String {
    if offset.local_minus_utc() == 0 {
        "UTC".to_owned()
    } else {
        format!("UTC{offset}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn details(start: &str, end: &str, zone: &str) -> EventDetails {
        EventDetails {
            starts_at: start.parse().ok(),
            ends_at: end.parse().ok(),
            timezone: zone.parse().ok(),
            ..EventDetails::default()
        }
    }

    fn shown(start: &str, end: &str, zone: &str) -> Option<String> {
        let details = details(start, end, zone);
        let w = words(&details, Zone::of(&details))?;
        let end = [w.end_date, w.end_time]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        Some(format!("{} {} | {end} | {}", w.start_date, w.start_time, w.zone))
    }

    #[rstest]
    #[case::same_day(
        "2026-12-01T18:00:00+01:00",
        "2026-12-01T21:00:00+01:00",
        "Europe/Berlin",
        "Tuesday, 1 December 2026 18:00 | 21:00 | Europe/Berlin, CET"
    )]
    #[case::summer(
        "2026-07-01T16:00:00Z",
        "",
        "Europe/Berlin",
        "Wednesday, 1 July 2026 18:00 |  | Europe/Berlin, CEST"
    )]
    #[case::two_days(
        "2026-12-01T18:00:00+01:00",
        "2026-12-02T02:00:00+01:00",
        "Europe/Berlin",
        "Tuesday, 1 December 2026 18:00 | Wednesday, 2 December 2026 02:00 | Europe/Berlin, CET"
    )]
    #[case::clocks_change(
        "2026-10-24T20:00:00+02:00",
        "2026-10-25T10:00:00+01:00",
        "Europe/Berlin",
        "Saturday, 24 October 2026 20:00 | Sunday, 25 October 2026 10:00 | Europe/Berlin"
    )]
    #[case::offset(
        "2026-12-01T18:00:00+05:30",
        "2026-12-01T13:30:00Z",
        "",
        "Tuesday, 1 December 2026 18:00 | 19:00 | UTC+05:30"
    )]
    #[case::utc("2026-12-01T18:00:00Z", "", "", "Tuesday, 1 December 2026 18:00 |  | UTC")]
    #[case::utc_by_name("2026-12-01T18:00:00Z", "", "UTC", "Tuesday, 1 December 2026 18:00 |  | UTC")]
    #[case::no_letters(
        "2026-12-01T18:00:00Z",
        "",
        "Asia/Dubai",
        "Tuesday, 1 December 2026 22:00 |  | Asia/Dubai, UTC+04:00"
    )]
    #[case::end_before_start(
        "2026-12-01T18:00:00Z",
        "2026-12-01T17:00:00Z",
        "",
        "Tuesday, 1 December 2026 18:00 |  | UTC"
    )]
    fn ranges(#[case] start: &str, #[case] end: &str, #[case] zone: &str, #[case] expected: &str) {
        assert_eq!(shown(start, end, zone).as_deref(), Some(expected));
    }

    #[test]
    fn unknown_or_impossible_starts_show_nothing() {
        assert_eq!(shown("", "2026-12-01T18:00:00Z", "Europe/Berlin"), None);
        let mut far = details("2026-12-01T18:00:00Z", "", "Pacific/Kiritimati");
        for at in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
            far.starts_at = Some(at.fixed_offset());
            assert_eq!(words(&far, Zone::of(&far)), None);
        }
    }

    #[test]
    fn moments_are_worded_in_the_zone() {
        let berlin = Some(Zone::Named(chrono_tz::Europe::Berlin));
        let words = moment("2026-12-01T17:00:00Z", berlin);
        assert_eq!(words.as_deref(), Some("Tuesday, 1 December 2026, 18:00"));
        let words = moment("2026-12-01T17:00:00-03:00", None);
        assert_eq!(
            words.as_deref(),
            Some("Tuesday, 1 December 2026, 17:00 (UTC-03:00)")
        );
        assert_eq!(moment("18:00", berlin), None);
        assert_eq!(moment("Hall 2", berlin), None);
    }
}
