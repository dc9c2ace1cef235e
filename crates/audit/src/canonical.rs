//! Canonical JSON (RFC 8785): one value, one text. Pure.
//!
//! Records hold texts, integers, truth values, lists and objects, and nothing else, so the hard part of the RFC, how a
//! floating-point number is written, is not needed: a number that is not an integer of at most 53 bits is refused. That is why
//! this is here and not a dependency: what is left of the RFC are the order of names and the escapes of text.

use serde_json::Value;

/// Integers beyond are not the same number in every reader (RFC 8785, appendix D).
pub(crate) const INTEGER_MAX: i64 = (1 << 53) - 1;

/// A value that has no canonical form here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotCanonical {
    #[error("has a number that is not an integer of at most 53 bits")]
    Number,
    #[error("is nested too deeply")]
    Depth,
}

/// Records are flat; what is deeper was not written by us.
const DEPTH_MAX: usize = 8;

/// Appends the canonical text of a value.
pub(crate) fn push(value: &Value, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    push_nested(value, 0, out)
}

fn push_nested(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    if depth > DEPTH_MAX {
        return Err(NotCanonical::Depth);
    }
    match value {
        Value::Null => out.extend(b"null"),
        Value::Bool(true) => out.extend(b"true"),
        Value::Bool(false) => out.extend(b"false"),
        Value::Number(number) => {
            let number = number.as_i64().filter(|number| (-INTEGER_MAX..=INTEGER_MAX).contains(number));
            push_integer(number.ok_or(NotCanonical::Number)?, out);
        }
        Value::String(text) => push_text(text, out),
        Value::Array(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_nested(value, depth + 1, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            out.push(b'{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_text(name, out);
                out.push(b':');
                push_nested(value, depth + 1, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// The number must be one that [`INTEGER_MAX`] allows.
pub(crate) fn push_integer(number: i64, out: &mut Vec<u8>) {
    const DIGITS_MAX: usize = 20;
    let mut digits = [0; DIGITS_MAX];
    let (mut from, mut rest) = (DIGITS_MAX, number.unsigned_abs());
    loop {
        from -= 1;
        digits[from] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend(&digits[from..]);
}

/// A text with its quotes (RFC 8785, 3.2.2.2).
pub(crate) fn push_text(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    // Nearly all texts have none. Counting does not stop at the first, so that many bytes are looked at in one step.
    if text.bytes().filter(|byte| !is_plain(*byte)).count() == 0 {
        out.extend(text.as_bytes());
    } else {
        push_escaped(text, out);
    }
    out.push(b'"');
}

/// Whether the byte stands for itself between quotes.
fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

fn push_escaped(text: &str, out: &mut Vec<u8>) {
    use std::io::Write as _;
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if is_plain(byte) {
            continue;
        }
        out.extend(&text.as_bytes()[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            0x08 => out.extend(b"\\b"),
            0x09 => out.extend(b"\\t"),
            0x0a => out.extend(b"\\n"),
            0x0c => out.extend(b"\\f"),
            0x0d => out.extend(b"\\r"),
            byte => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.extend(&text.as_bytes()[plain_from..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn canonical(value: &Value) -> String {
        let mut out = Vec::new();
        push(value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_are_ordered_by_utf_16_units() {
        // The example of RFC 8785, 3.2.3.
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis",
        });
        let text = canonical(&value);
        let order = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"];
        let at: Vec<_> = order.iter().map(|name| text.find(name).unwrap()).collect();
        assert!(at.is_sorted(), "{text}");
    }

    #[test]
    fn text_is_escaped_as_little_as_possible() {
        // The string of RFC 8785, 3.2.2.
        let value = json!({ "string": "\u{20ac}$\u{f}\nA'B\"\\\\\"/", "literals": [null, true, false] });
        assert_eq!(
            canonical(&value),
            "{\"literals\":[null,true,false],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
        assert_eq!(canonical(&json!("\u{8}\t\u{c}\r\u{1f}\u{7f}")), "\"\\b\\t\\f\\r\\u001f\u{7f}\"");
    }

    #[test]
    fn only_integers_that_every_reader_knows() {
        assert_eq!(canonical(&json!([0, -1, INTEGER_MAX])), "[0,-1,9007199254740991]");
        for wrong in [json!(1.5), json!(INTEGER_MAX + 1), json!(u64::MAX), json!(1e21)] {
            assert_eq!(push(&wrong, &mut Vec::new()), Err(NotCanonical::Number), "{wrong}");
        }
        let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(push(&deep, &mut Vec::new()), Err(NotCanonical::Depth));
    }

    proptest! {
        #[test]
        fn any_text_reads_back(text in any::<String>(), number in -INTEGER_MAX..INTEGER_MAX) {
            let value = json!({ &text: number, "x": [&text] });
            prop_assert_eq!(serde_json::from_str::<Value>(&canonical(&value)).unwrap(), value);
        }
    }
}
