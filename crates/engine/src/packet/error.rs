//! What can be wrong with a packet from a client.

/// A packet that was refused. The session that sent it cannot go on: what follows would be read out of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    #[error("packet is empty")]
    Empty,
    #[error("unknown packet type")]
    UnknownType,
    #[error("malformed packet")]
    Malformed,
    #[error("packet type belongs to the server")]
    NotForClients,
    #[error("packet is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("invalid base64")]
    Base64,
    #[error("invalid namespace")]
    Namespace,
    #[error("namespace is longer than {bytes_max} bytes")]
    NamespaceTooLong { bytes_max: usize },
    #[error("ack id is missing, or not a whole number below 2^53")]
    AckId,
    #[error("event name is missing or not a string")]
    EventName,
    #[error("event name is longer than {bytes_max} bytes")]
    EventNameTooLong { bytes_max: usize },
    #[error("event name is reserved")]
    ReservedEvent,
    #[error("payload of the wrong kind")]
    Payload,
    #[error("invalid JSON at byte {at}")]
    Json { at: usize },
    #[error("invalid msgpack")]
    Msgpack,
    #[error("value that JSON cannot express")]
    NotJson,
    #[error("nested deeper than {depth_max}")]
    TooDeep { depth_max: usize },
    #[error("more than {keys_max} object keys")]
    TooManyKeys { keys_max: usize },
    #[error("more than {arguments_max} arguments")]
    TooManyArguments { arguments_max: usize },
    #[error("forbidden object key")]
    ForbiddenKey,
    #[error("malformed placeholder, or one that names no attachment of its own")]
    Placeholder,
    #[error("attachment that no placeholder names")]
    UnusedAttachment,
    #[error("more than {attachments_max} attachments")]
    TooManyAttachments { attachments_max: usize },
    #[error("attachments are larger than {bytes_max} bytes")]
    AttachmentsTooLarge { bytes_max: usize },
    #[error("binary frame that no packet announced")]
    UnexpectedBinary,
    #[error("text frame while attachments are missing, or from a msgpack client")]
    UnexpectedText,
}
