//! What things cost, as it was measured. Made from the records of the benches: `cargo xtask bench -- table`, and held by
//! `cargo test -p turnpike-benches`. CPU in seconds of a core.

/// A second of an idle connection with a heartbeat every 25 s (`idle-cpu`).
pub(super) const IDLE_CORE_SECONDS: f64 = 1.30e-6;

/// A message at the gateway that sends it, acknowledged, when many are sent (`cross-node`, saturated).
pub(super) const SENT_CORE_SECONDS: f64 = 6.20e-5;

/// The same message at each gateway that has members (`cross-node`, without the sending and the deliveries).
pub(super) const HEARD_CORE_SECONDS: f64 = 2.49e-4;

/// One delivery to one member, the dearer of `cross-node` and `fanout-paced`.
pub(super) const DELIVERED_CORE_SECONDS: f64 = 1.53e-5;

/// Redis, a message: all of its processes together (`cross-node`, saturated).
pub(super) const REDIS_CORE_SECONDS: f64 = 8.63e-5;

/// A connection: ours, the kernel's (`idle-memory`), and room for what waits to be written to a tenth of them.
pub(super) const CONNECTION_BYTES: f64 = 9.70e3;

/// A packet of 1,200 bytes, sent to a viewer (`relay-forward`).
pub(super) const FORWARDED_CORE_SECONDS: f64 = 5.00e-6;

/// A viewer (`relay-forward`).
pub(super) const VIEWER_BYTES: f64 = 3.18e4;

/// A session that comes back after its node was lost (`node-killed`).
pub(super) const RETURN_CORE_SECONDS: f64 = 2.20e-4;
