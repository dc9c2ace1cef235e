//! An event that is serialised once and shared by all its receivers.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;
use socketioxide_core::Value;
use socketioxide_core::packet::PacketData;

use super::default::{Kind, head};
use super::wire::Line;
use super::{Class, Dialect, Str, Wire, msgpack, raw};

const COMPRESS_ABOVE_BYTES: usize = 1_024;

/// An event in every form that a receiver may need, each made when first asked for.
#[derive(Debug)]
pub struct Encoded {
    namespace: Str,
    name: Str,
    class: Class,
    offset: Option<Arc<str>>,
    ack: Option<u64>,
    mark: Option<u32>,
    compress_above: usize,
    published_ms: Option<u64>,
    /// The array: name, arguments, offset.
    text: String,
    /// Where the first argument stands in it.
    argument: Option<Range<usize>>,
    attachments: Vec<Bytes>,
    /// By dialect, then by wire.
    forms: [OnceLock<Bytes>; 9],
}

impl Encoded {
    /// An event with no arguments yet.
    pub fn event(namespace: &str, name: &str) -> EventBuilder {
        EventBuilder::new(namespace, name)
    }

    pub fn class(&self) -> Class {
        self.class
    }

    pub fn offset(&self) -> Option<&str> {
        self.offset.as_deref()
    }

    /// The same, to be kept beyond the event without keeping the event.
    pub fn offset_shared(&self) -> Option<&Arc<str>> {
        self.offset.as_ref()
    }

    pub(crate) fn published_ms(&self) -> Option<u64> {
        self.published_ms
    }

    /// What a receiver on this wire is spared by compression: the bytes before and after.
    pub(crate) fn deflated(&self, dialect: Dialect, wire: Wire) -> Option<(usize, usize)> {
        let is_deflated = wire == Wire::WebsocketDeflate && self.queue_bytes() >= self.compress_above;
        is_deflated.then(|| (self.queue_bytes(), self.bytes(dialect, wire).len()))
    }

