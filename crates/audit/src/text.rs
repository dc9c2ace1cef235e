//! Text that may stand in a record: short, and harmless on any terminal. Pure.
//!
//! Much of it was chosen by clients. It can neither break a line, nor colour a terminal, nor hide behind marks that
//! reorder text, nor bring a token into the log.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};

/// Bytes of one text in a record. Longer text is cut, and ends with `…` then.
pub const TEXT_BYTES_MAX: usize = 192;

const CUT: char = '…';
/// What stands where a token would have.
const TOKEN: &str = "[token]";

/// Ids, addresses and slugs fit. They go from one thread to another, where giving back what was allocated costs most.
const SHORT_BYTES_MAX: usize = 22;

/// Text that may stand in a record.
#[derive(Clone)]
pub struct Text(Kept);

#[derive(Clone)]
enum Kept {
    /// ASCII alone.
    Short {
        length: u8,
        bytes: [u8; SHORT_BYTES_MAX],
    },
    Long(Box<str>),
}

const _: () = assert!(size_of::<Option<Text>>() == 24);

impl Text {
    pub fn new(text: &str) -> Self {
        if text.len() <= TEXT_BYTES_MAX
            // Counting does not stop at the first, so that many bytes are looked at in one step.
            && text.bytes().filter(|byte| !matches!(byte, b' '..=b'~') || *byte == b'\\').count() == 0
            && !text.contains(TOKEN_BEGINS)
        {
            return Self(Kept::of_ascii(text));
        }
        let mut out = String::with_capacity(text.len().min(2 * TEXT_BYTES_MAX));
        for letter in without_tokens(text).chars() {
            let before = out.len();
            push(letter, &mut out);
            if out.len() > TEXT_BYTES_MAX {
                out.truncate(before);
                while out.len() > TEXT_BYTES_MAX - CUT.len_utf8() {
                    out.pop();
                }
                out.push(CUT);
                break;
            }
        }
        Self(Kept::Long(out.into()))
    }

    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kept::Short { length, bytes } => {
                std::str::from_utf8(&bytes[..usize::from(*length)]).expect("it is ASCII")
            }
            Kept::Long(text) => text,
        }
    }
}

impl Kept {
    fn of_ascii(text: &str) -> Self {
        let mut bytes = [0; SHORT_BYTES_MAX];
        match bytes.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                Self::Short { length: text.len() as u8, bytes }
            }
            None => Self::Long(text.into()),
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self(Kept::of_ascii(""))
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// How every JWT begins: `{"` in base64.
const TOKEN_BEGINS: &str = "eyJ";

/// Replaces what has the form of a JWT. It should not be here at all; should a caller slip, it does not stay.
fn without_tokens(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains(TOKEN_BEGINS) {
        return text.into();
    }
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_.=".contains(letter);
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(TOKEN_BEGINS) {
        let end = rest[at..].find(|letter| !is_part(letter)).map_or(rest.len(), |length| at + length);
        let word = &rest[at..end];
        out.push_str(&rest[..at]);
        out.push_str(if word.matches('.').count() >= 2 { TOKEN } else { word });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out.into()
}

fn push(letter: char, out: &mut String) {
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

/// Control characters, and the marks that reorder or hide text.
pub(crate) fn unsafe_to_show(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_forge_a_line_is_escaped() {
        insta::assert_snapshot!(
            Text::new("alice\r\n{\"class\":\"admin\"} \u{1b}[31m \u{202e}gnp.exe \\n \u{9b}2J é 日本"),
            @r#"alice\r\n{"class":"admin"} \u{1b}[31m \u{202e}gnp.exe \\n \u{9b}2J é 日本"#
        );
    }

    #[test]
    fn a_token_does_not_stay() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
        assert_eq!(Text::new(&format!("Bearer {token}, and so on")).as_str(), "Bearer [token], and so on");
        assert_eq!(Text::new(&format!("{token} {token}")).as_str(), "[token] [token]");
        assert_eq!(Text::new("eyJust a name").as_str(), "eyJust a name");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        let text = Text::new(&"é".repeat(1_000));
        assert!(text.as_str().len() <= TEXT_BYTES_MAX && text.as_str().ends_with("éé…"));
        assert_eq!(Text::new(&"a".repeat(TEXT_BYTES_MAX)).as_str().len(), TEXT_BYTES_MAX);
    }

    #[test]
    fn short_and_long_texts_are_what_they_say() {
        for length in 0..=TEXT_BYTES_MAX {
            let written = "a".repeat(length);
            let text = Text::new(&written);
            assert_eq!(text.as_str(), written);
            assert_eq!(text, Text(Kept::Long(written.into())));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_unsafe_or_long(text in any::<String>()) {
            let text = Text::new(&text.repeat(4));
            prop_assert!(!text.as_str().chars().any(unsafe_to_show));
            prop_assert!(text.as_str().len() <= TEXT_BYTES_MAX);
        }
    }
}
