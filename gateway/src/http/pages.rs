//! Files of `web/`: within the binary, each with its type and a mark of its content, compressed for those who take that. The process
//! serves some of its own.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;

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
const LIBRARY: [File; 10] = [
    script!("turnpike.js"),
    script!("lib/binary.js"),
    script!("lib/client.js"),
    script!("lib/emitter.js"),
    script!("lib/error.js"),
    script!("lib/media.js"),
    script!("lib/outbox.js"),
    script!("lib/pauses.js"),
    script!("lib/room.js"),
    script!("lib/websocket.js"),
];

const DEMO: [File; 9] = [
    ("/", HTML, include_str!("../../../web/index.html")),
    ("/style.css", STYLE, include_str!("../../../web/style.css")),
    script!("app.js"),
    script!("demo/dom.js"),
    script!("demo/heard.js"),
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
        // Weak: it is of the content, however that is packed.
        let tag = format!("\"{half:032x}\"");
        let mark = HeaderValue::try_from(format!("W/{tag}")).expect("digits and quotes");
        let file = Arc::new(Served { kind, content, packed: OnceLock::new(), tag, mark, policy });
        router.route(path, get(async move |headers: HeaderMap| file.answer(&headers)))
    })
}

struct Served {
    kind: &'static str,
    content: &'static str,
    /// Made when somebody asks for it.
    packed: OnceLock<Bytes>,
    tag: String,
    mark: HeaderValue,
    policy: &'static str,
}

impl Served {
    /// Asked for each time, because it changes with the binary; and answered with nothing when it did not.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let marks = headers.get(header::IF_NONE_MATCH).and_then(|marks| marks.to_str().ok());
        let known = marks.is_some_and(|marks| {
            marks.split(',').any(|known| known.trim().trim_start_matches("W/") == self.tag)
        });
        let common: [(HeaderName, HeaderValue); 4] = [
            (header::ETAG, self.mark.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(self.policy)),
        ];
        if known {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        let kind = [(header::CONTENT_TYPE, self.kind)];
        if takes_gzip(headers) {
            let packed = self.packed.get_or_init(|| packed(self.content)).clone();
            return (common, kind, [(header::CONTENT_ENCODING, "gzip")], packed).into_response();
        }
        (common, kind, self.content).into_response()
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|codings| codings.to_str().ok()).any(
        |codings| {
            codings.split(',').any(|coding| {
                let mut parts = coding.split(';').map(str::trim);
                parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
                    && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
            })
        },
    )
}

fn packed(content: &str) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(content.len() / 3), Compression::best());
    encoder.write_all(content.as_bytes()).expect("memory takes what is written");
    encoder.finish().expect("memory takes what is written").into()
}
