//! Probing a path on which no picture is shown, because none fits into what the path is thought to carry.
//!
//! There is nothing then that could be sent again, and without a probe it would never be found that one would fit.

use turnpike_congestion::Class;
use turnpike_congestion::probe::ProbeId;
use turnpike_rtp::{Element, ExtensionKind, Fields, write_padding};
use turnpike_transport::Transport;
use turnpike_transport::srtp::OVERHEAD_BYTES_MAX;

use super::{BESIDE_PAYLOAD, HEADER_BYTES_MAX, Sending};
use crate::sfu::Outlet;
use crate::sfu::counters::Ignored;
use crate::sfu::viewer::Viewer;

/// As much as one packet can have (RFC 3550 5.1).
const PADDING: u8 = 255;

impl Sending<'_> {
    /// Sends about so many bytes of padding in the stream of repairs, where receivers take it for what it is. False: there
    /// is no such stream, or nobody who would tell what came of it.
    pub(super) fn pad_with_nothing(
        &self,
        viewer: &mut Viewer,
        transport: &mut Transport,
        bytes: usize,
        probe: ProbeId,
        out: &mut impl Outlet,
    ) -> bool {
        let Viewer { forwarders, extensions: ids, sent, .. } = viewer;
        let Some(id) = ids.id(ExtensionKind::TransportSequence) else { return false };
        let repairs = forwarders.iter_mut().find_map(|forwarder| {
            let timestamp = forwarder.rewriter.newest_output().1;
            forwarder.repair.as_mut().map(|repair| (repair, timestamp))
        });
        let Some((repair, timestamp)) = repairs else { return false };
        let each = usize::from(PADDING) + BESIDE_PAYLOAD;
        for _ in 0..bytes.div_ceil(each) {
            let number = sent.send(self.now, each, Class::Padding, Some(probe)).to_be_bytes();
            let fields = Fields {
                marker: false,
                payload_type: repair.payload_type,
                sequence: repair.sequence,
                timestamp,
                ssrc: repair.ssrc,
            };
            repair.sequence = repair.sequence.wrapping_add(1);
            let slot = out.slot(self.path, HEADER_BYTES_MAX + usize::from(PADDING) + OVERHEAD_BYTES_MAX);
            let Ok(end) = write_padding(slot, &fields, &[Element { id, value: &number }], PADDING) else {
                self.counters.ignore(Ignored::Malformed);
                return false;
            };
            match transport.seal_rtp(slot, end) {
                Ok(len) => {
                    out.commit(len);
                    self.counters.packet_out(len, true);
                }
                Err(_) => self.counters.ignore(Ignored::Transport),
            }
        }
        true
    }
}
