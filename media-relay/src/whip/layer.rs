//! Which picture a viewer wants (WHEP's layer extension).

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use turnpike_wire::media::{LayerWish, Mid, Rid};
use turnpike_wire::{Code, Failure};

use super::problem::Problem;
use super::rate::Counted;
use super::session::{find, gone};
use super::{App, Side, reading, wrong_method};
use crate::Ask;

const BODY_BYTES_MAX: usize = 4 * 1024;
const ALLOW: &str = "OPTIONS, POST";

/// Nothing but the section: all of it is the relay's choice again.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    media_id: Mid,
    rid: Option<Rid>,
    spatial_layer_id: Option<u8>,
    temporal_layer_id: Option<u8>,
    max_spatial_layer_id: Option<u8>,
    max_temporal_layer_id: Option<u8>,
    max_width: Option<u16>,
    max_height: Option<u16>,
}

pub(super) async fn serve(
    app: &Arc<App>,
    (stream, session): &(String, String),
    request: Request,
) -> Result<Response, Problem> {
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
    let wanted: Wanted = serde_json::from_str(&body)
        .map_err(|error| Failure::new(Code::BadRequest, format!("not a choice of a layer: {error}")))?;
    let wish = LayerWish {
        mid: Some(wanted.media_id),
        quality: None,
        rid: wanted.rid,
        spatial: wanted.spatial_layer_id.or(wanted.max_spatial_layer_id),
        temporal: wanted.temporal_layer_id.or(wanted.max_temporal_layer_id),
        width: wanted.max_width,
        height: wanted.max_height,
    };
    app.relay.ask(Ask::Layer { session: session.name, wish }).await.map_err(gone)?;
    Ok(StatusCode::OK.into_response())
}
