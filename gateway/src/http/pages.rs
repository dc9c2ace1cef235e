//! Files of `web/`: within the binary, each with its type and a mark of its content. The process serves some of its own.

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Nothing from elsewhere, nothing inline. `'self'` includes the websocket of the same origin; pictures and films that the page
/// makes itself are `blob:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub const HTML: &str = "text/html; charset=utf-8";
pub const STYLE: &str = "text/css; charset=utf-8";
pub const SCRIPT: &str = "text/javascript; charset=utf-8";
pub const PICTURE: &str = "image/svg+xml";

/// Path, type, content.
pub type File = (&'static str, &'static str, &'static str);

macro_rules! script {
    ($name:literal) => {
        (concat!("/", $name), SCRIPT, include_str!(concat!("../../../web/", $name)))
    };
}

/// The client library, as whoever writes a page of their own may take it from here.
const LIBRARY: [File; 9] = [
    script!("turnpike.js"),
    script!("lib/binary.js"),
    script!("lib/client.js"),
    script!("lib/emitter.js"),
    script!("lib/error.js"),
    script!("lib/media.js"),
    script!("lib/outbox.js"),
    script!("lib/room.js"),
    script!("lib/websocket.js"),
];

const DEMO: [File; 8] = [
    ("/", HTML, include_str!("../../../web/index.html")),
    ("/style.css", STYLE, include_str!("../../../web/style.css")),
    script!("app.js"),
    script!("demo/dom.js"),
    script!("demo/live.js"),
    script!("demo/log.js"),
    script!("demo/room.js"),
    ("/icon.svg", PICTURE, include_str!("../../../web/icon.svg")),
];

pub(super) fn routes() -> Router {
    serve(LIBRARY.into_iter().chain(DEMO), POLICY)
}

/// Answers with these files, under this Content-Security-Policy.
pub fn serve(files: impl IntoIterator<Item = File>, policy: &'static str) -> Router {
    files.into_iter().fold(Router::new(), |router, (path, kind, content)| {
        let content_digest = digest(&SHA256, content.as_bytes());
        let half = content_digest.as_ref().first_chunk().expect("a digest of 32 bytes has 16");
        let half = u128::from_be_bytes(*half);
        let mark = HeaderValue::try_from(format!("\"{half:032x}\"")).expect("digits and quotes");
        router
            .route(path, get(async move |headers: HeaderMap| answer(&headers, kind, content, &mark, policy)))
    })
}

/// Asked for each time, because it changes with the binary; and answered with nothing when it did not.
fn answer(
    headers: &HeaderMap,
    kind: &'static str,
    content: &'static str,
    mark: &HeaderValue,
    policy: &'static str,
) -> Response {
    let known =
        headers.get(header::IF_NONE_MATCH).and_then(|marks| marks.to_str().ok()).is_some_and(|marks| {
            marks.split(',').any(|known| known.trim().trim_start_matches("W/").as_bytes() == mark.as_bytes())
        });
    let common: [(HeaderName, HeaderValue); 3] = [
        (header::ETAG, mark.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(header::CONTENT_TYPE, kind)], content).into_response()
}
