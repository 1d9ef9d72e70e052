//! The values that variables take. Each parser's error says what would have been taken.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::reader::Takes;

/// `true`/`false`, `1`/`0`, `yes`/`no` in any case.
pub(super) fn boolean(s: &str) -> Result<bool, Takes> {
    match s.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("true or false, 1 or 0, yes or no".to_owned()),
    }
}

/// An integer within `range`.
pub(super) fn integer<T>(range: RangeInclusive<T>) -> impl FnOnce(&str) -> Result<T, Takes>
where
    T: FromStr + PartialOrd + Display,
{
    move |s| {
        s.parse()
            .ok()
            .filter(|n| range.contains(n))
            .ok_or_else(|| format!("an integer from {} to {}", range.start(), range.end()))
    }
}

/// A duration within `range`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, Takes> {
    move |s| {
        parse_duration(s).filter(|d| range.contains(d)).ok_or_else(|| {
            format!(
                "a duration such as 500ms, 5s, 10m, 2h or 7d, or a number of seconds, from {} to {}",
                show_duration(*range.start()),
                show_duration(*range.end())
            )
        })
    }
}

/// Durations within `range` each, separated by commas.
pub(super) fn durations(
    range: RangeInclusive<Duration>,
    most: usize,
) -> impl FnOnce(&str) -> Result<Vec<Duration>, Takes> {
    move |s| {
        let parse = duration(range.clone());
        let steps = s.split(',').map(|step| parse(step.trim()));
        steps
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|steps| steps.len() <= most)
            .ok_or_else(|| {
                format!(
                    "at most {most} durations such as 5m,30m,2h, each from {} to {}, or nothing",
                    show_duration(*range.start()),
                    show_duration(*range.end())
                )
            })
    }
}

/// A number, with or without a unit; fractions are allowed.
fn parse_duration(s: &str) -> Option<Duration> {
    let end = s
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(s.len());
    let (number, unit) = s.split_at(end);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let nanos = (number.parse::<f64>().ok()? * seconds * 1e6).round() / 1e6;
    Duration::try_from_secs_f64(nanos).ok()
}

fn show_duration(d: Duration) -> String {
    let ms = d.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let whole = units.iter().find(|&&(_, n)| ms > 0 && ms.is_multiple_of(n));
    whole.map_or_else(|| format!("{ms}ms"), |(unit, n)| format!("{}{unit}", ms / n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("500ms", Some(500))]
    #[case("5s", Some(5_000))]
    #[case("10m", Some(600_000))]
    #[case("2h", Some(7_200_000))]
    #[case("7d", Some(604_800_000))]
    #[case("5", Some(5_000))]
    #[case("0.5", Some(500))]
    #[case("1.5s", Some(1_500))]
    #[case("0", Some(0))]
    #[case("", None)]
    #[case("s", None)]
    #[case("5 s", None)]
    #[case("-5s", None)]
    #[case("5S", None)]
    #[case("5w", None)]
    #[case("1e3", None)]
    #[case("1.2.3", None)]
    #[case("inf", None)]
    fn durations_as_the_contract_writes_them(#[case] text: &str, #[case] ms: Option<u64>) {
        assert_eq!(parse_duration(text), ms.map(Duration::from_millis));
    }

    #[rstest]
    #[case("true", Some(true))]
    #[case("YES", Some(true))]
    #[case("1", Some(true))]
    #[case("No", Some(false))]
    #[case("FALSE", Some(false))]
    #[case("0", Some(false))]
    #[case("on", None)]
    #[case("2", None)]
    fn booleans(#[case] text: &str, #[case] value: Option<bool>) {
        assert_eq!(boolean(text).ok(), value);
    }

    #[test]
    fn ranges_are_named() {
        let takes = duration(Duration::ZERO..=Duration::from_hours(2))("3h").unwrap_err();
        assert!(takes.ends_with("from 0ms to 2h"), "{takes}");
        let takes = integer(1..=65_535)("0").unwrap_err();
        assert_eq!(takes, "an integer from 1 to 65535");
    }

    proptest! {
        #[test]
        fn never_panics(s in ".{0,40}|[0-9.]{0,400}[a-z]{0,3}") {
            let _ = parse_duration(&s);
        }
    }
}
