//! Session descriptions of browsers and of WHIP and WHEP clients: read, answered, offered.
