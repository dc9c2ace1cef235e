//! Who was in a room when, and who was shown to whom.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{Event, What};

/// From, to, and whether the end was a goodbye.
pub(crate) type Span = (u64, u64, bool);

/// When a user was in a room with at least one device, visible. The last span may still go on.
#[derive(Debug, Default)]
pub(crate) struct There {
    pub(crate) spans: Vec<Span>,
}

impl There {
    /// Whether the user was there all this time.
    pub(crate) fn throughout(&self, from: u64, to: u64) -> bool {
        self.spans.iter().any(|(since, until, _)| *since <= from && to <= *until)
    }

    /// Whether the user was there at some time of it.
    pub(crate) fn within(&self, from: u64, to: u64) -> bool {
        self.spans.iter().any(|(since, until, _)| *since <= to && from <= *until)
    }
}

/// What one subscriber was shown of who is in a room, while connected.
pub(crate) struct View<'a> {
    pub(crate) who: &'a str,
    pub(crate) room: &'a str,
    pub(crate) shown: Vec<Shown<'a>>,
    /// Connected, and in the room, until then.
    pub(crate) until_us: u64,
    /// That is the end of the history.
    pub(crate) live: bool,
}

#[derive(Debug)]
pub(crate) enum Shown<'a> {
    /// All who are there.
    All {
        at_us: u64,
        users: BTreeSet<&'a str>,
    },
    Change {
        at_us: u64,
        joined: BTreeSet<&'a str>,
        left: BTreeSet<&'a str>,
    },
}

impl<'a> View<'a> {
    /// Who was shown, from when to when.
    pub(crate) fn spans(&self) -> Vec<(&'a str, u64, u64)> {
        let mut since: BTreeMap<&str, u64> = BTreeMap::new();
        let mut spans = Vec::new();
        for shown in &self.shown {
            match shown {
                Shown::All { at_us, users } => {
                    let gone: Vec<&str> =
                        since.keys().filter(|user| !users.contains(*user)).copied().collect();
                    for user in gone {
                        spans.extend(since.remove(user).map(|since| (user, since, *at_us)));
                    }
                    for user in users {
                        since.entry(user).or_insert(*at_us);
                    }
                }
                Shown::Change { at_us, joined, left } => {
                    for user in left {
                        spans.extend(since.remove(user).map(|since| (*user, since, *at_us)));
                    }
                    for user in joined {
                        since.entry(user).or_insert(*at_us);
                    }
                }
            }
        }
        spans.extend(since.into_iter().map(|(user, since)| (user, since, self.until_us)));
        spans
    }
}

/// One device in one room.
struct Device<'a> {
    user: &'a str,
    rooms: BTreeMap<&'a str, Option<u64>>,
    invisible: bool,
}

type Theres<'a> = BTreeMap<(&'a str, &'a str), There>;

pub(super) fn presence<'a>(
    events: &'a [&'a Event],
    users: &HashMap<&'a str, (&'a str, &'a str)>,
) -> (Theres<'a>, Vec<View<'a>>) {
    let mut stays: BTreeMap<(&str, &str), Vec<Span>> = BTreeMap::new();
    let mut devices: BTreeMap<&str, Device<'_>> = BTreeMap::new();
    let mut views = Vec::new();
    let mut open: BTreeMap<(&str, &str), View<'_>> = BTreeMap::new();
    let last = events.last().map_or(0, |event| event.at_us);
    let mut stay =
        |room, user, from, to, clean| stays.entry((room, user)).or_default().push((from, to, clean));
    for event in events {
        let (who, at_us) = (event.who.as_str(), event.at_us);
        match &event.what {
            What::Join { room, .. } => {
                let Some((user, _)) = users.get(who) else { continue };
                let device = devices.entry(who).or_insert_with(|| Device {
                    user,
                    rooms: BTreeMap::new(),
                    invisible: false,
                });
                let since = (!device.invisible).then_some(at_us);
                device.rooms.entry(room).or_insert(since);
            }
            What::Leave { room } => {
                if let Some(device) = devices.get_mut(who)
                    && let Some(Some(since)) = device.rooms.remove(room.as_str())
                {
                    stay(room, device.user, since, at_us, true);
                }
                views.extend(open.remove(&(who, room.as_str())).map(|view| closed(view, at_us)));
            }
            What::Disconnect { clean } => {
                if let Some(device) = devices.get_mut(who) {
                    for (room, since) in &mut device.rooms {
                        if let Some(since) = since.take() {
                            stay(room, device.user, since, at_us, *clean);
                        }
                    }
                }
                close(&mut open, &mut views, who, at_us);
            }
            What::Session { recovered } => {
                let Some(device) = devices.get_mut(who) else { continue };
                if *recovered {
                    let since = (!device.invisible).then_some(at_us);
                    device.rooms.values_mut().for_each(|room| *room = room.or(since));
                } else {
                    device.rooms.clear();
                }
            }
            What::Status { invisible } => {
                let Some(device) = devices.get_mut(who) else { continue };
                device.invisible = *invisible;
                for (room, since) in &mut device.rooms {
                    match (*invisible, *since) {
                        (true, Some(from)) => {
                            stay(room, device.user, from, at_us, true);
                            *since = None;
                        }
                        (false, None) => *since = Some(at_us),
                        _ => {}
                    }
                }
            }
            What::Members { room, users, .. } => {
                let shown = Shown::All { at_us, users: users.iter().map(String::as_str).collect() };
                let new = || View { who, room, shown: Vec::new(), until_us: at_us, live: true };
                open.entry((who, room)).or_insert_with(new).shown.push(shown);
            }
            What::Presence { room, joined, left, .. } => {
                if let Some(view) = open.get_mut(&(who, room.as_str())) {
                    view.shown.push(Shown::Change {
                        at_us,
                        joined: joined.iter().map(String::as_str).collect(),
                        left: left.iter().map(String::as_str).collect(),
                    });
                }
            }
            _ => {}
        }
    }
    for device in devices.into_values() {
        for (room, since) in device.rooms {
            if let Some(since) = since {
                stay(room, device.user, since, u64::MAX, false);
            }
        }
    }
    views.extend(open.into_values().map(|view| View { until_us: last, ..view }));
    (stays.into_iter().map(|(key, stays)| (key, united(stays))).collect(), views)
}

fn closed(view: View<'_>, at_us: u64) -> View<'_> {
    View { until_us: at_us, live: false, ..view }
}

fn close<'a>(
    open: &mut BTreeMap<(&'a str, &'a str), View<'a>>,
    views: &mut Vec<View<'a>>,
    who: &str,
    at_us: u64,
) {
    let rooms: Vec<_> = open.keys().filter(|(of, _)| *of == who).copied().collect();
    views.extend(rooms.iter().filter_map(|key| open.remove(key)).map(|view| closed(view, at_us)));
}

/// Stays of several devices as stays of their user.
fn united(mut stays: Vec<Span>) -> There {
    stays.sort_unstable();
    let mut spans: Vec<Span> = Vec::new();
    for (from, to, clean) in stays {
        match spans.last_mut() {
            Some(last) if from <= last.1 => {
                if to > last.1 {
                    (last.1, last.2) = (to, clean);
                }
            }
            _ => spans.push((from, to, clean)),
        }
    }
    There { spans }
}
