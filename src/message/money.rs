//! Amounts of money. They are never rounded: a decimal string stays what it was.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Digits before and after the point at most.
const MAX_DIGITS: (usize, usize) = (15, 6);

/// What a text should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a decimal string such as 49.90, with at most 15 digits before the point and 6 after it")]
pub struct MoneyError;

/// An amount, exact, with as many digits behind the point as it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Money {
    /// In units of 10^-`decimals`.
    units: i128,
    decimals: u8,
}

impl Money {
    /// So many of it; `None` beyond 38 digits.
    pub fn times(self, quantity: i64) -> Option<Self> {
        let units = self.units.checked_mul(i128::from(quantity))?;
        Some(Self { units, ..self })
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(s: &str) -> Result<Self, MoneyError> {
        let digits = s.strip_prefix('-').unwrap_or(s);
        let (whole, part) = match digits.split_once('.') {
            Some((_, "")) => return Err(MoneyError),
            Some(pair) => pair,
            None => (digits, ""),
        };
        let fits = |text: &str, most| text.len() <= most && text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !fits(whole, MAX_DIGITS.0) || !fits(part, MAX_DIGITS.1) {
            return Err(MoneyError);
        }
        let units: i128 = format!("{whole}{part}").parse().map_err(|_| MoneyError)?;
        Ok(Self {
            units: if digits.len() < s.len() { -units } else { units },
            decimals: u8::try_from(part.len()).map_err(|_| MoneyError)?,
        })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = usize::from(self.decimals);
        let digits = format!("{:0>width$}", self.units.unsigned_abs(), width = decimals + 1);
        let (whole, part) = digits.split_at(digits.len() - decimals);
        let sign = if self.units < 0 { "-" } else { "" };
        write!(f, "{sign}{whole}")?;
        if decimals > 0 {
            write!(f, ".{part}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Money {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, MoneyError> {
        text.parse()
    }
}

impl From<Money> for String {
    fn from(money: Money) -> Self {
        money.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("49.90", "49.90")]
    #[case("0", "0")]
    #[case("-0.05", "-0.05")]
    #[case("007.5", "7.5")]
    #[case("999999999999999.999999", "999999999999999.999999")]
    fn amounts(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(text.parse::<Money>().unwrap().to_string(), shown);
    }

    #[rstest]
    #[case("")]
    #[case("-")]
    #[case("1.")]
    #[case(".5")]
    #[case("1,50")]
    #[case("1e3")]
    #[case("+1")]
    #[case("--1")]
    #[case("1.2.3")]
    #[case("١")]
    #[case("1000000000000000")]
    #[case("0.0000001")]
    fn no_amounts(#[case] text: &str) {
        assert_eq!(text.parse::<Money>(), Err(MoneyError));
    }

    #[test]
    fn sums_are_exact() {
        let price: Money = "24.95".parse().unwrap();
        assert_eq!(price.times(2).unwrap().to_string(), "49.90");
        assert_eq!(price.times(0).unwrap().to_string(), "0.00");
        let most: Money = "999999999999999.999999".parse().unwrap();
        assert!(most.times(i64::MAX).is_none_or(|sum| sum.to_string().len() < 50));
    }

    proptest! {
        #[test]
        fn never_panics_and_round_trips(text in "-?[0-9]{0,17}\\.?[0-9]{0,8}|.{0,9}") {
            if let Ok(money) = text.parse::<Money>() {
                prop_assert_eq!(money.to_string().parse::<Money>(), Ok(money));
            }
        }
    }
}
