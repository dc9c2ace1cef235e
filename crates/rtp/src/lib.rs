//! The words of RTP: packets, header extensions, RTCP, payload descriptors, and rewriting a stream for a viewer.