    /// See [`EventBuilder::mark`].
    pub fn mark(&self) -> Option<u32> {
        self.mark
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Websocket wires: complete frames, ready to be written. Polling: packets joined by `\x1e`.
    #[inline]
    pub fn bytes(&self, dialect: Dialect, wire: Wire) -> &Bytes {
        self.forms[dialect as usize * 3 + wire as usize].get_or_init(|| self.make(dialect, wire))
    }

    /// The size that queues count: the JSON text and the attachments.
    pub fn queue_bytes(&self) -> usize {
        self.text.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    fn make(&self, dialect: Dialect, wire: Wire) -> Bytes {
        if wire == Wire::WebsocketDeflate && self.queue_bytes() < self.compress_above {
            let plain = self.bytes(dialect, Wire::Websocket);
            // Then no message in it is long enough to be compressed.
            if plain.len() < self.compress_above {
                return plain.clone();
            }
        }
        let mut out = Vec::new();
        let mut line = Line::new(wire, self.compress_above, &mut out);
        match dialect {
            Dialect::Default => {
                let head = head(Kind::Event, self.attachments.len(), &self.namespace, self.ack);
                line.text(&head, self.text.as_bytes());
                for attachment in &self.attachments {
                    line.binary(attachment);
                }
            }
            Dialect::Msgpack => {
                let data = msgpack::from_json(&self.text, &self.attachments);
                let packet = PacketData::Event(Value::Bytes(data), self.ack.map(u64::cast_signed));
                line.binary(&msgpack::write(packet, &self.namespace));
            }
            Dialect::Raw => {
                let argument = self.argument.clone().map_or("null", |argument| &self.text[argument]);
                line.text(&[], raw::event(&self.name, argument, &self.attachments).as_bytes());
            }
        }
        out.into()
    }
}

/// Collects what an event carries.
#[derive(Debug, Clone)]
pub struct EventBuilder {
    namespace: Str,
    name: Str,
    class: Class,
    offset: Option<Arc<str>>,
    ack: Option<u64>,
    mark: Option<u32>,
    compress_above: usize,
    published_ms: Option<u64>,
    /// The array as far as it goes.
    text: String,
    argument: Option<Range<usize>>,
    attachments: Vec<Bytes>,
}

impl EventBuilder {
    fn new(namespace: &str, name: &str) -> Self {
        // Most events fit, and none grows bit by bit.
        let text = String::with_capacity(256);
        let namespace = if namespace == "/" { Str::from("/") } else { Str::copy_from_slice(namespace) };
        let event = Self {
            namespace,
            name: Str::copy_from_slice(name),
            class: Class::Reliable,
            offset: None,
            ack: None,
            mark: None,
            compress_above: COMPRESS_ABOVE_BYTES,
            published_ms: None,
            text,
            argument: None,
            attachments: Vec::new(),
        };
        event.element('[', name)
    }

    /// Appends an argument. A value that JSON cannot express (a map whose keys are no strings) is a fault of the program
    /// and becomes `null`.
    pub fn arg(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        let start = self.text.len() + 1;
        self = self.element(',', value);
        self.argument.get_or_insert(start..self.text.len());
        self
    }

    /// Appends an argument that is JSON text already. It goes out as it is.
    pub fn raw_arg(mut self, json: &str) -> Self {
        // The offset and the closing bracket come behind it.
        self.text.reserve(json.len() + 48);
        self.text.push(',');
        let start = self.text.len();
        self.text.push_str(json);
        self.argument.get_or_insert(start..self.text.len());
        self
    }

    /// The binary values that `{"_placeholder":true,"num":n}` in the arguments name: each by exactly one.
    pub fn attachments(mut self, attachments: Vec<Bytes>) -> Self {
        self.attachments = attachments;
        self
    }

    /// [`Class::Reliable`] if not called.
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// The recovery token: a trailing string argument for Socket.IO clients.
    pub fn offset(mut self, token: &str) -> Self {
        self.offset = Some(token.into());
        self
    }

    /// Asks the receiver for an ack under this number, which must be below 2^53. Raw clients are not asked.
    pub fn ack(mut self, id: u64) -> Self {
        self.ack = Some(id);
        self
    }

    /// What flight recorders write down of it when it is queued. Events without one are not written down.
    pub fn mark(mut self, mark: u32) -> Self {
        self.mark = Some(mark);
        self
    }

    /// Messages of at least so many bytes are compressed on wires that can; 1,024 if not called.
    pub fn compress_above(mut self, bytes: usize) -> Self {
        self.compress_above = bytes;
        self
    }

    /// When it was published, in milliseconds since 1970: how late it is at its receivers is measured from there.
    pub fn published(mut self, unix_ms: u64) -> Self {
        self.published_ms = Some(unix_ms);
        self
    }

    pub fn build(mut self) -> Arc<Encoded> {
        if let Some(token) = self.offset.take() {
            self = self.element(',', &*token);
            self.offset = Some(token);
        }
        self.text.push(']');
        Arc::new(Encoded {
            namespace: self.namespace,
            name: self.name,
            class: self.class,
            offset: self.offset,
            ack: self.ack,
            mark: self.mark,
            compress_above: self.compress_above,
            published_ms: self.published_ms,
            text: self.text,
            argument: self.argument,
            attachments: self.attachments,
            forms: Default::default(),
        })
    }

    fn element(mut self, mark: char, value: &(impl Serialize + ?Sized)) -> Self {
        self.text.push(mark);
        let start = self.text.len();
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        if let Err(fault) = serde_json::to_writer(&mut bytes, value) {
            debug_assert!(false, "argument does not serialise: {fault}");
            bytes.truncate(start);
            bytes.extend_from_slice(b"null");
        }
        self.text = String::from_utf8(bytes).expect("serde_json writes UTF-8");
        self
    }
}
