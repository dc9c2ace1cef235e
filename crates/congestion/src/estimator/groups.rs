//! Packets that left together, and how much further apart two such groups arrived than they left.

/// What leaves within that time counts as sent at once: pacing inside a frame says nothing about the path.
const GROUP_US: i64 = 5_000;
/// A group that arrives in one piece behind a short stall (radio, interrupt) is one group, up to this.
const BURST_US: i64 = 100_000;
/// Arrivals that stand still so long while packets were sent mean another clock or path.
const JUMP_US: i64 = 3_000_000;
/// So many groups in the wrong order, and the clock has gone back.
const REORDERED_MAX: u8 = 3;

/// Times in microseconds.
#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    first_arrival: i64,
    last_arrival: i64,
}

/// Between the last two groups, in milliseconds.
#[allow(clippy::struct_field_names)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Delta {
    pub(super) sent_ms: f64,
    pub(super) arrival_ms: f64,
    pub(super) arrived_at_ms: f64,
}

#[derive(Debug, Default)]
pub(super) struct Groups {
    current: Option<Group>,
    previous: Option<Group>,
    reordered: u8,
}

#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Nothing,
    Delta(Delta),
    /// What was measured before cannot be compared with what comes.
    Reset,
}

impl Groups {
    /// Packets in the order in which they were sent.
    pub(super) fn add(&mut self, sent_us: i64, arrival_us: i64) -> Step {
        let fresh = Group {
            first_sent: sent_us,
            last_sent: sent_us,
            first_arrival: arrival_us,
            last_arrival: arrival_us,
        };
        let Some(current) = &mut self.current else {
            self.current = Some(fresh);
            return Step::Nothing;
        };
        if sent_us < current.first_sent {
            return Step::Nothing;
        }
        if current.takes(sent_us, arrival_us) {
            current.last_sent = current.last_sent.max(sent_us);
            current.last_arrival = current.last_arrival.max(arrival_us);
            return Step::Nothing;
        }
        let complete = *current;
        self.current = Some(fresh);
        let Some(previous) = self.previous.replace(complete) else {
            return Step::Nothing;
        };
        let sent = complete.last_sent - previous.last_sent;
        let arrival = complete.last_arrival.saturating_sub(previous.last_arrival);
        if (arrival - sent).abs() > JUMP_US {
            *self = Self::default();
            return Step::Reset;
        }
        if arrival < 0 {
            self.reordered += 1;
            if self.reordered >= REORDERED_MAX {
                *self = Self::default();
                return Step::Reset;
            }
            self.previous = Some(previous);
            return Step::Nothing;
        }
        self.reordered = 0;
        Step::Delta(Delta {
            sent_ms: sent as f64 / 1e3,
            arrival_ms: arrival as f64 / 1e3,
            arrived_at_ms: complete.last_arrival as f64 / 1e3,
        })
    }
}

impl Group {
    fn takes(&self, sent_us: i64, arrival_us: i64) -> bool {
        if sent_us - self.first_sent <= GROUP_US {
            return true;
        }
        let arrival = arrival_us.saturating_sub(self.last_arrival);
        let stretch = arrival - (sent_us - self.last_sent);
        stretch < 0 && arrival <= GROUP_US && arrival_us.saturating_sub(self.first_arrival) < BURST_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deltas(packets: &[(i64, i64)]) -> Vec<Delta> {
        let mut groups = Groups::default();
        let steps = packets.iter().map(|&(sent, arrival)| groups.add(sent * 1000, arrival * 1000));
        steps.filter_map(|step| if let Step::Delta(delta) = step { Some(delta) } else { None }).collect()
    }

    #[test]
    fn a_frame_is_one_group() {
        let found = deltas(&[(0, 100), (2, 101), (33, 133), (35, 137), (66, 170)]);
        assert_eq!(found, [Delta { sent_ms: 33.0, arrival_ms: 36.0, arrived_at_ms: 137.0 }]);
    }

    #[test]
    fn packets_that_pile_up_behind_a_stall_are_one_group() {
        assert_eq!(deltas(&[(0, 100), (10, 150), (20, 151), (30, 152), (80, 180), (120, 220)]).len(), 2);
    }

    #[test]
    fn a_clock_that_jumps_resets() {
        let mut groups = Groups::default();
        for step in 0..10 {
            assert_ne!(groups.add(step * 20_000, step * 20_000), Step::Reset);
        }
        groups.add(200_000, 90_000_000);
        assert_eq!(groups.add(220_000, 90_020_000), Step::Reset);
        assert!(groups.previous.is_none());
    }
}
