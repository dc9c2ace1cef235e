//! An issuer that publishes its keys (JWKS): asked again and again, and believed as long as it answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prometheus::{IntCounterVec, Opts, Registry};
use reqwest::header::ACCEPT;
use reqwest::{Client, StatusCode, Url, redirect};
use tokio::time::Instant;
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

    pub(super) async fn keep(self, set: impl Fn(Vec<TokenKey>), check: Check, mut stop: Stop) {
        check.fail("the issuer of tokens has not been asked for its keys yet");
        let (schedule, issuer) = (self.schedule.clone(), Arc::new(self));
        let ask = move || {
            let issuer = Arc::clone(&issuer);
            async move { issuer.count(issuer.ask().await) }
        };
        tokio::select! {
            () = follow(schedule, ask, set, check) => {}
            () = stop.requested() => {}
        }
    }

    fn count(&self, outcome: Result<Jwks, Failed>) -> Result<Jwks, Failed> {
        let slug = outcome.as_ref().map_or_else(|failed| failed.slug(), |_| TAKEN);
        self.requests.with_label_values(&[slug]).inc();
        outcome
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

/// Asks for ever, and says each time which keys count.
async fn follow<A: Future<Output = Result<Jwks, Failed>>>(
    mut schedule: Schedule,
    ask: impl Fn() -> A,
    set: impl Fn(Vec<TokenKey>),
    check: Check,
) {
    let mut last: Option<Failed> = None;
    loop {
        let begun = Instant::now();
        match ask().await {
            Ok(jwks) => {
                schedule.answered(begun.into_std());
                report(&jwks, last.take());
                set(jwks.keys);
                check.pass();
            }
            Err(failed) => {
                // Once, not at every request.
                if last.replace(failed) != Some(failed) {
                    tracing::error!(error = %failed, "the issuer of tokens gives no keys");
                }
                if schedule.standing(Instant::now().into_std()) == Standing::Stale {
                    set(Vec::new());
                    check.fail(format!("the issuer of tokens gives no keys: {failed}"));
                }
            }
        }
        tokio::time::sleep_until(begun + INTERVAL).await;
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

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use turnpike_daemon::config::{Environment, Setting as _, Sources, load};
    use turnpike_daemon::health::Health;

    use super::*;
    use crate::config::Config;

    fn issuer(url: &str) -> Issuer {
        let loaded = load::<Config>(Sources { environment: Environment::default(), ..Sources::default() });
        let requests = requests(&Registry::new()).unwrap();
        Issuer::new(&HttpUrl::parse(url).unwrap(), &loaded.settings.auth, requests).unwrap()
    }

    /// What is made of an answer, whatever it is. `stays`: the connection is not closed behind it.
    async fn outcome(answer: String, stays: bool) -> Result<usize, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let publisher = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            if stays {
                std::future::pending::<()>().await;
            }
            // Closing with something unread would take the answer back.
            let _ = stream.shutdown().await;
            let _ = stream.read(&mut [0; 1024]).await;
        };
        let issuer = issuer(&url);
        let asked = async { issuer.ask().await.map(|jwks| jwks.keys.len()) };
        tokio::pin!(asked);
        tokio::select! {
            outcome = &mut asked => outcome,
            () = publisher => asked.await,
        }
    }

    fn answer(status: &str, more: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{more}\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn answers_of_an_issuer() {
        const EMPTY: &str = r#"{"keys":[]}"#;
        let large = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(JWKS_BYTES_MAX));
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(4 * JWKS_BYTES_MAX));
        let moved = answer("302 Found", "Location: http://127.0.0.1:1/\r\n", EMPTY);
        for (answer, expected) in [
            (answer("200 OK", "", EMPTY), Ok(0)),
            (moved, Err(Failed::Status(StatusCode::FOUND))),
            (
                answer("500 Internal Server Error", "", EMPTY),
                Err(Failed::Status(StatusCode::INTERNAL_SERVER_ERROR)),
            ),
            (answer("201 Created", "", EMPTY), Err(Failed::Status(StatusCode::CREATED))),
            (answer("200 OK", "", "<html>"), Err(Failed::Set(JwksError::Form))),
            (answer("200 OK", "", &large), Err(Failed::Set(JwksError::TooLarge))),
            (endless, Err(Failed::Set(JwksError::TooLarge))),
            (answer("200 OK", "", EMPTY).replace("11", "99"), Err(Failed::Unreachable)),
            (String::new(), Err(Failed::Unreachable)),
        ] {
            let begin: String = answer.chars().take(60).collect();
            assert_eq!(outcome(answer, false).await, expected, "{begin}");
        }
    }

    /// Takes as long as the limit that it is about.
    #[tokio::test]
    async fn an_answer_that_does_not_end_is_given_up() {
        let half = answer("200 OK", "", r#"{"keys":[]}"#).replace("11", "99");
        assert_eq!(outcome(half, true).await, Err(Failed::TimedOut));
    }

    #[tokio::test]
    async fn a_name_that_leads_into_the_private_network_is_not_followed() {
        assert_eq!(issuer("https://localhost:1/keys").ask().await.err(), Some(Failed::Forbidden));
    }

    const KEYS: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    /// An hour, minute by minute: when is asked, and how many keys count.
    #[tokio::test(start_paused = true)]
    async fn a_withdrawn_key_is_dead_within_a_minute_and_a_silent_issuer_is_believed_for_a_while() {
        let begin = Instant::now();
        let second = || begin.elapsed().as_secs();
        let (asked, keys) = (RefCell::new(Vec::new()), Cell::new(usize::MAX));
        let health = Health::new("test");
        let check = health.check("issuer keys");
        // Keys for ten minutes, then none, then keys, then silence.
        let (asked_at, second) = (&asked, &second);
        let ask = || async move {
            asked_at.borrow_mut().push(second());
            tokio::time::sleep(TIMEOUT).await;
            match second() {
                0..600 | 660..1200 => Ok(Jwks::parse(KEYS.as_bytes()).unwrap()),
                600..660 => Ok(Jwks::parse(br#"{"keys":[]}"#).unwrap()),
                _ => Err(Failed::TimedOut),
            }
        };
        let schedule = Schedule::new(Duration::from_mins(10));
        let counted = |found: Vec<TokenKey>| keys.set(found.len());
        let look = async {
            for (at, expected) in [
                (6, 1),
                (599, 1),
                (636, 0),
                (659, 0),
                (700, 1),
                (1199, 1),
                (1300, 1),
                (1770, 1),
                (1836, 0),
                (3600, 0),
            ] {
                tokio::time::sleep_until(begin + Duration::from_secs(at)).await;
                assert_eq!(keys.get(), expected, "second {at}");
            }
        };
        tokio::select! {
            () = follow(schedule, ask, counted, check) => {}
            () = look => {}
        }
        let asked = asked.into_inner();
        assert!(asked.windows(2).all(|pair| pair[1] - pair[0] == INTERVAL.as_secs()), "{asked:?}");
    }
}
