//! A node of the plane that writes down what it is given, and fails the test when it is given something out of order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus::Registry;
use tokio::sync::watch;
use turnpike_cluster::redis::{RedisConfig, connect};
use turnpike_cluster::{
    Cluster, Control, Deliver, Full, Lane, LanePosition, Message, Publication, PublishError, Read, Receipt,
    Signal, Soon, Standing, lane_of,
};
use turnpike_wire::{MessageId, RoomId, UserId};

/// Reaching it means that something is broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Node {
    pub(super) cluster: Cluster,
    pub(super) record: Arc<Record>,
    pub(super) registry: Registry,
}

#[derive(Default)]
pub(super) struct Record {
    given: Mutex<Given>,
    count: watch::Sender<usize>,
    signals: AtomicUsize,
}

#[derive(Default)]
struct Given {
    messages: HashMap<RoomId, Vec<Arc<Message>>>,
    rooms: HashMap<RoomId, (u64, LanePosition)>,
    lanes: HashMap<Lane, LanePosition>,
    epochs: Vec<(Lane, LanePosition)>,
    broken: Vec<(RoomId, Standing)>,
    faults: Vec<String>,
    total: usize,
}

impl Node {
    pub(super) async fn start(config: RedisConfig) -> Self {
        let registry = Registry::new();
        let cluster = connect(config, &registry).await.expect("the plane can be made");
        let record = Arc::new(Record::default());
        cluster.broker.start(Arc::clone(&record) as Arc<dyn Deliver>).wait().await.expect("the node starts");
        Self { cluster, record, registry }
    }

    pub(super) async fn open(&self, room: &RoomId) {
        self.cluster.broker.open(room).wait().await.expect("it can be opened");
    }

    pub(super) fn publish(
        &self,
        room: &RoomId,
        id: Option<&str>,
        text: &str,
    ) -> impl Future<Output = Result<Receipt, PublishError>> + Send + use<> {
        self.cluster.broker.publish(publication(room, id, text)).wait()
    }

