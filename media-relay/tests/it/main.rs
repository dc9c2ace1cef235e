//! The relay from outside.
// In a test a panic is the answer, also outside of the functions that bear the attribute.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout, reason = "seeds and figures must be seen")]

mod chance;
mod honest;
mod hostile;
mod independent;
mod links;
mod peer;
mod shards;
mod threads;
mod whip;

/// A counter or a level, over all its labels.
fn metric(registry: &prometheus::Registry, name: &str) -> u64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == format!("turnpike_media_{name}")).unwrap();
    let of = |metric: &prometheus::proto::Metric| {
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    };
    family.get_metric().iter().map(of).sum::<f64>() as u64
}
