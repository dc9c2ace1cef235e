//!

pub mod packet;
pub mod ticket;
pub mod frame;
pub mod wheel;
