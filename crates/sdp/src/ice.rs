//! What a description says of ICE beside candidates (RFC 8839).

use std::fmt;

/// Ufrag and password of one side.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    ufrag: Box<str>,
    pwd: Box<str>,
}

impl Credentials {
    /// None: not of the lengths and letters of RFC 8839 5.4.
    pub fn new(ufrag: &str, pwd: &str) -> Option<Self> {
        (is_ufrag(ufrag) && is_pwd(pwd)).then(|| Self { ufrag: ufrag.into(), pwd: pwd.into() })
    }

    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    pub fn pwd(&self) -> &str {
        &self.pwd
    }
}

/// The password is a secret and never printed.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

pub(crate) fn is_ufrag(text: &str) -> bool {
    (4..=256).contains(&text.len()) && text.bytes().all(is_ice_char)
}

pub(crate) fn is_pwd(text: &str) -> bool {
    (22..=256).contains(&text.len()) && text.bytes().all(is_ice_char)
}

fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

/// Both as they come in, line by line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Halves {
    pub(crate) ufrag: Option<Box<str>>,
    pub(crate) pwd: Option<Box<str>>,
}

impl Halves {
    pub(crate) fn whole(&self) -> Option<Credentials> {
        Some(Credentials { ufrag: self.ufrag.clone()?, pwd: self.pwd.clone()? })
    }
}

/// `a=ice-options`. Tokens that we do not know are not kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IceOptions {
    pub trickle: bool,
    pub ice2: bool,
    pub renomination: bool,
}

impl IceOptions {
    pub(crate) fn add(&mut self, value: &str) {
        // The grammar has spaces; libdatachannel writes a comma.
        for token in value.split([' ', ',']) {
            match token {
                "trickle" => self.trickle = true,
                "ice2" => self.ice2 = true,
                "renomination" => self.renomination = true,
                _ => {}
            }
        }
    }

    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for IceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.ice2, "ice2"), (self.trickle, "trickle"), (self.renomination, "renomination")];
        let mut space = "";
        for (_, word) in words.iter().filter(|(is, _)| *is) {
            write!(f, "{space}{word}")?;
            space = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_in_both_notations() {
        for text in ["ice2 trickle", "ice2,trickle", "trickle  x-y ice2"] {
            let mut options = IceOptions::default();
            options.add(text);
            assert_eq!(options.to_string(), "ice2 trickle");
        }
    }

    #[test]
    fn lengths_and_letters_are_held() {
        let pwd = "p".repeat(22);
        assert!(Credentials::new("abcd", &pwd).is_some());
        for bad in ["abc", "ab:d", "ab d", "ab\rd"] {
            assert!(Credentials::new(bad, &pwd).is_none());
        }
        assert!(Credentials::new("abcd", &pwd[1..]).is_none());
        assert!(!format!("{:?}", Credentials::new("abcd", &pwd)).contains(&pwd));
    }
}
