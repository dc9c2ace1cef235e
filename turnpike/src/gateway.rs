//! What the gateway is told: its part of the configuration, in its own words.

use std::net::SocketAddr;

use turnpike_audit::Audit;
use turnpike_daemon::config::Secret;
use turnpike_engine::{EngineConfig, Origins, packet};
use turnpike_gateway::{
    ApiKeys, Development, Gate, Gates, GatewayConfig, Limits, MediaLimits, RingLimits, Unanswered,
    WebhookEvent, Webhooks,
};
use turnpike_guard::{KeyRing, Verifier, Watch};
use turnpike_telemetry::Tracer;

use crate::addresses;
use crate::config::{self, Config, Origin};
use crate::media;
use crate::purpose::Purpose;
use crate::secrets::Secrets;

pub(crate) fn config(
    config: &Config,
    secrets: &Secrets,
    keys: KeyRing,
    connections_max: usize,
    audit: Audit,
    watch: Watch,
    tracer: Tracer,
) -> GatewayConfig {
    let tokens = verifier(config, keys);
    GatewayConfig {
        address: SocketAddr::new(config.gateway.host, config.gateway.port),
        engine: engine(config, secrets, connections_max),
        front: addresses::front(config),
        watch,
        tokens,
        api_keys: api_keys(&config.api),
        recovery_window: config.recovery.window,
        limits: Limits {
            rooms_per_connection_max: config.limits.rooms_per_connection_max,
            body_bytes_max: config.limits.body_bytes_max.0,
            answer_bytes_max: config.limits.answer_bytes_max.0,
            sessions_away_max: config.recovery.sessions_away_max,
            classes: config.rates.classes(),
            keys_max: config.rates.keys_max,
        },
        ring: RingLimits {
            // What the broker does not keep is not kept at hand either.
            room_messages_max: config.ring.room_messages_max.min(config.history.room_messages_max),
            room_bytes_max: config.ring.room_bytes_max.0.min(config.history.room_bytes_max.0),
            bytes_max: config.ring.bytes_max.0,
            age_ms_max: u64::try_from(config.history.age_max.as_millis()).unwrap_or(u64::MAX),
            linger_ms: u64::try_from(config.ring.linger.as_millis()).unwrap_or(u64::MAX),
        },
        media: MediaLimits::default(),
        ice_servers: media::ice_servers(config),
        webhooks: webhooks(&config.webhooks),
        gates: gates(&config.gates),
        audit,
        tracer,
        development: secrets.token.as_ref().filter(|_| !config.is_production()).map(|secret| Development {
            secret: secret.reveal().as_bytes().to_vec(),
            issuer: config.auth.issuer.clone(),
            audience: config.auth.audience.clone(),
        }),
    }
}

/// Says of a token who it is.
pub(crate) fn verifier(config: &Config, keys: KeyRing) -> Verifier {
    let mut tokens = Verifier::new(keys, config.default_grants());
    tokens = tokens.media(config.default_media_grants()).lifetime(config.auth.token_ttl_max.as_secs());
    if let Some(issuer) = &config.auth.issuer {
        tokens = tokens.issuer(issuer);
    }
    if let Some(audience) = &config.auth.audience {
        tokens = tokens.audience(audience);
    }
    tokens
}

fn api_keys(config: &config::Api) -> ApiKeys {
    let keys = [&config.key, &config.key_next];
    ApiKeys::new(keys.into_iter().flatten().map(|key| key.reveal().as_bytes()))
}

fn bytes<'a>(given: impl IntoIterator<Item = &'a Option<Secret>>) -> Vec<Vec<u8>> {
    given.into_iter().flatten().map(|secret| secret.reveal().as_bytes().to_vec()).collect()
}

fn gates(config: &config::Gates) -> Option<Gates> {
    let url = config.url.as_ref()?;
    Some(Gates {
        url: url.as_str().to_owned(),
        secrets: bytes([&config.secret, &config.secret_next]),
        asked: config.asked.0.iter().copied().map(gate).collect(),
        timeout: config.timeout,
        unanswered: match config.unanswered {
            config::Unanswered::Deny => Unanswered::Deny,
            config::Unanswered::Allow => Unanswered::Allow,
        },
        requests_max: config.requests_max,
        queue_max: config.queue_max,
        allow_private: config.allow_private,
    })
}

