//! A subscriber's positions rise strictly between resyncs.

use crate::index::{Index, Step};
use crate::law::{Found, found};

pub(super) fn check(index: &Index<'_>) -> Vec<Found> {
    let mut violations = Vec::new();
    for stream in &index.streams {
        let mut last = (0, 0);
        for step in &stream.steps {
            match step {
                Step::Start { epoch, seq } | Step::Resync { epoch, seq, .. } => last = (*epoch, *seq),
                Step::Message(given) => {
                    let (who, room) = (stream.who, stream.room);
                    let (epoch, seq) = (given.epoch, given.seq);
                    if seq <= last.1 || epoch < last.0 {
                        let (at_epoch, at_seq) = last;
                        let place = format!("{epoch}:{seq} of {room}");
                        violations
                            .push(found!(given.at_us, "{who} was given {place} behind {at_epoch}:{at_seq}"));
                    }
                    last = (last.0.max(epoch), last.1.max(seq));
                }
                Step::Away | Step::Back => {}
            }
        }
    }
    violations
}
