//! How much clients and backends may do: at each place where something is asked for, one question before it costs anything.
//!
//! What belongs to a connection is counted beside its session, what belongs to a user or a key on this node in tables, and
//! messages of users and rooms in shares of what the cluster may let through. What is refused is counted, written down and
//! told to whoever looks for bad behaviour; none of that is decided here.

mod meters;
mod shares;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use prometheus::Registry;
use turnpike_cluster::{Cluster, Soon};
use turnpike_guard::limit::{Bucket, Class, Classes, Exceeded, Limit, Rates, Table, Verdict};
use turnpike_wire::{Code, Failure, RoomId};

use self::meters::LimitMeters;
use self::shares::Shares;
use crate::clock::Clock;
use crate::session::Session;

/// Names of classes that there are none of come from tokens, and so from whoever signs them. Of more than these the log is
/// not told.
const UNKNOWN_CLASSES_MAX: usize = 64;

pub(crate) struct Limiter {
    classes: ArcSwap<Classes>,
    clock: Clock,
    joins: Table<str>,
    presence: Table<str>,
    history: Table<str>,
    recorded: Table<str>,
    requests: Table<str>,
    users: Arc<Shares>,
    rooms: Arc<Shares>,
    unknown: Mutex<BTreeSet<Box<str>>>,
    meters: LimitMeters,
}

/// What a connection has left, and whose rates are its own.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// One above the class' number. Zero: the token has not been asked yet.
    class: AtomicU8,
    events: Bucket,
    bytes: Bucket,
}

impl Meter {
    /// The token is another one now.
    pub(crate) fn reclassify(&self) {
        self.class.store(0, Ordering::Relaxed);
    }
}

/// A limit that is reached, and what whoever asked is told.
#[derive(Debug)]
pub(crate) struct Tripped {
    pub(crate) limit: Limit,
    pub(crate) failure: Failure,
}

pub(crate) type Allowed = Result<(), Tripped>;

impl Limiter {
    pub(crate) fn new(
        classes: Classes,
        keys_max: usize,
        cluster: &Cluster,
        clock: Clock,
        runtime: &tokio::runtime::Handle,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let meters = LimitMeters::register(registry)?;
        let shares = |kind| {
            Arc::new(Shares::new(kind, keys_max, cluster, clock, runtime.clone(), meters.leases.clone()))
        };
        Ok(Self {
            classes: ArcSwap::from_pointee(classes),
            clock,
            joins: Table::new(keys_max),
            presence: Table::new(keys_max),
            history: Table::new(keys_max),
            recorded: Table::new(keys_max),
            requests: Table::new(keys_max),
            users: shares("u"),
            rooms: shares("r"),
            unknown: Mutex::default(),
            meters,
        })
    }

    /// From now on these hold. What was counted goes on; whoever has a class is to be asked for it anew ([`Meter::reclassify`]).
    pub(crate) fn replace(&self, classes: Classes) {
        self.classes.store(Arc::new(classes));
    }

    /// One event of a connection, before anything of it is read.
    #[inline]
    pub(crate) fn event(&self, session: &Session, bytes: usize) -> Allowed {
        let (classes, now_ms) = (self.classes.load(), self.clock.steady_ms());
        let rates = self.rates_of(&classes, session);
        let meter = &session.meter;
        meter
            .events
            .check(rates.of(Limit::Events), now_ms)
            .map_err(|over| self.tripped(Limit::Events, over))?;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        meter
            .bytes
            .check_n(rates.of(Limit::Bytes), bytes, now_ms)
            .map_err(|over| self.tripped(Limit::Bytes, over))
    }

    /// Something of a user that is counted on this node.
    pub(crate) fn user(&self, session: &Session, limit: Limit) -> Allowed {
        self.counted(limit, session.user.as_str(), self.rates_of(&self.classes.load(), session))
    }

    /// Requests of a backend, named by what it proved itself with.
    pub(crate) fn requests(&self, key: &str, class: Option<&str>) -> Allowed {
        let classes = self.classes.load();
        self.counted(Limit::Requests, key, classes.rates(self.class_named(&classes, class)))
    }

    /// A message of a client. It waits for the cluster only if what is at hand does not suffice.
    pub(crate) fn message(self: &Arc<Self>, session: &Session, room: &RoomId) -> Soon<Allowed> {
        let rate = *self.rates_of(&self.classes.load(), session).of(Limit::Messages);
        match self.users.pass(session.user.as_str(), &rate, 1) {
            Soon::Now(Verdict::Passes) => self.room_message(room),
            Soon::Now(verdict) => Soon::Now(self.decided(Limit::Messages, verdict)),
            Soon::Later(verdict) => {
                let (limiter, room) = (Arc::clone(self), room.clone());
                Soon::later(async move {
                    limiter.decided(Limit::Messages, verdict.await)?;
                    limiter.room_message(&room).wait().await
                })
            }
        }
    }