fn gate(gate: config::Gate) -> Gate {
    match gate {
        config::Gate::Connect => Gate::Connect,
        config::Gate::Join => Gate::Join,
        config::Gate::Send => Gate::Send,
    }
}

fn webhooks(config: &config::Webhooks) -> Vec<Webhooks> {
    let Some(url) = &config.url else { return Vec::new() };
    let first = Webhooks {
        url: url.as_str().to_owned(),
        secrets: bytes([&config.secret, &config.secret_next]),
        events: config.events.0.iter().copied().map(webhook_event).collect(),
        timeout: config.timeout,
        deadline: config.deadline,
        queue_max: config.queue_max,
        allow_private: config.allow_private,
    };
    let others = config.others.0.iter().map(|other| Webhooks {
        url: other.url.as_str().to_owned(),
        secrets: if other.secret.is_some() { bytes([&other.secret]) } else { first.secrets.clone() },
        events: other.events.iter().copied().map(webhook_event).collect(),
        ..first.clone()
    });
    let others: Vec<Webhooks> = others.collect();
    std::iter::once(first).chain(others).collect()
}

fn webhook_event(event: config::Event) -> WebhookEvent {
    match event {
        config::Event::ConnectionOpened => WebhookEvent::ConnectionOpened,
        config::Event::ConnectionClosed => WebhookEvent::ConnectionClosed,
        config::Event::MessageOffline => WebhookEvent::MessageOffline,
        config::Event::RoomOccupied => WebhookEvent::RoomOccupied,
        config::Event::RoomVacated => WebhookEvent::RoomVacated,
        config::Event::StreamStarted => WebhookEvent::StreamStarted,
        config::Event::StreamEnded => WebhookEvent::StreamEnded,
    }
}

#[allow(clippy::needless_update, reason = "needless until the engine gains a field")]
fn engine(config: &Config, secrets: &Secrets, connections_max: usize) -> EngineConfig {
    let Config { gateway, heartbeat, queue, limits, compression, .. } = config;
    let defaults = EngineConfig::default();
    EngineConfig {
        node: config.node_id(),
        shards: config.node.shards.map_or(defaults.shards, usize::from),
        ping_interval: heartbeat.interval,
        ping_timeout: heartbeat.timeout,
        connect_timeout: limits.connect_timeout,
        upgrade_timeout: limits.upgrade_timeout,
        attachments_timeout: limits.attachments_timeout,
        http_header_timeout: limits.http_header_timeout,
        message_timeout: limits.message_timeout,
        http_body_timeout: limits.http_body_timeout,
        http_header_bytes_max: limits.http_header_bytes_max.0,
        payload_bytes_max: limits.payload_bytes_max.0,
        packet: packet::Limits {
            attachments_max: limits.attachments_max,
            attachment_bytes_max: limits.attachment_bytes_max.0,
            json_depth_max: limits.json_depth_max,
            json_keys_max: limits.json_keys_max,
            // A packet is at most one message, and a message has its own limit.
            packet_bytes_max: limits.payload_bytes_max.0,
            namespace_bytes_max: limits.namespace_bytes_max.0,
            event_name_bytes_max: limits.event_name_bytes_max.0,
            arguments_max: limits.arguments_max,
        },
        namespaces_per_connection_max: limits.namespaces_per_connection_max,
        acks_outstanding_max: limits.acks_outstanding_max,
        events_waiting_max: limits.events_waiting_max,
        asides_per_second: limits.asides_per_second,
        asides_burst: limits.asides_burst,
        queue_soft_bytes: queue.soft_bytes.0,
        queue_hard_bytes: queue.hard_bytes.0,
        write_deadline: queue.write_deadline,
        send_buffer_bytes: queue.send_buffer_bytes.0.map(|bytes| bytes.0),
        compression_threshold: compression.threshold.0.map(|bytes| bytes.0),
        connections_max,
        handshakes_per_second: limits.handshakes_per_second,
        handshakes_burst: limits.handshakes_burst,
        inbox_commands_max: limits.inbox_commands_max,
        // The same on every node with the same token secret, so that a client can return to another node.
        ticket_secrets: secrets.roots().map(|root| Purpose::RecoveryTicket.secret(root).to_vec()).collect(),
        origins: origins(&gateway.cors_origin.0),
        // Nothing, as a test holds; but what the engine gains must not keep the product from being built.
        ..defaults
    }
}

