//! One webhook, prepared once: its client, and the post.

use std::fmt;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use chrono::Utc;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Body, Client, Response};
use tokio::time::{Instant, timeout_at};

use super::gate::{Gate, gated};
use super::posted::{Posted, patience};
use crate::config::WebhookUrl;
use crate::domain::one_line;
use crate::outside::{self, OutsideError, Trust, reason};

/// Longest text that is kept, in characters.
const MAX_TEXT: usize = 300;

/// Most of an answer that is read, in bytes.
const MAX_ANSWER: usize = 4096;

/// A connection that was idle for longer may be closed by the other side just when the next post leaves.
const IDLE: Duration = Duration::from_secs(5);

/// Shorter parts of a path are too common to be a secret, or to be struck out.
const MIN_SECRET: usize = 6;

/// A webhook that can be posted to. Cheap to share in an `Arc`.
pub struct Webhook {
    url: WebhookUrl,
    timeout: Duration,
    client: Client,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Webhook").field(&self.url.shown()).finish()
    }
}

/// Why there is no answer.
enum Silence {
    /// The caller did not let the post go.
    Withheld,
    /// The client says this.
    Failed(reqwest::Error),
    /// An answer to a post that was not asked for yet.
    Early,
}

impl Webhook {
    /// Prepares a webhook; `timeout` is for all of a post, `ca` a PEM file to trust besides the system's
    /// roots. Reads files, so not for the middle of async work.
    pub fn new(url: WebhookUrl, timeout: Duration, ca: Option<&Path>) -> Result<Self, OutsideError> {
        Self::trusting(url, timeout, &Trust::load(ca)?)
    }

    /// The same with certificates that were read before.
    pub fn trusting(url: WebhookUrl, timeout: Duration, trust: &Trust) -> Result<Self, OutsideError> {
        let open = url.is_insecure();
        Self::build(url, timeout, trust, open)
    }

    pub(super) fn build(
        url: WebhookUrl,
        timeout: Duration,
        trust: &Trust,
        open: bool,
    ) -> Result<Self, OutsideError> {
        let client = outside::client(trust, open)
            // Divided among the addresses of the name, so that one that is dead does not use it up.
            .connect_timeout(timeout)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|error| OutsideError::Client(reason(error)))?;
        Ok(Self { url, timeout, client })
    }

    /// Scheme and host, for logs.
    pub fn shown(&self) -> String {
        self.url.shown()
    }

    /// Posts `body`, which is JSON. `go_ahead` is asked once, right before the body leaves: if it says no, or
    /// is never asked, nothing was posted.
    pub async fn post(&self, body: Vec<u8>, go_ahead: impl FnOnce() -> bool) -> Posted {
        let deadline = Instant::now() + self.timeout;
        let mut let_go = false;
        let answer = timeout_at(deadline, self.exchange(body, go_ahead, &mut let_go)).await;
        let why = match answer {
            Ok(Ok(response)) => return self.judge(response, deadline).await,
            Ok(Err(Silence::Withheld)) => return Posted::Withheld,
            Ok(Err(Silence::Failed(error))) => reason(error),
            Ok(Err(Silence::Early)) => "an answer came before the post left".into(),
            Err(_) => format!("no answer within {:?}", self.timeout),
        };
        let why = self.clean(&why);
        // The client's errors are not asked: a connection that breaks at once and one that breaks after the
        // post look alike in some of them.
        if let_go {
            Posted::Unknown(why)
        } else {
            Posted::Unsent(why)
        }
    }

    /// The answer's head. `let_go` is set when the post may have left.
    async fn exchange(
        &self,
        body: Vec<u8>,
        go_ahead: impl FnOnce() -> bool,
        let_go: &mut bool,
    ) -> Result<Response, Silence> {
        let (body, mut gate) = gated(body);
        let request = self.client.post(self.url.expose());
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .body(Body::wrap(body));
        let mut sending = pin!(request.send());
        tokio::select! {
            biased;
            true = gate.asked() => {}
            answer = &mut sending => return Err(answer.map_or_else(Silence::Failed, |_| Silence::Early)),
        }
        if !go_ahead() {
            return Err(Silence::Withheld);
        }
        *let_go = true;
        Gate::open(gate);
        sending.await.map_err(Silence::Failed)
    }

    /// What an answer means. Its status decides, also where its text does not come.
    async fn judge(&self, mut response: Response, deadline: Instant) -> Posted {
        let status = response.status().as_u16();
        let header = response.headers().get(RETRY_AFTER);
        let wait = header
            .and_then(|header| header.to_str().ok())
            .and_then(|header| patience(header, Utc::now()));
        let mut bytes = Vec::new();
        while bytes.len() < MAX_ANSWER {
            match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
                _ => break,
            }
        }
        bytes.truncate(MAX_ANSWER);
        let text = self.clean(&String::from_utf8_lossy(&bytes));
        Posted::answered(status, text, wait)
    }

    /// `text` on one line and without the secret, which a server may repeat.
    fn clean(&self, text: &str) -> String {
        let path = self.url.expose().splitn(4, '/').nth(3).unwrap_or_default();
        let parts = std::iter::once(path).chain(path.rsplit('/').take(1));
        let line = parts
            .filter(|part| part.len() >= MIN_SECRET)
            .fold(one_line(text, MAX_ANSWER), |text, part| text.replace(part, "***"));
        one_line(&line, MAX_TEXT)
    }
}
