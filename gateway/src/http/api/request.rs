//! Reading requests: paths, queries, bodies and the key of idempotency, into types that cannot be wrong.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::value::RawValue;
use turnpike_engine::packet::{Limits, PacketError, RawInbound};
use turnpike_wire::event::client::Count;
use turnpike_wire::{Code, Failure, MessageId};

use super::operation::Call;
use crate::app::App;

/// In an event of a client a body stands in an object, and that in another or in a list.
const LEVELS_AROUND_A_BODY: usize = 2;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

pub(super) fn bad(message: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
    Failure::new(Code::BadRequest, message)
}

impl Call {
    /// A part of the path.
    pub(super) fn param<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Failure> {
        let found = self.params.iter().find(|(known, _)| known == name);
        let (_, text) = found.expect("the operation's path has it");
        text.parse().map_err(|error: T::Err| bad(error.to_string()))
    }

    /// The query's values for exactly these names; others are refused.
    pub(super) fn query<const N: usize>(&self, names: [&str; N]) -> Result<[Option<String>; N], Failure> {
        let mut values = [const { None }; N];
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                return Err(bad("the query is not UTF-8 in percent-encoding"));
            };
            let Some(index) = names.iter().position(|known| *known == name) else {
                return Err(bad(format!("unknown parameter `{name}` in the query")));
            };
            if values[index].replace(value).is_some() {
                return Err(bad(format!("`{name}` stands twice in the query")));
            }
        }
        Ok(values)
    }

    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        // What serde says of the caller's own data.
        serde_json::from_slice(&self.body).map_err(|error| bad(error.to_string()))
    }

    /// The header, in quotes as a structured field has them, or without.
    pub(super) fn idempotency_key(&self) -> Result<Option<MessageId>, Failure> {
        let mut given = self.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(key) = given.next() else { return Ok(None) };
        if given.next().is_some() {
            return Err(bad("there is more than one Idempotency-Key"));
        }
        let text = key.to_str().map_err(|_| bad("the Idempotency-Key is not text"))?.trim();
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        text.parse().map(Some).map_err(|error| bad(format!("Idempotency-Key: {error}")))
    }
}

/// A value of the query, if it is there.
pub(super) fn value<T: FromStr<Err: Display>>(name: &str, text: Option<&str>) -> Result<Option<T>, Failure> {
    text.map(|text| text.parse().map_err(|error: T::Err| bad(format!("`{name}`: {error}")))).transpose()
}

/// How many, if it is said.
pub(super) fn limit(text: Option<&str>) -> Result<Option<usize>, Failure> {
    let Some(number) = value::<u64>("limit", text)? else { return Ok(None) };
    let count = Count::try_from(number).map_err(|error| bad(format!("`limit`: {error}")))?;
    Ok(Some(count.get().max(1)))
}

/// A body is handed to clients of any kind as it came, so all of them must be able to read it.
pub(super) fn check_body(app: &App, body: &RawValue) -> Result<(), Failure> {
    let text = body.get();
    if text.len() > app.limits.body_bytes_max {
        let message = format!("a body has at most {} bytes", app.limits.body_bytes_max);
        return Err(Failure::new(Code::TooLarge, message));
    }
    check_json(text, &app.packets)
}

/// What the engine asks of a client's event, asked of the same event with this body.
fn check_json(body: &str, packets: &Limits) -> Result<(), Failure> {
    // The size is the body's own matter, and has been looked at.
    let limits = Limits { packet_bytes_max: usize::MAX, ..packets.clone() };
    let event = format!("{{\"event\":\"message:send\",\"data\":{{\"body\":{body}}}}}");
    RawInbound::parse(&event, &limits).map(|_| ()).map_err(|error| match error {
        PacketError::TooDeep { depth_max } => {
            let depth_max = depth_max.saturating_sub(LEVELS_AROUND_A_BODY);
            bad(format!("a body is nested at most {depth_max} deep"))
        }
        PacketError::Placeholder => bad("a body has no placeholders: there are no attachments over HTTP"),
        // It is JSON, or it would not have come so far.
        PacketError::Json { .. } | PacketError::NotJson => {
            bad("a body has no numbers beyond a double, and no halves of surrogates in its texts")
        }
        error => bad(format!("body: {error}")),
    })
}

/// Percent-encoding as forms write it.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?].map(|digit| char::from(digit).to_digit(16));
                let [Some(high), Some(low)] = digits else { return None };
                (high * 16 + low) as u8
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_or_refused() {
        assert_eq!(decode("user%3aalice+%C3%BC").as_deref(), Some("user:alice ü"));
        for bad in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_body_is_what_a_client_could_have_sent() {
        let says = |body: &str, limits: &Limits| {
            check_json(body, limits).err().map(|failure| failure.message.into_owned())
        };
        let limits = Limits::default();
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        for sound in ["null", "1.5e300", r#""\ud83d\ude00""#, r#"{"a":[{}]}"#, &nested(0), &nested(62)] {
            assert_eq!(says(sound, &limits), None, "{sound}");
        }
        let keys: Vec<String> = (0..1_100).map(|number| format!("\"k{number}\":0")).collect();
        for (bad, reason) in [
            (&*nested(63), "62 deep"),
            (&*format!("{{{}}}", keys.join(",")), "1024 object keys"),
            (r#"{"a":{"__proto__":1}}"#, "forbidden object key"),
            (r#"{"\u005f_proto__":1}"#, "forbidden object key"),
            ("[1e999]", "double"),
            (r#""\ud800""#, "surrogates"),
            (r#"{"_placeholder":true,"num":0}"#, "placeholders"),
        ] {
            let said = says(bad, &limits).unwrap_or_default();
            assert!(said.contains(reason), "{bad}: {said:?}");
        }
        let narrow = Limits { json_depth_max: 4, json_keys_max: 5, ..limits };
        assert!(says(&nested(2), &narrow).is_none() && says(&nested(3), &narrow).unwrap().contains("2 deep"));
        assert!(
            says(r#"{"a":1,"b":2}"#, &narrow).is_none() && says(r#"{"a":1,"b":2,"c":3}"#, &narrow).is_some()
        );
    }
}
