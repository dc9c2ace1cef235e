//! What homes stand among, played.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use turnpike_cluster::{
    Claim, Claimed, Cluster, Directory, Incarnation, Lease, Letters, Membership, Node, NotSent, Paged, Post,
    RelayOffer, Soon, Unavailable, embedded,
};
use turnpike_wire::media::MediaSession;
use turnpike_wire::media::relay::Role;
use turnpike_wire::{Failure, RoomId};

use super::super::{Homes, HomesConfig, Uplinks};
use super::stream;
use crate::carry::{FeedNews, PipeId};
use crate::link::{LinkTarget, NotAttached};
use crate::{Ask, Face, Notice, StreamInfo, Told};

/// The incarnation of the relay that is tried.
pub(super) const OWN: u64 = 1;

pub(super) fn node(number: u64) -> Node {
    Node {
        incarnation: Incarnation(number),
        name: format!("n{number}"),
        address: Some(([192, 0, 2, 1], number as u16).into()),
        version: String::new(),
        draining: false,
        places: None,
        relay: Some(RelayOffer {
            url: Some(format!("http://media-{number}.example.org").into()),
            link: Some(([192, 0, 2, 2], number as u16).into()),
            load_permille: 0,
            sessions: 0,
            sessions_max: 1_000,
            has_room: true,
            alone: false,
        }),
    }
}

pub(super) struct Stage {
    pub(super) homes: Arc<Homes<Played>>,
    pub(super) face: Played,
    pub(super) links: Arc<PlayedLinks>,
    pub(super) directory: Arc<PlayedDirectory>,
    pub(super) post: Arc<PlayedPost>,
    pub(super) cluster: Cluster,
    nodes: Arc<PlayedNodes>,
    news: mpsc::Sender<(RoomId, FeedNews)>,
}

impl Stage {
    pub(super) fn linked(others: &[Node]) -> Self {
        let mut cluster = embedded::start(&embedded::Config::new("n1")).unwrap();
        let nodes = Arc::new(PlayedNodes(watch::Sender::new(Arc::from([]))));
        let (directory, post) = (Arc::<PlayedDirectory>::default(), Arc::<PlayedPost>::default());
        (cluster.membership, cluster.directory, cluster.post) =
            (nodes.clone(), directory.clone(), post.clone());
        let (face, links) = (Played::default(), Arc::<PlayedLinks>::default());
        let config = HomesConfig { sessions_max: 100, ..HomesConfig::default() };
        let homes = Homes::with(face.clone(), &cluster, config, Some(links.clone()));
        let (news, heard) = mpsc::channel(16);
        tokio::spawn(super::neighbours::hear(Arc::downgrade(&homes), heard));
        let stage = Self { homes, face, links, directory, post, cluster, nodes, news };
        stage.nodes(others);
        stage
    }

    /// These and this one are all.
    pub(super) fn nodes(&self, others: &[Node]) {
        self.nodes.0.send_replace(others.iter().cloned().chain([node(OWN)]).collect());
    }

    pub(super) fn drains(&self, number: u64) {
        self.change(number, |node| node.draining = true);
    }

    pub(super) fn loaded(&self, number: u64, permille: u16) {
        self.change(number, |node| {
            let relay = node.relay.as_mut().unwrap();
            (relay.load_permille, relay.sessions) = (permille, permille.into());
        });
    }

    fn change(&self, number: u64, change: impl Fn(&mut Node)) {
        let mut nodes = self.nodes.0.borrow().to_vec();
        nodes.iter_mut().filter(|node| node.incarnation.0 == number).for_each(change);
        self.nodes.0.send_replace(nodes.into());
    }

    pub(super) fn lives_at(&self, number: u64) {
        self.directory.0.lock().unwrap().owner = Some(Incarnation(number));
    }

    pub(super) async fn hear(&self, news: FeedNews) {
        self.news.send((stream(), news)).await.unwrap();
    }

