//! What every request is looked at for: who asks, of what type the body is, and the body within its limits.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::{Extensions, HeaderMap, StatusCode, Uri, header};
use turnpike_guard::{Identity, Signal, Standing};
use turnpike_wire::{Code, Failure};

use super::App;
use super::address;
use super::problem::Problem;
use crate::audited;

/// A body that takes longer to arrive would hold memory for nothing.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) const SDP: &str = "application/sdp";
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
pub(super) const JSON: &str = "application/json";

/// By the header, or by `?token=` for clients that can be given nothing but a URL.
/// Whoever is not let in hears of it when it is written down.
pub(super) fn identity<'a>(
    app: &'a App,
    headers: &HeaderMap,
    uri: &Uri,
    extensions: &Extensions,
) -> impl Future<Output = Result<Identity, Problem>> + use<'a> {
    let address = address::of(extensions);
    let checked = check(app, headers, uri, address);
    async move {
        match checked {
            Ok(identity) => Ok(identity),
            Err((slug, failure)) => {
                app.watch.login_failed(address);
                audited::login_failed(&app.audit, address, slug).await;
                Err(failure.into())
            }
        }
    }
}

fn check(
    app: &App,
    headers: &HeaderMap,
    uri: &Uri,
    address: Option<IpAddr>,
) -> Result<Identity, (&'static str, Failure)> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let token = match (given.next(), given.next()) {
        (None, _) => query_token(uri),
        (Some(one), None) => one.to_str().ok().and_then(bearer),
        (Some(_), Some(_)) => None,
    };
    let Some(token) = token else {
        return Err(("missing", Failure::new(Code::Unauthorized, "send `Authorization: Bearer <token>`")));
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let identity = app.tokens.check(token, now).map_err(|error| {
        if error.is_an_attempt() {
            app.watch.report(address, None, Signal::BadToken);
        }
        (error.slug(), error.into())
    })?;
    match app.watch.user_stands(&identity.user) {
        Standing::Banned { until_ms } => {
            let left_ms = until_ms.saturating_sub(app.watch.now().unix_ms);
            Err(("banned", Failure::from(Code::Banned).retry_after_ms(left_ms)))
        }
        Standing::Free | Standing::Muted { .. } => Ok(identity),
    }
}

/// The name of the scheme is written in any case (RFC 9110 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// A token's letters need no escapes.
fn query_token(uri: &Uri) -> Option<&str> {
    let mut tokens = uri.query()?.split('&').filter_map(|pair| pair.strip_prefix("token="));
    let token = tokens.next()?;
    // Two would leave open which counts.
    tokens.next().is_none().then_some(token)
}

/// The type alone, without what may stand behind it.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

pub(super) fn wrong_type(wanted: &str) -> Problem {
    let failure = Failure::new(Code::BadRequest, format!("the body must be {wanted}"));
    Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, failure)
}

pub(super) async fn body(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<String, Problem> {
    let too_large = || Failure::new(Code::TooLarge, format!("this request has at most {bytes_max} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > bytes_max as u64) {
        return Err(too_large().into());
    }
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, bytes_max)).await {
        Ok(Ok(bytes)) => String::from_utf8(bytes.into())
            .map_err(|_| Failure::new(Code::BadRequest, "the body is not UTF-8").into()),
        // Too large, or broken off: then nobody reads the answer.
        Ok(Err(_)) => Err(too_large().into()),
        Err(_) => {
            let failure = Failure::new(Code::BadRequest, "the body did not arrive in time");
            Err(Problem::with_status(StatusCode::REQUEST_TIMEOUT, failure))
        }
    }
}
