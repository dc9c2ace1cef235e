//! What one user is to do and when, for the time of the load. Times in, times out.

use std::time::Duration;

use crate::{
    profile::{Profile, Returns, Visits},
    schedule::{Pace, mixed},
};

#[derive(Default)]
pub(super) struct Plan {
    stop_us: u64,
    messages: Option<Pace>,
    typing: Option<Pace>,
    cuts: Option<Cuts>,
    visit: Option<Visit>,
    returns: Option<Returns>,
    user: u32,
}

struct Cuts {
    pace: Pace,
    offline_us: u64,
    jitter_us: u64,
    user: u32,
}

/// When it comes or goes next.
#[derive(Clone, Copy)]
enum Visit {
    Leave(u64),
    Come(u64),
}

impl Plan {
    pub(super) fn new(profile: &Profile, user: u32, start_us: u64, stop_us: u64) -> Self {
        let us = |ms: u32| u64::from(ms) * 1_000;
        let messages = profile.messages.as_ref().and_then(|messages| {
            let senders =
                if messages.senders == 0 { profile.users } else { messages.senders.min(profile.users) };
            (user < senders).then(|| Pace::spread(start_us, us(messages.every_ms), user, senders))
        });
        let typing = profile.typing.as_ref();
        let typing = typing.map(|typing| Pace::spread(start_us, us(typing.every_ms), user, profile.users));
        let cuts = profile.cuts.as_ref().map(|cuts| {
            let every_us = us(cuts.every_s) * 1_000;
            let pace = if cuts.together {
                // Not at the very beginning.
                Pace::spread(start_us + every_us / 2, every_us, 0, 1)
            } else {
                Pace::spread(start_us, every_us, user, profile.users)
            };
            Cuts { pace, offline_us: us(cuts.offline_ms), jitter_us: us(cuts.jitter_ms), user }
        });
        let visit = profile.visits.as_ref().map(|visits| {
            let share =
                us(visits.stay_ms + visits.away_ms) * u64::from(user) / u64::from(profile.users.max(1));
            Visit::Leave(start_us + share)
        });
        Self { stop_us, messages, typing, cuts, visit, returns: profile.returns.clone(), user }
    }

    /// When something is due next; messages and such are due only for who is connected.
    pub(super) fn next_us(&self, connected: bool) -> u64 {
        let pace = |pace: &Option<Pace>| pace.as_ref().filter(|_| connected).map(Pace::next_us);
        let cut = self.cuts.as_ref().filter(|_| connected).map(|cuts| cuts.pace.next_us());
        let visit = self.visit.map(|visit| match visit {
            Visit::Leave(at) | Visit::Come(at) => at,
        });
        let all = [pace(&self.messages), pace(&self.typing), cut, visit];
        all.into_iter().flatten().filter(|at| *at < self.stop_us).min().unwrap_or(u64::MAX)
    }

    pub(super) fn message(&mut self, now_us: u64) -> Option<u64> {
        Self::take(self.stop_us, self.messages.as_mut()?, now_us)
    }

    pub(super) fn typing(&mut self, now_us: u64) -> Option<u64> {
        Self::take(self.stop_us, self.typing.as_mut()?, now_us)
    }

    fn take(stop_us: u64, pace: &mut Pace, now_us: u64) -> Option<u64> {
        if pace.next_us() >= stop_us { None } else { pace.take(now_us) }
    }

    /// How long the connection is cut, if that is due.
    pub(super) fn cut(&mut self, now_us: u64, seed: u32) -> Option<Duration> {
        let cuts = self.cuts.as_mut()?;
        let due = Self::take(self.stop_us, &mut cuts.pace, now_us)?;
        let chance = mixed(u64::from(seed) << 32 ^ u64::from(cuts.user) ^ due.rotate_left(20));
        let jitter_us = if cuts.jitter_us == 0 { 0 } else { chance % cuts.jitter_us };
        Some(Duration::from_micros(cuts.offline_us + jitter_us))
    }

    /// How much later a user comes back whose connection the server has lost.
    pub(super) fn return_after_us(&self, seed: u32) -> u64 {
        let Some(returns) = &self.returns else { return 0 };
        let chance = mixed(u64::from(seed) << 32 ^ u64::from(self.user));
        let jitter_us = u64::from(returns.jitter_ms) * 1_000;
        u64::from(returns.after_ms) * 1_000 + if jitter_us == 0 { 0 } else { chance % jitter_us }
    }

    /// The user is away on purpose, and wants nothing.
    pub(super) fn away_until(&mut self, until_us: u64) {
        for pace in [&mut self.messages, &mut self.typing].into_iter().flatten() {
            pace.away_until(until_us);
        }
    }

    /// The user is connected again: cuts that were due meanwhile had no connection to cut, and are not owed.
    pub(super) fn is_back(&mut self, now_us: u64) {
        if let Some(cuts) = &mut self.cuts {
            cuts.pace.away_until(now_us);
        }
    }

