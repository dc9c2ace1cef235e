//! Which characters may stand in a line as they are.

use std::fmt::Write as _;

/// Text that is safe to show on a terminal and in one line: control characters (line breaks, the escape of ANSI), and
/// the marks that reorder or hide text (bidi, zero width, separators) become escapes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_text(&mut out, text);
    out
}

pub(super) fn push_text(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Without this a client could write what looks like one of our escapes.
            '\\' => out.push_str("\\\\"),
            letter if unsafe_to_show(letter) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
}

/// A JSON string with its quotes.
pub(super) fn push_json(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if unsafe_to_show(letter) => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

fn unsafe_to_show(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_forge_a_line_is_escaped() {
        insta::assert_snapshot!(
            escaped("alice\r\n{\"level\":\"ERROR\"} \u{1b}[31m \u{202e}gnp.exe \\n \u{9b}2J é 日本"),
            @r#"alice\r\n{"level":"ERROR"} \u{1b}[31m \u{202e}gnp.exe \\n \u{9b}2J é 日本"#
        );
    }

    proptest! {
        #[test]
        fn json_strings_read_back(text in any::<String>()) {
            let mut json = String::new();
            push_json(&mut json, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&json).ok(), Some(text));
            prop_assert!(!json.chars().any(unsafe_to_show));
        }

        #[test]
        fn escaped_text_holds_nothing_unsafe(text in any::<String>()) {
            prop_assert!(!escaped(&text).chars().any(unsafe_to_show));
        }
    }
}
