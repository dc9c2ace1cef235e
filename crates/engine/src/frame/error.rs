//! How a peer can break the protocol, and the close code that each fault deserves.

use super::deflate::InflateError;

/// Why a read ended for good.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError<E> {
    #[error("the peer broke the websocket protocol")]
    Protocol(#[from] ProtocolError),
    /// The sink refused what it was given; its own error, unchanged.
    #[error("the message was not taken")]
    Sink(E),
}

/// A fault of the peer. The section numbers are those of RFC 6455 unless another is named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// 5.2: RSV2 and RSV3 belong to extensions that we never negotiate.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// RFC 7692 6: RSV1 without the extension.
    #[error("a compressed frame, but no compression was negotiated")]
    CompressionNotNegotiated,
    /// RFC 7692 6.1: only the first fragment of a message bears RSV1.
    #[error("a continuation is marked as compressed")]
    CompressedContinuation,
    /// RFC 7692 6.1: control frames are never compressed.
    #[error("a control frame is marked as compressed")]
    CompressedControl,
    #[error("opcode {0:#x} is reserved")]
    UnknownOpcode(u8),
    /// 5.5.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// 5.5: 125 bytes at most.
    #[error("a control frame is longer than 125 bytes")]
    ControlTooLong,
    /// 5.1: a client masks every frame.
    #[error("a client's frame is not masked")]
    NotMasked,
    /// 5.1: a server masks none.
    #[error("a server's frame is masked")]
    Masked,
    /// 5.2: the shortest form of the length must be used.
    #[error("a length is written in more bytes than it needs")]
    LengthNotMinimal,
    /// 5.2: the highest bit of the 64-bit length is zero.
    #[error("a length exceeds 63 bits")]
    LengthOverflow,
    /// 5.4.
    #[error("a continuation without a message to continue")]
    ContinuationWithoutStart,
    /// 5.4: fragments of two messages never interleave.
    #[error("a message begins inside another one")]
    MessageInsideMessage,
    #[error("a frame of {len} bytes exceeds the limit of {max}")]
    FrameTooLong { len: u64, max: usize },
    #[error("a message exceeds the limit of {max} bytes")]
    MessageTooLong { max: usize },
    #[error("a message has more than {max} fragments")]
    TooManyFragments { max: u32 },
    /// 8.1.
    #[error("text is not UTF-8")]
    TextNotUtf8,
    /// 5.5.1: a close payload is empty or begins with a two-byte code.
    #[error("a close frame of one byte")]
    CloseTruncated,
    /// 7.4.
    #[error("close code {0} may not be sent")]
    CloseCode(u16),
    /// 5.5.1.
    #[error("the reason of a close is not UTF-8")]
    CloseReasonNotUtf8,
    #[error("a compressed message cannot be inflated")]
    Inflate(#[from] InflateError),
}

impl ProtocolError {
    /// The code to close the connection with (RFC 6455 7.4.1).
    pub fn close_code(&self) -> u16 {
        match self {
            Self::FrameTooLong { .. }
            | Self::MessageTooLong { .. }
            | Self::TooManyFragments { .. }
            | Self::Inflate(InflateError::TooLong { .. }) => 1009,
            Self::TextNotUtf8 | Self::CloseReasonNotUtf8 | Self::Inflate(InflateError::Malformed) => 1007,
            Self::ReservedBit
            | Self::CompressionNotNegotiated
            | Self::CompressedContinuation
            | Self::CompressedControl
            | Self::UnknownOpcode(_)
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::NotMasked
            | Self::Masked
            | Self::LengthNotMinimal
            | Self::LengthOverflow
            | Self::ContinuationWithoutStart
            | Self::MessageInsideMessage
            | Self::CloseTruncated
            | Self::CloseCode(_) => 1002,
        }
    }
}