    /// Again under the same id until it is kept.
    pub(super) async fn publish_surely(&self, room: &RoomId, id: &str, text: &str) -> Receipt {
        let began = std::time::Instant::now();
        loop {
            match self.publish(room, Some(id), text).await {
                Ok(receipt) => return receipt,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{id}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn read(&self, read: Read) -> turnpike_cluster::Page {
        self.cluster.broker.read(&read).wait().await.expect("it can be read")
    }

    /// The sum of a counter over its labels.
    pub(super) fn counted(&self, name: &str) -> f64 {
        self.counted_with(name, |_| true)
    }

    pub(super) fn counted_with(&self, name: &str, of: impl Fn(&str) -> bool) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        family.map_or(0.0, |family| {
            let metrics = family.get_metric().iter();
            metrics
                .filter(|metric| metric.get_label().first().is_none_or(|label| of(label.value())))
                .map(|metric| metric.get_counter().get_value())
                .sum()
        })
    }

    pub(super) async fn until_well(&self) {
        let mut condition = self.cluster.condition.clone();
        let well = condition.wait_for(|condition| condition.faults.is_empty());
        let well = tokio::time::timeout(PATIENCE, well).await;
        assert!(well.is_ok(), "not well: {:?}", self.cluster.condition.borrow().faults);
    }
}

impl Record {
    pub(super) fn seqs(&self, room: &RoomId) -> Vec<u64> {
        self.messages(room).iter().map(|message| message.seq).collect()
    }

    pub(super) fn messages(&self, room: &RoomId) -> Vec<Arc<Message>> {
        self.given.lock().unwrap().messages.get(room).cloned().unwrap_or_default()
    }

    pub(super) fn total(&self) -> usize {
        self.given.lock().unwrap().total
    }

    pub(super) fn broken(&self) -> Vec<(RoomId, Standing)> {
        self.given.lock().unwrap().broken.clone()
    }

    pub(super) fn epochs(&self, lane: Lane) -> Vec<LanePosition> {
        let given = self.given.lock().unwrap();
        given.epochs.iter().filter(|(other, _)| *other == lane).map(|(_, from)| *from).collect()
    }

    pub(super) fn signals(&self) -> usize {
        self.signals.load(Ordering::SeqCst)
    }

    pub(super) async fn until(&self, what: &str, fits: impl Fn(&Self) -> bool) {
        let mut count = self.count.subscribe();
        let reached = tokio::time::timeout(PATIENCE, async {
            loop {
                count.mark_unchanged();
                if fits(self) {
                    return;
                }
                count.changed().await.expect("the record is here");
            }
        });
        assert!(reached.await.is_ok(), "waited in vain for {what}; {} messages came", self.total());
    }

    pub(super) fn check(&self) {
        let faults = &self.given.lock().unwrap().faults;
        assert!(faults.is_empty(), "{faults:#?}");
    }

    fn put(&self, put: impl FnOnce(&mut Given)) {
        let mut given = self.given.lock().unwrap();
        put(&mut given);
        drop(given);
        self.count.send_modify(|count| *count += 1);
    }
}

impl Deliver for Record {
    fn lane(&self, lane: Lane, from: LanePosition) -> Soon<()> {
        self.put(|given| {
            given.epochs.push((lane, from));
            given.lanes.insert(lane, from);
        });
        Soon::Now(())
    }

    fn opened(&self, room: &RoomId, standing: &Standing) {
        self.put(|given| {
            let at = LanePosition { epoch: standing.epoch, pos: standing.pos };
            given.rooms.insert(room.clone(), (standing.seq, at));
        });
    }

    fn message(&self, message: &Arc<Message>) -> Result<(), Full> {
        self.put(|given| {
            let lane = given.lanes.entry(lane_of(&message.room)).or_default();
            if *lane >= message.at {
                let fault = format!("{:?} is not behind {lane:?} in its lane", message.at);
                given.faults.push(fault);
            }
            *lane = message.at;
            match given.rooms.get_mut(&message.room) {
                Some((seq, at)) => {
                    if *seq + 1 != message.seq || *at >= message.at {
                        let fault = format!("{} {:?} is not behind {seq} {at:?}", message.seq, message.at);
                        given.faults.push(fault);
                    }
                    (*seq, *at) = (message.seq, message.at);
                }
                None => given.faults.push(format!("{} is not open", message.room)),
            }
            given.messages.entry(message.room.clone()).or_default().push(Arc::clone(message));
            given.total += 1;
        });
        Ok(())
    }

    fn verified(&self, _: &RoomId, _: LanePosition) {}

    fn broken(&self, room: &RoomId, standing: &Standing) {
        self.put(|given| {
            let at = LanePosition { epoch: standing.epoch, pos: standing.pos };
            given.rooms.insert(room.clone(), (standing.seq, at));
            given.broken.push((room.clone(), *standing));
        });
    }

    fn signal(&self, _: &RoomId, _: &Signal) {
        self.signals.fetch_add(1, Ordering::SeqCst);
        self.put(|_| ());
    }

    fn control(&self, _: Control) {}
}

pub(super) fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

/// Rooms whose lane is in this slot's master, as `is_there` says of a lane.
pub(super) fn rooms_where(count: usize, is_there: impl Fn(Lane) -> bool) -> Vec<RoomId> {
    (0..)
        .map(|number| room(&format!("chat:{number}")))
        .filter(|room| is_there(lane_of(room)))
        .take(count)
        .collect()
}

pub(super) fn publication(room: &RoomId, id: Option<&str>, text: &str) -> Publication {
    Publication {
        room: room.clone(),
        from: UserId::parse("alice").unwrap(),
        id: id.map(|id| MessageId::parse(id).unwrap()),
        age_ms: 0,
        body: serde_json::to_string(text).unwrap().into(),
        attachments: Vec::new(),
    }
}
