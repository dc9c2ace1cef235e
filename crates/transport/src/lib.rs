//! The secured path to one peer: ICE, DTLS and SRTP, without any I/O.
