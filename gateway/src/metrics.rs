//! What the gateway tells Prometheus: what clients asked for and how it ended, and the engine's own counts.

use std::sync::{Arc, OnceLock};

use axum::http::StatusCode;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use turnpike_engine::Counters;
use turnpike_guard::TokenError;
use turnpike_wire::Code;
use turnpike_wire::event::ClientEvent;

use crate::app::App;
use crate::http::api;
use crate::spread::Spread;

/// Counted where it happens.
pub(crate) struct Meters {
    events: IntCounterVec,
    /// By event (the last row: unknown ones) and code (the last column: done), found once.
    event_counters: Vec<OnceLock<IntCounter>>,
    pub(crate) stored: IntCounter,
    pub(crate) duplicates: IntCounter,
    pub(crate) volatile: IntCounter,
    tokens_refused: IntCounterVec,
    recoveries: IntCounterVec,
    pub(crate) replayed: IntCounter,
    lost_rooms: IntCounter,
    pub(crate) revoked: IntCounterVec,
    api_requests: IntCounterVec,
    pub(crate) turn_credentials: IntCounter,
}

/// How an attempt ended to take up a session again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Recovery {
    Recovered,
    /// It was there, but what was missed is not, in so many rooms.
    Lost {
        rooms: usize,
    },
    /// It is not there any more, or somebody else's.
    Refused,
    /// Redis did not say in time.
    Unavailable,
}

impl Recovery {
    const OUTCOMES: [&str; 4] = ["recovered", "lost", "refused", "unavailable"];

    fn outcome(self) -> &'static str {
        Self::OUTCOMES[match self {
            Self::Recovered => 0,
            Self::Lost { .. } => 1,
            Self::Refused => 2,
            Self::Unavailable => 3,
        }]
    }
}

const OK: &str = "ok";
const UNKNOWN: &str = "unknown";
/// Beside the reasons of tokens that are shown: none was.
const NO_TOKEN: &str = "missing";

impl Meters {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let vec = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let messages = vec("turnpike_gateway_messages_total", "Messages accepted, by kind.", &["kind"])?;
        let kind = |kind: &str| messages.with_label_values(&[kind]);
        let api_requests = vec(
            "turnpike_gateway_api_requests_total",
            "Requests of backends, by operation and status.",
            &["operation", "status"],
        )?;
        for (operation, status) in api::operations() {
            // Present from the start, at nought.
            api_requests.with_label_values(&[operation, &status.to_string()]);
        }
        let revoked = vec(
            "turnpike_gateway_sessions_revoked_total",
            "Sessions that were ended because a token, a user's tokens or the connection was called back, by where the client was.",
            &["client"],
        )?;
        for client in ["connected", "away"] {
            // Present from the start, at nought.
            revoked.with_label_values(&[client]);
        }
        let turn_credentials = IntCounter::new(
            "turnpike_gateway_turn_credentials_total",
            "Credentials of TURN servers given to clients, each good for minutes.",
        )?;
        registry.register(Box::new(turn_credentials.clone()))?;
        let recoveries = vec(
            "turnpike_gateway_recoveries_total",
            "Attempts to take up a session again, by how they ended.",
            &["outcome"],
        )?;
        for outcome in Recovery::OUTCOMES {
            recoveries.with_label_values(&[outcome]);
        }
        let tokens_refused = vec(
            "turnpike_gateway_tokens_refused_total",
            "Tokens that were refused, and connects without one, by reason.",
            &["reason"],
        )?;
        for reason in TokenError::SLUGS.iter().chain([&NO_TOKEN]) {
            tokens_refused.with_label_values(&[*reason]);
        }
        let events = vec(
            "turnpike_gateway_events_total",
            "Events of clients, by name and how they ended.",
            &["event", "outcome"],
        )?;
        // Each name and each end is there from the start, at nought; all pairs would be a thousand.
        for event in ClientEvent::ALL {
            events.with_label_values(&[event.name(), OK]);
        }
        for code in Code::ALL {
            events.with_label_values(&[UNKNOWN, code.slug()]);
        }
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let cells = (ClientEvent::ALL.len() + 1) * (Code::ALL.len() + 1);
        Ok(Self {
            events,
            event_counters: (0..cells).map(|_| OnceLock::new()).collect(),
            stored: kind("stored"),
            duplicates: kind("duplicate"),
            volatile: kind("volatile"),
            revoked,
            tokens_refused,
            recoveries,
            replayed: counter(
                "turnpike_gateway_recovery_replayed_total",
                "Messages that were sent again to those who came back.",
            )?,
            lost_rooms: counter(
                "turnpike_gateway_recovery_lost_rooms_total",
                "Rooms that somebody who came back must reload, because what was missed is not kept any more.",
            )?,
            api_requests,
            turn_credentials,
        })
    }

    pub(crate) fn api_request(&self, operation: &str, status: StatusCode) {
        self.api_requests.with_label_values(&[operation, status.as_str()]).inc();
    }

    pub(crate) fn event(&self, event: Option<ClientEvent>, failed: Option<Code>) {
        let position = |event| ClientEvent::ALL.iter().position(|known| *known == event);
        let row = event.and_then(position).unwrap_or(ClientEvent::ALL.len());
        let position = |code| Code::ALL.iter().position(|known| *known == code);
        let column = failed.and_then(position).unwrap_or(Code::ALL.len());
        let cell = &self.event_counters[row * (Code::ALL.len() + 1) + column];
        cell.get_or_init(|| {
            let name = event.map_or(UNKNOWN, ClientEvent::name);
            self.events.with_label_values(&[name, failed.map_or(OK, Code::slug)])
        })
        .inc();
    }

    pub(crate) fn recovery(&self, recovery: Recovery) {
        self.recoveries.with_label_values(&[recovery.outcome()]).inc();
        if let Recovery::Lost { rooms } = recovery {
            self.lost_rooms.inc_by(rooms as u64);
        }
    }

    pub(crate) fn token_refused(&self, reason: &'static str) {
        self.tokens_refused.with_label_values(&[reason]).inc();
    }
}

