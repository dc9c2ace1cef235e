//! The rooms of one shard and their local members.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use crate::ids::Key;

/// A namespace as this shard numbers it while somebody is in it.
pub(crate) type NamespaceIndex = u32;
/// A room as this shard numbers it.
pub(crate) type RoomIndex = u32;

pub(crate) struct Room {
    pub(crate) namespace: NamespaceIndex,
    pub(crate) name: Arc<str>,
    pub(crate) members: Vec<Key>,
}

struct Namespace {
    name: Arc<str>,
    /// Those that have been admitted. Who is in a room of it may still be being decided on.
    sockets: usize,
    rooms: HashMap<Arc<str>, RoomIndex>,
}

#[derive(Default)]
pub(crate) struct Rooms {
    namespaces: Slab<Namespace>,
    by_name: HashMap<Arc<str>, NamespaceIndex>,
    slots: Slab<Room>,
}

impl Rooms {
    pub(crate) fn namespace(&self, name: &str) -> Option<NamespaceIndex> {
        self.by_name.get(name).copied()
    }

    /// A socket enters the namespace.
    pub(crate) fn enter_namespace(&mut self, name: &str) -> NamespaceIndex {
        let index = self.namespace_or_new(name);
        self.namespaces[index as usize].sockets += 1;
        index
    }

    /// A socket has left all its rooms, and leaves the namespace.
    pub(crate) fn exit_namespace(&mut self, index: NamespaceIndex) {
        self.namespaces[index as usize].sockets -= 1;
        self.forget_if_empty(index);
    }

    fn namespace_or_new(&mut self, name: &str) -> NamespaceIndex {
        self.namespace(name).unwrap_or_else(|| {
            let name: Arc<str> = name.into();
            let namespace = Namespace { name: Arc::clone(&name), sockets: 0, rooms: HashMap::new() };
            let index = self.namespaces.insert(namespace) as NamespaceIndex;
            self.by_name.insert(name, index);
            index
        })
    }

    fn forget_if_empty(&mut self, index: NamespaceIndex) {
        let namespace = &self.namespaces[index as usize];
        if namespace.sockets == 0 && namespace.rooms.is_empty() {
            let namespace = self.namespaces.remove(index as usize);
            self.by_name.remove(&namespace.name);
        }
    }

    pub(crate) fn namespace_count(&self) -> usize {
        self.namespaces.len()
    }

    pub(crate) fn namespace_name(&self, index: NamespaceIndex) -> &Arc<str> {
        &self.namespaces[index as usize].name
    }

    pub(crate) fn find(&self, namespace: NamespaceIndex, name: &str) -> Option<RoomIndex> {
        self.namespaces[namespace as usize].rooms.get(name).copied()
    }

    pub(crate) fn get(&self, index: RoomIndex) -> &Room {
        &self.slots[index as usize]
    }

    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }

    /// The caller knows that the member is not in the room yet.
    pub(crate) fn enter(&mut self, namespace: &str, name: &Arc<str>, member: Key) -> RoomIndex {
        let namespace = self.namespace_or_new(namespace);
        let rooms = &mut self.namespaces[namespace as usize].rooms;
        let index = *rooms.entry(Arc::clone(name)).or_insert_with(|| {
            self.slots.insert(Room { namespace, name: Arc::clone(name), members: Vec::new() }) as RoomIndex
        });
        let members = &mut self.slots[index as usize].members;
        if members.len() == members.capacity() {
            // Most rooms have one member (a user's own); doubling from four would cost each of them 24 bytes.
            members.reserve_exact(members.len().max(1));
        }
        members.push(member);
        index
    }

    /// Gives the names of the room, if the member was in it.
    pub(crate) fn exit(&mut self, index: RoomIndex, member: Key) -> Option<(Arc<str>, Arc<str>)> {
        let room = &mut self.slots[index as usize];
        // A scan of eight bytes a member: 10,000 members take microseconds, and a map would cost each of them memory.
        let at = room.members.iter().position(|other| *other == member)?;
        room.members.swap_remove(at);
        if room.members.capacity() > 64 && room.members.len() * 4 < room.members.capacity() {
            room.members.shrink_to(room.members.len() * 2);
        }
        let namespace = room.namespace;
        let names = (Arc::clone(&self.namespaces[namespace as usize].name), Arc::clone(&room.name));
        if room.members.is_empty() {
            self.namespaces[namespace as usize].rooms.remove(&names.1);
            self.slots.remove(index as usize);
            self.forget_if_empty(namespace);
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
        let namespace = rooms.enter_namespace("/");
        let name = Arc::from("lobby");
        let room = rooms.enter("/", &name, key(1));
        assert_eq!(rooms.enter("/", &name, key(2)), room);
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
        let name = Arc::from("lobby");
        assert_ne!(rooms.enter("/", &name, key(1)), rooms.enter("/admin", &name, key(1)));
    }

    #[test]
    fn a_namespace_lives_as_long_as_anybody_is_in_it_or_in_a_room_of_it() {
        let mut rooms = Rooms::default();
        let name = Arc::from("lobby");
        // More than two bytes can count.
        for number in 0..70_000_u32 {
            let namespace = format!("/{number}");
            let index = rooms.enter_namespace(&namespace);
            assert_eq!(rooms.enter_namespace(&namespace), index);
            let room = rooms.enter(&namespace, &name, key(number));
            rooms.exit_namespace(index);
            if number % 2 == 0 {
                rooms.exit(room, key(number));
                rooms.exit_namespace(index);
            } else {
                rooms.exit_namespace(index);
                rooms.exit(room, key(number));
            }
            assert_eq!(rooms.namespace(&namespace), None);
        }
        assert_eq!((rooms.namespace_count(), rooms.count(), rooms.by_name.len()), (0, 0, 0));
    }
}
