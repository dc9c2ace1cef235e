//! Colours of a drawing, by day and by night. The page has a colour of its own, so that a drawing can be read wherever it stands.

use std::fmt::Write as _;

use crate::server::Contender;

/// What is written and ruled: class, property, on white, on black.
const PARTS: [(&str, &str, &str, &str); 6] = [
    (".page", "fill", "#ffffff", "#16181d"),
    ("text", "fill", "#1f1f1f", "#e6e6e6"),
    (".minor", "fill", "#444444", "#c0c4cc"),
    (".origin", "fill", "#666666", "#9aa0a6"),
    (".grid", "stroke", "#e0e0e0", "#30343c"),
    (".frame", "stroke", "#8a8a8a", "#7a808a"),
];

/// Told apart by those who see red and green alike, too.
fn colours(contender: Contender) -> (&'static str, &'static str) {
    match contender {
        Contender::Turnpike => ("#0b57d0", "#7cacf8"),
        Contender::Node => ("#b45309", "#f6a54c"),
        Contender::NodeStreams => ("#92400e", "#d99a5b"),
        Contender::Socketioxide => ("#7b1fa2", "#d58cf0"),
        Contender::Webrtc => ("#00838f", "#4dd0e1"),
        Contender::Janus => ("#c62828", "#f28b82"),
        Contender::Nginx => ("#2e7d32", "#81c995"),
        Contender::Haproxy => ("#5d4037", "#bcaaa4"),
        Contender::Floor => ("#757575", "#9e9e9e"),
    }
}

/// For these alone.
pub(super) fn style(contenders: &[Contender]) -> String {
    let rules = |is_dark: bool| {
        let mut rules = String::new();
        for (what, property, light, dark) in PARTS {
            let _ = write!(rules, "{what}{{{property}:{}}}", if is_dark { dark } else { light });
        }
        for contender in contenders.iter().copied().chain([Contender::Turnpike]) {
            let (light, dark) = colours(contender);
            let _ = write!(rules, ".{}{{color:{}}}", contender.name(), if is_dark { dark } else { light });
        }
        rules
    };
    format!(
        "<style>\n{}\n@media (prefers-color-scheme:dark){{{}}}\n\
         .frame,.line{{fill:none}}.line{{stroke:currentColor;stroke-width:2}}.dot{{fill:currentColor}}.range{{stroke:currentColor}}\n\
         .floor{{stroke-dasharray:3 3}}.dot,.range{{stroke-dasharray:none}}.goal{{stroke:currentColor;stroke-dasharray:6 4}}\n</style>\n",
        rules(false),
        rules(true)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance of WCAG, from #rrggbb.
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn everything_stands_out_by_day_and_by_night() {
        let (_, _, white, black) = PARTS[0];
        for (what, property, light, dark) in &PARTS[1..] {
            let least = if *property == "fill" { 4.5 } else { 1.2 };
            assert!(contrast(light, white) >= least && contrast(dark, black) >= least, "{what}");
        }
        for contender in Contender::ALL {
            let (light, dark) = colours(contender);
            assert!(contrast(light, white) >= 4.5, "{} by day", contender.name());
            assert!(contrast(dark, black) >= 4.5, "{} by night", contender.name());
        }
    }
}
