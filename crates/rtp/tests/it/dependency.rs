//! The dependency descriptor, from bits written here by the syntax of the specification.

use turnpike_rtp::codec::dependency::{Descriptor, Indication, Structure, TEMPLATES_MAX, set_frame_number};
use turnpike_rtp::codec::{Frame, Picture};

use Indication::{Discardable, NotPresent, Required, Switch};

#[derive(Default)]
pub(crate) struct Bits(Vec<bool>);

impl Bits {
    pub(crate) fn put(mut self, width: u32, value: u32) -> Self {
        self.0.extend((0..width).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    pub(crate) fn all(mut self, width: u32, values: &[u32]) -> Self {
        for value in values {
            self = self.put(width, *value);
        }
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at))
        };
        self.0.chunks(8).map(byte).collect()
    }
}

/// Start, end, template and number.
fn head(start: u32, end: u32, template: u32, number: u32) -> Bits {
    Bits::default().put(1, start).put(1, end).put(6, template).put(16, number)
}

/// Two spatial layers of two temporal layers each; the four targets are (0,0), (0,1), (1,0), (1,1). Ids begin at 62, so
/// that they wrap.
pub(crate) fn structure(bits: Bits) -> Bits {
    let bits = bits.put(6, 62).put(5, 3);
    // Templates: S0T0 (key), S0T0, S0T1, S1T0, S1T1.
    let bits = bits.all(2, &[0, 1, 2, 1, 3]);
    let bits = bits
        .all(2, &[2, 2, 2, 2])
        .all(2, &[2, 3, 2, 3])
        .all(2, &[0, 1, 0, 1])
        .all(2, &[0, 0, 2, 3])
        .all(2, &[0, 0, 0, 1]);
    // References: none; four back; two back; four and one back; two and one.
    let bits = bits.put(1, 0).put(1, 1).put(4, 3).put(1, 0).put(1, 1).put(4, 1).put(1, 0);
    let bits = bits.put(1, 1).put(4, 3).put(1, 1).put(4, 0).put(1, 0);
    let bits = bits.put(1, 1).put(4, 1).put(1, 1).put(4, 0).put(1, 0);
    // Two chains (a number below five), one for two targets each, and a distance a template and chain.
    let bits = bits.put(2, 2).all(1, &[0, 0, 1, 1]).all(4, &[0; 10]);
    // 640x360 and 1280x720.
    bits.put(1, 1).all(16, &[639, 359, 1_279, 719])
}

pub(crate) fn keyframe(number: u32) -> Vec<u8> {
    structure(head(1, 0, 62, number).all(1, &[1, 0, 0, 0, 0])).bytes()
}

#[test]
fn a_keyframe_brings_the_templates() {
    let mut templates = Structure::default();
    let descriptor = Descriptor::parse(&keyframe(500), &mut templates).unwrap();
    assert_eq!(
        descriptor.frame(),
        Frame {
            starts_frame: true,
            ends_frame: false,
            keyframe: true,
            spatial: 0,
            temporal: 0,
            switch_up: true,
            discardable: false,
            picture: Some(Picture { id: 500, bits: 16, tl0: None }),
        }
    );
    assert_eq!((descriptor.active_targets, descriptor.references), (Some(0b1111), 0));
    assert!(size_of::<Structure>() < 1_800);
    assert_eq!(templates.targets(), 4);
    let layers: Vec<_> = (0..5).map(|target| templates.layers(target)).collect();
    assert_eq!(layers, [Some((0, 0)), Some((0, 1)), Some((1, 0)), Some((1, 1)), None]);
    assert_eq!(templates.resolution(1), Some((1_280, 720)));
    assert_eq!(templates.resolution(2), None);
    let best = [(0, 0), (0, 9), (1, 0), (9, 9)].map(|(s, t)| templates.target(s, t));
    assert_eq!(best, [Some(0), Some(1), Some(2), Some(3)]);
}