    pub(super) fn is_attached(&self) -> bool {
        self.homes.attachments.asked(&stream(), |_| {})
    }

    /// Whoever asked has begun to watch, or has gone, for long.
    pub(super) fn long_ago(&self) {
        let earlier = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
        self.homes.attachments.asked(&stream(), |asked| *asked = earlier);
    }
}

/// A relay with as many sessions as the test says.
#[derive(Clone, Default)]
pub(super) struct Played(Arc<Mutex<Sessions>>);

#[derive(Default)]
struct Sessions {
    viewers: usize,
    publishers: usize,
    streams: Vec<StreamInfo>,
    told: Vec<(MediaSession, Instant, Notice)>,
    dismissed: Vec<MediaSession>,
}

fn of(role: Role) -> u64 {
    match role {
        Role::Viewer => 1,
        Role::Publisher => 2,
    }
}

impl Played {
    pub(super) fn has(&self, role: Role, count: usize) {
        let mut sessions = self.0.lock().unwrap();
        match role {
            Role::Viewer => sessions.viewers = count,
            Role::Publisher => sessions.publishers = count,
        }
    }

    pub(super) fn watch(&self, stream: &RoomId, viewers: u64) {
        let info = StreamInfo { stream: stream.clone(), publishers: Vec::new(), viewers, is_fed: true };
        self.0.lock().unwrap().streams = vec![info];
    }

    pub(super) fn publish(&self, stream: &RoomId) {
        let publishers = vec!["alice".parse().unwrap()];
        let info = StreamInfo { stream: stream.clone(), publishers, viewers: 0, is_fed: false };
        self.0.lock().unwrap().streams = vec![info];
    }

    pub(super) fn told(&self, role: Role) -> Vec<(Instant, Notice)> {
        let sessions = self.0.lock().unwrap();
        let told = sessions.told.iter().filter(|(session, ..)| session.relay == of(role));
        told.map(|(_, at, notice)| (*at, notice.clone())).collect()
    }

    pub(super) fn dismissed(&self) -> Vec<MediaSession> {
        self.0.lock().unwrap().dismissed.clone()
    }
}

impl Face for Played {
    fn listen(&self, _: MediaSession) -> mpsc::Receiver<Notice> {
        mpsc::channel(1).1
    }

    async fn ask(&self, _: Ask) -> Result<Told, Failure> {
        Ok(Told::Streams(self.0.lock().unwrap().streams.clone()))
    }

    fn sessions(&self, role: Role) -> Vec<MediaSession> {
        let sessions = self.0.lock().unwrap();
        let count = if role == Role::Viewer { sessions.viewers } else { sessions.publishers };
        (0..count as u128).map(|key| MediaSession { relay: of(role), key }).collect()
    }

    fn tell(&self, session: MediaSession, notice: Notice) {
        self.0.lock().unwrap().told.push((session, Instant::now(), notice));
    }

    async fn dismiss(&self, session: MediaSession) {
        self.0.lock().unwrap().dismissed.push(session);
    }
}

#[derive(Default)]
pub(super) struct PlayedLinks(Mutex<Linked>);

#[derive(Default)]
struct Linked {
    attached: Vec<u64>,
    answers: VecDeque<Result<PipeId, NotAttached>>,
    detached: Vec<PipeId>,
    watched: Vec<u64>,
}

impl PlayedLinks {
    /// To the next who asks for a stream.
    pub(super) fn answer(&self, answer: Result<PipeId, NotAttached>) {
        self.0.lock().unwrap().answers.push_back(answer);
    }

    pub(super) fn attached(&self) -> Vec<u64> {
        self.0.lock().unwrap().attached.clone()
    }

    pub(super) fn detached(&self) -> Vec<PipeId> {
        self.0.lock().unwrap().detached.clone()
    }

    pub(super) fn watched(&self) -> Vec<u64> {
        self.0.lock().unwrap().watched.clone()
    }
}

