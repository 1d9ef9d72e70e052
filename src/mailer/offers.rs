//! What a relay offers in its reply to EHLO.

use super::fault::{Fault, FaultCause, Phase};
use super::handover::{Handover, Refusal};
use super::parcel::Parcel;
use super::pipeline::Pace;

/// What the relay offers (the reply to EHLO).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each keyword is there or not")]
pub(super) struct Offers {
    pub(super) starttls: bool,
    pub(super) smtputf8: bool,
    pub(super) eightbit: bool,
    pub(super) plain: bool,
    pub(super) login: bool,
    pub(super) pipelining: bool,
    pub(super) chunking: bool,
    pub(super) size: bool,
    /// The largest e-mail it takes, in bytes, where it says so.
    pub(super) largest: Option<usize>,
}

impl Offers {
    /// How e-mails may follow each other.
    pub(super) const fn pace(&self) -> Pace {
        match (self.pipelining, self.chunking) {
            (true, true) => Pace::Chunked,
            (true, false) => Pace::Pipelined,
            (false, _) => Pace::Lockstep,
        }
    }

    /// What MAIL says of the e-mail besides its sender, each with a space before it: SIZE (RFC 1870), and
    /// SMTPUTF8 and 8BITMIME where it needs them (RFC 6531, RFC 6152). Or why it can't be handed over here.
    pub(super) fn parameters(&self, parcel: &Parcel<'_>) -> Result<String, Handover> {
        let mut parameters = String::new();
        if let Some(limit) = self.largest.filter(|&limit| parcel.email.len() > limit) {
            return Err(Handover::RefusedForGood {
                phase: Phase::Mail,
                refusal: Refusal::TooLarge { limit },
            });
        }
        if self.size {
            parameters = format!(" SIZE={}", parcel.email.len());
        }
        let (from, to) = (parcel.from.needs_smtputf8(), parcel.to.needs_smtputf8());
        if !(from || to) && parcel.email.is_ascii() {
            return Ok(parameters);
        }
        if !self.smtputf8 {
            return Err(if from {
                Handover::Unsent(Fault::new(Phase::Mail, FaultCause::NoSmtpUtf8))
            } else {
                Handover::RefusedForGood {
                    phase: Phase::Rcpt,
                    refusal: Refusal::NoSmtpUtf8,
                }
            });
        }
        parameters.push_str(" SMTPUTF8");
        if self.eightbit {
            parameters.push_str(" BODY=8BITMIME");
        }
        Ok(parameters)
    }

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
                Some("PIPELINING") => offers.pipelining = true,
                Some("CHUNKING") => offers.chunking = true,
                Some("SIZE") => {
                    offers.size = true;
                    // 0 is no limit.
                    offers.largest = words.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
                }
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
