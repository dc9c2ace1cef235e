//! An event that is serialised once and shared by all its receivers.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;

use super::{Class, Dialect, Str, Wire};

/// An event in every form that a receiver may need, each made when first asked for.
#[derive(Debug)]
pub struct Encoded {
    namespace: Str,
    name: Str,
    class: Class,
    offset: Option<Str>,
    forms: [OnceLock<Bytes>; 9],
}

impl Encoded {
    pub fn event(namespace: &str, name: &str) -> EventBuilder {
        EventBuilder {
            namespace: Str::copy_from_slice(namespace),
            name: Str::copy_from_slice(name),
            class: Class::Reliable,
            offset: None,
        }
    }

    pub fn class(&self) -> Class {
        self.class
    }

    pub fn offset(&self) -> Option<&str> {
        self.offset.as_deref()
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Websocket wires: complete frames, ready to be written. Polling: packets joined by `\x1e`.
    pub fn bytes(&self, dialect: Dialect, wire: Wire) -> &Bytes {
        let _ = (dialect, wire);
        self.forms[0].get_or_init(Bytes::new)
    }

    /// The size that queues count: the JSON text and the attachments.
    pub fn queue_bytes(&self) -> usize {
        0
    }
}

/// Collects what an event carries.
#[derive(Debug)]
pub struct EventBuilder {
    namespace: Str,
    name: Str,
    class: Class,
    offset: Option<Str>,
}

impl EventBuilder {
    /// Appends an argument.
    pub fn arg(self, value: &(impl Serialize + ?Sized)) -> Self {
        let _ = value;
        self
    }

    /// Appends an argument that is JSON text already.
    pub fn raw_arg(self, json: &str) -> Self {
        let _ = json;
        self
    }

    /// The binary values that placeholders in the arguments name by their index.
    pub fn attachments(self, attachments: Vec<Bytes>) -> Self {
        let _ = attachments;
        self
    }

    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// The recovery token: a trailing string argument for Socket.IO clients.
    pub fn offset(mut self, token: &str) -> Self {
        self.offset = Some(Str::copy_from_slice(token));
        self
    }

    /// Asks the receiver for an ack under this number.
    pub fn ack(self, id: u64) -> Self {
        let _ = id;
        self
    }

    /// Payloads of at least this many bytes are compressed on wires that can.
    pub fn compress_above(self, bytes: usize) -> Self {
        let _ = bytes;
        self
    }

    pub fn build(self) -> Arc<Encoded> {
        Arc::new(Encoded {
            namespace: self.namespace,
            name: self.name,
            class: self.class,
            offset: self.offset,
            forms: Default::default(),
        })
    }
}