type Read<T> = fn(&T) -> u64;

const LEVELS: &[(&str, &str, Read<Counters>)] = &[
    ("connections", "Connections open.", |c| c.connections_now),
    ("websockets", "Connections whose transport is a websocket.", |c| c.websockets_now),
    ("sockets", "Sockets: connections that have entered.", |c| c.sockets_now),
    ("rooms", "Rooms with members on this node, counted once for each shard.", |c| c.rooms_now),
    ("http_sockets", "Sockets that speak HTTP, idle ones included, or carry bytes for other nodes.", |c| {
        c.http_sockets_now
    }),
    ("tunnels", "Websockets carried on to the node that owns their session.", |c| c.tunnels_now),
    ("queue_bytes", "Bytes that wait to be written to clients.", |c| c.queue_bytes_now),
];

const TOTALS: &[(&str, &str, Read<Counters>)] = &[
    ("connections_opened_total", "Connections opened.", |c| c.connections_opened),
    (
        "connections_turned_away_total",
        "TCP connections dropped before anything was read of them, by their address.",
        |c| c.connections_turned_away,
    ),
    (
        "introductions_refused_total",
        "Connections that had to begin with a PROXY header of version 2 and did not.",
        |c| c.introductions_refused,
    ),
    ("requests_turned_away_total", "HTTP requests refused by the address of their client.", |c| {
        c.requests_turned_away
    }),
    ("sessions_turned_away_total", "New sessions refused by the address of their client.", |c| {
        c.sessions_turned_away
    }),
    ("origins_refused_total", "Requests of web pages that may not connect.", |c| c.origins_refused),
    (
        "requests_timed_out_total",
        "HTTP requests that did not arrive in time, and connections on which none was begun.",
        |c| c.requests_timed_out,
    ),
    (
        "handshakes_put_off_total",
        "New sessions that were told to try again later because too many came at once.",
        |c| c.handshakes_put_off,
    ),
    (
        "connects_put_off_total",
        "Requests to enter that were told to try again later because too many came at once.",
        |c| c.connects_put_off,
    ),
    ("connects_refused_total", "Requests to enter that were refused.", |c| c.handshakes_refused),
    ("upgrades_total", "Sessions that moved from long-polling to a websocket.", |c| c.upgrades),
    ("upgrades_failed_total", "Upgrades that were begun and not completed.", |c| c.upgrades_failed),
    ("sessions_recovered_total", "Sessions taken up again.", |c| c.sockets_recovered),
    ("recoveries_refused_total", "Tickets that opened nothing.", |c| c.recoveries_refused),
    ("received_events_total", "Events received.", |c| c.events_in),
    ("received_bytes_total", "Bytes received.", |c| c.bytes_in),
    ("sent_bytes_total", "Bytes sent.", |c| c.bytes_out),
    (
        "deflated_before_bytes_total",
        "Bytes that events sent compressed would have had, each counted for every receiver.",
        |c| c.deflated_bytes_before,
    ),
    ("deflated_after_bytes_total", "Bytes that they had.", |c| c.deflated_bytes_after),
    ("deliveries_total", "Events queued to a connection.", |c| c.deliveries),
    ("broadcasts_total", "Broadcasts, counted once for each shard with members.", |c| c.broadcasts),
    ("deliveries_deferred_total", "Events not queued because their receiver was behind.", |c| {
        c.deliveries_deferred
    }),
    ("volatile_dropped_total", "Volatile events dropped because their receiver was behind.", |c| {
        c.volatile_dropped
    }),
    ("state_replaced_total", "Waiting events that a newer one of the same state replaced.", |c| {
        c.state_replaced
    }),
    ("refills_total", "Connections that were behind and were given what they missed.", |c| c.refills),
    ("commands_stale_total", "Commands for sockets that were gone.", |c| c.commands_stale),
    ("polls_total", "Long-polling requests.", |c| c.polls),
    ("posts_total", "Long-polling bodies received.", |c| c.posts),
    ("handed_over_total", "Requests that arrived on another shard than their session's.", |c| c.handed_over),
    ("forwarded_total", "Requests passed on to the node that owns their session.", |c| c.forwarded),
    ("forwards_failed_total", "Requests passed on that the owning node did not answer.", |c| {
        c.forwards_failed
    }),
    ("acks_timed_out_total", "Answers of clients that did not come in time.", |c| c.acks_timed_out),
    ("panics_total", "Panics, each of which ended one connection.", |c| c.panics),
];

