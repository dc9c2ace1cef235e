//! `GET /admin/v1/live`: the figures of all nodes as they come, a line of JSON each second, for the dashboard.
//!
//! It is one answer that does not end, so the token is sent as with every other request, and looked at again with every line:
//! it ends within a second of the token's end.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use futures_util::stream;
use turnpike_daemon::admin::Peer;
use turnpike_wire::{Code, Failure};

use super::desk::Desk;
use super::entry::{self, Access};
use super::operation::Problem;
use super::{refusal, request_id};
use crate::dashboard::Watching;

pub(super) const PATH: &str = "/admin/v1/live";
/// As in the metrics.
const ID: &str = "watchLive";
/// A crowd is turned away for as long as it takes somebody to close a page.
const CROWDED_RETRY_MS: u64 = 5_000;

pub(super) fn route(desk: &Arc<Desk>) -> MethodRouter {
    let desk = Arc::clone(desk);
    get(move |Extension(peer): Extension<Peer>, request: Request| {
        let desk = Arc::clone(&desk);
        async move {
            let headers = request.headers().clone();
            let id = request_id(&desk, &headers);
            let answer = begin(&desk, peer, &headers, &id).await;
            let status = answer.as_ref().map_or_else(|problem| problem.status, Response::status);
            desk.meters.answered(ID, status);
            answer.unwrap_or_else(|problem| refusal(&problem, &id))
        }
    })
}

async fn begin(desk: &Arc<Desk>, peer: Peer, headers: &HeaderMap, id: &str) -> Result<Response, Problem> {
    entry::enter(desk, peer.0.ip(), headers, id, Access::Act).await?;
    let watching = desk.parts.dashboard.watch().ok_or_else(|| {
        Failure::new(Code::Unavailable, "too many dashboards are open at this node")
            .retry_after_ms(CROWDED_RETRY_MS)
    })?;
    let state = (Arc::clone(desk), headers.clone(), watching);
    // hyper asks for the next line when the one before is on its way: a page that does not read is told nothing, and holds
    // one of the few places until its connection breaks.
    let lines = stream::unfold(state, async |(desk, headers, mut watching): (_, _, Watching)| {
        let mut line = watching.next().await?;
        entry::still(&desk, &headers).ok()?;
        line.push('\n');
        Some((Ok::<_, Infallible>(Bytes::from(line)), (desk, headers, watching)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((StatusCode::OK, headers, Body::from_stream(lines)).into_response())
}
