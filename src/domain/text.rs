//! Free text from outside, made safe for a header and for a reader's eye.

use std::fmt;

/// Longest name that is kept, in characters; longer ones are cut.
const MAX_NAME: usize = 120;

/// A name as shown: one line, no control or direction characters, at most 120 characters, possibly
/// empty. Any text can be made into one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct DisplayName(String);

impl DisplayName {
    /// Cleans `text`.
    pub fn clean(text: &str) -> Self {
        Self(one_line(text, MAX_NAME))
    }

    /// The cleaned text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing was left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `text` on one line: every run of white space and control characters becomes one space, characters
/// that only steer the display are dropped, and what exceeds `max` characters is cut with `…`.
pub fn one_line(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max * 4));
    let mut length = 0;
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            gap = !out.is_empty();
        } else if !is_format_control(c) {
            if length + usize::from(gap) >= max {
                out.pop();
                out.push('…');
                break;
            }
            if std::mem::take(&mut gap) {
                out.push(' ');
                length += 1;
            }
            out.push(c);
            length += 1;
        }
    }
    out
}

/// Bidi controls, zero-width and other invisible characters that can make a text look like another
/// (Unicode TR 36 2.5), but not the joiners that scripts and emoji need.
pub(super) fn is_format_control(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("Ann", "Ann")]
    #[case("  Ann \t Lee ", "Ann Lee")]
    #[case("Ann\r\nBcc: eve@example.com", "Ann Bcc: eve@example.com")]
    #[case("A\0nn", "A nn")]
    #[case("\u{202e}nnA\u{2066}", "nnA")]
    #[case("Zoë 👩‍🚀", "Zoë 👩‍🚀")]
    #[case("\r\n", "")]
    fn names(#[case] given: &str, #[case] kept: &str) {
        assert_eq!(DisplayName::clean(given).as_str(), kept);
    }

    #[test]
    fn long_names_are_cut() {
        let name = DisplayName::clean(&"x".repeat(10_000));
        assert_eq!(name.as_str().chars().count(), MAX_NAME);
        assert!(name.as_str().ends_with('…'));
        assert_eq!(
            DisplayName::clean(&"x".repeat(MAX_NAME)).as_str(),
            "x".repeat(MAX_NAME)
        );
    }

    proptest! {
        #[test]
        fn always_one_safe_line(s in "\\PC{0,300}|.{0,300}", max in 1usize..50) {
            let line = one_line(&s, max);
            prop_assert!(line.chars().count() <= max);
            prop_assert!(!line.chars().any(|c| c.is_control() || is_format_control(c)));
            prop_assert_eq!(one_line(&line, max), line.clone());
        }
    }
}
