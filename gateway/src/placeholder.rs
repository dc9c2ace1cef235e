//! Binary values in JSON text: each stands as `{"_placeholder":true,"num":n}`, the n-th of the attachments beside it.
//!
//! Almost no message has any, and texts without the word are not parsed.

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
}