fn origins(listed: &[Origin]) -> Origins {
    if listed.iter().any(Origin::is_any) {
        Origins::Any
    } else {
        Origins::Listed(listed.iter().map(|origin| origin.as_str().to_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use turnpike_daemon::config::{Environment, Sources, load};
    use turnpike_guard::TokenKey;
    use turnpike_guard::address::Countries;
    use turnpike_guard::limit::{Class, Limit, Rates};

    use super::*;

    fn with(environment: &[(&'static str, &'static str)]) -> GatewayConfig {
        let environment = environment.iter().copied().collect::<Environment>();
        let loaded = load::<Config>(Sources { environment, ..Sources::default() });
        assert!(loaded.faults.is_empty(), "{}", loaded.faults);
        let mut settings = loaded.settings;
        settings.auth.jwt_secret = Some(Secret::new("x".repeat(32)));
        let key = TokenKey::hs256(&[b'x'; 32]).unwrap();
        let watch = crate::abuse::watch(&settings, &Countries::default());
        config(
            &settings,
            &Secrets::of(&settings).unwrap(),
            key.into(),
            7,
            Audit::nowhere(),
            watch,
            Tracer::default(),
        )
    }

    /// Fields and values, one a line, as `{:#?}` prints them.
    fn lines(config: &impl std::fmt::Debug) -> Vec<String> {
        format!("{config:#?}").lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn what_is_not_configured_is_as_the_gateway_has_it_by_default() {
        let given = with(&[]);
        let expected = EngineConfig {
            node: given.engine.node.clone(),
            connections_max: 7,
            ticket_secrets: given.engine.ticket_secrets.clone(),
            ..EngineConfig::default()
        };
        assert_eq!(lines(&given.engine), lines(&expected));
        assert_eq!(lines(&given.limits), lines(&Limits::default()));
        assert_eq!(lines(&given.ring), lines(&RingLimits::default()));
    }

    /// A key that reaches nothing is a lie to the operator, and a limit without a key is one that nobody can change.
    #[test]
    fn every_field_of_the_engine_and_the_gateway_has_a_key_that_changes_it() {
        let other = with(&[
            ("SERVER_ID", "other"),
            ("TURNPIKE_SHARDS", "63"),
            ("HEARTBEAT_INTERVAL", "11s"),
            ("TURNPIKE_HEARTBEAT_TIMEOUT", "12s"),
            ("TURNPIKE_CONNECT_TIMEOUT", "13s"),
            ("TURNPIKE_UPGRADE_TIMEOUT", "14s"),
            ("TURNPIKE_ATTACHMENTS_TIMEOUT", "15s"),
            ("TURNPIKE_MESSAGE_TIMEOUT", "16s"),
            ("TURNPIKE_HTTP_HEADER_TIMEOUT", "17s"),
            ("TURNPIKE_HTTP_BODY_TIMEOUT", "18s"),
            ("TURNPIKE_HTTP_HEADER_BYTES_MAX", "10000"),
            ("TURNPIKE_PAYLOAD_BYTES_MAX", "900001"),
            ("TURNPIKE_ATTACHMENTS_MAX", "3"),
            ("TURNPIKE_ATTACHMENT_BYTES_MAX", "900002"),
            ("TURNPIKE_JSON_DEPTH_MAX", "9"),
            ("TURNPIKE_JSON_KEYS_MAX", "99"),
            ("TURNPIKE_NAMESPACE_BYTES_MAX", "33"),
            ("TURNPIKE_EVENT_NAME_BYTES_MAX", "34"),
            ("TURNPIKE_ARGUMENTS_MAX", "35"),
            ("TURNPIKE_NAMESPACES_PER_CONNECTION_MAX", "5"),
            ("TURNPIKE_ACKS_OUTSTANDING_MAX", "6"),
            ("TURNPIKE_EVENTS_WAITING_MAX", "8"),
            ("TURNPIKE_ASIDES_PER_SECOND", "101"),
            ("TURNPIKE_ASIDES_BURST", "102"),
            ("TURNPIKE_QUEUE_SOFT_BYTES", "2KiB"),
            ("TURNPIKE_QUEUE_HARD_BYTES", "3KiB"),
            ("TURNPIKE_WRITE_DEADLINE", "19s"),
            ("TURNPIKE_SEND_BUFFER_BYTES", "off"),
            ("COMPRESSION_THRESHOLD", "off"),
            ("TURNPIKE_HANDSHAKES_PER_SECOND", "2001"),
            ("TURNPIKE_HANDSHAKES_BURST", "2002"),
            ("TURNPIKE_INBOX_COMMANDS_MAX", "2000"),
            ("CORS_ORIGIN", "https://a.example"),
            ("TURNPIKE_ROOMS_PER_CONNECTION_MAX", "21"),
            ("TURNPIKE_BODY_BYTES_MAX", "22"),
            ("TURNPIKE_ANSWER_BYTES_MAX", "2300"),
            ("TURNPIKE_SESSIONS_AWAY_MAX", "24"),
            ("TURNPIKE_RATE_EVENTS", "11/12"),
            ("TURNPIKE_RATE_BYTES", "13/14"),
            ("TURNPIKE_RATE_MESSAGES", "15/16"),
            ("TURNPIKE_RATE_ROOM_MESSAGES", "17/18"),
            ("TURNPIKE_RATE_JOINS", "19/20"),
            ("TURNPIKE_RATE_PRESENCE", "21/22"),
            ("TURNPIKE_RATE_HISTORY", "23/24"),
            ("TURNPIKE_RATE_RECORDED", "24/25"),
            ("TURNPIKE_RATE_REQUESTS", "25/26"),
            ("TURNPIKE_LIMIT_CLASSES", "bot joins:1/2"),
            ("TURNPIKE_LIMIT_KEYS_MAX", "1001"),
            ("TURNPIKE_RING_ROOM_MESSAGES_MAX", "25"),
            ("TURNPIKE_RING_ROOM_BYTES_MAX", "2600"),
            ("TURNPIKE_RING_BYTES_MAX", "27MiB"),
            ("TURNPIKE_ROOM_LINGER", "28s"),
            ("TURNPIKE_HISTORY_AGE_MAX", "29m"),
            ("TURNPIKE_API_KEY", "third"),
            ("TURNPIKE_API_KEY_NEXT", "fourth"),
            ("TURNPIKE_WEBHOOK_URL", "https://b.example/hook"),
            ("TURNPIKE_WEBHOOK_SECRET", "first"),
            ("TURNPIKE_WEBHOOK_SECRET_NEXT", "second"),
            ("TURNPIKE_WEBHOOK_EVENTS", "message.offline"),
            ("TURNPIKE_WEBHOOK_OTHERS", "room.occupied+room.vacated https://c.example/rooms"),
            ("TURNPIKE_WEBHOOK_ALLOW_PRIVATE", "true"),
            ("TURNPIKE_WEBHOOK_TIMEOUT", "30s"),
            ("TURNPIKE_WEBHOOK_DEADLINE", "31m"),
            ("TURNPIKE_WEBHOOK_QUEUE_MAX", "32"),
            ("TURNPIKE_GATE_URL", "https://b.example/gate"),
            ("TURNPIKE_GATE_SECRET", "fifth"),
            ("TURNPIKE_GATE_SECRET_NEXT", "sixth"),
            ("TURNPIKE_GATES", "join"),
            ("TURNPIKE_GATE_TIMEOUT", "330ms"),
            ("TURNPIKE_GATE_UNANSWERED", "allow"),
            ("TURNPIKE_GATE_REQUESTS_MAX", "34"),
            ("TURNPIKE_GATE_QUEUE_MAX", "35"),
            ("TURNPIKE_GATE_ALLOW_PRIVATE", "true"),
        ]);
        assert_eq!(lines(&other.api_keys), ["ApiKeys(2)"]);
        let [webhooks, of_rooms] = &other.webhooks[..] else { panic!("there are two receivers") };
        assert_eq!(of_rooms.url, "https://c.example/rooms");
        assert_eq!(of_rooms.events, [WebhookEvent::RoomOccupied, WebhookEvent::RoomVacated]);
        assert_eq!((&of_rooms.secrets, of_rooms.queue_max), (&webhooks.secrets, 32));
        assert_eq!(webhooks.url, "https://b.example/hook");
        assert_eq!(webhooks.secrets, [b"first".to_vec(), b"second".to_vec()]);
        assert_eq!(webhooks.events, [WebhookEvent::MessageOffline]);
        let gates = other.gates.as_ref().unwrap();
        assert_eq!((&*gates.url, &*gates.asked), ("https://b.example/gate", &[Gate::Join][..]));
        assert_eq!(gates.secrets, [b"fifth".to_vec(), b"sixth".to_vec()]);
        let paces = other.limits.classes.rates(Class::default());
        for limit in Limit::ALL {
            assert_ne!(paces.of(limit), Rates::default().of(limit), "{limit:?} has no key");
        }
        let mut unchanged = Vec::new();
        for (changed, default) in [
            (lines(&other.engine), lines(&EngineConfig::default())),
            (lines(&other.limits), lines(&Limits::default())),
            (lines(&other.ring), lines(&RingLimits::default())),
            (lines(webhooks), lines(&Webhooks::new("", ""))),
            (lines(gates), lines(&Gates::new("", ""))),
        ] {
            unchanged.extend(
                changed
                    .into_iter()
                    .filter(|line| line.ends_with(',') && line.contains(": ") && default.contains(line)),
            );
        }
        assert_eq!(unchanged, Vec::<String>::new());
    }

    #[test]
    fn webhooks_are_as_the_gateway_has_them_by_default_and_absent_without_a_url() {
        assert!(with(&[]).webhooks.is_empty());
        let given =
            with(&[("TURNPIKE_WEBHOOK_URL", "https://b.example"), ("TURNPIKE_WEBHOOK_SECRET", "first")]);
        assert_eq!(lines(&given.webhooks[0]), lines(&Webhooks::new("", "")));
    }

    #[test]
    fn gates_are_as_the_gateway_has_them_by_default_and_absent_without_a_url() {
        assert!(with(&[]).gates.is_none());
        let given = with(&[("TURNPIKE_GATE_URL", "https://b.example"), ("TURNPIKE_GATE_SECRET", "first")]);
        assert_eq!(lines(&given.gates.unwrap()), lines(&Gates::new("", "")));
    }

    #[test]
    fn ice_servers_are_absent_unless_configured_and_their_credentials_end_when_they_should() {
        let alice = turnpike_wire::UserId::parse("alice").unwrap();
        assert!(with(&[]).ice_servers.of(&alice, 0).is_empty());
        let given = with(&[
            ("TURNPIKE_TURN_URLS", "turn:a.example,stun:b.example,turns:a.example:443?transport=tcp"),
            ("TURNPIKE_TURN_SECRET", "c3f1a97be0d2465890fe17ab34cd62b8"),
            ("TURNPIKE_TURN_TTL", "90s"),
        ]);
        let servers = given.ice_servers.of(&alice, 1_000);
        assert_eq!(servers[0].urls, ["stun:b.example"]);
        assert_eq!(servers[1].urls, ["turn:a.example", "turns:a.example:443?transport=tcp"]);
        assert_eq!(servers[1].credential.as_ref().unwrap().username, "1090:alice");
        let stun = with(&[("TURNPIKE_TURN_URLS", "stun:b.example")]).ice_servers;
        assert_eq!(stun.of(&alice, 0).len(), 1, "which needs no secret");
    }
}