impl Uplinks for PlayedLinks {
    fn attach<'a>(&'a self, _: &'a RoomId, to: LinkTarget) -> BoxFuture<'a, Result<PipeId, NotAttached>> {
        self.0.lock().unwrap().attached.push(to.incarnation);
        Box::pin(async {
            loop {
                let answer = self.0.lock().unwrap().answers.pop_front();
                match answer {
                    Some(answer) => return answer,
                    None => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        })
    }

    fn detach<'a>(&'a self, _: &'a RoomId, pipe: PipeId) -> BoxFuture<'a, ()> {
        self.0.lock().unwrap().detached.push(pipe);
        Box::pin(async {})
    }

    fn watch(&self, peers: &[LinkTarget]) {
        self.0.lock().unwrap().watched = peers.iter().map(|peer| peer.incarnation).collect();
    }
}

/// One name, and who has it.
#[derive(Default)]
pub(super) struct PlayedDirectory(Mutex<Name>);

#[derive(Default)]
struct Name {
    owner: Option<Incarnation>,
    claims: usize,
    released: Vec<u64>,
}

impl PlayedDirectory {
    pub(super) fn claims(&self) -> usize {
        self.0.lock().unwrap().claims
    }

    pub(super) fn released(&self) -> Vec<u64> {
        self.0.lock().unwrap().released.clone()
    }
}

fn claimed(owner: Incarnation) -> Claimed {
    Claimed { owner, fence: 1, value: String::new() }
}

impl Directory for PlayedDirectory {
    fn claim(&self, _: &Claim) -> Soon<Result<Claimed, Unavailable>> {
        let mut name = self.0.lock().unwrap();
        name.claims += 1;
        Soon::Now(Ok(claimed(*name.owner.get_or_insert(Incarnation(OWN)))))
    }

    fn release(&self, _: &str, fence: u64) -> Soon<Result<(), Unavailable>> {
        self.0.lock().unwrap().released.push(fence);
        Soon::Now(Ok(()))
    }

    fn find(&self, _: &str) -> Soon<Result<Option<Claimed>, Unavailable>> {
        Soon::Now(Ok(self.0.lock().unwrap().owner.map(claimed)))
    }

    fn list(&self, _: &str, _: &str, _: usize) -> Soon<Result<Paged<(String, Claimed)>, Unavailable>> {
        Soon::Now(Ok((Vec::new(), None)))
    }
}

struct PlayedNodes(watch::Sender<Arc<[Node]>>);

impl Membership for PlayedNodes {
    fn own(&self) -> Incarnation {
        Incarnation(OWN)
    }

    fn nodes(&self) -> watch::Receiver<Arc<[Node]>> {
        self.0.subscribe()
    }

    fn lease(&self) -> watch::Receiver<Lease> {
        watch::channel(Lease::Held).1
    }

    fn announce(&self, _: bool) -> Soon<Result<(), Unavailable>> {
        Soon::Now(Ok(()))
    }

    fn vacant(&self, _: u32) -> Soon<Result<(), Unavailable>> {
        Soon::Now(Ok(()))
    }

    fn offer(&self, _: Option<RelayOffer>) -> Soon<Result<(), Unavailable>> {
        Soon::Now(Ok(()))
    }

    fn leave(&self) -> Soon<Result<(), Unavailable>> {
        Soon::Now(Ok(()))
    }
}

#[derive(Default)]
pub(super) struct PlayedPost(Mutex<Vec<Sent>>);

type Sent = (Incarnation, &'static str, Bytes);

impl PlayedPost {
    pub(super) fn letters(&self) -> Vec<Sent> {
        self.0.lock().unwrap().clone()
    }
}

impl Post for PlayedPost {
    fn send(&self, to: Incarnation, subject: &'static str, words: Bytes) -> Result<(), NotSent> {
        self.0.lock().unwrap().push((to, subject, words));
        Ok(())
    }

    fn listen(&self, _: &'static str) -> Letters {
        mpsc::channel(1).1
    }

    fn lost(&self) -> u64 {
        0
    }
}
