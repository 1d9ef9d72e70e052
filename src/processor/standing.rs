//! How one identity stands with a relay. A relay that refuses one sender refuses nobody else for it: what it
//! says of the sender closes the way for that identity alone, while others go on over the same connections.

use crate::domain::EmailAddress;
use crate::live::Live;
use crate::mailer::{Breaker, Fault, FaultCause, Phase};

use super::denials::Denials;
use super::job::Job;

/// One identity at one relay.
pub(super) struct Standing {
    pub(super) address: EmailAddress,
    pub(super) breaker: Breaker,
    pub(super) denials: Denials<Job>,
}

impl Standing {
    pub(super) fn new(address: EmailAddress, relay: &str, live: &Live) -> Self {
        let shown = format!("{relay} as {address}");
        Self {
            breaker: Breaker::new(shown.clone()).watched(live.relay(&shown, false)),
            denials: Denials::default(),
            address,
        }
    }
}

/// Whether a failure is about the identity in MAIL alone, and not about the relay or who logs in there.
pub(super) fn blames_identity(fault: &Fault) -> bool {
    let about_login = fault.reply().is_some_and(|reply| matches!(reply.code, 530 | 535));
    let about_mail = fault.phase == Phase::Mail || fault.cause == FaultCause::NoSmtpUtf8;
    about_mail && !about_login && fault.blames_sender()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailer::Reply;
    use rstest::rstest;

    #[rstest]
    #[case(Phase::Mail, 550, true)]
    #[case(Phase::Mail, 530, false)]
    #[case(Phase::Mail, 451, false)]
    #[case(Phase::Auth, 535, false)]
    #[case(Phase::Hello, 550, false)]
    #[case(Phase::Rcpt, 530, false)]
    fn whom_a_failure_blames(#[case] phase: Phase, #[case] code: u16, #[case] identity: bool) {
        let reply = Reply {
            code,
            enhanced: None,
            text: String::new(),
        };
        let cause = FaultCause::Reply(reply);
        assert_eq!(blames_identity(&Fault { phase, cause }), identity);
    }
}
