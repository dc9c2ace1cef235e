//! Everything that is kept in Redis beside messages, made and set going.

use std::sync::Arc;

use super::access::Access;
use super::bulletin::RedisBulletin;
use super::directory::RedisDirectory;
use super::marks::RedisMarks;
use super::membership::RedisMembership;
use super::occupancy::RedisOccupancy;
use super::presence::{PresenceHandle, RedisPresence};
use super::quota::RedisQuota;
use super::sessions::RedisSessions;
use super::{clock, presence_check, sweep};
use crate::Unavailable;

pub(crate) struct Stores {
    pub(crate) sessions: Arc<RedisSessions>,
    pub(crate) membership: Arc<RedisMembership>,
    pub(crate) presence: Arc<PresenceHandle>,
    pub(crate) marks: Arc<RedisMarks>,
    pub(crate) directory: Arc<RedisDirectory>,
    pub(crate) quota: Arc<RedisQuota>,
    pub(crate) occupancy: Arc<RedisOccupancy>,
    pub(crate) bulletin: Arc<RedisBulletin>,
}

impl Stores {
    /// The node takes its place among the others. It keeps it until `membership` is left or dropped.
    pub(crate) async fn start(access: Arc<Access>) -> Result<Self, Unavailable> {
        let membership = RedisMembership::join(Arc::clone(&access)).await?;
        let shared = membership.shared();
        let presence = RedisPresence::new(Arc::clone(&access), Arc::clone(shared));
        access.runtime.spawn(sweep::run(Arc::clone(&access), Arc::clone(shared)));
        access.runtime.spawn(presence_check::run(Arc::clone(&presence)));
        let occupancy = RedisOccupancy::new(Arc::clone(&access), Arc::clone(shared));
        access.runtime.spawn(clock::run(Arc::clone(&access), shared.leaving()));
        let bulletin = RedisBulletin::start(Arc::clone(&access), shared.leaving()).await?;
        Ok(Self {
            bulletin: Arc::new(bulletin),
            occupancy: Arc::new(occupancy),
            sessions: Arc::new(RedisSessions::new(Arc::clone(&access), shared.nodes())),
            membership: Arc::new(membership),
            presence: Arc::new(PresenceHandle(presence)),
            marks: Arc::new(RedisMarks::new(Arc::clone(&access))),
            directory: Arc::new(RedisDirectory::new(Arc::clone(&access))),
            quota: Arc::new(RedisQuota::new(access)),
        })
    }
}
