//! A request's way to a node and back: which nodes are tried, for how long, and what is said when nobody answers.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::connect::HttpInfo;
use turnpike_passage::{End, Unread, Untouched, drop_hop_by_hop, keep_upgrade, tunnel};

use crate::answer::{self, Said};
use crate::forwarded;
use crate::front::Front;
use crate::lines::Open;
use crate::way::Way;

/// How many nodes are tried for one request.
const TRIES_MAX: usize = 3;
/// Longer than any poll waits; a node that is gone is noticed sooner, by the cluster.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);
/// A handshake takes milliseconds. One that is not answered by then goes to another node, if one is up. In turns: a router that
/// has too much to do itself comes late to each of them, and between them it sees what was answered.
const HANDSHAKE_TURN: Duration = Duration::from_millis(250);
const HANDSHAKE_TURNS: u32 = 4;
/// A handshake that nobody else can take waits no longer than this.
const LAST_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// When nobody is there: about as long as a node takes to be back.
const NOBODY_RETRY_AFTER_MS: u64 = 1_000;

/// What is to be done with a request.
pub(crate) struct Errand {
    pub(crate) target: Target,
    pub(crate) patience: Patience,
    /// Whose it is.
    pub(crate) client: IpAddr,
}

/// A node to go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// This one or none: the session is there.
    Session(SocketAddr),
    /// This one if it is there, and else by the strategy.
    Rather(SocketAddr, String),
    /// By the strategy, for this key.
    Any(String),
}

/// How long a node may say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not for long: what it has begun for nobody ends by itself.
    Handshake,
    /// As long as it is up: asking another one does no harm.
    WhileUp,
    /// Until it is gone: it may have done what it was asked to do.
    Once,
}

/// What came of asking a node.
enum Outcome {
    Answered(Response<Incoming>),
    /// It has not got the request.
    Unreached,
    /// It has, and then the connection broke, or nothing came for too long.
    Broken,
    /// Nothing came, and another is to be asked.
    Silent,
}

