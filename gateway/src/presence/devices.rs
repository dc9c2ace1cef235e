//! The devices of a room's users on this node. Most rooms are personal ones and hold a single device, so that takes little
//! memory; in large rooms a user is found at once.

use std::collections::HashMap;

use smallvec::SmallVec;
use turnpike_cluster::RowKey;
use turnpike_wire::UserId;

use super::look::Look;

/// Up to so many are looked through one after the other.
const FEW_MAX: usize = 8;

#[derive(Debug)]
pub(crate) struct Device<H> {
    pub(crate) key: RowKey,
    /// The connections that are this device.
    pub(crate) holders: SmallVec<[H; 1]>,
    /// None: it is gone, and the store may not know.
    pub(crate) look: Option<Look>,
    /// Without a connection it stays until then.
    pub(crate) until_ms: Option<u64>,
    /// The store may have it.
    pub(crate) tried: bool,
}

#[derive(Debug)]
pub(crate) enum Devices<H> {
    Few(Vec<Device<H>>),
    Many(
        #[expect(clippy::box_collection, reason = "seldom, and it would make the others larger")]
        Box<HashMap<UserId, Vec<Device<H>>>>,
    ),
}

impl<H> Devices<H> {
    pub(crate) fn new() -> Self {
        Self::Few(Vec::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few(devices) => devices.is_empty(),
            Self::Many(users) => users.is_empty(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Device<H>> {
        let (few, many) = match self {
            Self::Few(devices) => (Some(devices), None),
            Self::Many(users) => (None, Some(users.values().flatten())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }

    /// The device of a user that is so.
    pub(crate) fn find(&self, user: &UserId, is: impl Fn(&Device<H>) -> bool) -> Option<&Device<H>> {
        let devices = match self {
            Self::Few(devices) => devices,
            Self::Many(users) => users.get(user)?,
        };
        devices.iter().find(|device| device.key.user == *user && is(device))
    }

    pub(crate) fn find_mut(
        &mut self,
        user: &UserId,
        is: impl Fn(&Device<H>) -> bool,
    ) -> Option<&mut Device<H>> {
        let devices = match self {
            Self::Few(devices) => devices,
            Self::Many(users) => users.get_mut(user)?,
        };
        devices.iter_mut().find(|device| device.key.user == *user && is(device))
    }

    pub(crate) fn get(&self, key: &RowKey) -> Option<&Device<H>> {
        self.find(&key.user, |device| device.key.device == key.device)
    }

    pub(crate) fn get_mut(&mut self, key: &RowKey) -> Option<&mut Device<H>> {
        self.find_mut(&key.user, |device| device.key.device == key.device)
    }

    /// The device, known or new.
    pub(crate) fn get_or_new(&mut self, key: &RowKey) -> &mut Device<H> {
        if self.get(key).is_none() {
            self.grow();
            let new = Device {
                key: key.clone(),
                holders: SmallVec::new(),
                look: None,
                until_ms: None,
                tried: false,
            };
            let devices = match self {
                Self::Few(devices) => devices,
                Self::Many(users) => users.entry(key.user.clone()).or_default(),
            };
            if devices.is_empty() {
                devices.reserve_exact(1);
            }
            devices.push(new);
        }
        self.get_mut(key).expect("it is there by now")
    }

    fn grow(&mut self) {
        let Self::Few(devices) = self else { return };
        if devices.len() >= FEW_MAX {
            let mut users: HashMap<UserId, Vec<Device<H>>> = HashMap::new();
            for device in devices.drain(..) {
                users.entry(device.key.user.clone()).or_default().push(device);
            }
            *self = Self::Many(Box::new(users));
        }
    }

    pub(crate) fn remove(&mut self, key: &RowKey) {
        match self {
            Self::Few(devices) => devices.retain(|device| device.key != *key),
            Self::Many(users) => {
                let Some(devices) = users.get_mut(&key.user) else { return };
                devices.retain(|device| device.key != *key);
                if devices.is_empty() {
                    users.remove(&key.user);
                }
                if users.is_empty() {
                    *self = Self::new();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(user: usize, device: usize) -> RowKey {
        RowKey { user: UserId::parse(&format!("u{user}")).unwrap(), device: format!("d{device}").into() }
    }

    #[test]
    fn few_or_many_are_the_same() {
        for users in [1, 3, 50] {
            let mut devices: Devices<u32> = Devices::new();
            for number in 0..users * 4 {
                devices.get_or_new(&key(number % users, number / users)).tried = true;
            }
            devices.get_or_new(&key(0, 0)).until_ms = Some(1);
            assert_eq!(devices.iter().count(), users * 4);
            assert!(devices.iter().all(|device| device.tried));
            let first = devices.get(&key(0, 0)).unwrap();
            assert_eq!((first.until_ms, devices.get(&key(0, 9)).is_none()), (Some(1), true));
            assert!(devices.find(&key(users, 0).user, |_| true).is_none());
            for number in 0..users * 4 {
                assert!(!devices.is_empty());
                devices.remove(&key(number % users, number / users));
            }
            assert!(devices.is_empty());
        }
    }
}
