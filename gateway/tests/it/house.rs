//! A gateway to test, and tokens for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use prometheus::Registry;
use prometheus::proto::LabelPair;
use tokio::sync::watch;
use turnpike_cluster::{Cluster, embedded};
use turnpike_engine::EngineConfig;
use turnpike_gateway::{ApiKeys, Development, Gateway, GatewayConfig, Limits, MediaLimits, RingLimits};
use turnpike_guard::address::AddressRules;
use turnpike_guard::{At, Claims, Grant, IceServers, TokenKey, Verifier, Warden, WardenConfig, Watch, mint};
use turnpike_wire::UserId;

use crate::weather::{Exposed, Weather};

pub(crate) const SECRET: &[u8] = b"a secret for tests, 32 bytes long";

/// Longer than anything here takes on a busy machine: only a fault runs into it.
pub(crate) const BROKEN: Duration = Duration::from_secs(20);

/// What a gateway is told in a test.
pub(crate) struct Plan {
    pub(crate) gateway: GatewayConfig,
    pub(crate) cluster: embedded::Config,
    /// What stands between the gateway and its broker.
    pub(crate) exposed: Option<(watch::Receiver<Weather>, watch::Sender<usize>)>,
}

impl std::ops::Deref for Plan {
    type Target = GatewayConfig;

    fn deref(&self) -> &GatewayConfig {
        &self.gateway
    }
}

impl std::ops::DerefMut for Plan {
    fn deref_mut(&mut self) -> &mut GatewayConfig {
        &mut self.gateway
    }
}

pub(crate) struct House {
    pub(crate) gateway: Gateway,
    pub(crate) registry: Registry,
    pub(crate) cluster: Cluster,
}

impl House {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Plan)) -> Self {
        let grants = vec![grant("chat:*=join,send,history"), grant("quiet:*=join")];
        let gateway = GatewayConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            engine: EngineConfig {
                node: "n1".to_owned(),
                shards: 2,
                ticket_secrets: vec![b"another secret for tests, as long".to_vec()],
                ..EngineConfig::default()
            },
            tokens: Verifier::new(TokenKey::hs256(SECRET).unwrap(), grants),
            api_keys: ApiKeys::default(),
            recovery_window: Duration::from_mins(1),
            limits: Limits::default(),
            ring: RingLimits::default(),
            media: MediaLimits::default(),
            ice_servers: IceServers::default(),
            webhooks: Vec::new(),
            gates: None,
            audit: turnpike_audit::Audit::nowhere(),
            tracer: turnpike_telemetry::Tracer::default(),
            front: turnpike_gateway::Front::default(),
            watch: watch(WardenConfig { rules: exempting_this_machine(), ..WardenConfig::default() }),
            development: Some(Development { secret: SECRET.to_vec(), issuer: None, audience: None }),
        };
        let mut plan = Plan { gateway, cluster: embedded::Config::new("n1"), exposed: None };
        change(&mut plan);
        let mut cluster = embedded::start(&plan.cluster).unwrap();
        if let Some((weather, published)) = plan.exposed {
            cluster.broker = Exposed::expose(cluster.broker, weather, published);
        }
        let (registry, kept) = (Registry::new(), cluster.clone());
        let bound = Gateway::bind(plan.gateway, &registry).unwrap();
        // Tests start it from inside a runtime of their own.
        let serve = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(bound.serve(cluster, Router::new())).unwrap()
        };
        let gateway = std::thread::scope(|scope| scope.spawn(serve).join().unwrap());
        Self { gateway, registry, cluster: kept }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.local_addr()
    }

    /// The value of a metric, summed over its labels that contain `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let families = self.registry.gather();
        let family =
            families.iter().find(|family| family.name() == name).unwrap_or_else(|| panic!("{name}?"));
        family
            .get_metric()
            .iter()
            .filter(|metric| {
                let values: Vec<&str> = metric.get_label().iter().map(LabelPair::value).collect();
                labels.iter().all(|label| values.contains(label))
            })
            .map(|metric| (metric.get_counter().get_value() + metric.get_gauge().get_value()) as u64)
            .sum()
    }

    /// Waits until it holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(BROKEN, async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "{what}: {:?}", self.gateway.counters());
    }
}

/// A warden for one gateway.
pub(crate) fn watch(config: WardenConfig) -> Watch {
    let started = Instant::now();
    Watch::new(Arc::new(Warden::new(config)), move || At {
        steady_ms: started.elapsed().as_millis() as u64,
        unix_ms: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64,
    })
}

fn exempting_this_machine() -> AddressRules {
    let exempt = ["127.0.0.0/8", "::1"].into_iter().map(|text| text.parse().unwrap()).collect();
    AddressRules { exempt, ..AddressRules::default() }
}

pub(crate) fn grant(text: &str) -> Grant {
    text.parse().unwrap()
}

pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn claims(user: &str) -> Claims {
    Claims::new(UserId::parse(user).unwrap(), unix_seconds() + 600)
}

pub(crate) fn signed(claims: &Claims) -> String {
    mint(SECRET, claims).unwrap()
}

pub(crate) fn token(user: &str) -> String {
    signed(&claims(user))
}