    pub(super) fn leave(&mut self, now_us: u64) -> Option<u64> {
        match self.visit {
            Some(Visit::Leave(at)) if at <= now_us && at < self.stop_us => Some(at),
            _ => None,
        }
    }

    pub(super) fn left(&mut self, now_us: u64, visits: &Visits) {
        self.visit = Some(Visit::Come(now_us + u64::from(visits.away_ms) * 1_000));
    }

    pub(super) fn come(&mut self, now_us: u64) -> Option<u64> {
        match self.visit {
            Some(Visit::Come(at)) if at <= now_us && at < self.stop_us => Some(at),
            _ => None,
        }
    }

    pub(super) fn came(&mut self, now_us: u64, visits: &Visits) {
        self.visit = Some(Visit::Leave(now_us + u64::from(visits.stay_ms) * 1_000));
    }

    /// Nobody is cut or goes any more; what was due before the end still is.
    pub(super) fn rest(&mut self) {
        self.cuts = None;
        self.visit = None;
    }

    pub(super) fn is_done(&self) -> bool {
        self.next_us(true) == u64::MAX
    }

    /// It left, and would come again.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.visit, Some(Visit::Come(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Overrides;

    fn profile(text: &str) -> Profile {
        let text = format!("about = 'x'\nusers = 4\nrun_time_s = 10\n[rooms]\nmembers = 2\n{text}");
        Profile::parse(&text, &Overrides::default()).unwrap()
    }

    #[test]
    fn messages_are_due_between_start_and_stop() {
        let profile = profile("[messages]\nevery_ms = 1000\nsenders = 2\n");
        let mut plan = Plan::new(&profile, 1, 0, 3_000_000);
        let mut due = Vec::new();
        while let Some(at) = plan.message(10_000_000) {
            due.push(at / 1_000);
        }
        assert_eq!(due, [500, 1_500, 2_500]);
        assert!(plan.is_done());
        assert_eq!(Plan::new(&profile, 2, 0, 3_000_000).message(10_000_000), None, "listens only");
    }

    #[test]
    fn who_was_cut_on_purpose_owes_nothing() {
        let profile =
            profile("[messages]\nevery_ms = 1000\n[cuts]\nevery_s = 4\noffline_ms = 2000\njitter_ms = 500\n");
        let mut plan = Plan::new(&profile, 0, 0, 100_000_000);
        let away = plan.cut(0, 7).unwrap();
        assert!((2_000..2_500).contains(&away.as_millis()), "{away:?}");
        assert_eq!(plan.cut(3_999_999, 7), None);
        plan.away_until(2_300_000);
        assert_eq!(plan.message(2_999_999), None);
        assert_eq!(plan.message(3_000_000), Some(3_000_000));
        assert_eq!(plan.next_us(false), u64::MAX, "without a connection nothing is due");
        plan.rest();
        assert_eq!((plan.cut(200_000_000, 7), plan.is_done()), (None, false), "what was due still is");
    }

    #[test]
    fn who_was_lost_comes_back_when_the_profile_says() {
        let lost = profile("[returns]\nafter_ms = 500\njitter_ms = 1000\n");
        let after: Vec<u64> =
            (0..4).map(|user| Plan::new(&lost, user, 0, 1).return_after_us(7) / 1_000).collect();
        assert!(after.iter().all(|ms| (500..1_500).contains(ms)), "{after:?}");
        assert!(after.iter().any(|ms| *ms != after[0]), "{after:?}");
        assert_eq!(Plan::new(&profile(""), 0, 0, 1).return_after_us(7), 0);
    }

    #[test]
    fn who_was_lost_owes_no_cut() {
        let profile = profile("[cuts]\nevery_s = 4\noffline_ms = 2000\n");
        let mut plan = Plan::new(&profile, 0, 0, 100_000_000);
        assert!(plan.cut(0, 7).is_some());
        plan.is_back(4_100_000);
        assert_eq!((plan.cut(4_100_000, 7), plan.cut(7_999_999, 7)), (None, None));
        assert!(plan.cut(8_000_000, 7).is_some());
    }

    #[test]
    fn visits_follow_each_other() {
        let profile = profile("[visits]\nstay_ms = 100\naway_ms = 50\n");
        let visits = profile.visits.clone().unwrap();
        let mut plan = Plan::new(&profile, 0, 1_000, 1_000_000);
        assert_eq!((plan.leave(999), plan.leave(1_000), plan.come(1_000)), (None, Some(1_000), None));
        plan.left(2_000, &visits);
        assert!(plan.is_away());
        assert_eq!((plan.come(51_999), plan.come(52_000)), (None, Some(52_000)));
        plan.came(60_000, &visits);
        assert_eq!(plan.next_us(false), 160_000);
    }
}
