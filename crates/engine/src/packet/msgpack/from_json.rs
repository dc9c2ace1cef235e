//! Neutral JSON text to msgpack: attachments take the place of the placeholders that name them.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use rmp::encode;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

/// The value in msgpack. `None` if `json` is no JSON text.
pub(super) fn from_json(json: &str, attachments: &[Bytes]) -> Option<Vec<u8>> {
    let binary: usize = attachments.iter().map(Bytes::len).sum();
    let mut out = Vec::with_capacity(json.len() + binary + 16);
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = Value { out: &mut out, attachments };
    value.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(out)
}

/// Writes the value that it is given.
struct Value<'o> {
    out: &'o mut Vec<u8>,
    attachments: &'o [Bytes],
}

/// As much of a value as it takes to know a placeholder from other objects.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    True,
    Number(u64),
    Other,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Kind;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Writing to a vector cannot fail.
fn written<T, F, E: Error>(result: Result<T, F>, kind: Kind) -> Result<Kind, E> {
    result.map(|_| kind).map_err(|_| E::custom("vector refused bytes"))
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Kind;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Kind, E> {
        written(encode::write_nil(self.out), Kind::Other)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Kind, E> {
        written(encode::write_bool(self.out, value), if value { Kind::True } else { Kind::Other })
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Kind, E> {
        written(encode::write_uint(self.out, value), Kind::Number(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Kind, E> {
        written(encode::write_sint(self.out, value), Kind::Other)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Kind, E> {
        written(encode::write_f64(self.out, value), Kind::Other)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Kind, E> {
        written(encode::write_str(self.out, value), Kind::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Kind, A::Error> {
        let head = Head::reserve(self.out);
        let mut count = 0;
        while elements.next_element_seed(Value { out: self.out, attachments: self.attachments })?.is_some() {
            count += 1;
        }
        head.fill(self.out, count, encode::write_array_len);
        Ok(Kind::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Kind, A::Error> {
        let head = Head::reserve(self.out);
        let (mut count, mut marked, mut num) = (0, false, None);
        while let Some(Key(key)) = members.next_key()? {
            encode::write_str(self.out, &key).map_err(A::Error::custom)?;
            let kind = members.next_value_seed(Value { out: self.out, attachments: self.attachments })?;
            count += 1;
            match (&*key, kind) {
                ("_placeholder", Kind::True) => marked = true,
                ("num", Kind::Number(value)) => num = usize::try_from(value).ok(),
                _ => {}
            }
        }
        let named = num.filter(|_| marked && count == 2).and_then(|num| self.attachments.get(num));
        if let Some(attachment) = named {
            self.out.truncate(head.at);
            return written(encode::write_bin(self.out, attachment), Kind::Other);
        }
        head.fill(self.out, count, encode::write_map_len);
        Ok(Kind::Other)
    }
}

/// An object key, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The head of a container whose length shows only at its end. Nearly all have fewer than 16 members and a head of one
/// byte; the others are moved.
struct Head {
    at: usize,
}

impl Head {
    fn reserve(out: &mut Vec<u8>) -> Self {
        let at = out.len();
        out.push(0);
        Self { at }
    }

    fn fill<T, E: fmt::Debug>(
        self,
        out: &mut Vec<u8>,
        count: u32,
        write: impl FnOnce(&mut Vec<u8>, u32) -> Result<T, E>,
    ) {
        let end = out.len();
        write(out, count).expect("vectors take any bytes");
        let head: smallvec::SmallVec<[u8; 8]> = out.drain(end..).collect();
        out.splice(self.at..=self.at, head);
    }
}
