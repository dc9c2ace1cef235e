//! Lets requests for keyframes through to whoever publishes: the `webrtc` crate keeps all RTCP to itself unless an interceptor
//! asks for it.

use std::{collections::VecDeque, time::Instant};

use rtc::{
    interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket},
    rtcp::payload_feedbacks::{
        full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication,
    },
    sansio::Protocol,
    shared::error::Error,
};

/// After those of the crate: what is dropped here they have seen.
pub(crate) const SLOT: usize = 14_000;

/// Packets on their way through; the crate takes each out before it puts in the next.
#[derive(Default)]
pub(crate) struct KeyframeRequests {
    inwards: VecDeque<TaggedPacket>,
    outwards: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for KeyframeRequests {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(reports) = &mut packet.message.packet {
            reports.retain(|report| {
                let report = report.as_any();
                report.is::<PictureLossIndication>() || report.is::<FullIntraRequest>()
            });
            if reports.is_empty() {
                return Ok(());
            }
            packet.message.add(Attribute::DeliverToApplication);
        }
        self.inwards.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inwards.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.outwards.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outwards.pop_front()
    }
}

impl Interceptor for KeyframeRequests {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
