//! The engine's integration tests, in one binary: linking costs more than running.

mod frame_cost;
mod frame_differential;
mod frame_properties;
mod fuzz_frame;
mod fuzz_packet;
mod packet_cost;
mod packet_engine;
mod packet_msgpack;
mod packet_out;
mod packet_properties;
mod packet_raw;
mod packet_text;
mod served;
