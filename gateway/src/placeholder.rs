//! Binary values in JSON text: each stands as `{"_placeholder":true,"num":n}`, the n-th of the attachments beside it.
//!
//! Almost no message has any, and texts without the word are not parsed.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::Value;

const MARK: &str = "_placeholder";

/// How many there are. The engine has checked that each names an attachment.
pub(crate) fn count(json: &str) -> usize {
    let mut count = 0;
    if json.contains(MARK)
        && let Ok(mut value) = serde_json::from_str(json)
    {
        each(&mut value, &mut |_| count += 1);
    }
    count
}

/// The text with its placeholders counted from `first` on, for an answer in which other attachments come before.
pub(crate) fn renumber(json: &str, attachments: &[Bytes], first: usize) -> String {
    if attachments.is_empty() || first == 0 {
        return json.to_owned();
    }
    let Ok(mut value) = serde_json::from_str(json) else { return json.to_owned() };
    each(&mut value, &mut |number| *number += first as u64);
    value.to_string()
}

/// The text with the binary values in it, each as `{"$binary":"<base64>"}`, for whoever takes JSON alone.
pub(crate) fn embed(json: &str, attachments: &[Bytes]) -> String {
    if attachments.is_empty() {
        return json.to_owned();
    }
    let Ok(mut value) = serde_json::from_str(json) else { return json.to_owned() };
    put_in(&mut value, attachments);
    value.to_string()
}

fn put_in(value: &mut Value, attachments: &[Bytes]) {
    if value.get(MARK) == Some(&Value::Bool(true))
        && let Some(number) = value.get("num").and_then(Value::as_u64)
    {
        let attachment = usize::try_from(number).ok().and_then(|number| attachments.get(number));
        if let Some(bytes) = attachment {
            *value = serde_json::json!({ "$binary": BASE64_STANDARD.encode(bytes) });
        }
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| put_in(item, attachments)),
        Value::Object(fields) => fields.values_mut().for_each(|field| put_in(field, attachments)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn each(value: &mut Value, found: &mut impl FnMut(&mut u64)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, found)),
        Value::Object(fields) => {
            let number = fields.get("num").and_then(Value::as_u64);
            match number {
                Some(mut number) if fields.get(MARK) == Some(&Value::Bool(true)) => {
                    found(&mut number);
                    fields.insert("num".to_owned(), number.into());
                }
                _ => fields.values_mut().for_each(|field| each(field, found)),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_wherever_they_stand() {
        let one = r#"{"_placeholder":true,"num":0}"#;
        assert_eq!(count(one), 1);
        assert_eq!(count(&format!(r#"{{"a":[{one},{{"b":{{ "num" : 1, "_placeholder" : true }} }}]}}"#)), 2);
        assert_eq!(count(r#"{"a":"{\"_placeholder\":true,\"num\":0}"}"#), 0, "in a text");
        assert_eq!(count(r#"{"_placeholder":false,"num":0}"#), 0);
        assert_eq!(count(r#"{"text":"hi"}"#), 0);
    }

    #[test]
    fn counted_on_from_the_attachments_before() {
        let two = r#"{"a":{"_placeholder":true,"num":1},"b":[{"_placeholder":true,"num":0}]}"#;
        let attachments = [Bytes::from_static(b"x"), Bytes::from_static(b"y")];
        assert_eq!(renumber(two, &attachments, 0), two);
        assert_eq!(
            renumber(two, &attachments, 5),
            r#"{"a":{"_placeholder":true,"num":6},"b":[{"_placeholder":true,"num":5}]}"#
        );
        assert_eq!(renumber(r#"{"b" : 1.0}"#, &[], 5), r#"{"b" : 1.0}"#, "untouched without attachments");
    }

    #[test]
    fn binary_values_stand_in_their_place() {
        let one = r#"{"body":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":7}]}"#;
        assert_eq!(
            embed(one, &[Bytes::from_static(b"xyz")]),
            r#"{"body":[{"$binary":"eHl6"},{"_placeholder":true,"num":7}]}"#
        );
        assert_eq!(embed(r#"{"b" : 1.0}"#, &[]), r#"{"b" : 1.0}"#, "untouched without attachments");
    }
}
