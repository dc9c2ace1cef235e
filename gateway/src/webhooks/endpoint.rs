//! The receiver: where it is, what it is sent, and what its answer means.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url, redirect};

use super::address::is_public;
use super::signature::{keys, sign};
use super::{Webhooks, config::invalid};
use crate::clock::unix_ms;

/// How much of an answer is read, so that its connection can be used again. Nobody looks at it.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

pub(super) struct Endpoint {
    client: Client,
    url: Url,
    keys: Vec<hmac::Key>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
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
    pub(super) const ALL: [Self; 6] =
        [Self::Taken, Self::Gone, Self::Rejected, Self::TimedOut, Self::Forbidden, Self::Unreachable];

    pub(super) fn slug(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Gone => "gone",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed_out",
            Self::Forbidden => "forbidden_address",
            Self::Unreachable => "unreachable",
        }
    }

    fn of(status: StatusCode) -> Self {
        match status {
            status if status.is_success() => Self::Taken,
            StatusCode::GONE => Self::Gone,
            _ => Self::Rejected,
        }
    }
}

impl Endpoint {
    pub(super) fn new(config: &Webhooks) -> io::Result<Self> {
        let url = config.checked_url()?;
        // An address in the place of a name is never looked up.
        let bare = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>()
            && !config.allow_private
            && !is_public(address)
        {
            return Err(invalid("the URL leads to an address that is not public"));
        }
        let client = Client::builder()
            .dns_resolver(Checked { allow_private: config.allow_private })
            .redirect(redirect::Policy::none())
            // A proxy would look the name up itself.
            .no_proxy()
            .http1_only()
            .timeout(config.timeout)
            .connect_timeout(config.timeout)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("turnpike/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { client, url, keys: keys(&config.secrets) })
    }

    pub(super) async fn send(&self, id: &str, body: Bytes) -> Outcome {
        let timestamp = unix_ms() / 1000;
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("turnpike-webhook-id", id)
            .header("turnpike-webhook-timestamp", timestamp)
            .header("turnpike-webhook-signature", sign(&self.keys, timestamp, &body))
            .body(body);
        match request.send().await {
            Ok(mut answer) => {
                let outcome = Outcome::of(answer.status());
                // A longer one, or one of unknown length, costs its connection.
                if answer.content_length().is_some_and(|length| length <= ANSWER_BYTES_MAX) {
                    while let Ok(Some(_)) = answer.chunk().await {}
                }
                outcome
            }
            Err(error) if is_forbidden(&error) => Outcome::Forbidden,
            Err(error) if error.is_timeout() => Outcome::TimedOut,
            Err(_) => Outcome::Unreachable,
        }
    }
}

/// Looks names up and gives only addresses that may be connected to. What is checked here is what is connected to: no
/// other look-up comes between.
struct Checked {
    allow_private: bool,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let is_sound = allow_private || found.iter().all(|address| is_public(address.ip()));
            if is_sound { Ok(Box::new(found.into_iter()) as Addrs) } else { Err(Box::new(NotPublic) as _) }
        })
    }
}

/// One such address is enough: a name that has both is not what it says.
#[derive(Debug)]
struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads to an address that is not public")
    }
}

impl Error for NotPublic {}

fn is_forbidden(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return true;
        }
        cause = error.source();
    }
    false
}
