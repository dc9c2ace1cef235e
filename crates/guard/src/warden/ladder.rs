//! Which measure follows from a score, and how long it lasts: refuse or mute first, then disconnect, then ban. Whoever comes
//! again gets there sooner and stays there longer.

use super::config::Terms;
use super::measure::Rung;

/// After how many measures the next one is a rung higher than the score says.
const STRIKES_A_RUNG: u8 = 3;

/// By how much a mute grows with each measure before it.
const MUTE_GROWTH: u64 = 2;

/// By how much a ban grows with each ban before it.
const BAN_GROWTH: u64 = 4;

/// What is remembered of somebody's way up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ladder {
    /// The measure that holds, until then by the steady clock.
    held: Option<(Rung, u64)>,
    strikes: u8,
    bans: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) rung: Rung,
    pub(super) lasts_ms: u64,
}

impl Ladder {
    /// What has to be done with somebody of this score; nothing, if it is being done already. `highest`: what the signals
    /// that made the score can lead to.
    pub(super) fn climb(&mut self, score: f32, highest: Rung, terms: &Terms, now_ms: u64) -> Option<Taken> {
        let reached = terms.rung(score)?;
        if !self.is_remembered(terms, now_ms) {
            (self.strikes, self.bans) = (0, 0);
        }
        let raised = (0..self.strikes / STRIKES_A_RUNG).fold(reached, |rung, _| rung.next());
        let rung = raised.min(highest);
        if self.held.is_some_and(|(held, until_ms)| now_ms < until_ms && rung <= held) {
            return None;
        }
        let lasts_ms = match rung {
            Rung::Mute | Rung::Disconnect => {
                grown(terms.mute_ms, MUTE_GROWTH, self.strikes, terms.mute_ms_max)
            }
            Rung::Ban => grown(terms.ban_ms, BAN_GROWTH, self.bans, terms.ban_ms_max),
        };
        if rung == Rung::Ban {
            self.bans = self.bans.saturating_add(1);
        } else {
            self.strikes = self.strikes.saturating_add(1);
        }
        self.held = Some((rung, now_ms.saturating_add(lasts_ms)));
        Some(Taken { rung, lasts_ms })
    }

    /// Whether there is anything that the next measure would depend on.
    pub(super) fn is_remembered(&self, terms: &Terms, now_ms: u64) -> bool {
        now_ms < self.remembered_until_ms(terms)
    }

    pub(super) fn remembered_until_ms(&self, terms: &Terms) -> u64 {
        self.held.map_or(0, |(_, until_ms)| until_ms.saturating_add(terms.forget_ms))
    }
}

fn grown(first_ms: u64, growth: u64, times: u8, most_ms: u64) -> u64 {
    growth
        .checked_pow(times.into())
        .and_then(|factor| first_ms.checked_mul(factor))
        .unwrap_or(most_ms)
        .min(most_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms::default()
    }

    #[test]
    fn each_rung_in_its_turn() {
        let (mut ladder, terms) = (Ladder::default(), terms());
        assert_eq!(ladder.climb(terms.mute_at - 0.1, Rung::Ban, &terms, 0), None);
        let muted = ladder.climb(terms.mute_at, Rung::Ban, &terms, 10).unwrap();
        assert_eq!(muted, Taken { rung: Rung::Mute, lasts_ms: terms.mute_ms });
        assert_eq!(ladder.climb(terms.mute_at + 1.0, Rung::Ban, &terms, 20), None, "it is muted");
        assert_eq!(ladder.climb(terms.disconnect_at, Rung::Ban, &terms, 30).unwrap().rung, Rung::Disconnect);
        assert_eq!(ladder.climb(terms.disconnect_at, Rung::Ban, &terms, 40), None);
        let banned = ladder.climb(terms.ban_at, Rung::Ban, &terms, 50).unwrap();
        assert_eq!(banned, Taken { rung: Rung::Ban, lasts_ms: terms.ban_ms });
        assert_eq!(ladder.climb(terms.ban_at, Rung::Ban, &terms, 60), None);
    }

    #[test]
    fn who_comes_again_stays_out_longer() {
        let (mut ladder, terms) = (Ladder::default(), terms());
        let mut now_ms = 0;
        let mut lasted = Vec::new();
        for _ in 0..8 {
            let taken = ladder.climb(terms.ban_at, Rung::Ban, &terms, now_ms).unwrap();
            lasted.push(taken.lasts_ms);
            now_ms += taken.lasts_ms;
        }
        assert_eq!(lasted[..3], [terms.ban_ms, 4 * terms.ban_ms, 16 * terms.ban_ms]);
        assert!(lasted.is_sorted() && *lasted.last().unwrap() == terms.ban_ms_max);
        // And whoever has kept still for long enough begins at the beginning.
        let taken = ladder.climb(terms.ban_at, Rung::Ban, &terms, now_ms + terms.forget_ms).unwrap();
        assert_eq!(taken.lasts_ms, terms.ban_ms);
    }

    #[test]
    fn many_small_offences_are_a_great_one() {
        let (mut ladder, terms) = (Ladder::default(), terms());
        let mut now_ms = 0;
        let mut rungs = Vec::new();
        for _ in 0..7 {
            let taken = ladder.climb(terms.mute_at, Rung::Ban, &terms, now_ms).unwrap();
            rungs.push(taken.rung);
            now_ms += taken.lasts_ms;
        }
        let slugs: Vec<_> = rungs.into_iter().map(Rung::slug).collect();
        assert_eq!(slugs.join(" "), "mute mute mute disconnect disconnect disconnect ban");
    }

    #[test]
    fn no_higher_than_the_signals_lead() {
        let (mut ladder, terms) = (Ladder::default(), terms());
        for offence in 0..20 {
            let now_ms = offence * terms.mute_ms_max;
            assert_eq!(ladder.climb(1_000.0, Rung::Mute, &terms, now_ms).unwrap().rung, Rung::Mute);
        }
    }
}
