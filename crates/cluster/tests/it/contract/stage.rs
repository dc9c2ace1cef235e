//! Where a case plays: nodes on one ground, each with a runtime of its own, so that one can be killed like a process.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use turnpike_cluster::{Cluster, Page, Publication, PublishError, Range, Read, Receipt, Signal, lane_of};
use turnpike_wire::{MessageId, RoomId, UserId};

use super::ground::Ground;
use super::recorder::{LIMIT, Recorder};

/// What a case asks of the configuration; everything else is as it comes.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) room_messages_max: usize,
    pub(crate) dedupe: Duration,
    pub(crate) recovery: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { room_messages_max: 1_000, dedupe: Duration::from_mins(10), recovery: Duration::from_mins(2) }
    }
}

pub(crate) struct Stage {
    pub(crate) terms: Terms,
    ground: Box<dyn Ground>,
    raised: Vec<Arc<Node>>,
}

/// Plays a case and then looks at what every node was given.
pub(crate) fn run(ground: Box<dyn Ground>, case: impl AsyncFnOnce(&mut Stage)) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stage = Stage { terms: Terms::default(), ground, raised: Vec::new() };
        case(&mut stage).await;
        for node in &stage.raised {
            node.record.check();
        }
        for node in stage.raised.drain(..) {
            node.leave().await;
        }
    });
}

impl Stage {
    /// Raises one more node and starts it.
    pub(crate) async fn node(&mut self) -> Arc<Node> {
        let node = self.unstarted().await;
        node.start().await;
        node
    }

    pub(crate) async fn unstarted(&mut self) -> Arc<Node> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let raising = runtime.spawn(self.ground.raise(&self.terms));
        let cluster = limited("a node to be made", raising).await.expect("the node can be made");
        let node = Arc::new(Node {
            cluster: std::sync::Mutex::new(Some(cluster)),
            record: Recorder::new(),
            runtime: std::sync::Mutex::new(Some(runtime)),
        });
        self.raised.push(Arc::clone(&node));
        node
    }

    /// As many nodes as the ground is to have.
    pub(crate) async fn all(&mut self) -> Vec<Arc<Node>> {
        let mut all = Vec::new();
        for _ in 0..self.ground.nodes() {
            all.push(self.node().await);
        }
        all
    }

    /// Two nodes that are as far from each other as they can be; with one node, that node twice.
    pub(crate) async fn two(&mut self) -> (Arc<Node>, Arc<Node>) {
        let all = self.all().await;
        (Arc::clone(&all[0]), Arc::clone(&all[all.len() - 1]))
    }
}

/// A node of the plane as one process would hold it.
pub(crate) struct Node {
    cluster: std::sync::Mutex<Option<Cluster>>,
    pub(crate) record: Arc<Recorder>,
    runtime: std::sync::Mutex<Option<Runtime>>,
}

impl Node {
    pub(crate) fn cluster(&self) -> Cluster {
        self.cluster.lock().unwrap().clone().expect("the node was not killed")
    }

    pub(crate) async fn start(&self) {
        self.try_start().await.expect("the node starts");
    }

    /// Within the node's own runtime, as a process would.
    pub(crate) async fn try_start(&self) -> Result<(), turnpike_cluster::Unavailable> {
        let (cluster, deliver) = (self.cluster(), Arc::clone(&self.record));
        let runtime =
            self.runtime.lock().unwrap().as_ref().expect("the node was not killed").handle().clone();
        let started = runtime.spawn(async move { cluster.broker.start(deliver).wait().await });
        limited("the node to start", started).await.expect("starting does not panic")
    }

    /// Ends everything the node does, with no word to anybody.
    pub(crate) fn kill(&self) {
        if let Some(runtime) = self.runtime.lock().unwrap().take() {
            runtime.shutdown_background();
        }
        self.cluster.lock().unwrap().take();
    }

    /// As at the end of a process that has the time for it.
    async fn leave(&self) {
        let alive = self.cluster.lock().unwrap().clone();
        if let Some(cluster) = alive {
            let leaving = cluster.membership.leave().wait();
            // A node whose Redis is gone cannot say so.
            let _ = tokio::time::timeout(Duration::from_secs(2), leaving).await;
            self.kill();
        }
    }

    pub(crate) async fn say(&self, room: &RoomId, text: &str) -> Receipt {
        self.publish(message(room, text)).await.expect("it can be published")
    }

    pub(crate) async fn publish(&self, publication: Publication) -> Result<Receipt, PublishError> {
        limited("a publication", self.cluster().broker.publish(publication).wait()).await
    }

    pub(crate) async fn open(&self, room: &RoomId) {
        limited("a room to open", self.cluster().broker.open(room).wait()).await.expect("it can be opened");
    }

    pub(crate) fn close(&self, room: &RoomId) {
        self.cluster().broker.close(room);
        self.record.closed(room);
    }

    pub(crate) async fn level(&self, room: &RoomId) {
        limited("a room to be level", self.cluster().broker.level(room).wait()).await.expect("it can be");
    }

    pub(crate) async fn read(&self, room: &RoomId, range: Range) -> Page {
        self.read_up_to(room, range, 10_000, 16 << 20).await
    }

    pub(crate) async fn read_up_to(
        &self,
        room: &RoomId,
        range: Range,
        messages_max: usize,
        bytes_max: usize,
    ) -> Page {
        let read = Read { room: room.clone(), range, messages_max, bytes_max };
        limited("a page", self.cluster().broker.read(&read).wait()).await.expect("it can be read")
    }

    pub(crate) fn signal(&self, room: &RoomId, signal: Signal) {
        self.cluster().broker.signal(room, signal);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A runtime must not be dropped where something is waited for, and a failed case drops it there.
        if let Some(runtime) = self.runtime.lock().unwrap().take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits for something that cannot take this long.
pub(crate) async fn limited<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(LIMIT, future).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Asks again until the answer fits.
pub(crate) async fn eventually<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> T,
    fits: impl Fn(&T) -> bool,
) -> T {
    limited(what, async {
        loop {
            let answer = ask().await;
            if fits(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

/// Rooms of one lane.
pub(crate) fn rooms_of_one_lane(count: usize) -> Vec<RoomId> {
    let first = room("lane:0");
    let rooms = (0..).map(|number| room(&format!("lane:{number}")));
    rooms.filter(|room| lane_of(room) == lane_of(&first)).take(count).collect()
}

/// One room in every lane.
pub(crate) fn rooms_of_all_lanes() -> Vec<RoomId> {
    let in_lane =
        |lane| (0..10_000).map(|number| room(&format!("lane:{number}"))).find(|room| lane_of(room) == lane);
    turnpike_cluster::Lane::all().map(|lane| in_lane(lane).expect("every lane has rooms")).collect()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

pub(crate) fn message(room: &RoomId, text: &str) -> Publication {
    Publication {
        room: room.clone(),
        from: user("alice"),
        id: None,
        age_ms: 0,
        body: serde_json::to_string(text).unwrap().into(),
        attachments: Vec::new(),
    }
}

pub(crate) fn named(room: &RoomId, id: &str, text: &str) -> Publication {
    Publication { id: Some(MessageId::parse(id).unwrap()), ..message(room, text) }
}

/// The text of a message that `message` made.
pub(crate) fn text(message: &turnpike_cluster::Message) -> String {
    let data: serde_json::Value = serde_json::from_str(&message.data).expect("data is JSON");
    data["body"].as_str().expect("the body is a text").to_owned()
}

pub(crate) fn texts(messages: &[Arc<turnpike_cluster::Message>]) -> Vec<String> {
    messages.iter().map(|message| text(message)).collect()
}
