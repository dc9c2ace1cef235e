//! No silent loss: nothing is passed over, and what a subscriber has since the last announced loss is what is kept.

use crate::index::{Index, Step, Stream};
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    for stream in &index.streams {
        gaps(stream, &mut violations);
        rolled_back(index, stream, &mut violations);
    }
    violations
}

fn gaps(stream: &Stream<'_>, violations: &mut Vec<Found>) {
    let (who, room) = (stream.who, stream.room);
    let mut last = 0;
    for step in &stream.steps {
        match step {
            Step::Start { seq, .. } | Step::Resync { seq, .. } => last = *seq,
            Step::Message(given) => {
                if given.seq > last + 1 {
                    violations.push(found!(
                        given.at_us,
                        "{who} was given {} of {room} after {last}",
                        given.seq
                    ));
                }
                last = last.max(given.seq);
            }
            Step::Away | Step::Back => {}
        }
    }
}

/// Who is here in the end must have been told of what it was given and was not kept.
fn rolled_back(index: &Index<'_>, stream: &Stream<'_>, violations: &mut Vec<Found>) {
    let (Some(log), true) = (index.logs.get(stream.room), stream.live) else { return };
    let (who, room) = (stream.who, stream.room);
    for given in stream.since_last_resync() {
        let is_kept = log.entry(given.epoch, given.seq).is_some();
        if given.seq >= log.start && given.at_us <= log.at_us && !is_kept {
            let place = format!("{room} {}:{}", given.epoch, given.seq);
            violations
                .push(found!(given.at_us, "{who} was given {place}, which is not kept, and was not told"));
        }
    }
}
