//! The layers of a track that are worth choosing, from the lowest up.

use super::{Content, LAYERS_MAX, Layer, LayerId, Track};

#[derive(Clone, Copy, Debug, Default)]
struct Rung {
    id: LayerId,
    bps: u64,
}

/// Level zero is nothing, level one the lowest rung.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    rungs: [Rung; LAYERS_MAX],
    length: usize,
    pub(super) priority: u8,
}

impl Ladder {
    /// Audio has none: it is not chosen.
    pub(super) fn new<K>(track: &Track<'_, K>) -> Self {
        let mut ladder = Self { rungs: [Rung::default(); LAYERS_MAX], length: 0, priority: track.priority };
        if track.content == Content::Audio || track.wanted.hidden {
            return ladder;
        }
        let layers = &track.layers[..track.layers.len().min(LAYERS_MAX)];
        let sent = || layers.iter().filter(|layer| layer.bitrate_bps > 0);
        // Where nothing as small is sent, the smallest that is: too good a picture instead of none.
        let least = sent().map(|layer| layer.id.spatial).min().unwrap_or_default();
        let allowed = |layer: &&Layer| {
            let fits = |max: LayerId| {
                layer.id.spatial <= max.spatial.max(least) && layer.id.temporal <= max.temporal
            };
            track.wanted.layer_max.is_none_or(fits)
        };
        let lowest = sent().filter(allowed).map(|layer| layer.id.spatial).min();
        // The smallest picture that fills the place in which it is shown; a little less will do.
        let enough = track.wanted.height.and_then(|height| {
            let fills = |layer: &&Layer| u32::from(layer.height) * 10 >= u32::from(height) * 9;
            sent().filter(fills).map(|layer| layer.id.spatial).min()
        });
        for layer in sent().filter(allowed) {
            let spatial = layer.id.spatial;
            let top =
                sent().filter(allowed).filter(|it| it.id.spatial == spatial).map(|it| it.id.temporal).max();
            let stutters = track.content == Content::Motion
                && Some(spatial) != lowest
                && top.is_some_and(|top| layer.id.temporal + 1 < top);
            let larger = enough.is_some_and(|enough| spatial > enough) && Some(spatial) != lowest;
            if !stutters && !larger {
                ladder.rungs[ladder.length] = Rung { id: layer.id, bps: layer.bitrate_bps };
                ladder.length += 1;
            }
        }
        ladder.rungs[..ladder.length].sort_unstable_by_key(|rung| rung.id);
        ladder
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn bps(&self, level: usize) -> u64 {
        level.checked_sub(1).map_or(0, |rung| self.rungs[rung].bps)
    }

    pub(super) fn id(&self, level: usize) -> Option<LayerId> {
        level.checked_sub(1).map(|rung| self.rungs[rung].id)
    }

    /// The highest level that is not above `id`; if all are, the lowest.
    pub(super) fn level_up_to(&self, id: LayerId) -> usize {
        let below = self.rungs[..self.length].iter().filter(|rung| rung.id <= id).count();
        below.max(self.length.min(1))
    }
}
