//! WHIP and WHEP: publishing and watching by plain HTTP (RFC 9725, and the WHEP draft with its extensions).
//!
//! Every request ends in the same few asks of the relay as those of the gateway. It knows neither how media is forwarded
//! nor who listens on the port.

mod address;
mod cors;
mod endpoint;
mod events;
mod feed;
mod layer;
mod links;
mod places;
mod problem;
mod rate;
mod reading;
mod session;
mod sessions;
mod watching;

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::Response;
use axum::routing::any;
use turnpike_audit::Audit;
use turnpike_guard::{Verifier, Watch};
use turnpike_wire::{Code, Failure, RoomId, UserId};

pub use self::address::ClientAddress;
pub use self::links::IceServer;
pub use self::places::{Alone, Place, Places};
use self::problem::Problem;
use self::rate::Rates;
use self::sessions::Sessions;
use crate::Relay;

/// Servers that help this user to reach us, with credentials that soon end. Asked for on each session, never on a
/// preflight.
pub type IceServers = Arc<dyn Fn(&UserId) -> Vec<IceServer> + Send + Sync>;

pub struct WhipConfig {
    pub relay: Relay,
    /// Where it is written down who was let in, and who was not.
    pub audit: Audit,
    /// This node's incarnation, part of the names of sessions.
    pub node: u64,
    pub tokens: Arc<Verifier>,
    /// Knows who is banned, and is told who misbehaves.
    pub watch: Watch,
    /// Pages that may ask. None: all; there are no cookies that could be misused.
    pub origins: Option<Vec<String>>,
    pub ice_servers: IceServers,
    pub places: Arc<dyn Places>,
    /// Of one client's address, which may begin as many at once.
    pub posts_per_minute_max: NonZeroU32,
    /// Of one client's address: PATCH, DELETE, layers and event streams.
    pub changes_per_minute_max: NonZeroU32,
}

/// The endpoints. Cheap to clone.
#[derive(Clone)]
pub struct Whip {
    app: Arc<App>,
}

struct App {
    relay: Relay,
    audit: Audit,
    node: u64,
    tokens: Arc<Verifier>,
    watch: Watch,
    origins: Option<Vec<String>>,
    ice_servers: IceServers,
    places: Arc<dyn Places>,
    rates: Rates,
    sessions: Sessions,
}

/// Which of the two protocols a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Publish,
    Watch,
}

impl Side {
    fn path(self) -> &'static str {
        match self {
            Self::Publish => "whip",
            Self::Watch => "whep",
        }
    }
}

impl Whip {
    pub fn new(config: WhipConfig) -> Self {
        let WhipConfig { relay, audit, node, tokens, watch, origins, ice_servers, places, .. } = config;
        let rates = Rates::new(config.posts_per_minute_max, config.changes_per_minute_max);
        let sessions = Sessions::default();
        Self {
            app: Arc::new(App {
                relay,
                audit,
                node,
                tokens,
                watch,
                origins,
                ice_servers,
                places,
                rates,
                sessions,
            }),
        }
    }

    /// To be served with the peer's address ([`axum::extract::ConnectInfo`]) or with a [`ClientAddress`] in each request.
    pub fn router(&self) -> Router {
        let mut router = Router::new();
        for side in [Side::Publish, Side::Watch] {
            let endpoint = async move |State(app): State<Arc<App>>, path: Path<String>, request: Request| {
                answer(endpoint::serve(&app, side, &path, request).await)
            };
            let session =
                async move |State(app): State<Arc<App>>, path: Path<(String, String)>, request: Request| {
                    answer(session::serve(&app, side, &path.0, request).await)
                };
            router = router
                .route(&format!("/{}/{{stream}}", side.path()), any(endpoint))
                .route(&format!("/{}/{{stream}}/{{session}}", side.path()), any(session));
        }
        let events = async |State(app): State<Arc<App>>, path: Path<(String, String)>, request: Request| {
            answer(events::serve(&app, &path.0, request).await)
        };
        let stream =
            async |State(app): State<Arc<App>>, path: Path<(String, String, String)>, request: Request| {
                answer(events::serve_stream(&app, &path.0, request).await)
            };
        let layer = async |State(app): State<Arc<App>>, path: Path<(String, String)>, request: Request| {
            answer(layer::serve(&app, &path.0, request).await)
        };
        router
            .route("/whep/{stream}/{session}/events", any(events))
            .route("/whep/{stream}/{session}/events/{id}", any(stream))
            .route("/whep/{stream}/{session}/layer", any(layer))
            .with_state(Arc::clone(&self.app))
            .layer(middleware::from_fn_with_state(Arc::clone(&self.app), cors::allow))
    }
}

fn answer(result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(Problem::into_answer)
}

fn stream_of(text: &str) -> Result<RoomId, Problem> {
    RoomId::parse(text).map_err(|error| Failure::new(Code::BadRequest, error.to_string()).into())
}

/// Beside what the path takes, so that a program can be told what it does take.
fn wrong_method(allowed: &'static str) -> Problem {
    let failure = Failure::new(Code::BadRequest, "this path does not take that method");
    Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, failure).allow(allowed)
}
