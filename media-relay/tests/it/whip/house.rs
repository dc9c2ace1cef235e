//! A relay with its endpoints on a port of the system's choice, and a client that asks it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::{Client, Method, RequestBuilder, Response};
use turnpike_guard::{At, Claims, Revocations, TokenKey, Verifier, Warden, WardenConfig, Watch, mint};
use turnpike_media_relay::{Alone, IceServer, Limits, Places, Relay, RelayConfig, Whip, WhipConfig};
use turnpike_wire::UserId;

use crate::peer::Peer;

pub(crate) use crate::peer::{CHROMIUM, OBS, SAFARI};

const SECRET: &[u8] = b"a secret for tests alone, of 32 bytes and more";
pub(crate) const SDP: &str = "application/sdp";
pub(crate) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// What takes longer is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) relay: Relay,
    pub(crate) revocations: Revocations,
    registry: prometheus::Registry,
    client: Client,
}

pub(crate) struct Settings {
    pub(crate) posts: u32,
    pub(crate) changes: u32,
    pub(crate) peers_max: usize,
    pub(crate) origins: Option<Vec<String>>,
    pub(crate) places: Arc<dyn Places>,
    pub(crate) watch: Watch,
}

impl Default for Settings {
    fn default() -> Self {
        let started = Instant::now();
        let now = move || At {
            steady_ms: started.elapsed().as_millis() as u64,
            unix_ms: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64,
        };
        let watch = Watch::new(Arc::new(Warden::new(WardenConfig::default())), now);
        let places = Arc::new(Alone);
        Self { posts: 1_000, changes: 1_000, peers_max: 1_000, origins: None, places, watch }
    }
}

impl House {
    pub(crate) async fn build() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let config = RelayConfig {
            address: [127, 0, 0, 1].into(),
            port: 0,
            announced: Vec::new(),
            shards: 1,
            takes_tcp: false,
            is_lite: false,
            start_bits_per_second: 1_000_000,
            bits_per_second_max: 10_000_000,
            limits: Limits { peers_max: settings.peers_max, ..Limits::default() },
            recordings: None,
        };
        let registry = prometheus::Registry::new();
        let start = || Relay::start(&config, &registry).unwrap();
        let (relay, _) = crate::threads::of_a_shard(start);
        let ice_servers = Arc::new(|user: &UserId| {
            vec![
                IceServer { url: "stun:stun.example.org".to_owned(), username: None, credential: None },
                IceServer {
                    url: "turn:turn.example.org?transport=udp".to_owned(),
                    username: Some(format!("1:{user}")),
                    credential: Some("secret\"".to_owned()),
                },
            ]
        });
        let revocations = Revocations::default();
        let tokens =
            Verifier::new(TokenKey::hs256(SECRET).unwrap(), Vec::new()).revoked_by(revocations.clone());
        let whip = Whip::new(WhipConfig {
            relay: relay.clone(),
            audit: turnpike_audit::Audit::nowhere(),
            node: 7,
            tokens: Arc::new(tokens),
            watch: settings.watch,
            origins: settings.origins,
            ice_servers,
            places: settings.places,
            posts_per_minute_max: NonZeroU32::new(settings.posts).unwrap(),
            changes_per_minute_max: NonZeroU32::new(settings.changes).unwrap(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = whip.router().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE);
        Self { address, relay, revocations, registry, client: client.build().unwrap() }
    }

    /// Without a token.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(token("alice"))
    }

    pub(crate) async fn post(&self, path: &str, sdp: &str) -> Response {
        self.ask(Method::POST, path).header("content-type", SDP).body(sdp.to_owned()).send().await.unwrap()
    }

    pub(crate) async fn patch(&self, path: &str, if_match: &str, fragment: &str) -> Response {
        let request =
            self.ask(Method::PATCH, path).header("content-type", FRAGMENT).header("if-match", if_match);
        request.body(fragment.to_owned()).send().await.unwrap()
    }

