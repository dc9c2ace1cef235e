//! The words of RTP: views of packets and of their header extensions, RTCP, retransmission, what a payload says about
//! its frame, and rewriting a stream so that a viewer sees one without gaps or jumps.
//!
//! Nothing here has a clock, a socket or a key, and nothing but the [`rewriter`] remembers anything. All bytes come from a
//! network: every view checks its bounds when it is made, and no input can panic, loop for long or allocate.

mod bits;
mod bytes;
pub mod codec;
pub mod extension;
mod header;
mod ntp;
mod packet;
pub mod red;
pub mod rewriter;
pub mod rtcp;
pub mod rtx;
pub mod sequence;

pub use codec::{Codec, Frame, Picture};
pub use extension::{ExtensionKind, ExtensionMap};
pub use header::{Element, Fields, WriteError, write_header, write_padding};
pub use ntp::{ClockMapping, NtpTime};
pub use packet::{Extensions, Form, HEADER_BYTES, Header, Packet, PacketError, PacketMut, header_bytes};