#[test]
fn later_frames_refer_to_the_templates() {
    let mut templates = Structure::default();
    Descriptor::parse(&keyframe(500), &mut templates).unwrap();
    // Template id, layers, what it is to the four targets, whether it can be gone up to, discardable.
    let table = [
        (63, (0, 0), [Switch, Required, Switch, Required], true, false),
        (0, (0, 1), [NotPresent, Discardable, NotPresent, Discardable], false, true),
        (1, (1, 0), [NotPresent, NotPresent, Switch, Required], true, false),
        (2, (1, 1), [NotPresent, NotPresent, NotPresent, Discardable], false, true),
    ];
    for (id, layers, indications, switch_up, discardable) in table {
        let descriptor = Descriptor::parse(&head(1, 1, id, 501).bytes(), &mut templates).unwrap();
        assert_eq!((descriptor.spatial, descriptor.temporal), layers, "{id}");
        assert_eq!([0, 1, 2, 3].map(|target| descriptor.indications.of(target)), indications, "{id}");
        let frame = descriptor.frame();
        assert_eq!(
            (frame.switch_up, frame.discardable, frame.keyframe),
            (switch_up, discardable, false),
            "{id}"
        );
        assert!(frame.starts_frame && frame.ends_frame);
    }
}

#[test]
fn a_frame_may_differ_from_its_template() {
    let mut templates = Structure::default();
    Descriptor::parse(&keyframe(500), &mut templates).unwrap();
    // Targets two and three have gone; own indications, two references, distances of two chains.
    let bits = head(1, 0, 0, 502).all(1, &[0, 1, 1, 1, 1]).put(4, 0b0011).all(2, &[0, 2, 0, 0]);
    let bits = bits.put(2, 1).put(4, 2).put(2, 3).put(12, 900).put(2, 0).all(8, &[1, 2]);
    let descriptor = Descriptor::parse(&bits.bytes(), &mut templates).unwrap();
    assert_eq!((descriptor.active_targets, descriptor.references), (Some(3), 2));
    assert_eq!(descriptor.indications.of(1), Switch);
    assert!(descriptor.frame().switch_up && !descriptor.frame().discardable);
}

#[test]
fn what_breaks_off_changes_nothing() {
    let mut templates = Structure::default();
    assert!(Descriptor::parse(&head(1, 1, 62, 1).bytes(), &mut templates).is_none());
    let whole = keyframe(500);
    for len in 0..whole.len() {
        assert!(Descriptor::parse(&whole[..len], &mut templates).is_none(), "{len}");
        assert_eq!(templates.targets(), 0);
    }
    Descriptor::parse(&whole, &mut templates).unwrap();
    // A template that is none.
    assert!(Descriptor::parse(&head(1, 1, 3, 1).bytes(), &mut templates).is_none());
    // More templates than there can be, more layers than there can be.
    let bits = head(1, 1, 0, 1).all(1, &[1, 0, 0, 0, 0]).put(6, 0).put(5, 0);
    let many = bits.all(2, &[0; TEMPLATES_MAX]).put(32, 0).bytes();
    assert!(Descriptor::parse(&many, &mut templates).is_none());
    for step in [1, 2] {
        let bits = head(1, 1, 0, 1).all(1, &[1, 0, 0, 0, 0]).put(6, 0).put(5, 0);
        let tall = bits.all(2, &[step; 9]).put(2, 3).put(32, 0).put(32, 0).bytes();
        assert!(Descriptor::parse(&tall, &mut templates).is_none());
    }
    assert_eq!(templates.targets(), 4);
}

#[test]
fn a_frame_number_is_changed_in_place() {
    let mut templates = Structure::default();
    let mut bytes = keyframe(500);
    set_frame_number(&mut bytes, 0xfffe);
    assert_eq!(Descriptor::parse(&bytes, &mut templates).unwrap().frame_number, 0xfffe);
    set_frame_number(&mut bytes[..2], 1);
}
