//! Text as lines, each with its letter, its value and its number.

use crate::SdpError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// From 1 on, for people.
    pub(crate) number: usize,
    pub(crate) letter: u8,
    pub(crate) value: &'a str,
}

impl<'a> Line<'a> {
    /// Of an `a=` line: the name, and what stands behind the colon.
    pub(crate) fn attribute(self) -> (&'a str, &'a str) {
        self.value.split_once(':').unwrap_or((self.value, ""))
    }
}

/// Ends of lines are CR LF, or LF alone as many write it. Empty lines are passed over: hands that edit leave them.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = Result<Line<'_>, SdpError>> {
    let numbered =
        text.split('\n').enumerate().map(|(index, line)| (index + 1, line.trim_end_matches([' ', '\r'])));
    numbered.filter(|(_, line)| !line.is_empty()).map(|(number, line)| {
        let fault = |reason| Err(SdpError::Line { line: number, reason });
        match line.as_bytes() {
            [letter @ b'a'..=b'z', b'=', ..] => {
                let value = &line[2..];
                if value.bytes().any(|byte| byte == b'\r' || byte == 0) {
                    return fault("a line has no CR and no NUL in it");
                }
                Ok(Line { number, letter: *letter, value })
            }
            _ => fault("a line begins with a small letter and `=`"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_values() {
        let read: Vec<_> = lines("v=0\r\n\na=mid:0 \r\na=sendonly").map(Result::unwrap).collect();
        assert_eq!(read.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(read[1].attribute(), ("mid", "0"));
        assert_eq!(read[2].attribute(), ("sendonly", ""));
        for bad in ["=0", "v", "V=0", "é=1", "a =x", "<html>", "a=x\ry", "a=x\0"] {
            assert!(lines(bad).next().unwrap().is_err(), "{bad}");
        }
    }
}