/// Some have metrics of their own, which say more.
const REFUSED: &[(&str, Read<Counters>)] = &[
    ("full", |c| c.connections_refused_full),
    ("too_many_at_once", |c| c.handshakes_put_off + c.connects_put_off),
    ("address", |c| c.connections_turned_away + c.requests_turned_away + c.sessions_turned_away),
    ("introduction", |c| c.introductions_refused),
    ("origin", |c| c.origins_refused),
    ("timeout", |c| c.requests_timed_out),
    ("entry", |c| c.handshakes_refused),
];

const CLOSED: &[(&str, Read<Counters>)] = &[
    ("client_left", |c| c.closed_client_left),
    ("transport_closed", |c| c.closed_transport_closed),
    ("transport_error", |c| c.closed_transport_error),
    ("ping_timeout", |c| c.closed_ping_timeout),
    ("protocol_error", |c| c.closed_protocol_error),
    ("slow_reader", |c| c.closed_slow_reader),
    ("server", |c| c.closed_server),
    ("shutdown", |c| c.closed_shutdown),
];

const OWN_LEVELS: &[(&str, &str, Read<App>)] = &[
    ("sessions_away", "Sessions whose client is away and may return.", |app| app.sessions.away_now() as u64),
    ("open_rooms", "Rooms whose messages come to this node.", |app| app.mirror.levels().rooms as u64),
    ("ring_messages", "Messages kept at hand for those who return.", |app| {
        app.mirror.levels().messages as u64
    }),
    ("ring_bytes", "Bytes of the messages kept at hand.", |app| app.mirror.levels().bytes as u64),
    ("media_sessions", "Sessions of live video that connections of this node have.", |app| {
        app.signaling.sessions() as u64
    }),
];

const OWN_TOTALS: &[(&str, &str, Read<App>)] = &[
    (
        "forwarded_headers_ignored_total",
        "Requests that claimed to be of a public address, of a peer that is none of the trusted proxies.",
        |app| app.addresses.ignored(),
    ),
    ("sessions_crowded_out_total", "Sessions given up early because too many were away.", |app| {
        app.sessions.crowded_out()
    }),
    ("presence_events_total", "Events about who is in a room.", |app| app.presences.told().0),
    ("presence_events_lost_total", "Events about who is in a room that a full inbox did not take.", |app| {
        app.presences.told().1
    }),
    ("presence_changes_total", "Changes of how users look in rooms that somebody here watches.", |app| {
        app.presences.changes().0
    }),
    (
        "presence_suppressed_total",
        "Changes among them that no event speaks of: undone or overtaken before it was time, or in a large room.",
        |app| app.presences.changes().1,
    ),
    ("typing_received_total", "What clients have said about their typing.", |app| app.typing.starts().0),
    (
        "typing_suppressed_total",
        "What they said too soon after the last time, or in too large a crowd, and nobody was told.",
        |app| app.typing.starts().1,
    ),
    ("typing_events_total", "Events about who is typing.", |app| app.typing.told().0),
    ("typing_events_lost_total", "Events about who is typing that a full inbox did not take.", |app| {
        app.typing.told().1
    }),
    ("receipt_events_total", "Events about who has received or read what.", |app| app.receipts.told().0),
    (
        "receipt_events_lost_total",
        "Events about who has received or read what that a full inbox did not take.",
        |app| app.receipts.told().1,
    ),
    ("media_events_total", "Events about sessions of live video.", |app| app.signaling.told().0),
    (
        "media_events_lost_total",
        "Events about sessions of live video that a full inbox did not take.",
        |app| app.signaling.told().1,
    ),
    (
        "media_requests_repeated_total",
        "Requests to relays that were sent once more because no answer came.",
        |app| app.signaling.repeated(),
    ),
    (
        "media_relays_lost_total",
        "Relays that another one had lost and that did not answer: their sessions were ended.",
        |app| app.signaling.relays_lost(),
    ),
    ("media_words_refused_total", "What relays said that was not understood or not theirs to say.", |app| {
        app.signaling.words_refused()
    }),
    (
        "letters_lost_total",
        "Letters between nodes that could not be sent, or for which there was no room.",
        |app| app.cluster.post.lost(),
    ),
];

