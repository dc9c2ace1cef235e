//! The laws by name, and what breaking one looks like.

use std::fmt;

macro_rules! laws {
    ($($name:ident: $text:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Law {
            $($name,)*
        }

        impl Law {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What is promised.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

laws! {
    P1: "every replicated ack is in the final log at its position with the same payload",
    P2: "a message id stands at most once in the log",
    P3: "numbers have no gap; a new epoch goes on after the last that was kept",
    P4: "a sender's messages keep the sender's order",
    P5: "a position never shows two contents",
    P6: "no silent loss",
    P7: "a subscriber's positions rise strictly between resyncs",
    P8: "two subscribers agree on the order",
    P9: "nothing is invented",
    P10: "marks only rise, are at most the head, and read is at most received",
    P11: "every direct message reaches every device before its cursor passes it",
    P12: "within 10 s after the last fault has healed everybody is at the head and nothing is pending",
    P13: "a stalled or hostile client moves the others' p99 by less than 20 ms",
    P14: "nothing is delivered more than 1 s after a right was revoked",
    P15: "gone is said only if it is, and an ack never claims more than was reached",
    PR1: "no ghost beyond 8 s after a crash",
    PR2: "nobody with a live connection is shown offline",
    PR3: "versions never go back",
    PR4: "joins and leaves alternate",
    PR5: "at rest the set equals the connected set",
    PR6: "nothing refers to a node that has been dead for a minute",
    PR7: "a return within the grace makes no event",
    TY1: "no indicator is older than 7 s",
    TY2: "an indicator is gone within 200 ms of the sender's message",
    TY3: "typing is shown neither to the typist nor to others than members",
    TY4: "10,000 typing events a second move the p99 of messages by less than 10 %",
    TY5: "no byte of typing is in streams or audit",
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub law: Law,
    pub at_us: u64,
    /// What was found, in a sentence for whoever looks for the cause.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) at {} us: {}", self.law, self.law.text(), self.at_us, self.found)
    }
}

/// More of them say no more to whoever looks for the cause.
const LISTED_MAX: usize = 20;

/// How many there are of each law, and the first of them, a line each.
pub fn list(violations: &[Violation]) -> String {
    let mut laws: Vec<(Law, usize)> = Vec::new();
    for violation in violations {
        match laws.iter_mut().find(|(law, _)| *law == violation.law) {
            Some((_, count)) => *count += 1,
            None => laws.push((violation.law, 1)),
        }
    }
    let laws: Vec<String> = laws.iter().map(|(law, count)| format!("{count} of {law}")).collect();
    let head = format!("{} violations: {}", violations.len(), laws.join(", "));
    let shown = violations.iter().take(LISTED_MAX).map(ToString::to_string);
    let rest = (violations.len() > LISTED_MAX).then(|| "...".to_owned());
    std::iter::once(head).chain(shown).chain(rest).collect::<Vec<_>>().join("\n")
}

/// What a law's check found, before it is said which law it was.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) at_us: u64,
    pub(crate) found: String,
}

impl Found {
    pub(crate) fn of(self, law: Law) -> Violation {
        Violation { law, at_us: self.at_us, found: self.found }
    }
}

/// `found!(at, "words {like} these")`.
macro_rules! found {
    ($at:expr, $($words:tt)*) => {
        crate::law::Found { at_us: $at, found: format!($($words)*) }
    };
}

pub(crate) use found;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_short() {
        let one = |law| Violation { law, at_us: 7, found: "something".to_owned() };
        let mut all = vec![one(Law::P7)];
        all.extend((0..100).map(|_| one(Law::P12)));
        let text = list(&all);
        assert!(text.starts_with("101 violations: 1 of P7, 100 of P12\nP7 ("), "{text}");
        assert!(text.ends_with("something\n..."), "{text}");
        assert_eq!(text.lines().count(), 1 + LISTED_MAX + 1);
    }
}
