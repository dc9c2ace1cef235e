//! `/whip/{stream}` and `/whep/{stream}`: where sessions begin.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use turnpike_guard::{Identity, MediaRight, Signal};
use turnpike_sdp::Description;
use turnpike_wire::limits::SDP_BYTES_MAX;
use turnpike_wire::media::MediaSession;
use turnpike_wire::{Code, Failure, RoomId};

use super::problem::Problem;
use super::rate::Counted;
use super::session::{State, etag_value};
use super::sessions::{Session, Sessions};
use super::{App, Place, Side, address, events, links, reading, stream_of, watching, wrong_method};
use crate::{Ask, Most, Opened, Told, audited};

pub(super) const ALLOW: &str = "OPTIONS, GET, HEAD, POST";

pub(super) async fn serve(
    app: &Arc<App>,
    side: Side,
    stream: &str,
    request: Request,
) -> Result<Response, Problem> {
    match *request.method() {
        // Without a token: browsers ask before they may send one.
        Method::OPTIONS => Ok([("accept-post", reading::SDP), ("allow", ALLOW)].into_response()),
        Method::GET | Method::HEAD => {
            stream_of(stream)?;
            reading::identity(app, request.headers(), request.uri(), request.extensions()).await?;
            Ok(nothing(side))
        }
        Method::POST => begin(app, side, stream, request).await,
        _ => Err(wrong_method(ALLOW)),
    }
}

/// 200 without a body: for those who look whether there is something here.
pub(super) fn nothing(side: Side) -> Response {
    let mut response = Body::empty().into_response();
    if side == Side::Watch {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(reading::SDP));
    }
    response
}

async fn begin(app: &Arc<App>, side: Side, stream: &str, request: Request) -> Result<Response, Problem> {
    app.counts(Counted::Post, request.extensions())?;
    let (parts, body) = request.into_parts();
    let identity = reading::identity(app, &parts.headers, &parts.uri, &parts.extensions).await?;
    let from = address::of(&parts.extensions);
    let begun = begin_as(app, side, stream, &identity, parts, body).await;
    begun.inspect_err(|problem| watching::refused(app, from, Some(&identity.user), problem))
}

async fn begin_as(
    app: &Arc<App>,
    side: Side,
    stream: &str,
    identity: &Identity,
    parts: Parts,
    body: Body,
) -> Result<Response, Problem> {
    let from = address::of(&parts.extensions);
    let stream = stream_of(stream)?;
    may(app, side, identity, &stream, from)?;
    let kind = reading::content_type(&parts.headers);
    let offer = match kind.as_deref() {
        Some(reading::SDP) => reading::body(&parts.headers, body, SDP_BYTES_MAX).await?,
        // A viewer without an offer of its own gets one.
        None if side == Side::Watch => reading::body(&parts.headers, body, 0).await?,
        _ => return Err(reading::wrong_type(reading::SDP)),
    };
    let offer = Some(offer).filter(|offer| side == Side::Publish || !offer.trim().is_empty());
    // Not before the request could be served: a name is claimed by this.
    let place = match side {
        Side::Publish => app.places.to_publish(&stream).await?,
        Side::Watch => app.places.to_watch(&stream).await?,
    };
    if let Place::At(base) = place {
        return redirect(&base, &parts.uri);
    }
    audited::session_begins(&app.audit, identity, from, side == Side::Publish, &stream).await?;
    let opened = open(app, side, &stream, identity, from, offer).await;
    let opened = opened.inspect_err(|problem| {
        let (user, why) = (&identity.user, problem.code().slug());
        audited::session_ended(&app.audit, user, side == Side::Publish, &stream, why);
    })?;
    if side == Side::Publish {
        app.places.published(&stream, &identity.user);
    }
    Ok(opened)
}

