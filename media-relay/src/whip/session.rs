//! `/whip/{stream}/{session}` and `/whep/{stream}/{session}`: candidates, ICE anew, answers, and the end.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use turnpike_guard::{Identity, Role};
use turnpike_sdp::Fragment;
use turnpike_wire::limits::SDP_BYTES_MAX;
use turnpike_wire::media::MediaSession;
use turnpike_wire::{Code, Failure};

use super::endpoint::{may, nothing, ufrag_of};
use super::problem::Problem;
use super::rate::Counted;
use super::sessions::Session;
use super::{App, Side, address, reading, watching, wrong_method};
use crate::{Ask, Told};

const ALLOW: &str = "OPTIONS, GET, HEAD, PATCH, DELETE";

/// What changes of a session. Held for the whole of a PATCH: two of them never mix (RFC 9725 4.3.1).
pub(super) struct State {
    pub(super) etag: u64,
    /// Of the client's ICE session. None: its answer has not come.
    pub(super) ufrag: Option<Box<str>>,
    /// Our offer waits for an answer.
    pub(super) is_pending: bool,
}

pub(super) fn etag_value(etag: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{etag:016x}\"")).expect("digits may stand in a header")
}

/// Who may not know of a session is told that there is none.
pub(super) fn find(
    app: &App,
    side: Side,
    (stream, session): (&str, &str),
    identity: &Identity,
) -> Result<Arc<Session>, Problem> {
    let name: MediaSession = session.parse().map_err(|_| Problem::no_session())?;
    let session = app.sessions.get(name).ok_or_else(Problem::no_session)?;
    let is_theirs = session.user == identity.user || identity.role != Role::User;
    let is_here = session.side == side && session.stream.as_str() == stream;
    if !is_theirs || !is_here {
        return Err(Problem::no_session());
    }
    session.show(identity);
    Ok(session)
}

pub(super) async fn serve(
    app: &Arc<App>,
    side: Side,
    (stream, session): &(String, String),
    request: Request,
) -> Result<Response, Problem> {
    let method = request.method().clone();
    if method == Method::OPTIONS {
        let accepted = HeaderValue::from_static(reading::FRAGMENT);
        let headers = [("accept-patch", accepted), ("allow", HeaderValue::from_static(ALLOW))];
        return Ok(headers.into_response());
    }
    if method == Method::PATCH || method == Method::DELETE {
        app.counts(Counted::Change, request.extensions())?;
    }
    let identity = reading::identity(app, request.headers(), request.uri(), request.extensions()).await?;
    let from = address::of(request.extensions());
    let served = serve_to(app, side, (stream, session), &identity, request).await;
    served.inspect_err(|problem| watching::refused(app, from, Some(&identity.user), problem))
}

async fn serve_to(
    app: &Arc<App>,
    side: Side,
    (stream, session): (&str, &str),
    identity: &Identity,
    request: Request,
) -> Result<Response, Problem> {
    let session = find(app, side, (stream, session), identity)?;
    match *request.method() {
        Method::GET | Method::HEAD => Ok(nothing(side)),
        Method::DELETE => {
            // Whatever entity tag came along: it is meant.
            app.sessions.end(session.name);
            app.relay.ask(Ask::Stop { session: session.name }).await.map_err(gone)?;
            Ok(StatusCode::OK.into_response())
        }
        Method::PATCH => {
            // A right that was taken away, or a token that ended, takes nothing further.
            may(app, side, identity, &session.stream, address::of(request.extensions()))?;
            patch(app, &session, request).await
        }
        _ => Err(wrong_method(ALLOW)),
    }
}

async fn patch(app: &App, session: &Session, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let kind = reading::content_type(&parts.headers);
    let is_fragment = kind.as_deref() == Some(reading::FRAGMENT);
    let is_answer = kind.as_deref() == Some(reading::SDP);
    if !is_fragment && !is_answer {
        return Err(reading::wrong_type(reading::FRAGMENT));
    }
    let text = reading::body(&parts.headers, body, SDP_BYTES_MAX).await?;
    let mut state = session.state.lock().await;
    if is_answer {
        if !state.is_pending {
            return Err(reading::wrong_type(reading::FRAGMENT));
        }
        let ufrag = ufrag_of(&text);
        app.relay.ask(Ask::Answer { session: session.name, sdp: text }).await.map_err(gone)?;
        (state.ufrag, state.is_pending) = (ufrag, false);
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let is_any = matched(&parts.headers, state.etag)?;
    let fragment = Fragment::parse(&text).map_err(|error| Failure::new(Code::BadSdp, error.to_string()))?;
    let Some(known) = &state.ufrag else {
        let failure = Failure::new(Code::BadRequest, "the offer waits for an answer");
        return Err(Problem::with_status(StatusCode::CONFLICT, failure));
    };
    let theirs = fragment.credentials.ufrag();
    if theirs == &**known {
        app.relay.ask(Ask::Trickle { session: session.name, fragment: text }).await.map_err(gone)?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if !is_any {
        // Candidates of an ICE session that is over, or of one that was never begun.
        let failure = Failure::new(
            Code::BadRequest,
            "the fragment is of another ICE session; `If-Match: \"*\"` begins one",
        );
        return Err(Problem::with_status(StatusCode::PRECONDITION_FAILED, failure));
    }
    let ufrag = theirs.into();
    let told = app.relay.ask(Ask::Restart { session: session.name, fragment: text }).await.map_err(gone)?;
    let Told::Fragment { fragment, etag } = told else { return Err(Code::Internal.into()) };
    (state.etag, state.ufrag) = (etag, Some(ufrag));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(reading::FRAGMENT)),
        (header::ETAG, etag_value(etag)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, fragment).into_response())
}

/// Whether `If-Match` names any session at all, rather than just this one.
fn matched(headers: &HeaderMap, etag: u64) -> Result<bool, Problem> {
    let mut given =
        headers.get_all(header::IF_MATCH).iter().filter_map(|value| value.to_str().ok()).peekable();
    if given.peek().is_none() {
        let failure = Failure::new(Code::BadRequest, "send `If-Match` with the session's ETag");
        return Err(Problem::with_status(StatusCode::PRECONDITION_REQUIRED, failure));
    }
    let current = etag_value(etag);
    let mut is_current = false;
    for tag in given.flat_map(|value| value.split(',')).map(str::trim) {
        // RFC 9725 writes it as a tag, RFC 9110 without quotes.
        if tag == "*" || tag == "\"*\"" {
            return Ok(true);
        }
        is_current |= tag.as_bytes() == current.as_bytes();
    }
    if is_current {
        return Ok(false);
    }
    let failure = Failure::new(Code::BadRequest, "the ETag is not the session's any more");
    Err(Problem::with_status(StatusCode::PRECONDITION_FAILED, failure))
}

/// The relay may have ended the session just now.
pub(super) fn gone(failure: Failure) -> Problem {
    if failure.code == Code::NoSuchStream { Problem::no_session() } else { failure.into() }
}
