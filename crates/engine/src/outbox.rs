//! What waits to be written to one client: bounded in bytes, and nothing allocated while it is empty.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::frame::{self, Opcode};
use crate::packet::{Class, Dialect, Encoded, Wire};

/// Separates the packets of a polling body.
pub(crate) const SEPARATOR: u8 = 0x1e;

enum Item {
    /// Shared with all other recipients.
    Shared(Arc<Encoded>),
    /// Websocket frames of this client alone.
    Frames(Vec<u8>),
    /// Polling packets of this client alone.
    Packets(Vec<u8>),
    /// The packet that ends a polling session.
    LastPacket,
}

/// How a client reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Form {
    pub(crate) dialect: Dialect,
    pub(crate) wire: Wire,
}

#[derive(Default)]
pub(crate) struct Outbox {
    items: VecDeque<Item>,
    /// Bytes in the queue, as the limits count them.
    bytes: usize,
    /// How much of the first item has been written.
    written: usize,
}

/// Engine.IO's close.
const LAST_PACKET: &[u8] = b"1";
/// Enough for an answer and an event behind it. Queues of more slots are given back when they run empty: most of the
/// connections that there are have nothing to do.
const SLOTS_KEPT_MAX: usize = 2;
/// Of those that need more there are few, and they need many.
const SLOTS_FACTOR: usize = 4;

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The first event that has an offset, whole or in part.
    pub(crate) fn first_offset(&self) -> Option<&Arc<str>> {
        self.items.iter().find_map(|item| match item {
            Item::Shared(event) => event.offset_shared(),
            Item::Frames(_) | Item::Packets(_) | Item::LastPacket => None,
        })
    }

    pub(crate) fn push_shared(&mut self, event: Arc<Encoded>) {
        self.bytes += event.queue_bytes();
        self.push(Item::Shared(event));
    }

    /// Puts the event in the place of one that waits and says the same of an earlier time.
    pub(crate) fn replace_state(&mut self, event: &Arc<Encoded>) -> bool {
        let Class::State { key } = event.class() else { return false };
        // The last of them, lest an older one comes behind it. The first item may be half written.
        for item in self.items.iter_mut().skip(usize::from(self.written > 0)).rev() {
            if let Item::Shared(old) = item
                && old.class() == (Class::State { key })
                && old.namespace() == event.namespace()
            {
                self.bytes = self.bytes + event.queue_bytes() - old.queue_bytes();
                *old = Arc::clone(event);
                return true;
            }
        }
        false
    }

    /// Queues bytes of this client alone; `write` appends them in the client's form.
    pub(crate) fn push_own(&mut self, wire: Wire, write: impl FnOnce(&mut Vec<u8>)) {
        // What is being written stays as long as it is: it leaves, and is taken off the count, as a whole.
        let open = self.items.len() > 1 || self.written == 0;
        match (self.items.back_mut().filter(|_| open), wire) {
            (Some(Item::Packets(bytes)), Wire::Polling) => {
                let before = bytes.len();
                bytes.push(SEPARATOR);
                write(bytes);
                self.bytes += bytes.len() - before;
            }
            (Some(Item::Frames(bytes)), Wire::Websocket | Wire::WebsocketDeflate) => {
                let before = bytes.len();
                write(bytes);
                self.bytes += bytes.len() - before;
            }
            (_, wire) => {
                let mut bytes = Vec::new();
                write(&mut bytes);
                if bytes.is_empty() {
                    return;
                }
                self.bytes += bytes.len();
                self.push(if wire == Wire::Polling { Item::Packets(bytes) } else { Item::Frames(bytes) });
            }
        }
    }

    /// What to write next on a websocket: one item as it lies, or several copied together into `scratch`, which for
    /// the small frames of a busy room is cheaper than handing the kernel a list.
    pub(crate) fn next_bytes<'a>(&'a self, form: Form, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        const GATHERED_BYTES_MAX: usize = 64 * 1024;
        const ALONE_BYTES_MIN: usize = 16 * 1024;
        let mut items = self.items.iter();
        let Some(first) = items.next() else { return &[] };
        let first = &first.bytes(form)[self.written..];
        if self.items.len() == 1 || first.len() >= ALONE_BYTES_MIN {
            return first;
        }
        scratch.clear();
        scratch.extend_from_slice(first);
        for item in items {
            let bytes = item.bytes(form);
            if scratch.len() + bytes.len() > GATHERED_BYTES_MAX {
                break;
            }
            scratch.extend_from_slice(bytes);
        }
        scratch
    }

    /// Takes written bytes off the front.
    pub(crate) fn advance(&mut self, form: Form, written: usize) {
        self.written += written;
        while let Some(item) = self.items.front() {
            let length = item.bytes(form).len();
            if self.written < length {
                break;
            }
            self.written -= length;
            self.bytes -= item.counted();
            self.items.pop_front();
        }
        self.tidy();
    }

    /// Ends a polling session, once the client has read all that is queued.
    pub(crate) fn push_last_packet(&mut self) {
        self.bytes += LAST_PACKET.len();
        self.push(Item::LastPacket);
    }

    fn push(&mut self, item: Item) {
        let slots = self.items.capacity();
        if self.items.len() == slots {
            self.items.reserve_exact(if slots == 0 { SLOTS_KEPT_MAX } else { slots * (SLOTS_FACTOR - 1) });
        }
        self.items.push_back(item);
    }

    /// Takes packets for one polling answer, at least one and then as many as fit. The last one of a session comes alone: the stock
    /// client reads it before the packets of the same answer, keeps those for when it is back, and is given them again there.
    pub(crate) fn take_polling(&mut self, dialect: Dialect, bytes_max: usize) -> Vec<u8> {
        let form = Form { dialect, wire: Wire::Polling };
        let mut body = Vec::new();
        while let Some(item) = self.items.front() {
            let bytes = item.bytes(form);
            let comes_alone = matches!(item, Item::LastPacket);
            if !body.is_empty() && (comes_alone || body.len() + bytes.len() >= bytes_max) {
                break;
            }
            if !bytes.is_empty() {
                if !body.is_empty() {
                    body.push(SEPARATOR);
                }
                body.extend_from_slice(bytes);
            }
            self.bytes -= item.counted();
            self.items.pop_front();
        }
        self.tidy();
        body
    }

    /// The session moved to a websocket: its own packets become frames.
    pub(crate) fn switch_to_websocket(&mut self) {
        for item in &mut self.items {
            if let Item::Packets(packets) = item {
                let mut frames = Vec::with_capacity(packets.len() + 16);
                for packet in packets.split(|byte| *byte == SEPARATOR) {
                    match packet.strip_prefix(b"b") {
                        Some(text) => {
                            let binary = STANDARD.decode(text).expect("the engine encoded it itself");
                            frame::write_frame(&mut frames, Opcode::Binary, &binary, false);
                        }
                        None => frame::write_frame(&mut frames, Opcode::Text, packet, false),
                    }
                }
                self.bytes = self.bytes + frames.len() - packets.len();
                *item = Item::Frames(frames);
            } else if matches!(item, Item::LastPacket) {
                let mut frames = Vec::new();
                frame::write_frame(&mut frames, Opcode::Text, LAST_PACKET, false);
                self.bytes = self.bytes + frames.len() - LAST_PACKET.len();
                *item = Item::Frames(frames);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn tidy(&mut self) {
        if self.items.is_empty() && self.items.capacity() > SLOTS_KEPT_MAX {
            self.items = VecDeque::new();
        }
    }
}

impl Item {
    fn bytes(&self, form: Form) -> &[u8] {
        match self {
            Self::Shared(event) => event.bytes(form.dialect, form.wire),
            Self::Frames(bytes) | Self::Packets(bytes) => bytes,
            Self::LastPacket => LAST_PACKET,
        }
    }

    fn counted(&self) -> usize {
        match self {
            Self::Shared(event) => event.queue_bytes(),
            Self::Frames(bytes) | Self::Packets(bytes) => bytes.len(),
            Self::LastPacket => LAST_PACKET.len(),
        }
    }
}

/// The ping of Engine.IO, in both forms.
pub(crate) fn push_ping(outbox: &mut Outbox, form: Form) {
    outbox.push_own(form.wire, |out| match (form.dialect, form.wire) {
        (Dialect::Raw, _) => frame::write_frame(out, Opcode::Ping, b"", false),
        (_, Wire::Polling) => out.push(b'2'),
        _ => frame::write_frame(out, Opcode::Text, b"2", false),
    });
}

/// A text packet that is already whole.
pub(crate) fn push_text(outbox: &mut Outbox, wire: Wire, text: &str) {
    outbox.push_own(wire, |out| match wire {
        Wire::Polling => out.extend_from_slice(text.as_bytes()),
        _ => frame::write_frame(out, Opcode::Text, text.as_bytes(), false),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form { dialect: Dialect::Default, wire: Wire::Websocket };

    fn event(name: &str, class: Class) -> Arc<Encoded> {
        Encoded::event("/", name).arg(&1).class(class).build()
    }

    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let (mut all, mut scratch) = (Vec::new(), Vec::new());
        loop {
            let next = outbox.next_bytes(FORM, &mut scratch);
            if next.is_empty() {
                return all;
            }
            let count = next.len().min(step);
            all.extend_from_slice(&next[..count]);
            outbox.advance(FORM, count);
        }
    }

    #[test]
    fn bytes_leave_in_order_however_they_are_cut() {
        let mut whole = Vec::new();
        for step in [1, 2, 7, 1_000] {
            let mut outbox = Outbox::default();
            outbox.push_shared(event("a", Class::Reliable));
            push_text(&mut outbox, Wire::Websocket, "one");
            push_text(&mut outbox, Wire::Websocket, "two");
            outbox.push_shared(event("b", Class::Volatile));
            let all = drain(&mut outbox, step);
            assert!(outbox.is_empty() && outbox.bytes() == 0);
            if whole.is_empty() {
                whole.clone_from(&all);
            }
            assert_eq!(all, whole, "cut every {step} bytes");
        }
        assert!(whole.windows(5).any(|window| window == b"\x81\x03two"));
    }

    /// A client that is slow but not gone must not be held to account for what has long been written.
    #[test]
    fn a_queue_that_never_runs_empty_counts_what_waits() {
        let mut outbox = Outbox::default();
        let packet = "x".repeat(100);
        push_text(&mut outbox, Wire::Websocket, &packet);
        let mut scratch = Vec::new();
        for _ in 0..1_000 {
            push_text(&mut outbox, Wire::Websocket, &packet);
            // Never to the end of what there is.
            let count = outbox.next_bytes(FORM, &mut scratch).len().min(102);
            outbox.advance(FORM, count - 1);
            push_text(&mut outbox, Wire::Websocket, "");
            let count = outbox.next_bytes(FORM, &mut scratch).len().min(3);
            outbox.advance(FORM, count);
            assert!(outbox.bytes() < 1_000, "{} bytes", outbox.bytes());
        }
    }

    #[test]
    fn the_newest_state_takes_the_place_of_the_older() {
        let mut outbox = Outbox::default();
        outbox.push_shared(event("first", Class::State { key: 1 }));
        outbox.push_shared(event("second", Class::State { key: 2 }));
        assert!(outbox.replace_state(&event("newer", Class::State { key: 2 })));
        assert!(!outbox.replace_state(&event("other", Class::State { key: 3 })));
        let elsewhere = Encoded::event("/admin", "same key").class(Class::State { key: 2 }).build();
        assert!(!outbox.replace_state(&elsewhere));
        outbox.advance(FORM, 1);
        assert!(!outbox.replace_state(&event("late", Class::State { key: 1 })), "half written already");
        let text = String::from_utf8_lossy(&drain(&mut outbox, 1_000)).into_owned();
        assert!(text.contains("newer") && !text.contains("second"), "{text}");
    }

    /// While a connection is not known to be blocked, each of a burst is queued.
    #[test]
    fn the_newest_state_stays_the_last() {
        let mut outbox = Outbox::default();
        for name in ["first", "second"] {
            outbox.push_shared(event(name, Class::State { key: 1 }));
        }
        assert!(outbox.replace_state(&event("third", Class::State { key: 1 })));
        let text = String::from_utf8_lossy(&drain(&mut outbox, 1_000)).into_owned();
        assert!(text.contains("first") && text.ends_with("42[\"third\",1]"), "{text}");
    }

    #[test]
    fn a_polling_answer_holds_at_least_one_packet_and_no_more_than_fit() {
        let mut outbox = Outbox::default();
        for text in ["4first", "4second"] {
            push_text(&mut outbox, Wire::Polling, text);
        }
        outbox.push_shared(event("third", Class::Reliable));
        assert_eq!(outbox.take_polling(Dialect::Default, 5), b"4first\x1e4second");
        assert_eq!(outbox.take_polling(Dialect::Default, 5), br#"42["third",1]"#);
        assert!(outbox.is_empty() && outbox.bytes() == 0);
    }

    #[test]
    fn the_end_of_a_polling_session_comes_alone() {
        let mut outbox = Outbox::default();
        push_text(&mut outbox, Wire::Polling, "4first");
        outbox.push_shared(event("second", Class::Reliable));
        outbox.push_last_packet();
        assert_eq!(outbox.take_polling(Dialect::Default, 1_000), b"4first\x1e42[\"second\",1]");
        assert_eq!(outbox.take_polling(Dialect::Default, 1_000), b"1");
        assert!(outbox.is_empty() && outbox.bytes() == 0);
        outbox.push_last_packet();
        outbox.switch_to_websocket();
        assert_eq!(drain(&mut outbox, 1_000), b"\x81\x011");
        assert!(outbox.is_empty() && outbox.bytes() == 0);
    }

    #[test]
    fn who_has_nothing_to_read_takes_little_memory() {
        let mut outbox = Outbox::default();
        push_text(&mut outbox, Wire::Websocket, "answer");
        outbox.push_shared(event("a", Class::Reliable));
        drain(&mut outbox, 100);
        assert_eq!(outbox.items.capacity(), SLOTS_KEPT_MAX);
        for _ in 0..1_000 {
            outbox.push_shared(event("a", Class::Reliable));
        }
        drain(&mut outbox, 100);
        assert!(outbox.items.capacity() <= SLOTS_KEPT_MAX, "{}", outbox.items.capacity());
    }

    #[test]
    fn packets_that_wait_while_the_transport_changes_become_frames() {
        let mut outbox = Outbox::default();
        push_text(&mut outbox, Wire::Polling, "4text");
        push_text(&mut outbox, Wire::Polling, "bAQID");
        outbox.switch_to_websocket();
        assert_eq!(drain(&mut outbox, 100), b"\x81\x054text\x82\x03\x01\x02\x03");
        assert_eq!(outbox.bytes(), 0);
    }
}
