//! AUTH (RFC 4954): PLAIN, and LOGIN for relays that offer nothing else.

use std::fmt::Display;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::commands::Auth;
use lettre::transport::smtp::response::{Category, Code, Detail, Response, Severity};
use secrecy::{ExposeSecret as _, SecretString};

use super::conversation::Conversation;
use super::fault::{Fault, FaultCause, Phase};
use super::lines::Lines;
use super::pipeline::unexpected;

/// Longest command line with its line end (RFC 5321 4.5.3.1.4).
const MAX_COMMAND: usize = 512;

impl Conversation {
    /// AUTH PLAIN (RFC 4616), or AUTH LOGIN where only that is offered.
    pub(super) async fn authenticate(&mut self, user: &str, password: &SecretString) -> Result<(), Fault> {
        let credentials = Credentials::new(user.to_owned(), password.expose_secret().to_owned());
        let written = if self.offers.plain {
            self.auth_plain(credentials).await?
        } else if self.offers.login {
            self.auth_login(&credentials).await?
        } else {
            return Err(Fault::new(Phase::Auth, FaultCause::NoAuth));
        };
        Self::positive(Phase::Auth, &written)
    }

    async fn auth_plain(&mut self, credentials: Credentials) -> Result<Lines, Fault> {
        let whole = command(Auth::new(Mechanism::Plain, credentials, None))?;
        if whole.len() <= MAX_COMMAND {
            return self.exchange(Phase::Auth, &whole).await;
        }
        // RFC 4954 4: too long for an initial response, so it goes after the challenge.
        let lines = self.exchange(Phase::Auth, "AUTH PLAIN\r\n").await?;
        Self::challenged(&lines)?;
        let response = whole.trim_start_matches("AUTH PLAIN ");
        self.exchange(Phase::Auth, response).await
    }

    async fn auth_login(&mut self, credentials: &Credentials) -> Result<Lines, Fault> {
        let mut lines = self.exchange(Phase::Auth, "AUTH LOGIN\r\n").await?;
        // The prompts' wording differs between relays and their order does not.
        for prompt in ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"] {
            Self::challenged(&lines)?;
            let code = Code::new(
                Severity::PositiveIntermediate,
                Category::Unspecified3,
                Detail::Four,
            );
            let asked = Response::new(code, vec![prompt.to_owned()]);
            let response = command(Auth::new_from_response(
                Mechanism::Login,
                credentials.clone(),
                &asked,
            ))?;
            lines = self.exchange(Phase::Auth, &response).await?;
        }
        Ok(lines)
    }

    fn challenged(lines: &Lines) -> Result<(), Fault> {
        if lines.code == 334 {
            return Ok(());
        }
        Self::positive(Phase::Auth, lines)?;
        Err(Fault::new(Phase::Auth, unexpected(&lines.reply())))
    }
}

fn command<C: Display, E: Display>(built: Result<C, E>) -> Result<String, Fault> {
    built
        .map(|command| command.to_string())
        .map_err(|error| Fault::new(Phase::Auth, FaultCause::Protocol(error.to_string())))
}
