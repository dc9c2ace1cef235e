//! Values of Redis as what they should be. What is something else is `None`, for whoever asked to refuse.

use bytes::Bytes;
use fred::types::Value;

pub(crate) fn array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

/// Functions give numbers as integers or as text; both are exact up to 2^53.
pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

pub(crate) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// fred calls text whatever is UTF-8.
pub(crate) fn bytes(value: &Value) -> Option<Bytes> {
    match value {
        Value::String(text) => Some(text.clone().into_inner()),
        Value::Bytes(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

/// Lua's `false` and a missing value.
pub(crate) fn is_nil(value: &Value) -> bool {
    matches!(value, Value::Null)
}