    /// Somebody publishes; the path of the session, and its tag.
    pub(crate) async fn publish(&self, stream: &str) -> (String, String) {
        let response = self.post(&format!("/whip/{stream}"), OBS).await;
        assert_eq!(response.status(), 201);
        (header(&response, "location"), header(&response, "etag"))
    }

    pub(crate) async fn watch(&self, stream: &str) -> (String, String) {
        let response = self.post(&format!("/whep/{stream}"), SAFARI).await;
        assert_eq!(response.status(), 201);
        (header(&response, "location"), header(&response, "etag"))
    }

    /// A peer publishes, or watches, with an offer like this; the path of its session.
    pub(crate) async fn begins(&self, path: &str, template: &str) -> (Peer, String) {
        let mut peer = Peer::new(self.relay.local_addrs()[0], rand());
        let response = self.post(path, &peer.offer(template)).await;
        assert_eq!(response.status(), 201);
        let session = header(&response, "location");
        peer.answered(&response.text().await.unwrap());
        peer.connects();
        (peer, session)
    }

    /// Waits until a session is not there any more.
    pub(crate) async fn ends(&self, session: &str) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while self.ask(Method::GET, session).send().await.unwrap().status() != 404 {
            assert!(tokio::time::Instant::now() < end, "{session} is still there");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        crate::metric(&self.registry, name)
    }

    /// How many streams somebody publishes, and how many watch.
    pub(crate) async fn streams(&self) -> (usize, u64) {
        match self.relay.ask(turnpike_media_relay::Ask::Streams).await.unwrap() {
            turnpike_media_relay::Told::Streams(streams) => {
                let publishers = streams.iter().map(|stream| stream.publishers.len()).sum();
                (publishers, streams.iter().map(|stream| stream.viewers).sum())
            }
            other => panic!("{other:?}"),
        }
    }

    /// Waits until so many publish and watch.
    pub(crate) async fn settles_at(&self, wanted: (usize, u64)) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while self.streams().await != wanted {
            assert!(tokio::time::Instant::now() < end, "{:?}", self.streams().await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.relay.stop();
    }
}

/// Credentials of peers need not be guessed by anybody here, but must differ.
fn rand() -> u64 {
    use std::hash::BuildHasher as _;
    std::hash::RandomState::new().hash_one(0)
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn token(user: &str) -> String {
    token_with(user, now() + 600, &["live:*=publish,subscribe"])
}

pub(crate) fn expired(user: &str) -> String {
    token_with(user, now() - 600, &["live:*=publish,subscribe"])
}

pub(crate) fn token_with(user: &str, expires_at: u64, grants: &[&str]) -> String {
    let mut claims = Claims::new(UserId::parse(user).unwrap(), expires_at);
    let grant = |text: &&str| {
        let (pattern, rights) = text.split_once('=').unwrap();
        let rights: Vec<&str> = rights.split(',').collect();
        serde_json::from_value(serde_json::json!({ "match": pattern, "can": rights })).unwrap()
    };
    claims.media = Some(grants.iter().map(grant).collect());
    mint(SECRET, &claims).unwrap()
}

pub(crate) fn watch_only() -> String {
    token_with("bob", now() + 600, &["live:*=subscribe"])
}

pub(crate) fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).unwrap_or_else(|| panic!("there is no {name}")).to_str().unwrap().to_owned()
}

pub(crate) fn links(response: &Response) -> Vec<String> {
    response.headers().get_all("link").iter().map(|link| link.to_str().unwrap().to_owned()).collect()
}

/// A fragment with one candidate, of the ICE session with this name.
pub(crate) fn fragment(ufrag: &str, candidate: &str) -> String {
    format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:GKo5cLTtdyxHmBWHBMwnHG\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:{candidate}\r\n"
    )
}

pub(crate) const CANDIDATE: &str = "1 1 udp 2113937151 192.0.2.44 50113 typ host";
/// Of the offers above.
pub(crate) const OBS_UFRAG: &str = "nUm6";
