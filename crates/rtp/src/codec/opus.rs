//! Opus (RFC 7587, RFC 6716 3.1): one byte of contents, then frames.

use super::Frame;

/// Silence: a packet that carries no sound, only the word that there is none.
pub fn is_dtx(payload: &[u8]) -> bool {
    payload.len() <= 2
}

/// In ticks of 48 kHz. `None` when the payload is empty or says more than 120 ms.
pub fn duration(payload: &[u8]) -> Option<u32> {
    let contents = *payload.first()?;
    let frame = match contents >> 3 {
        mode @ 0..=11 => [480, 960, 1_920, 2_880][usize::from(mode & 3)],
        mode @ 12..=15 => [480, 960][usize::from(mode & 1)],
        mode => [120, 240, 480, 960][usize::from(mode & 3)],
    };
    let count = match contents & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 0x3f),
    };
    Some(frame * count).filter(|ticks| *ticks <= 5_760)
}

/// Every packet is a frame, and one can begin at each.
pub(super) fn frame(payload: &[u8]) -> Option<Frame> {
    (!payload.is_empty()).then_some(Frame {
        starts_frame: true,
        ends_frame: true,
        keyframe: true,
        spatial: 0,
        temporal: 0,
        switch_up: true,
        discardable: false,
        picture: None,
    })
}
