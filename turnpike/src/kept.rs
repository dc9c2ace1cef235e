//! How much the embedded plane keeps, read when somebody asks: what a process without Redis spends its memory and disk on.

use std::path::PathBuf;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Registry};
use turnpike_cluster::embedded::{self, Embedded, Levels};

pub(crate) struct Kept {
    levels: Box<dyn Fn() -> Option<Levels> + Send + Sync>,
    file: Option<PathBuf>,
    rooms: IntGauge,
    messages: IntGauge,
    bytes: IntGauge,
    message_ids: IntGauge,
    disk_bytes: IntGauge,
}

impl Kept {
    /// `store` is where the plane was told to keep its file, if anywhere.
    pub(crate) fn register(
        registry: &Registry,
        plane: &Embedded,
        store: Option<&PathBuf>,
    ) -> Result<(), prometheus::Error> {
        let gauge = |name: &str, help: &str| IntGauge::new(format!("turnpike_history_{name}"), help);
        registry.register(Box::new(Self {
            levels: Box::new(plane.watch_levels()),
            file: store.map(|directory| embedded::file(directory)),
            rooms: gauge("rooms", "Rooms that are remembered, in a process without Redis.")?,
            messages: gauge(
                "messages",
                "Messages that are kept for those who return, in a process without Redis.",
            )?,
            bytes: gauge("bytes", "Memory that these messages take.")?,
            message_ids: gauge(
                "message_ids",
                "Ids of messages that are remembered to recognise repetitions, in a process without Redis.",
            )?,
            disk_bytes: gauge("disk_bytes", "Size of the file in which all of it is kept, if there is one.")?,
        }))
    }

    fn gauges(&self) -> [&IntGauge; 5] {
        [&self.rooms, &self.messages, &self.bytes, &self.message_ids, &self.disk_bytes]
    }
}

impl Collector for Kept {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let levels = (self.levels)().unwrap_or_default();
        let set = |gauge: &IntGauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.rooms, levels.rooms as u64);
        set(&self.messages, levels.messages as u64);
        set(&self.bytes, levels.bytes as u64);
        set(&self.message_ids, levels.message_ids as u64);
        let size = self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |file| file.len());
        set(&self.disk_bytes, size);
        self.gauges().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use turnpike_cluster::{Publication, Receipt};
    use turnpike_wire::{RoomId, UserId};

    use super::*;

    fn publish(plane: &Embedded) -> Receipt {
        let publication = Publication {
            room: RoomId::parse("chat:a").unwrap(),
            from: UserId::parse("alice").unwrap(),
            id: Some("m1".parse().unwrap()),
            age_ms: 0,
            body: "1".into(),
            attachments: Vec::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(plane.cluster().broker.publish(publication).wait()).unwrap()
    }

    #[test]
    fn what_is_kept_is_told_as_long_as_it_is() {
        let store = std::env::temp_dir().join(format!("turnpike-kept-{}", std::process::id()));
        let config = embedded::Config { disk: Some(store.clone()), ..embedded::Config::new("n1") };
        let registry = Registry::new();
        let plane = Embedded::start(&config).unwrap();
        Kept::register(&registry, &plane, Some(&store)).unwrap();
        let read = || {
            let values = registry.gather().into_iter().map(|family| {
                (family.name().to_owned(), family.get_metric()[0].get_gauge().get_value() as u64)
            });
            values.collect::<std::collections::BTreeMap<_, _>>()
        };
        assert_eq!(read()["turnpike_history_messages"], 0);
        assert_eq!(publish(&plane).seq, 1);
        let kept = read();
        for name in ["rooms", "messages", "message_ids"] {
            assert_eq!(kept[&format!("turnpike_history_{name}")], 1, "{kept:?}");
        }
        assert!(kept["turnpike_history_bytes"] > 0 && kept["turnpike_history_disk_bytes"] > 0, "{kept:?}");
        drop(plane);
        assert_eq!(read()["turnpike_history_rooms"], 0, "and nothing is kept alive for it");
        std::fs::remove_dir_all(&store).unwrap();
    }
}
