//! An issuer that publishes its keys (JWKS): asked again and again, and believed as long as it answers.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use prometheus::{IntCounterVec, Opts, Registry};
use reqwest::header::ACCEPT;
use reqwest::{Client, StatusCode, Url, redirect};
use turnpike_daemon::health::Check;
use turnpike_daemon::tasks::Stop;
use turnpike_gateway::{Resolver, is_forbidden};
use turnpike_guard::{JWKS_BYTES_MAX, Jwks, JwksError, TokenKey};

use super::schedule::{INTERVAL, Schedule, Standing};
use crate::config::{Auth, HttpUrl, is_loopback};

/// From the look-up of the name to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A key that is not published any more is dead within a minute: the next request begins within one interval, and has
/// ended within its time.
const _: () = assert!(INTERVAL.as_secs() + TIMEOUT.as_secs() < 60);

pub(super) struct Issuer {
    client: Client,
    url: Url,
    schedule: Schedule,
    requests: IntCounterVec,
}

/// Why there is no set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    TimedOut,
    Unreachable,
    /// The name leads to where this node may not go.
    Forbidden,
    /// Any answer but 200, redirects among them.
    Status(StatusCode),
    Set(JwksError),
}

impl Failed {
    const SLUGS: [&str; 5] = ["timed_out", "unreachable", "forbidden_address", "rejected", "malformed"];

    fn slug(self) -> &'static str {
        let [timed_out, unreachable, forbidden, rejected, malformed] = Self::SLUGS;
        match self {
            Self::TimedOut => timed_out,
            Self::Unreachable => unreachable,
            Self::Forbidden => forbidden,
            Self::Status(_) => rejected,
            Self::Set(_) => malformed,
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("it does not answer in time"),
            Self::Unreachable => f.write_str("it cannot be reached"),
            Self::Forbidden => f.write_str("its name leads to an address that is not public"),
            Self::Status(status) => write!(f, "it answers {status}"),
            Self::Set(error) => error.fmt(f),
        }
    }
}

impl From<reqwest::Error> for Failed {
    fn from(error: reqwest::Error) -> Self {
        match error {
            error if is_forbidden(&error) => Self::Forbidden,
            error if error.is_timeout() => Self::TimedOut,
            _ => Self::Unreachable,
        }
    }
}

const TAKEN: &str = "taken";

/// There in every system, so that an alert can be written before there is an issuer.
pub(super) fn requests(registry: &Registry) -> Result<IntCounterVec, prometheus::Error> {
    let about = Opts::new(
        "turnpike_jwks_requests_total",
        "Requests to the issuer of tokens for its keys, by how they ended.",
    );
    let requests = IntCounterVec::new(about, &["outcome"])?;
    registry.register(Box::new(requests.clone()))?;
    for outcome in Failed::SLUGS.into_iter().chain([TAKEN]) {
        requests.with_label_values(&[outcome]);
    }
    Ok(requests)
}

impl Issuer {
    pub(super) fn new(url: &HttpUrl, auth: &Auth, requests: IntCounterVec) -> anyhow::Result<Self> {
        // Plain HTTP is refused before, but to this machine.
        let local = url.as_str().starts_with("http://") && is_loopback(url);
        let client = Client::builder()
            .dns_resolver(Resolver::new(auth.jwks_allow_private || local))
            .redirect(redirect::Policy::none())
            // A proxy would look the name up itself.
            .no_proxy()
            .http1_only()
            .timeout(TIMEOUT)
            // The next request looks the name up anew.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("turnpike/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("no client for HTTPS")?;
        let url = Url::parse(url.as_str()).context("auth.jwks_url is not a URL")?;
        Ok(Self { client, url, schedule: Schedule::new(auth.jwks_stale_max), requests })
    }

    pub(super) async fn keep(mut self, set: impl Fn(Vec<TokenKey>), check: Check, mut stop: Stop) {
        check.fail("the issuer of tokens has not been asked for its keys yet");
        let mut last: Option<Failed> = None;
        loop {
            let begun = Instant::now();
            let outcome = tokio::select! {
                outcome = self.ask() => outcome,
                () = stop.requested() => return,
            };
            let slug = outcome.as_ref().map_or_else(|failed| failed.slug(), |_| TAKEN);
            self.requests.with_label_values(&[slug]).inc();
            match outcome {
                Ok(jwks) => {
                    self.schedule.answered(begun);
                    report(&jwks, last.take());
                    set(jwks.keys);
                    check.pass();
                }
                Err(failed) => {
                    // Once, not at every request.
                    if last.replace(failed) != Some(failed) {
                        tracing::error!(url = %self.url, error = %failed, "the issuer of tokens gives no keys");
                    }
                    if self.schedule.standing(Instant::now()) == Standing::Stale {
                        set(Vec::new());
                        check.fail(format!("the issuer of tokens gives no keys: {failed}"));
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(INTERVAL.saturating_sub(begun.elapsed())) => {}
                () = stop.requested() => return,
            }
        }
    }

    async fn ask(&self) -> Result<Jwks, Failed> {
        let request = self.client.get(self.url.clone());
        let mut answer = request.header(ACCEPT, "application/jwk-set+json, application/json").send().await?;
        if answer.status() != StatusCode::OK {
            return Err(Failed::Status(answer.status()));
        }
        let mut body = Vec::new();
        while let Some(bytes) = answer.chunk().await? {
            // Whatever length was announced.
            if body.len() + bytes.len() > JWKS_BYTES_MAX {
                return Err(Failed::Set(JwksError::TooLarge));
            }
            body.extend_from_slice(&bytes);
        }
        Jwks::parse(&body).map_err(Failed::Set)
    }
}

fn report(jwks: &Jwks, failed: Option<Failed>) {
    if failed.is_some() {
        tracing::info!(keys = jwks.keys.len(), "the issuer of tokens gives its keys again");
    }
    if jwks.exposed > 0 {
        tracing::error!(
            keys = jwks.exposed,
            "the issuer of tokens publishes secret keys: none of them counts"
        );
    }
    if jwks.keys.is_empty() {
        tracing::warn!(skipped = jwks.skipped, "the issuer of tokens publishes no key that fits");
    }
}
