//! Text from outside, made fit to be shown.

use chrono::{DateTime, Utc};

use crate::domain::one_line;

/// `text` on one line; `None` where nothing is left of it.
pub(super) fn line(text: Option<&String>, max: usize) -> Option<String> {
    let line = one_line(text?, max);
    (!line.is_empty()).then_some(line)
}

/// The same with its line breaks, as LF, and its indentation: what a program printed. Lines have no
/// trailing spaces, and nothing but a single empty line stands between two others.
pub(super) fn lines(text: Option<&String>, max: usize) -> Option<String> {
    let plain = text?.replace("\r\n", "\n");
    let mut out = String::new();
    let mut empty = 0;
    let mut room = max;
    for raw in plain.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
        // Twice the room is enough whatever is dropped, and spares the rest of a giant text.
        let kept: String = raw.chars().take(2 * room).filter_map(visible).collect();
        let kept = kept.trim_end();
        if kept.is_empty() {
            empty += 1;
            continue;
        }
        let breaks = if out.is_empty() {
            0
        } else {
            1 + usize::from(empty > 0)
        };
        empty = 0;
        if room <= breaks + 1 {
            out.push('…');
            break;
        }
        out.extend(std::iter::repeat_n('\n', breaks));
        room -= breaks;
        let length = kept.chars().count();
        if length > room - 1 {
            out.extend(kept.chars().take(room - 1));
            out.push('…');
            break;
        }
        out.push_str(kept);
        room -= length;
    }
    (!out.is_empty()).then_some(out)
}

/// A character within a line as it is shown: white space as a space, and none that is invisible.
fn visible(c: char) -> Option<char> {
    match c {
        ' '..='~' => Some(c),
        _ if c.is_whitespace() => Some(' '),
        _ => (!one_line(c.encode_utf8(&mut [0; 4]), 1).is_empty()).then_some(c),
    }
}

/// `starts_at` as `Starts at`.
pub(super) fn label(field: &str, max: usize) -> String {
    let words = one_line(&field.replace('_', " "), max);
    let mut chars = words.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

/// Such as `850 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(super) fn duration(ms: u64) -> String {
    let pair = |large: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {part}"),
    };
    let (seconds, minutes, hours) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => match ms % 1000 / 100 {
            0 => format!("{seconds} s"),
            tenths => format!("{seconds}.{tenths} s"),
        },
        60_000..3_600_000 => pair(minutes, "min", seconds % 60, "s"),
        3_600_000..86_400_000 => pair(hours, "h", minutes % 60, "min"),
        _ => pair(hours / 24, "d", hours % 24, "h"),
    }
}

/// `20 November 2026, 09:30:00 UTC`
pub(super) fn utc(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y, %H:%M:%S UTC").to_string()
}

/// How many equal messages were not told, `None` where there are none.
pub(super) fn held_back(count: u64) -> Option<String> {
    match count {
        0 => None,
        1 => Some("1 similar notification was held back since the last one.".to_owned()),
        _ => Some(format!(
            "{count} similar notifications were held back since the last one."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("location", "Location")]
    #[case("starts_at", "Starts at")]
    #[case("__", "")]
    #[case("ßeta", "SSeta")]
    fn labels(#[case] field: &str, #[case] shown: &str) {
        assert_eq!(label(field, 80), shown);
    }

    #[rstest]
    #[case(0, "0 ms")]
    #[case(999, "999 ms")]
    #[case(1000, "1 s")]
    #[case(1200, "1.2 s")]
    #[case(59_999, "59.9 s")]
    #[case(60_000, "1 min")]
    #[case(200_000, "3 min 20 s")]
    #[case(7_500_000, "2 h 5 min")]
    #[case(86_400_000, "1 d")]
    #[case(273_600_000, "3 d 4 h")]
    #[case(u64::MAX, "213503982334 d 14 h")]
    fn durations(#[case] ms: u64, #[case] shown: &str) {
        assert_eq!(duration(ms), shown);
    }

    #[rstest]
    #[case("one", "one")]
    #[case("a\r\nb\rc\nd", "a\nb\nc\nd")]
    #[case("\n\n a  \n\n\n\t b\u{1b}[31m\u{202e}\n ", " a\n\n  b[31m")]
    #[case("a\u{2028}b\u{85}c", "a\nb\nc")]
    fn several_lines(#[case] given: &str, #[case] kept: &str) {
        assert_eq!(lines(Some(&given.to_owned()), 100).as_deref(), Some(kept));
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(lines(None, 10), None);
        assert_eq!(lines(Some(&" \r\n\u{200b}".to_owned()), 10), None);
        assert_eq!(line(Some(&" \n".to_owned()), 10), None);
    }

    #[rstest]
    #[case(0, None)]
    #[case(1, Some("1 similar notification was held back since the last one."))]
    #[case(19, Some("19 similar notifications were held back since the last one."))]
    fn what_was_held_back(#[case] count: u64, #[case] said: Option<&str>) {
        assert_eq!(held_back(count).as_deref(), said);
    }

    proptest! {
        #[test]
        fn bounded_and_clean(s in "(.|\\n|\\r){0,200}|[a\\n ]{0,200}", max in 3usize..60) {
            let kept = lines(Some(&s), max).unwrap_or_default();
            prop_assert!(kept.chars().count() <= max, "{} > {max}", kept.chars().count());
            prop_assert!(!kept.chars().any(|c| c.is_control() && c != '\n'));
            prop_assert!(!kept.contains("\n\n\n"));
            prop_assert_eq!(lines(Some(&kept), max).unwrap_or_default(), kept);
        }
    }
}
