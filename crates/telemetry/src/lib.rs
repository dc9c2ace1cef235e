//! Traces: contexts that travel in headers, spans that are sampled and queued, and the words in which a collector is told of
//! them (OTLP as JSON). Whoever brings them there is elsewhere.
//!
//! Without a collector nothing is made. With one, what is not sampled costs a random number, and what cannot be queued is
//! dropped and counted: a trace is never worth waiting for.

mod context;
mod otlp;
mod span;
mod tracer;

pub use context::TraceContext;
pub use otlp::{Resource, encode};
pub use span::{Kind, Span, Value};
pub use tracer::{Active, Counts, Queue, Tracer};