/// Read when somebody asks.
pub(crate) struct Readings {
    app: Arc<App>,
    levels: Vec<(IntGauge, Read<Counters>)>,
    totals: Vec<(IntCounter, Read<Counters>)>,
    closed: IntCounterVec,
    refused: IntCounterVec,
    entering: Spread,
    delivery_lag: Spread,
    own_levels: Vec<(IntGauge, Read<App>)>,
    own_totals: Vec<(IntCounter, Read<App>)>,
}

impl Readings {
    pub(crate) fn register(registry: &Registry, app: &Arc<App>) -> Result<(), prometheus::Error> {
        let named = |name: &str| format!("turnpike_gateway_{name}");
        let readings = Self {
            app: Arc::clone(app),
            levels: gauges(LEVELS, named)?,
            totals: counters(TOTALS, named)?,
            closed: IntCounterVec::new(
                Opts::new(named("connections_closed_total"), "Connections closed, by reason."),
                &["reason"],
            )?,
            refused: IntCounterVec::new(
                Opts::new(
                    named("connections_refused_total"),
                    "Connections, sessions and entries that were refused, by reason.",
                ),
                &["reason"],
            )?,
            entering: Spread::new(
                &named("handshake_seconds"),
                "From a request to enter to its answer, refusals among them.",
            )?,
            delivery_lag: Spread::new(
                &named("delivery_lag_seconds"),
                "From the publication of a message, by the clock of Redis, until it was written to all its receivers on a shard that read.",
            )?,
            own_levels: gauges(OWN_LEVELS, named)?,
            own_totals: counters(OWN_TOTALS, named)?,
        };
        registry.register(Box::new(readings))
    }

    fn update(&self) {
        let engine = self.app.handle.counters();
        set_gauges(&self.levels, &engine);
        raise_counters(&self.totals, &engine);
        for (reason, read) in CLOSED {
            raise(&self.closed.with_label_values(&[*reason]), read(&engine));
        }
        for (reason, read) in REFUSED {
            raise(&self.refused.with_label_values(&[*reason]), read(&engine));
        }
        set_gauges(&self.own_levels, &self.app);
        raise_counters(&self.own_totals, &self.app);
    }

    fn collectors(&self) -> impl Iterator<Item = &dyn Collector> {
        let gauges = self.levels.iter().map(|(gauge, _)| gauge);
        let gauges = gauges.chain(self.own_levels.iter().map(|(gauge, _)| gauge));
        let counters = self.totals.iter().map(|(counter, _)| counter);
        let counters = counters.chain(self.own_totals.iter().map(|(counter, _)| counter));
        gauges
            .map(|gauge| gauge as &dyn Collector)
            .chain(counters.map(|counter| counter as &dyn Collector))
            .chain([&self.closed as &dyn Collector, &self.refused])
    }
}

impl Collector for Readings {
    fn desc(&self) -> Vec<&Desc> {
        let spreads = [&self.entering, &self.delivery_lag].map(|spread| &spread.desc);
        self.collectors().flat_map(Collector::desc).chain(spreads).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.update();
        let times = self.app.handle.times();
        let spreads = [self.entering.family(&times.entering), self.delivery_lag.family(&times.delivery_lag)];
        self.collectors().flat_map(Collector::collect).chain(spreads).collect()
    }
}

fn gauges<T>(
    table: &[(&str, &str, Read<T>)],
    named: impl Fn(&str) -> String,
) -> Result<Vec<(IntGauge, Read<T>)>, prometheus::Error> {
    table.iter().map(|(name, help, read)| Ok((IntGauge::new(named(name), *help)?, *read))).collect()
}

fn counters<T>(
    table: &[(&str, &str, Read<T>)],
    named: impl Fn(&str) -> String,
) -> Result<Vec<(IntCounter, Read<T>)>, prometheus::Error> {
    table.iter().map(|(name, help, read)| Ok((IntCounter::new(named(name), *help)?, *read))).collect()
}

fn set_gauges<T>(gauges: &[(IntGauge, Read<T>)], source: &T) {
    for (gauge, read) in gauges {
        gauge.set(i64::try_from(read(source)).unwrap_or(i64::MAX));
    }
}

fn raise_counters<T>(counters: &[(IntCounter, Read<T>)], source: &T) {
    for (counter, read) in counters {
        raise(counter, read(source));
    }
}

fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}
