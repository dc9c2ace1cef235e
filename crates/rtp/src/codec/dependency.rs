//! The dependency descriptor (RTP payload format for AV1, appendix A): which frame a packet is part of, for which
//! receivers it is needed, and what it depends on. Browsers send it with any codec.
//!
//! Frames refer to templates, which come with keyframes and hold until others come. Chains are read over: what is missing
//! is asked for again anyway.

use super::{Frame, Picture};
use crate::bits::Bits;

pub const TEMPLATES_MAX: usize = 64;
pub const TARGETS_MAX: usize = 32;
const SPATIAL_MAX: u8 = 3;
const TEMPORAL_MAX: u8 = 7;

/// What a frame is to a decode target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indication {
    /// Not part of it.
    NotPresent,
    /// Part of it, and nothing in it depends on this frame.
    Discardable,
    /// Part of it, and a receiver of a lower target can go over to it here.
    Switch,
    Required,
}

/// Two bits for each decode target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Indications(u64);

impl Indications {
    pub fn of(self, target: u8) -> Indication {
        match self.0.checked_shr(2 * u32::from(target)).unwrap_or(0) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    fn read(bits: &mut Bits<'_>, targets: u8) -> Option<Self> {
        let mut all = 0;
        for target in 0..u32::from(targets) {
            all |= u64::from(bits.take(2)?) << (2 * target);
        }
        Some(Self(all))
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Template {
    spatial: u8,
    temporal: u8,
    indications: Indications,
    /// How many frames it depends on.
    references: u8,
}

/// The templates of a stream; a fixed 1.7 KB, held by whoever receives the stream.
#[derive(Debug, Clone)]
pub struct Structure {
    id_offset: u8,
    targets: u8,
    chains: u8,
    count: u8,
    templates: [Template; TEMPLATES_MAX],
    /// The highest spatial and temporal layer of each target.
    layers: [(u8, u8); TARGETS_MAX],
    resolutions: [Option<(u32, u32)>; SPATIAL_MAX as usize + 1],
}

impl Default for Structure {
    /// Without templates: no descriptor can be read until one brings some.
    fn default() -> Self {
        Self {
            id_offset: 0,
            targets: 0,
            chains: 0,
            count: 0,
            templates: [Template::default(); TEMPLATES_MAX],
            layers: [(0, 0); TARGETS_MAX],
            resolutions: [None; SPATIAL_MAX as usize + 1],
        }
    }
}

impl Structure {
    pub fn targets(&self) -> u8 {
        self.targets
    }

    /// The highest layers of a target, spatial and temporal.
    pub fn layers(&self, target: u8) -> Option<(u8, u8)> {
        (target < self.targets).then(|| self.layers[usize::from(target)])
    }

    /// The best target within these layers; spatial goes before temporal.
    pub fn target(&self, spatial_max: u8, temporal_max: u8) -> Option<u8> {
        let fits = |target: &u8| {
            let (spatial, temporal) = self.layers[usize::from(*target)];
            spatial <= spatial_max && temporal <= temporal_max
        };
        (0..self.targets).filter(fits).max_by_key(|target| self.layers[usize::from(*target)])
    }

    /// Width and height.
    pub fn resolution(&self, spatial: u8) -> Option<(u32, u32)> {
        *self.resolutions.get(usize::from(spatial))?
    }

    /// Of the best layer that it names one of.
    pub fn largest(&self) -> Option<(u32, u32)> {
        self.resolutions.iter().rev().find_map(|resolution| *resolution)
    }

    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let (id_offset, targets) = (bits.take(6)? as u8, bits.take(5)? as u8 + 1);
        let mut structure = Self { id_offset, targets, ..Self::default() };
        structure.read_layers(bits)?;
        let count = usize::from(structure.count);
        for template in &mut structure.templates[..count] {
            template.indications = Indications::read(bits, structure.targets)?;
        }
        for template in &mut structure.templates[..count] {
            while bits.bit()? {
                bits.take(4)?;
                template.references = template.references.saturating_add(1);
            }
        }
        structure.read_chains(bits)?;
        structure.derive_layers();
        if bits.bit()? {
            let highest = structure.templates[..count].last()?.spatial;
            for resolution in &mut structure.resolutions[..=usize::from(highest)] {
                *resolution = Some((bits.take(16)? + 1, bits.take(16)? + 1));
            }
        }
        Some(structure)
    }

    fn read_layers(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let (mut spatial, mut temporal) = (0, 0);
        loop {
            let template = self.templates.get_mut(usize::from(self.count))?;
            (template.spatial, template.temporal) = (spatial, temporal);
            self.count += 1;
            match bits.take(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => return Some(()),
            }
            if spatial > SPATIAL_MAX || temporal > TEMPORAL_MAX {
                return None;
            }
        }
    }

    fn read_chains(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.chains = bits.below(u32::from(self.targets) + 1)? as u8;
        if self.chains > 0 {
            for _ in 0..self.targets {
                bits.below(self.chains.into())?;
            }
            for _ in 0..usize::from(self.count) * usize::from(self.chains) {
                bits.take(4)?;
            }
        }
        Some(())
    }

    fn derive_layers(&mut self) {
        for target in 0..self.targets {
            let mut highest = (0, 0);
            for template in &self.templates[..usize::from(self.count)] {
                if template.indications.of(target) != Indication::NotPresent {
                    highest = (highest.0.max(template.spatial), highest.1.max(template.temporal));
                }
            }
            self.layers[usize::from(target)] = highest;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    pub starts_frame: bool,
    pub ends_frame: bool,
    pub frame_number: u16,
    pub spatial: u8,
    pub temporal: u8,
    pub indications: Indications,
    /// How many frames it depends on.
    pub references: u8,
    /// Brings templates: only the packets of a keyframe do.
    pub brings_structure: bool,
    /// A bit for each target that the sender still makes; said when it changes.
    pub active_targets: Option<u32>,
    targets: u8,
    switch_up: bool,
}

impl Descriptor {
    /// Reads the extension and, if it brings templates, puts them in place of those in `structure`. What breaks off or
    /// refers to what is not there changes nothing.
    pub fn parse(value: &[u8], structure: &mut Structure) -> Option<Self> {
        let mut bits = Bits::new(value);
        let starts_frame = bits.bit()?;
        let ends_frame = bits.bit()?;
        let template_id = bits.take(6)? as u8;
        let frame_number = bits.take(16)? as u16;
        let mut flags = [false; 5];
        if value.len() > 3 {
            for flag in &mut flags {
                *flag = bits.bit()?;
            }
        }
        let [brings_structure, has_active, own_indications, own_references, own_chains] = flags;
        let brought = if brings_structure { Some(Structure::read(&mut bits)?) } else { None };
        let current = brought.as_ref().unwrap_or(structure);
        let mut active_targets = brings_structure.then(|| u32::MAX >> (32 - u32::from(current.targets)));
        if has_active {
            active_targets = Some(bits.take(current.targets.into())?);
        }

        let index = template_id.wrapping_sub(current.id_offset) & 0x3f;
        let template = current.templates[..usize::from(current.count)].get(usize::from(index))?;
        let mut indications = template.indications;
        if own_indications {
            indications = Indications::read(&mut bits, current.targets)?;
        }
        let mut references = template.references;
        if own_references {
            references = read_references(&mut bits)?;
        }
        if own_chains {
            for _ in 0..current.chains {
                bits.take(8)?;
            }
        }
        let switch_up = (0..current.targets).any(|target| {
            indications.of(target) == Indication::Switch
                && current.layers[usize::from(target)] == (template.spatial, template.temporal)
        });
        let descriptor = Self {
            starts_frame,
            ends_frame,
            frame_number,
            spatial: template.spatial,
            temporal: template.temporal,
            indications,
            references,
            brings_structure,
            active_targets,
            targets: current.targets,
            switch_up,
        };
        if let Some(brought) = brought {
            *structure = brought;
        }
        Some(descriptor)
    }

    pub fn frame(&self) -> Frame {
        let keyframe =
            self.starts_frame && self.brings_structure && self.references == 0 && self.spatial == 0;
        let needed =
            |target| matches!(self.indications.of(target), Indication::Switch | Indication::Required);
        Frame {
            starts_frame: self.starts_frame,
            ends_frame: self.ends_frame,
            keyframe,
            spatial: self.spatial,
            temporal: self.temporal,
            switch_up: keyframe || self.switch_up,
            discardable: !(0..self.targets).any(needed),
            picture: Some(Picture { id: self.frame_number, bits: 16, tl0: None }),
        }
    }
}

fn read_references(bits: &mut Bits<'_>) -> Option<u8> {
    let mut references = 0_u8;
    loop {
        let size = bits.take(2)?;
        if size == 0 {
            return Some(references);
        }
        bits.take(4 * size)?;
        references = references.saturating_add(1);
    }
}

/// Gives the frame another number, in place.
pub fn set_frame_number(value: &mut [u8], number: u16) {
    if let Some(bytes) = value.get_mut(1..3) {
        bytes.copy_from_slice(&number.to_be_bytes());
    }
}
