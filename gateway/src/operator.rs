//! What an operator may see and do here: whom a user is connected as, and sending them away.

use std::collections::HashMap;
use std::sync::Arc;

use turnpike_cluster::{Command, Incarnation, Signal, Status, Unavailable};
use turnpike_engine::{Kind, SocketId};
use turnpike_guard::Role;
use turnpike_guard::limit::Classes;
use turnpike_wire::{Failure, RoomId, UserId};

use crate::app::App;
use crate::inspect;
use crate::session::Whereabouts;

/// Cheap to clone.
#[derive(Clone)]
pub struct Operator(Arc<App>);

/// A connection of this node, or one whose client may come back here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    pub id: String,
    pub kind: &'static str,
    pub is_connected: bool,
    pub device: Option<String>,
    pub role: Role,
    pub rooms: usize,
    /// Unix seconds.
    pub expires_at: u64,
    pub token_id: Option<String>,
}

/// A device of a user, on any node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// A node that has just come or gone may not be known by name.
    pub node: Option<String>,
    pub device: String,
    pub status: Status,
}

impl Operator {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self(app)
    }

    /// From now on these limits hold, for those who are connected as well.
    pub fn limit(&self, classes: Classes) {
        self.0.limiter.replace(classes);
        for id in self.0.sessions.ids() {
            if let Some(session) = self.0.sessions.get(id) {
                session.meter.reclassify();
            }
        }
    }

    /// Of this moment, on this node.
    pub fn connections(&self) -> u64 {
        self.0.handle.counters().connections_now
    }

    pub fn connections_of(&self, user: &UserId) -> Vec<Connected> {
        let mut found: Vec<Connected> = Vec::new();
        for (id, session) in self.0.sessions.of_user(user) {
            let state = session.state();
            let is_connected = match state.at {
                Whereabouts::Connected(_) => true,
                Whereabouts::Away { .. } => false,
                Whereabouts::Gone => continue,
            };
            found.push(Connected {
                id: id.to_string(),
                kind: match session.kind {
                    Kind::SocketIo => "socketio",
                    Kind::Raw => "raw",
                },
                is_connected,
                device: session.device.as_deref().map(ToOwned::to_owned),
                role: state.identity.role,
                rooms: state.rooms.len(),
                expires_at: state.identity.expires_at,
                token_id: state.identity.token_id.as_deref().map(ToOwned::to_owned),
            });
        }
        found.sort_by(|one, other| one.id.cmp(&other.id));
        found
    }

    /// Wherever they are connected.
    pub async fn devices(&self, user: &UserId) -> Result<Vec<Device>, Unavailable> {
        let rows = self.0.presences.devices(user).wait().await?.rows;
        let nodes = self.0.cluster.membership.nodes().borrow().clone();
        let names: HashMap<Incarnation, &str> =
            nodes.iter().map(|node| (node.incarnation, node.name.as_str())).collect();
        let mut devices: Vec<Device> = rows
            .into_iter()
            .map(|(incarnation, key, row)| Device {
                node: names.get(&incarnation).map(|name| (*name).to_owned()),
                device: key.device.to_string(),
                status: row.status,
            })
            .collect();
        devices.sort_by(|one, other| (&one.device, &one.node).cmp(&(&other.device, &other.node)));
        Ok(devices)
    }

    /// What is known of a connection, on all nodes. None: it is none that could be.
    pub async fn inspect_connection(&self, id: &str) -> Option<inspect::Connections> {
        let id = SocketId::parse(id)?;
        Some(inspect::connection(&self.0, id).await)
    }

    pub async fn inspect_user(&self, user: &UserId) -> Result<inspect::OfUser, Unavailable> {
        let devices = self.devices(user).await?.into_iter();
        let devices = devices
            .map(|Device { node, device, status }| inspect::DeviceSeen { node, device, status })
            .collect();
        Ok(inspect::user(&self.0, user, devices).await)
    }

    pub async fn inspect_room(&self, room: &RoomId) -> Result<Option<inspect::OfRoom>, Failure> {
        inspect::room(&self.0, room).await
    }

    pub async fn inspect_stream(&self, stream: &RoomId) -> Result<inspect::OfStream, Failure> {
        inspect::stream(&self.0, stream).await
    }

    /// The relay of this process, for whoever looks at a stream. Once.
    pub fn see_relay(&self, relay: Arc<dyn inspect::Looks>) {
        let _ = self.0.inspection.relay.set(relay);
    }

    /// Why a user got a message of a room, or did not.
    pub async fn trace(
        &self,
        room: &RoomId,
        which: &inspect::Which,
        user: &UserId,
    ) -> Result<inspect::Traced, Failure> {
        inspect::message(&self.0, room, which, user).await
    }

    /// Asks every node that the user is connected to.
    pub fn disconnect(&self, user: &UserId, code: u16) {
        self.0.cluster.broker.signal(&RoomId::personal(user), Signal::Command(Command::Disconnect { code }));
    }
}
