//! A gateway to test, and tokens for it.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use prometheus::Registry;
use prometheus::proto::LabelPair;
use turnpike_engine::EngineConfig;
use turnpike_gateway::{Development, Gateway, GatewayConfig, HistoryLimits, Limits};
use turnpike_guard::{Claims, Grant, TokenKey, Verifier, mint};
use turnpike_wire::UserId;

pub(crate) const SECRET: &[u8] = b"a secret for tests, 32 bytes long";

/// Longer than anything here takes on a busy machine: only a fault runs into it.
pub(crate) const BROKEN: Duration = Duration::from_secs(20);

pub(crate) struct House {
    pub(crate) gateway: Gateway,
    pub(crate) registry: Registry,
}

impl House {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let grants = vec![grant("chat:*=join,send,history"), grant("quiet:*=join")];
        let mut config = GatewayConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            engine: EngineConfig {
                node: "n1".to_owned(),
                shards: 2,
                ticket_secrets: vec![b"another secret for tests, as long".to_vec()],
                ..EngineConfig::default()
            },
            tokens: Verifier::new(TokenKey::hs256(SECRET).unwrap(), grants),
            recovery_window: Duration::from_mins(1),
            limits: Limits::default(),
            history: HistoryLimits::default(),
            development: Some(Development { secret: SECRET.to_vec(), issuer: None, audience: None }),
        };
        change(&mut config);
        let registry = Registry::new();
        let bound = Gateway::bind(config, &registry).unwrap();
        Self { gateway: bound.serve(Router::new()).unwrap(), registry }
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
