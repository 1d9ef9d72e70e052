//! What a relay offers in its reply to EHLO.

/// What the relay offers (the reply to EHLO).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each keyword is there or not")]
pub(super) struct Offers {
    pub(super) starttls: bool,
    pub(super) smtputf8: bool,
    pub(super) eightbit: bool,
    pub(super) plain: bool,
    pub(super) login: bool,
}

impl Offers {
    /// Keywords in any case (RFC 5321 4.1.1.1); `AUTH=` is an older way to write it.
    pub(super) fn from_lines(lines: &[String]) -> Self {
        let mut offers = Self::default();
        for line in lines.iter().skip(1) {
            let line = line.to_ascii_uppercase().replace('=', " ");
            let mut words = line.split_whitespace();
            match words.next() {
                Some("STARTTLS") => offers.starttls = true,
                Some("SMTPUTF8") => offers.smtputf8 = true,
                Some("8BITMIME") => offers.eightbit = true,
                Some("AUTH") => {
                    for mechanism in words {
                        offers.plain |= mechanism == "PLAIN";
                        offers.login |= mechanism == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        offers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_in_any_case() {
        let lines = [
            "relay",
            "starttls",
            " ",
            "",
            "Auth=plain",
            "AUTH LOGIN CRAM-MD5",
            "8bitmime",
        ];
        let offers = Offers::from_lines(&lines.map(str::to_owned));
        assert!(offers.starttls && offers.plain && offers.login && offers.eightbit);
        assert!(!offers.smtputf8);
        assert_eq!(Offers::from_lines(&["STARTTLS".to_owned()]), Offers::default());
    }
}
