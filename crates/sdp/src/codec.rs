//! The codecs that pass through, and who can decode what.

use std::fmt;

use crate::Kind;

/// A codec with the parameters that matter to whoever decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    Opus(Opus),
    Vp8,
    Vp9 { profile: u8 },
    H264(H264),
    Av1(Av1),
}

/// RFC 7587 6.1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Opus {
    /// Wants stereo.
    pub stereo: bool,
    /// Sends stereo.
    pub sends_stereo: bool,
    pub dtx: bool,
    pub fec: bool,
    pub min_packet_ms: Option<u8>,
    pub bits_per_second_max: Option<u32>,
}

/// RFC 6184 8.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct H264 {
    pub profile: u8,
    /// Constraint bits.
    pub constraints: u8,
    pub level: u8,
    pub packetization_mode: u8,
    pub level_asymmetry: bool,
}

/// AV1 RTP specification 7.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Av1 {
    pub profile: u8,
    pub level: u8,
    pub tier: u8,
}

impl Default for Av1 {
    /// What stands for parameters that are left out.
    fn default() -> Self {
        Self { profile: 0, level: 5, tier: 0 }
    }
}

impl Default for H264 {
    /// Baseline of level 1, and single NAL units: what stands for parameters that are left out.
    fn default() -> Self {
        Self { profile: 0x42, constraints: 0, level: 0x0a, packetization_mode: 0, level_asymmetry: false }
    }
}

impl H264 {
    /// Level 3.1, the one that browsers agree on.
    pub const CONSTRAINED_BASELINE: Self =
        Self { profile: 0x42, constraints: 0xe0, level: 0x1f, packetization_mode: 1, level_asymmetry: true };
    pub const MAIN: Self = Self { profile: 0x4d, constraints: 0, ..Self::CONSTRAINED_BASELINE };
    pub const HIGH: Self = Self { profile: 0x64, constraints: 0, ..Self::CONSTRAINED_BASELINE };

    fn tools(self) -> Tools {
        match (self.profile, self.constraints) {
            (0x42, bits) if bits & 0x40 != 0 => Tools::ConstrainedBaseline,
            (0x4d | 0x58, bits) if bits & 0x80 != 0 && bits & 0x40 != 0 => Tools::ConstrainedBaseline,
            (0x42, _) => Tools::Baseline,
            (0x4d, _) => Tools::Main,
            (0x64, _) => Tools::High,
            (other, bits) => Tools::Other(other, bits),
        }
    }
}

/// What a bit stream may make use of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tools {
    ConstrainedBaseline,
    Baseline,
    Main,
    High,
    Other(u8, u8),
}

impl Codec {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Opus(_) => Kind::Audio,
            _ => Kind::Video,
        }
    }

    pub fn clock_hz(&self) -> u32 {
        match self {
            Self::Opus(_) => 48_000,
            _ => 90_000,
        }
    }

    pub fn channels(&self) -> Option<u8> {
        matches!(self, Self::Opus(_)).then_some(2)
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Opus(_) => "opus",
            Self::Vp8 => "VP8",
            Self::Vp9 { .. } => "VP9",
            Self::H264(_) => "H264",
            Self::Av1(_) => "AV1",
        }
    }

    /// Whether we pass it on. Single NAL units (mode 0) would have to fit into a packet each.
    pub fn is_taken(&self) -> bool {
        !matches!(self, Self::H264(H264 { packetization_mode: 0 | 2.., .. }))
    }

    /// How well whoever listed `decoder` decodes what is sent as this: 0 is just that, more is a decoder that can do
    /// more than needed. None: not at all. Levels are not looked at: a decoder's is a promise, not what it is able to.
    pub fn decoded_by(&self, decoder: &Self) -> Option<u8> {
        match (self, decoder) {
            (Self::Opus(_), Self::Opus(_)) | (Self::Vp8, Self::Vp8) => Some(0),
            (Self::Vp9 { profile }, Self::Vp9 { profile: theirs }) => (profile == theirs).then_some(0),
            (Self::Av1(sent), Self::Av1(theirs)) => match theirs.profile.checked_sub(sent.profile)? {
                0 => Some(0),
                // High decodes Main (AV1 6.4.1); Professional decodes both.
                more => Some(more),
            },
            (Self::H264(sent), Self::H264(theirs))
                if sent.packetization_mode == theirs.packetization_mode =>
            {
                match (sent.tools(), theirs.tools()) {
                    (sent, theirs) if sent == theirs => Some(0),
                    // No encoder makes use of what Baseline has and its constrained form has not.
                    (Tools::Baseline, Tools::ConstrainedBaseline)
                    | (Tools::ConstrainedBaseline, Tools::Baseline) => Some(1),
                    (Tools::ConstrainedBaseline | Tools::Baseline, Tools::Main)
                    | (Tools::Main, Tools::High) => Some(2),
                    (Tools::ConstrainedBaseline | Tools::Baseline, Tools::High) => Some(3),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// From the name and clock of an `a=rtpmap`. None: not one of ours.
    pub(crate) fn named(name: &str, clock_hz: u32) -> Option<Self> {
        let codec = match name {
            _ if name.eq_ignore_ascii_case("opus") => Self::Opus(Opus::default()),
            _ if name.eq_ignore_ascii_case("VP8") => Self::Vp8,
            _ if name.eq_ignore_ascii_case("VP9") => Self::Vp9 { profile: 0 },
            _ if name.eq_ignore_ascii_case("H264") => Self::H264(H264::default()),
            // AV1X is what it was called before it had a payload format.
            _ if name.eq_ignore_ascii_case("AV1") => Self::Av1(Av1::default()),
            _ => return None,
        };
        (codec.clock_hz() == clock_hz).then_some(codec)
    }

    /// One parameter of an `a=fmtp`. What we do not know, or cannot read, is left as it is.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let is_set = value == "1";
        match self {
            Self::Opus(opus) => match name {
                "stereo" => opus.stereo = is_set,
                "sprop-stereo" => opus.sends_stereo = is_set,
                "usedtx" => opus.dtx = is_set,
                "useinbandfec" => opus.fec = is_set,
                "minptime" => opus.min_packet_ms = value.parse().ok(),
                "maxaveragebitrate" => opus.bits_per_second_max = value.parse().ok(),
                _ => {}
            },
            Self::Vp8 => {}
            Self::Vp9 { profile } => {
                if let ("profile-id", Ok(theirs)) = (name, value.parse()) {
                    *profile = theirs;
                }
            }
            Self::H264(h264) => match name {
                "packetization-mode" => h264.packetization_mode = value.parse().unwrap_or(u8::MAX),
                "level-asymmetry-allowed" => h264.level_asymmetry = is_set,
                "profile-level-id" => {
                    if let Some([profile, constraints, level]) = three_bytes(value) {
                        *h264 = H264 { profile, constraints, level, ..*h264 };
                    }
                }
                _ => {}
            },
            Self::Av1(av1) => {
                let Ok(value) = value.parse() else { return };
                match name {
                    "profile" => av1.profile = value,
                    "level-idx" => av1.level = value,
                    "tier" => av1.tier = value,
                    _ => {}
                }
            }
        }
    }

    /// Writes the value of `a=fmtp`; nothing if there is nothing to say.
    pub(crate) fn parameters(&self) -> Parameters<'_> {
        Parameters(self)
    }
}

fn three_bytes(text: &str) -> Option<[u8; 3]> {
    let is_hex = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    let [_, bytes @ ..] = number.to_be_bytes();
    Some(bytes)
}

pub(crate) struct Parameters<'a>(&'a Codec);

