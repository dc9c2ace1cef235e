//! Server-sent events of a watching session (WHEP's core extension).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use turnpike_wire::{Code, Failure};

use super::feed::{EventKind, STREAMS_MAX};
use super::problem::Problem;
use super::rate::Counted;
use super::session::find;
use super::{App, Side, reading, wrong_method};

/// A list of five words.
const BODY_BYTES_MAX: usize = 1_024;
/// So that whatever stands between does not close a quiet stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn names() -> String {
    EventKind::ALL.map(EventKind::name).join(",")
}

pub(super) async fn serve(
    app: &Arc<App>,
    (stream, session): &(String, String),
    request: Request,
) -> Result<Response, Problem> {
    const ALLOW: &str = "OPTIONS, POST";
    if request.method() == Method::OPTIONS {
        return Ok([("accept-post", reading::JSON), ("allow", ALLOW)].into_response());
    }
    if request.method() != Method::POST {
        return Err(wrong_method(ALLOW));
    }
    app.counts(Counted::Change, request.extensions())?;
    let (parts, body) = request.into_parts();
    let identity = reading::identity(app, &parts.headers, &parts.uri, &parts.extensions).await?;
    let session = find(app, Side::Watch, (stream, session), &identity)?;
    if reading::content_type(&parts.headers).as_deref() != Some(reading::JSON) {
        return Err(reading::wrong_type(reading::JSON));
    }
    let body = reading::body(&parts.headers, body, BODY_BYTES_MAX).await?;
    let bad = || Failure::new(Code::BadRequest, format!("a JSON array of some of {}", names()));
    let wanted: Vec<String> = serde_json::from_str(&body).map_err(|_| bad())?;
    let wanted: Option<Vec<EventKind>> = wanted.iter().map(|name| EventKind::parse(name)).collect();
    let wanted = wanted.filter(|wanted| !wanted.is_empty()).ok_or_else(bad)?;
    // As hard to guess as the session, whose name stands before it.
    let id = (app.relay.name_session(app.node)?.key >> 64) as u64;
    if !session.feeds.open(id, wanted) {
        let message = format!("a session has at most {STREAMS_MAX} event streams");
        return Err(Failure::new(Code::LimitReached, message).into());
    }
    let location = format!("/whep/{}/{}/events/{id:016x}", session.stream, session.name);
    let location = HeaderValue::from_str(&location).expect("ids may stand in a header");
    Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
}

pub(super) async fn serve_stream(
    app: &Arc<App>,
    (stream, session, id): &(String, String, String),
    request: Request,
) -> Result<Response, Problem> {
    const ALLOW: &str = "OPTIONS, GET, DELETE";
    if request.method() == Method::OPTIONS {
        return Ok([(header::ALLOW, ALLOW)].into_response());
    }
    let identity = reading::identity(app, request.headers(), request.uri(), request.extensions()).await?;
    let session = find(app, Side::Watch, (stream, session), &identity)?;
    let id = u64::from_str_radix(id, 16).map_err(|_| Problem::no_session())?;
    match *request.method() {
        Method::GET => {
            let feed = session.feeds.get(id).ok_or_else(Problem::no_session)?;
            let events = stream::unfold(feed, async |feed| {
                let event = feed.next().await?;
                let event = sse::Event::default().event(event.kind.name()).data(event.data);
                Some((Ok::<_, Infallible>(event), feed))
            });
            Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
        }
        Method::DELETE => {
            app.counts(Counted::Change, request.extensions())?;
            if session.feeds.remove(id) {
                Ok(StatusCode::OK.into_response())
            } else {
                Err(Problem::no_session())
            }
        }
        _ => Err(wrong_method(ALLOW)),
    }
}