    /// A message into the room, whoever sends it.
    pub(crate) fn room_message(self: &Arc<Self>, room: &RoomId) -> Soon<Allowed> {
        let rate = *self.classes.load().rates(Class::default()).of(Limit::RoomMessages);
        match self.rooms.pass(room.as_str(), &rate, 1) {
            Soon::Now(verdict) => Soon::Now(self.decided(Limit::RoomMessages, verdict)),
            Soon::Later(verdict) => {
                let limiter = Arc::clone(self);
                Soon::later(async move { limiter.decided(Limit::RoomMessages, verdict.await) })
            }
        }
    }

    /// What holds for tokens of a class.
    pub(crate) fn list(&self, class: Option<&str>) -> Vec<(&'static str, f64, u32)> {
        let classes = self.classes.load();
        let rates = classes.rates(self.class_named(&classes, class));
        let listed = |limit: Limit| (limit.slug(), rates.of(limit).a_second(), rates.of(limit).burst());
        Limit::ALL.into_iter().map(listed).collect()
    }

    /// To be called about once a second.
    pub(crate) fn tick(&self) {
        let now_ms = self.clock.steady_ms();
        let tables = [
            (Limit::Joins, &self.joins),
            (Limit::Presence, &self.presence),
            (Limit::History, &self.history),
            (Limit::Recorded, &self.recorded),
            (Limit::Requests, &self.requests),
        ];
        for (limit, table) in tables {
            table.sweep(now_ms);
            self.meters.table(limit, table.len(), table.crowded());
        }
        let classes = self.classes.load();
        let everybody = classes.rates(Class::default());
        for (limit, shares) in [(Limit::Messages, &self.users), (Limit::RoomMessages, &self.rooms)] {
            shares.tick(everybody.of(limit));
            self.meters.table(limit, shares.len(), shares.crowded());
        }
    }

    fn counted(&self, limit: Limit, key: &str, rates: &Rates) -> Allowed {
        let table = match limit {
            Limit::Joins => &self.joins,
            Limit::Presence => &self.presence,
            Limit::History => &self.history,
            Limit::Recorded => &self.recorded,
            Limit::Requests => &self.requests,
            Limit::Events | Limit::Bytes | Limit::Messages | Limit::RoomMessages => {
                debug_assert!(false, "{limit:?} is counted elsewhere");
                return Ok(());
            }
        };
        table.check(key, rates.of(limit), self.clock.steady_ms()).map_err(|over| self.tripped(limit, over))
    }

    fn decided(&self, limit: Limit, verdict: Verdict) -> Allowed {
        match verdict {
            Verdict::Passes => Ok(()),
            Verdict::Exceeded { retry_after_ms } => Err(self.tripped(limit, Exceeded { retry_after_ms })),
            Verdict::Unknown { retry_after_ms } => {
                self.meters.unknown.inc();
                Err(Tripped {
                    limit,
                    failure: Failure::from(Code::Unavailable).retry_after_ms(retry_after_ms),
                })
            }
        }
    }

    #[cold]
    fn tripped(&self, limit: Limit, Exceeded { retry_after_ms }: Exceeded) -> Tripped {
        self.meters.refused(limit);
        Tripped {
            limit,
            failure: Failure::new(Code::RateLimited, words(limit)).retry_after_ms(retry_after_ms),
        }
    }

    fn rates_of<'a>(&self, classes: &'a Classes, session: &Session) -> &'a Rates {
        let known = session.meter.class.load(Ordering::Relaxed);
        let class = if let Some(number) = known.checked_sub(1) {
            Class::of(number)
        } else {
            let class = self.class_named(classes, session.identity().class.as_deref());
            session.meter.class.store(class.number() + 1, Ordering::Relaxed);
            class
        };
        classes.rates(class)
    }

    fn class_named(&self, classes: &Classes, name: Option<&str>) -> Class {
        classes.named(name).unwrap_or_else(|| {
            self.unknown_class(name.unwrap_or_default());
            Class::default()
        })
    }

    #[cold]
    fn unknown_class(&self, name: &str) {
        self.meters.unknown_classes.inc();
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() < UNKNOWN_CLASSES_MAX && !unknown.contains(name) {
            unknown.insert(name.into());
            tracing::warn!(class = ?name, "tokens name a limit class that there is none of: everybody's limits apply");
        }
    }
}

fn words(limit: Limit) -> &'static str {
    match limit {
        Limit::Events => "too many events on this connection",
        Limit::Bytes => "too many bytes on this connection",
        Limit::Messages => "too many messages of this user",
        Limit::RoomMessages => "too many messages in this room",
        Limit::Joins => "too many rooms joined at a time",
        Limit::Presence => "too many changes of presence",
        Limit::History => "too many pages read at a time",
        Limit::Recorded => "too many new tokens and streams at a time",
        Limit::Requests => "too many requests",
    }
}