impl Parameters<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        match self.0 {
            Codec::Opus(opus) => *opus == Opus::default(),
            Codec::Vp8 => true,
            _ => false,
        }
    }
}

impl fmt::Display for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Codec::Opus(opus) => {
                let mut between = "";
                if let Some(ms) = opus.min_packet_ms {
                    write!(f, "minptime={ms}")?;
                    between = ";";
                }
                if let Some(bits) = opus.bits_per_second_max {
                    write!(f, "{between}maxaveragebitrate={bits}")?;
                    between = ";";
                }
                let switches = [
                    (opus.fec, "useinbandfec"),
                    (opus.stereo, "stereo"),
                    (opus.sends_stereo, "sprop-stereo"),
                    (opus.dtx, "usedtx"),
                ];
                for (_, name) in switches.iter().filter(|(is_set, _)| *is_set) {
                    write!(f, "{between}{name}=1")?;
                    between = ";";
                }
                Ok(())
            }
            Codec::Vp8 => Ok(()),
            Codec::Vp9 { profile } => write!(f, "profile-id={profile}"),
            Codec::H264(H264 { profile, constraints, level, packetization_mode, level_asymmetry }) => write!(
                f,
                "level-asymmetry-allowed={};packetization-mode={packetization_mode};profile-level-id={profile:02x}{constraints:02x}{level:02x}",
                u8::from(*level_asymmetry),
            ),
            Codec::Av1(Av1 { profile, level, tier }) => {
                write!(f, "level-idx={level};profile={profile};tier={tier}")
            }
        }
    }
}

/// For people: the name, and what tells one form from another.
impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Opus(_) | Self::Vp8 => Ok(()),
            Self::Vp9 { profile } | Self::Av1(Av1 { profile, .. }) => match profile {
                0 => Ok(()),
                profile => write!(f, " (profile {profile})"),
            },
            Self::H264(H264 { profile, constraints, level, packetization_mode, .. }) => {
                write!(f, " ({profile:02x}{constraints:02x}{level:02x}, mode {packetization_mode})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_decoder_takes_which_h264() {
        let h264 = |id: &str| {
            let mut codec = Codec::named("h264", 90_000).unwrap();
            codec.set("profile-level-id", id);
            codec.set("packetization-mode", "1");
            codec
        };
        for (sent, decoder, fit) in [
            ("42e01f", "42e01f", Some(0)),
            ("42e01f", "42e034", Some(0)),
            ("42001f", "42e01f", Some(1)),
            ("42c01e", "42e01f", Some(0)),
            ("42e01f", "4d001f", Some(2)),
            ("42e01f", "640c1f", Some(3)),
            ("64001f", "640c1f", Some(0)),
            ("4d001f", "64001f", Some(2)),
            ("4d001f", "42e01f", None),
            ("64001f", "42e01f", None),
            ("f4001f", "64001f", None),
        ] {
            assert_eq!(h264(sent).decoded_by(&h264(decoder)), fit, "{sent} at {decoder}");
        }
        assert!(!Codec::H264(H264::default()).is_taken() && h264("42e01f").is_taken());
        assert_eq!(Codec::Vp9 { profile: 0 }.decoded_by(&Codec::Vp9 { profile: 2 }), None);
        assert_eq!(Codec::Vp8.decoded_by(&Codec::Vp9 { profile: 0 }), None);
    }

    #[test]
    fn odd_parameters_change_nothing() {
        let mut codec = Codec::H264(H264::CONSTRAINED_BASELINE);
        for value in ["", "42e0", "42e01f0", "+2e01f", "zzzzzz"] {
            codec.set("profile-level-id", value);
        }
        assert_eq!(codec, Codec::H264(H264::CONSTRAINED_BASELINE));
        codec.set("packetization-mode", "one");
        assert!(!codec.is_taken());
    }
}
