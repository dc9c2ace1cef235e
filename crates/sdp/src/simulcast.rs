//! Layers of a track that have a name of their own: `a=rid` (RFC 8851) and `a=simulcast` (RFC 8853).

use std::fmt;

use crate::Rid;
use crate::limits::LAYERS_MAX;

/// One `a=rid` line. Restrictions behind it are not kept: we send and take layers as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RidLine {
    pub rid: Rid,
    /// Of whoever wrote it.
    pub sends: bool,
}

impl RidLine {
    pub(crate) fn parse(value: &str) -> Result<Self, &'static str> {
        const FORM: &str = "`a=rid` is `name send` or `name recv`, the name of letters, digits, - and _";
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let rid = words.next().and_then(Rid::parse).ok_or(FORM)?;
        let sends = match words.next() {
            Some("send") => true,
            Some("recv") => false,
            _ => return Err(FORM),
        };
        Ok(Self { rid, sends })
    }
}

impl fmt::Display for RidLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rid, if self.sends { "send" } else { "recv" })
    }
}

/// One layer of `a=simulcast`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub rid: Rid,
    /// Nothing is sent of it at first (`~`).
    pub paused: bool,
}

/// `a=simulcast`. Of alternatives the first is kept: it is the preferred one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Simulcast {
    pub send: Vec<Layer>,
    pub recv: Vec<Layer>,
}

impl Simulcast {
    pub(crate) fn parse(value: &str) -> Result<Self, &'static str> {
        const FORM: &str = "`a=simulcast` is `send names` or `recv names` or both, with `;` between layers";
        let mut simulcast = Self::default();
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        while let Some(direction) = words.next() {
            let layers = layers(words.next().ok_or(FORM)?).ok_or(FORM)?;
            let place = match direction {
                "send" => &mut simulcast.send,
                "recv" => &mut simulcast.recv,
                _ => return Err(FORM),
            };
            if !place.is_empty() {
                return Err(FORM);
            }
            *place = layers;
        }
        if simulcast == Self::default() {
            return Err(FORM);
        }
        Ok(simulcast)
    }
}

/// What is above our own limit is left out, which an answer may do (RFC 8853 5.3.2).
fn layers(text: &str) -> Option<Vec<Layer>> {
    // Drafts had `rid=` before the list.
    let text = text.strip_prefix("rid=").unwrap_or(text);
    let mut layers: Vec<Layer> = Vec::new();
    for alternatives in text.split(';') {
        let first = alternatives.split(',').next()?;
        let (paused, rid) = match first.strip_prefix('~') {
            Some(rid) => (true, rid),
            None => (false, first),
        };
        let rid = Rid::parse(rid)?;
        if layers.len() < LAYERS_MAX && layers.iter().all(|layer| layer.rid != rid) {
            layers.push(Layer { rid, paused });
        }
    }
    Some(layers)
}

impl fmt::Display for Simulcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        for (name, layers) in [("send", &self.send), ("recv", &self.recv)] {
            if layers.is_empty() {
                continue;
            }
            write!(f, "{space}{name} ")?;
            let mut between = "";
            for layer in layers {
                write!(f, "{between}{}{}", if layer.paused { "~" } else { "" }, layer.rid)?;
                between = ";";
            }
            space = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_in_their_order() {
        for (text, written) in [
            ("send q;h;f", "send q;h;f"),
            ("send 1,4;~2;3", "send 1;~2;3"),
            ("recv 1;2 send a", "send a recv 1;2"),
            (" send rid=q;h", "send q;h"),
            ("send a;b;c;d;e", "send a;b;c;d"),
        ] {
            assert_eq!(Simulcast::parse(text).unwrap().to_string(), written);
        }
        for bad in ["", "send", "send ;", "send a;;b", "up a", "send a send b", "send a.b"] {
            assert!(Simulcast::parse(bad).is_err(), "{bad}");
        }
        assert!(RidLine::parse("h send pt=96;max-width=1280").unwrap().sends);
        assert!(RidLine::parse("h both").is_err() && RidLine::parse("h").is_err());
    }
}
