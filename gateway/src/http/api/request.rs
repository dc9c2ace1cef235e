//! Reading requests: paths, queries, bodies and the key of idempotency, into types that cannot be wrong.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use turnpike_wire::event::client::Count;
use turnpike_wire::{Code, Failure, MessageId};

use super::operation::Call;
use crate::app::App;
use crate::placeholder;

/// What the engine lets clients nest by default, without the event around it.
const BODY_DEPTH_MAX: usize = 62;

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
    // Raw values are not read to the end: numbers that nobody can hold, halves of surrogates.
    let value: Value = serde_json::from_str(text).map_err(|error| bad(format!("body: {error}")))?;
    if !is_shallow(&value, BODY_DEPTH_MAX) {
        return Err(bad(format!("a body is nested at most {BODY_DEPTH_MAX} deep")));
    }
    if placeholder::count(text) > 0 {
        return Err(bad("a body has no placeholders: there are no attachments over HTTP"));
    }
    Ok(())
}

/// The parser has stopped at 128 levels, so the recursion ends.
fn is_shallow(value: &Value, depth_max: usize) -> bool {
    match value {
        Value::Array(items) => depth_max > 0 && items.iter().all(|item| is_shallow(item, depth_max - 1)),
        Value::Object(fields) => depth_max > 0 && fields.values().all(|item| is_shallow(item, depth_max - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
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
    fn depth_is_counted_in_levels() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let is_shallow = |depth: usize| is_shallow(&serde_json::from_str(&nested(depth)).unwrap(), 62);
        assert!(is_shallow(0) && is_shallow(62) && !is_shallow(63));
    }
}
