//! The relay of this process: what it is told, and the ways to it.

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::{Next, from_fn};
use prometheus::{IntCounter, Registry};
use turnpike_audit::Audit;
use turnpike_cluster::Cluster;
use turnpike_daemon::tasks::Tasks;
use turnpike_engine::PeerAddress;
use turnpike_gateway::inspect::Looks;
use turnpike_guard::{IceServers, Verifier, Watch};
use turnpike_media_relay::{
    ClientAddress, Homes, HomesConfig, IceServer, Limits, RecordConfig, Relay, RelayConfig, Whip, WhipConfig,
    signaling,
};
use turnpike_wire::RoomId;
use turnpike_wire::media::StreamLook;

use crate::config::{Config, Ice, IceUrl, Origin, Turn};
use crate::links::Linked;

/// None: there is no relay in this process.
pub(crate) fn config(config: &Config) -> Option<RelayConfig> {
    let media = &config.media;
    media.enabled.then(|| RelayConfig {
        address: media.host,
        port: media.port,
        announced: media.announce.0.clone(),
        shards: media.shards.map_or_else(processors, usize::from),
        takes_tcp: media.tcp,
        is_lite: media.ice == Ice::Lite,
        start_bits_per_second: media.start_bitrate,
        bits_per_second_max: media.bitrate_max,
        limits: Limits {
            peers_max: media.sessions_max,
            publishers_per_stream_max: media.publishers_per_stream_max,
            branches_per_stream_max: config.links.branches_max,
            ..Limits::default()
        },
        recordings: media.recordings.clone().map(RecordConfig::new),
    })
}

/// Servers that help clients to reach the relay, of this process or another.
pub(crate) fn ice_servers(config: &Config) -> IceServers {
    let Turn { urls, secret, ttl } = &config.turn;
    let (turn, stun): (Vec<&IceUrl>, Vec<_>) = urls.0.iter().partition(|url| url.is_turn());
    let texts = |urls: Vec<&IceUrl>| urls.into_iter().map(|url| url.as_str().to_owned()).collect::<Vec<_>>();
    let turn = secret
        .as_ref()
        .filter(|_| !turn.is_empty())
        .map(|secret| turnpike_guard::Turn::new(texts(turn), secret.reveal().as_bytes(), *ttl));
    IceServers::new(texts(stun), turn)
}

/// The same for those who come over HTTP: each URL is a header. Counts the credentials.
fn whip_ice_servers(servers: IceServers, credentials: IntCounter) -> turnpike_media_relay::IceServers {
    Arc::new(move |user| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let links = servers.of(user, now).into_iter().flat_map(|server| {
            let credential = server.credential;
            credentials.inc_by(u64::from(credential.is_some()));
            server.urls.iter().map(move |url| IceServer {
                url: url.clone(),
                username: credential.as_ref().map(|credential| credential.username.clone()),
                credential: credential.as_ref().map(|credential| credential.password.clone()),
            })
        });
        links.collect()
    })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// As if it had never been there.
fn without_token(uri: &Uri) -> Uri {
    let query = uri.query().unwrap_or_default();
    if !query.split('&').any(|pair| pair.starts_with("token=")) {
        return uri.clone();
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("token=")).collect();
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    // A part of what was a URI is one.
    format!("{}{query}", uri.path()).parse().unwrap_or_default()
}

/// The relay with the ways to it.
pub(crate) struct Opened {
    /// Of WHIP and WHEP.
    pub(crate) routes: Router,
    pub(crate) homes: Arc<Homes<Relay>>,
}

/// Who may come in by WHIP and WHEP, and where it is written down.
pub(crate) struct Entrance {
    pub(crate) tokens: Verifier,
    pub(crate) watch: Watch,
    pub(crate) audit: Audit,
    /// Users have their sessions in other processes.
    pub(crate) alone: bool,
}

/// Lets gateways, other relays and clients of WHIP and WHEP come to the relay.
pub(crate) fn open(
    config: &Config,
    relay: &Relay,
    linked: Option<&Linked>,
    cluster: &Cluster,
    entrance: Entrance,
    tasks: &Tasks,
    registry: &Registry,
) -> Result<Opened, prometheus::Error> {
    let Entrance { tokens, watch, audit, alone } = entrance;
    let credentials = IntCounter::new(
        "turnpike_media_turn_credentials_total",
        "Credentials of TURN servers given to clients of WHIP and WHEP, each good for minutes.",
    )?;
    registry.register(Box::new(credentials.clone()))?;
    let shards = relay.local_addrs().len();
    let homes_config = HomesConfig {
        sessions_max: config.media.sessions_max * shards,
        url: config.media.url.as_ref().map(|url| url.as_str().into()),
        link: linked.and_then(|linked| linked.address),
        alone,
    };
    let homes = match linked {
        Some(Linked { links, .. }) => Homes::linked(relay.clone(), cluster, homes_config, links.clone()),
        None => Homes::new(relay.clone(), cluster, homes_config),
    };
    let kept = Arc::clone(&homes);
    tasks.spawn("media homes", |mut stop| async move { kept.keep(stop.requested()).await });
    let (face, asked, plane) = (relay.clone(), Arc::clone(&homes), cluster.clone());
    let metrics = signaling::SignalingMetrics::register(registry)?;
    tasks.spawn("media signaling", |mut stop| async move {
        signaling::run(face, asked, plane, metrics, stop.requested()).await;
    });
    let origins = &config.gateway.cors_origin.0;
    let named = || origins.iter().map(turnpike_daemon::config::Setting::show).collect();
    let whip = Whip::new(WhipConfig {
        relay: relay.clone(),
        audit,
        node: cluster.membership.own().0,
        tokens: Arc::new(tokens),
        watch,
        origins: (!origins.iter().any(Origin::is_any)).then(named),
        ice_servers: whip_ice_servers(ice_servers(config), credentials),
        places: Arc::new(Arc::clone(&homes)),
        posts_per_minute_max: at_least_one(config.media.posts_per_minute_max),
        changes_per_minute_max: at_least_one(config.media.changes_per_minute_max),
    });
    let query_tokens = config.auth.query_tokens;
    let routes = whip.router().layer(from_fn(move |mut request: Request, next: Next| {
        if !query_tokens {
            // What is not there is in no log, and counts for nothing.
            *request.uri_mut() = without_token(request.uri());
        }
        if let Some(PeerAddress(address)) = request.extensions().get().copied() {
            request.extensions_mut().insert(ClientAddress(address.ip()));
        }
        next.run(request)
    }));
    Ok(Opened { routes, homes })
}

/// What an operator sees of the relay.
pub(crate) struct Eyes(pub(crate) Arc<Homes<Relay>>);

impl Looks for Eyes {
    fn look<'a>(
        &'a self,
        stream: &'a RoomId,
    ) -> Pin<Box<dyn Future<Output = Option<StreamLook>> + Send + 'a>> {
        Box::pin(self.0.look(stream))
    }
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_out_of_a_url() {
        for (uri, left) in [
            ("/whip/a", "/whip/a"),
            ("/whip/a?x=1&tokens=2", "/whip/a?x=1&tokens=2"),
            ("/whip/a?token=e30.e30.AA", "/whip/a"),
            ("/whip/a?x=1&token=e30&y&token=", "/whip/a?x=1&y"),
            ("http://a.example/whip/a?token=e30", "/whip/a"),
        ] {
            assert_eq!(without_token(&uri.parse().unwrap()).to_string(), left);
        }
    }
}
