//! A backend that is spoken to by HTTP: where it is, what it is sent, and what its answer means.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, StatusCode, Url, redirect};

use super::address::is_public;
use super::resolver::{Resolver, is_forbidden};
use super::signature::{keys, sign};
use crate::clock::unix_ms;

/// How much of an answer is read.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where a backend is, and how it knows who asks.
pub(crate) struct Target<'a> {
    pub(crate) url: &'a str,
    /// Every request is signed with each.
    pub(crate) secrets: &'a [Vec<u8>],
    /// From the beginning of a request to the last byte of its answer.
    pub(crate) timeout: Duration,
    /// The backend may have an address that is not public.
    pub(crate) allow_private: bool,
    /// Requests at once, each with a connection of its own.
    pub(crate) connections_max: usize,
}

pub(crate) struct Endpoint {
    client: Client,
    url: Url,
    keys: Vec<hmac::Key>,
    timeout: Duration,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Taken,
    /// The receiver does not want this, now or later.
    Gone,
    /// Any other answer, redirects among them.
    Rejected,
    TimedOut,
    /// The name leads to where webhooks may not go.
    Forbidden,
    Unreachable,
}

impl Outcome {
    pub(crate) const ALL: [Self; 6] =
        [Self::Taken, Self::Gone, Self::Rejected, Self::TimedOut, Self::Forbidden, Self::Unreachable];

    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Gone => "gone",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed_out",
            Self::Forbidden => "forbidden_address",
            Self::Unreachable => "unreachable",
        }
    }

    /// Whether nothing that was asked has been answered.
    pub(crate) fn is_failure(self) -> bool {
        !matches!(self, Self::Taken | Self::Gone)
    }

    fn of(status: StatusCode) -> Self {
        match status {
            status if status.is_success() => Self::Taken,
            StatusCode::GONE => Self::Gone,
            _ => Self::Rejected,
        }
    }
}

impl Target<'_> {
    fn checked_url(&self) -> io::Result<Url> {
        let url = Url::parse(self.url).map_err(|_| invalid("not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("the URL has another scheme than http and https"));
        }
        // An address in the place of a name is never looked up.
        let bare = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>()
            && !self.allow_private
            && !is_public(address)
        {
            return Err(invalid("the URL leads to an address that is not public"));
        }
        Ok(url)
    }
}

impl Endpoint {
    pub(crate) fn new(target: &Target<'_>) -> io::Result<Self> {
        let url = target.checked_url()?;
        if target.secrets.is_empty() || target.secrets.iter().any(Vec::is_empty) {
            return Err(invalid("without a secret nobody can tell where they come from"));
        }
        let client = Client::builder()
            .dns_resolver(Resolver::new(target.allow_private))
            .redirect(redirect::Policy::none())
            // A proxy would look the name up itself.
            .no_proxy()
            .http1_only()
            .connect_timeout(target.timeout)
            .pool_max_idle_per_host(target.connections_max)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("turnpike/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { client, url, keys: keys(target.secrets), timeout: target.timeout })
    }

    /// One attempt. The answer's head has come, whatever it says.
    pub(crate) async fn post(&self, id: &str, body: Bytes, timeout: Duration) -> Result<Response, Outcome> {
        let timestamp = unix_ms() / 1000;
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("turnpike-webhook-id", id)
            .header("turnpike-webhook-timestamp", timestamp)
            .header("turnpike-webhook-signature", sign(&self.keys, timestamp, &body))
            .timeout(timeout)
            .body(body);
        request.send().await.map_err(|error| failed(&error))
    }

    /// One attempt, of whose answer only the status says something.
    pub(super) async fn send(&self, id: &str, body: Bytes) -> Outcome {
        match self.post(id, body, self.timeout).await {
            Ok(mut answer) => {
                let outcome = Outcome::of(answer.status());
                // Read so that its connection can be used again. A longer one, or one of unknown length, costs it.
                if answer.content_length().is_some_and(|length| length <= ANSWER_BYTES_MAX as u64) {
                    while let Ok(Some(_)) = answer.chunk().await {}
                }
                outcome
            }
            Err(outcome) => outcome,
        }
    }
}

pub(crate) fn failed(error: &reqwest::Error) -> Outcome {
    match error {
        error if is_forbidden(error) => Outcome::Forbidden,
        error if error.is_timeout() => Outcome::TimedOut,
        _ => Outcome::Unreachable,
    }
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("webhooks: {problem}"))
}