impl Front {
    /// To a node and back. One that is not there is nobody's fault, and another is tried where that makes sense.
    pub(crate) async fn pass(
        &self,
        mut request: Request<Incoming>,
        errand: Errand,
        line: &Arc<Open>,
    ) -> Response<Said> {
        let Errand { target, patience, client } = errand;
        let upgrade = hyper::upgrade::on(&mut request);
        let (mut head, body) = request.into_parts();
        let asks_for_more = keep_upgrade(&mut head.headers);
        forwarded::tell(&mut head.headers, client);
        head.version = Version::HTTP_11;
        head.extensions.clear();
        let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        let body = Untouched::new(body);
        let (roster, meters) = (&self.shared.roster, &self.shared.meters);
        let (mut tried, mut refused) = (Vec::new(), None);
        while let Some((node, body)) = self.next(&target, &tried).zip(body.give()) {
            tried.push(node);
            let way = Way::through(line, node, &roster.load);
            let Some(uri) = uri(node, &path) else { break };
            head.uri = uri;
            let mut response = match self.ask(Request::from_parts(head.clone(), body), patience, &tried).await
            {
                Outcome::Answered(response) => response,
                Outcome::Unreached => {
                    meters.connect_failures.inc();
                    continue;
                }
                Outcome::Silent => {
                    meters.silent.inc();
                    continue;
                }
                Outcome::Broken => {
                    meters.broken.inc();
                    if patience == Patience::Once {
                        break;
                    }
                    continue;
                }
            };
            meters.retries.inc_by(tried.len() as u64 - 1);
            response.extensions_mut().remove::<HttpInfo>();
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                if !asks_for_more {
                    meters.broken.inc();
                    break;
                }
                let node = hyper::upgrade::on(&mut response);
                tokio::task::spawn_local(join(upgrade, node, way));
                return response.map(|_| Said::Own(None));
            }
            drop_hop_by_hop(response.headers_mut());
            let is_refused = response.status() == StatusCode::SERVICE_UNAVAILABLE;
            let response = response.map(|body| Said::Passed(body, way));
            // It is full or leaves, and the cluster has not said so yet.
            if is_refused && !matches!(target, Target::Session(_)) {
                refused = Some(response);
                continue;
            }
            return response;
        }
        if let Some(refused) = refused {
            return refused;
        }
        match target {
            Target::Session(_) => answer::session_unknown(),
            Target::Rather(..) | Target::Any(_) => answer::nobody(NOBODY_RETRY_AFTER_MS),
        }
    }

    fn next(&self, target: &Target, tried: &[SocketAddr]) -> Option<SocketAddr> {
        match target {
            Target::Session(node) => tried.is_empty().then_some(*node),
            Target::Rather(node, _) if !tried.contains(node) => Some(*node),
            Target::Rather(_, key) | Target::Any(key) => {
                (tried.len() < TRIES_MAX).then(|| self.shared.roster.choose(key, tried)).flatten()
            }
        }
    }

    /// Asks the last of those that are tried.
    async fn ask(&self, request: Request<Unread>, patience: Patience, tried: &[SocketAddr]) -> Outcome {
        let Some(node) = tried.last().copied() else { return Outcome::Unreached };
        let (roster, begun) = (&self.shared.roster, Instant::now());
        let is_handshake = patience == Patience::Handshake;
        if is_handshake && tried.len() == 1 {
            roster.spare.earn();
        }
        let longest = if is_handshake { LAST_HANDSHAKE_TIMEOUT } else { ANSWER_TIMEOUT };
        let answered = tokio::select! {
            answered = tokio::time::timeout(longest, self.client.request(request)) => answered,
            () = self.elsewhere(patience, begun, tried) => return Outcome::Silent,
        };
        match answered {
            Ok(Ok(response)) => {
                if is_handshake {
                    roster.answered(node);
                }
                return Outcome::Answered(response);
            }
            Ok(Err(error)) if error.is_connect() => {
                roster.failed(node, begun);
                return Outcome::Unreached;
            }
            Ok(Err(error)) => {
                tracing::debug!(%node, error = &error as &dyn std::error::Error, cause = ?error.source(), "request not passed on");
            }
            Err(_) => {}
        }
        if is_handshake {
            roster.failed(node, begun);
        }
        Outcome::Broken
    }

    /// Returns when it is time to ask another node: the last of these has not answered for too long or is found to be down, and
    /// another one is up. One that answers others is slow, as the other may be: then few go on.
    async fn elsewhere(&self, patience: Patience, begun: Instant, tried: &[SocketAddr]) {
        let (roster, mut turns) = (&self.shared.roster, self.shared.roster.turns());
        let node = match (patience, tried.last()) {
            (Patience::Handshake | Patience::WhileUp, Some(node)) => *node,
            _ => return std::future::pending().await,
        };
        let (was_up, mut waited) = (roster.is_up(node), 0);
        let turn = tokio::time::sleep(HANDSHAKE_TURN);
        tokio::pin!(turn);
        loop {
            tokio::select! {
                () = &mut turn, if patience == Patience::Handshake && waited < HANDSHAKE_TURNS => {
                    waited += 1;
                    turn.as_mut().reset(tokio::time::Instant::now() + HANDSHAKE_TURN);
                    if waited == HANDSHAKE_TURNS {
                        roster.failed(node, begun);
                    }
                }
                turned = turns.changed() => if turned.is_err() {
                    return std::future::pending().await;
                },
            }
            let is_down = was_up && !roster.is_up(node);
            let is_late = waited == HANDSHAKE_TURNS;
            let is_due = (is_late || is_down) && roster.is_another_up(tried);
            if is_due && (patience == Patience::WhileUp || roster.gives_up(node)) {
                return;
            }
        }
    }
}

/// None: the address has no place in a URI, as one with a scope.
fn uri(node: SocketAddr, path: &str) -> Option<Uri> {
    Uri::builder().scheme("http").authority(node.to_string()).path_and_query(path).build().ok()
}

/// Once both sides have agreed on what comes now.
async fn join(client: OnUpgrade, node: OnUpgrade, way: Way) {
    let (Ok(client), Ok(node)) = tokio::join!(client, node) else { return };
    let (Some(client), Some(node)) = (End::of(client), End::of(node)) else { return };
    tokio::select! {
        () = tunnel(client, node) => {}
        () = way.line().is_cut() => {}
    }
}
