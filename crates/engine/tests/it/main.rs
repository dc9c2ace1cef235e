//! The engine's integration tests, in one binary: linking costs more than running.

mod frame_cost;
mod frame_differential;
mod frame_properties;
mod fuzz;
mod fuzz_frame;
mod served;
