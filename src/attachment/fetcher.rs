//! Asks for the files of one dispatch.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use super::error::{Failure, FetchError};
use super::rules::Rules;
use super::unpacking::unpacked;
use crate::domain::one_line;
use crate::message::Attachment;
use crate::outside::{self, OutsideError, Trust, reason};

/// So many redirects are followed for one file.
const REDIRECTS: usize = 3;

/// Longest content type that is kept, in characters.
const MAX_TYPE: usize = 100;

/// Pauses before a file is asked for again.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// How much may come, and for how long it is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one file, packed and unpacked.
    pub file: usize,
    /// Bytes of all files of a dispatch.
    pub all: usize,
    /// For a connection.
    pub connect: Duration,
    /// For all files of a dispatch, tries and pauses included.
    pub total: Duration,
}

impl Default for Limits {
    /// 10 MiB, 20 MiB, 10 s, 60 s.
    fn default() -> Self {
        Self {
            file: 10 << 20,
            all: 20 << 20,
            connect: Duration::from_secs(10),
            total: Duration::from_mins(1),
        }
    }
}

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// What was asked for.
    pub wanted: Attachment,
    /// What its server says that it is.
    pub content_type: String,
    /// As it came.
    pub came: Bytes,
    /// As it goes out: what is gzip is unpacked, unless its name says gzip, too.
    pub sent: Bytes,
}

/// Fetches files; cheap to share in an `Arc`.
pub struct Fetcher {
    rules: Rules,
    limits: Limits,
    /// None where no host may be asked.
    client: Option<Client>,
}

impl Fetcher {
    /// From `hosts` alone, their names in lower case. With `test_ca`, a PEM file that is trusted as well, they may
    /// be at any address: for tests on one machine.
    ///
    /// # Errors
    /// Nobody could be trusted, or the file cannot be read.
    pub fn new(hosts: Vec<String>, limits: Limits, test_ca: Option<&Path>) -> Result<Self, OutsideError> {
        let open = test_ca.is_some();
        let client = (!hosts.is_empty()).then(|| {
            outside::client(&Trust::load(test_ca)?, open)
                .https_only(true)
                .connect_timeout(limits.connect)
                .pool_max_idle_per_host(0)
                .build()
                .map_err(|error| OutsideError::Client(reason(error)))
        });
        Ok(Self {
            rules: Rules { hosts, open },
            limits,
            client: client.transpose()?,
        })
    }

    /// All of `wanted`, in their order; what fails for now is asked for again a few times.
    ///
    /// # Errors
    /// The first that cannot be had.
    pub async fn fetch(&self, wanted: &[Attachment]) -> Result<Vec<Fetched>, FetchError> {
        let deadline = Instant::now() + self.limits.total;
        let mut fetched: Vec<Fetched> = Vec::with_capacity(wanted.len());
        let mut room = self.limits.all;
        for one in wanted {
            let before = fetched.iter().find(|f| f.wanted.url == one.url).cloned();
            let file = match before {
                // A second answer might be another one.
                Some(before) => Ok((before.content_type, before.came)),
                None => self.ask(&one.url, deadline).await,
            };
            let file = file.and_then(|(content_type, came)| {
                let sent = unpacked(&one.name, &came, self.limits.file)?;
                let size = came.len().max(sent.len());
                room = room.checked_sub(size).ok_or_else(|| {
                    let all = self.limits.all;
                    Failure::ForGood(format!("with it the files have more than {all} bytes together"))
                })?;
                Ok((content_type, came, sent))
            });
            let (content_type, came, sent) = file.map_err(|failure| FetchError::of(one, failure))?;
            fetched.push(Fetched {
                wanted: one.clone(),
                content_type,
                came,
                sent,
            });
        }
        Ok(fetched)
    }

    async fn ask(&self, url: &Url, deadline: Instant) -> Result<(String, Bytes), Failure> {
        let mut pauses = PAUSES.iter();
        loop {
            let asked = timeout_at(deadline, self.ask_once(url)).await;
            let late = || {
                let limit = self.limits.total;
                Err(Failure::ForNow(format!(
                    "the files did not come within {limit:?}"
                )))
            };
            match asked.unwrap_or_else(|_| late()) {
                Err(Failure::ForNow(why)) => match pauses.next() {
                    Some(pause) if Instant::now() + *pause < deadline => sleep(*pause).await,
                    _ => return Err(Failure::ForNow(why)),
                },
                done => return done,
            }
        }
    }

    async fn ask_once(&self, url: &Url) -> Result<(String, Bytes), Failure> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            self.rules.check(&url)?;
            let Some(client) = &self.client else { break };
            let response = client.get(url.clone()).send().await;
            let response = response.map_err(Failure::of_client)?;
            match response.status().as_u16() {
                200 => return self.take(response).await,
                301 | 302 | 303 | 307 | 308 => url = redirected(&url, &response)?,
                status => return Err(answered(status)),
            }
        }
        Err(Failure::ForGood(format!(
            "it redirects more than {REDIRECTS} times"
        )))
    }

    async fn take(&self, mut response: Response) -> Result<(String, Bytes), Failure> {
        let limit = self.limits.file;
        let large = || Failure::ForGood(format!("it has more than {limit} bytes"));
        if response.content_length().is_some_and(|size| size > limit as u64) {
            return Err(large());
        }
        let kind = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let kind = one_line(kind.unwrap_or("application/octet-stream"), MAX_TYPE);
        let mut came = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(Failure::of_client)? {
            if came.len() + piece.len() > limit {
                return Err(large());
            }
            came.extend_from_slice(&piece);
        }
        Ok((kind, came.freeze()))
    }
}

/// What an answer without a file means: whether its server may think better of it by itself.
fn answered(status: u16) -> Failure {
    let why = format!("the server answered {status}");
    if matches!(status, 408 | 425 | 429 | 500..=599) {
        Failure::ForNow(why)
    } else {
        Failure::ForGood(why)
    }
}

fn redirected(from: &Url, response: &Response) -> Result<Url, Failure> {
    let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
    let to = to.and_then(|to| from.join(to).ok());
    to.ok_or_else(|| Failure::ForGood("it redirects to nowhere".to_owned()))
}