pub(super) fn may(
    app: &App,
    side: Side,
    identity: &Identity,
    stream: &RoomId,
    from: Option<IpAddr>,
) -> Result<(), Problem> {
    let right = match side {
        Side::Publish => MediaRight::Publish,
        Side::Watch => MediaRight::Subscribe,
    };
    if identity.can_media(right, stream) {
        return Ok(());
    }
    audited::denied(&app.audit, identity, from, side.path(), stream);
    app.watch.report(from, Some(&identity.user), Signal::RoomScan);
    Err(Code::Forbidden.into())
}

/// RFC 9725 4.5: 307 keeps method and body. A token in the URL goes along: its owner put it there.
fn redirect(base: &str, uri: &Uri) -> Result<Response, Problem> {
    let path = uri.path_and_query().map_or_else(|| uri.path(), |path| path.as_str());
    let location = format!("{}{path}", base.trim_end_matches('/'));
    let location = HeaderValue::from_str(&location).map_err(|_| Problem::from(Code::Internal))?;
    Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response())
}

async fn open(
    app: &Arc<App>,
    side: Side,
    stream: &RoomId,
    identity: &Identity,
    from: Option<IpAddr>,
    offer: Option<String>,
) -> Result<Response, Problem> {
    let session = app.relay.name_session(app.node)?;
    let user = identity.user.clone();
    let ufrag = offer.as_deref().and_then(ufrag_of);
    let is_counter_offer = offer.is_none();
    // Before it is opened, so that nothing of it is missed.
    let notices = app.relay.listen(session);
    let ask = match (side, offer) {
        (Side::Publish, Some(offer)) => {
            Ask::Publish { session, stream: stream.clone(), user: user.clone(), offer, most: Most::OneOfEach }
        }
        (_, offer) => {
            Ask::Watch { session, stream: stream.clone(), user: user.clone(), offer, most: Most::OneOfEach }
        }
    };
    let told = app.relay.ask(ask).await.map_err(|failure| refused(side, failure))?;
    let Told::Opened(Opened { sdp, etag, .. }) = told else { return Err(Code::Internal.into()) };
    let state = State { etag, ufrag, is_pending: is_counter_offer };
    let ice_servers = (app.ice_servers)(&user);
    if ice_servers.iter().any(|server| server.credential.is_some())
        && let Err(failure) = audited::turn_issued(&app.audit, identity, from).await
    {
        let _ = app.relay.ask(Ask::Stop { session }).await;
        return Err(failure.into());
    }
    Sessions::begin(app, Session::new(session, side, stream.clone(), identity, from, state), notices);
    let status = if is_counter_offer { StatusCode::NOT_ACCEPTABLE } else { StatusCode::CREATED };
    let mut response = (status, [(header::CONTENT_TYPE, reading::SDP)], sdp).into_response();
    let headers = response.headers_mut();
    let location = location(side, stream, session);
    headers.insert(header::ETAG, etag_value(etag));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    links::add_ice_servers(headers, &ice_servers);
    if side == Side::Watch {
        links::add_extensions(headers, &location, &events::names());
    }
    headers.insert(
        header::LOCATION,
        HeaderValue::from_str(&location).expect("ids are made of letters that may stand in a header"),
    );
    Ok(response)
}

/// Every letter of both ids may stand in a path as it is.
pub(super) fn location(side: Side, stream: &RoomId, session: MediaSession) -> String {
    format!("/{}/{stream}/{session}", side.path())
}

/// Names the ICE session of whoever wrote this.
pub(super) fn ufrag_of(sdp: &str) -> Option<Box<str>> {
    let description = Description::parse(sdp).ok()?;
    let credentials = description.media.iter().find_map(|media| media.credentials.as_ref())?;
    Some(credentials.ufrag().into())
}

fn refused(side: Side, failure: Failure) -> Problem {
    match (side, failure.code) {
        // The endpoint is there, the stream is not live yet: come back.
        (Side::Watch, Code::NoSuchStream) => {
            let after = failure.retry_after_ms.unwrap_or(2_000);
            Problem::with_status(StatusCode::CONFLICT, failure.retry_after_ms(after))
        }
        _ => failure.into(),
    }
}
