//! The rooms of one shard and their local members.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use crate::ids::Key;

/// A namespace as this shard numbers it.
pub(crate) type NamespaceIndex = u16;
/// A room as this shard numbers it.
pub(crate) type RoomIndex = u32;

pub(crate) struct Room {
    pub(crate) namespace: NamespaceIndex,
    pub(crate) name: Arc<str>,
    pub(crate) members: Vec<Key>,
}

struct Namespace {
    name: Arc<str>,
    rooms: HashMap<Arc<str>, RoomIndex>,
}

#[derive(Default)]
pub(crate) struct Rooms {
    /// Few: an application admits clients to the namespaces it knows.
    namespaces: Vec<Namespace>,
    rooms: Slab<Room>,
}

impl Rooms {
    pub(crate) fn namespace(&self, name: &str) -> Option<NamespaceIndex> {
        self.namespaces.iter().position(|namespace| *namespace.name == *name).map(|index| index as u16)
    }

    pub(crate) fn namespace_or_new(&mut self, name: &str) -> NamespaceIndex {
        self.namespace(name).unwrap_or_else(|| {
            self.namespaces.push(Namespace { name: name.into(), rooms: HashMap::new() });
            (self.namespaces.len() - 1) as NamespaceIndex
        })
    }

    pub(crate) fn namespace_name(&self, index: NamespaceIndex) -> &Arc<str> {
        &self.namespaces[usize::from(index)].name
    }

    pub(crate) fn find(&self, namespace: NamespaceIndex, name: &str) -> Option<RoomIndex> {
        self.namespaces[usize::from(namespace)].rooms.get(name).copied()
    }

    pub(crate) fn get(&self, index: RoomIndex) -> &Room {
        &self.rooms[index as usize]
    }

    pub(crate) fn count(&self) -> usize {
        self.rooms.len()
    }

    /// The caller knows that the member is not in the room yet.
    pub(crate) fn enter(&mut self, namespace: NamespaceIndex, name: &Arc<str>, member: Key) -> RoomIndex {
        let rooms = &mut self.namespaces[usize::from(namespace)].rooms;
        let index = *rooms.entry(Arc::clone(name)).or_insert_with(|| {
            self.rooms.insert(Room { namespace, name: Arc::clone(name), members: Vec::new() }) as RoomIndex
        });
        let members = &mut self.rooms[index as usize].members;
        if members.len() == members.capacity() {
            // Most rooms have one member (a user's own); doubling from four would cost each of them 24 bytes.
            members.reserve_exact(members.len().max(1));
        }
        members.push(member);
        index
    }

    /// Gives the names of the room, if the member was in it.
    pub(crate) fn exit(&mut self, index: RoomIndex, member: Key) -> Option<(Arc<str>, Arc<str>)> {
        let room = &mut self.rooms[index as usize];
        // A scan of eight bytes a member: 10,000 members take microseconds, and a map would cost each of them memory.
        let at = room.members.iter().position(|other| *other == member)?;
        room.members.swap_remove(at);
        if room.members.capacity() > 64 && room.members.len() * 4 < room.members.capacity() {
            room.members.shrink_to(room.members.len() * 2);
        }
        let names = (Arc::clone(&self.namespaces[usize::from(room.namespace)].name), Arc::clone(&room.name));
        if room.members.is_empty() {
            let namespace = usize::from(room.namespace);
            self.namespaces[namespace].rooms.remove(&names.1);
            self.rooms.remove(index as usize);
        }
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(slot: u32) -> Key {
        Key { slot, generation: 0 }
    }

    #[test]
    fn a_room_lives_from_its_first_member_to_its_last() {
        let mut rooms = Rooms::default();
        let namespace = rooms.namespace_or_new("/");
        let name = Arc::from("lobby");
        let room = rooms.enter(namespace, &name, key(1));
        assert_eq!(rooms.enter(namespace, &name, key(2)), room);
        assert_eq!(rooms.find(namespace, "lobby"), Some(room));
        assert!(rooms.exit(room, key(3)).is_none(), "never was in it");
        assert!(rooms.exit(room, key(1)).is_some());
        assert_eq!(rooms.get(room).members, [key(2)]);
        assert_eq!(rooms.exit(room, key(2)), Some(("/".into(), "lobby".into())));
        assert_eq!((rooms.find(namespace, "lobby"), rooms.count()), (None, 0));
    }

    #[test]
    fn the_same_name_in_two_namespaces_is_two_rooms() {
        let mut rooms = Rooms::default();
        let (one, two) = (rooms.namespace_or_new("/"), rooms.namespace_or_new("/admin"));
        let name = Arc::from("lobby");
        assert_ne!(rooms.enter(one, &name, key(1)), rooms.enter(two, &name, key(1)));
        assert_eq!(rooms.namespace_or_new("/admin"), two);
    }
}
