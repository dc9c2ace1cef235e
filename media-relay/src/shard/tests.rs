use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::mpsc as std_mpsc;

use turnpike_transport::Path;
use turnpike_udp::Options;
use turnpike_wire::media::{Phase, StreamState};

use super::*;
use crate::{Ended, Most};

const BROKEN: Duration = Duration::from_secs(10);

/// A core that sends back what it gets, and does what a datagram's first byte says.
#[derive(Default)]
struct Echo {
    out: VecDeque<(Path, Vec<u8>)>,
    effects: VecDeque<Effect>,
    abandoned: Option<std_mpsc::Sender<Option<Suspect>>>,
    panics_at_advance: bool,
    due: Option<Instant>,
    delivered: Vec<PipeId>,
    gate: Option<std_mpsc::Receiver<()>>,
}

const PANIC: u8 = 1;
const PANIC_LATER: u8 = 2;
const SOON: u8 = 3;
const BURST: u8 = 4;
/// Answered with how old it was when it was read.
const AGE: u8 = 5;

impl Core for Echo {
    fn datagram(&mut self, now: Instant, came: Came, bytes: &mut [u8]) {
        let from = came.path;
        match bytes.first() {
            Some(&PANIC) => panic!("as the datagram said"),
            Some(&PANIC_LATER) => self.panics_at_advance = true,
            Some(&SOON) => {
                self.due = Some(now + Duration::from_millis(20));
                self.out.push_back((from, bytes.to_vec()));
            }
            Some(&AGE) => {
                let age = now.saturating_duration_since(came.at).as_millis() as u64;
                self.out.push_back((from, age.to_be_bytes().to_vec()));
            }
            Some(&BURST) => self.out.extend((0..10).map(|_| (from, bytes.to_vec()))),
            _ => self.out.push_back((from, bytes.to_vec())),
        }
    }

    fn command(&mut self, _: Instant, command: Command) {
        if let Some(gate) = self.gate.take() {
            let _ = gate.recv_timeout(BROKEN);
        }
        let answer = match command.ask {
            Ask::Streams => Ok(Told::Done),
            Ask::Stop { .. } => panic!("as the question said"),
            Ask::Watch { session, .. } => {
                for viewers in 0..100 {
                    let state = StreamState { viewers, phase: Phase::Live, ..StreamState::ended(None) };
                    self.effects
                        .push_back(Effect::Notice { session, notice: Notice::State(Arc::new(state)) });
                }
                let notice = Notice::Ended(Ended::Stopped);
                self.effects.push_back(Effect::Notice { session: end(session), notice });
                Ok(Told::Done)
            }
            // Never answered.
            _ => return,
        };
        assert_ne!(command.chance, [0; 64]);
        self.effects.push_back(Effect::Answer { ticket: command.ticket, answer });
    }

    fn deliver(&mut self, _: Instant, pipe: PipeId, word: Delivered) {
        assert_eq!(word, Delivered::Up(crate::carry::Up::Want(Vec::new())), "as the word said");
        self.delivered.push(pipe);
        let news = FeedNews::Over(pipe);
        self.effects.push_back(Effect::Feed { stream: "stream".parse().unwrap(), news });
    }

    fn close(&mut self) {}

    fn advance(&mut self, now: Instant, out: &mut impl Outlet) {
        assert!(!std::mem::take(&mut self.panics_at_advance), "as the datagram said");
        if self.due.is_some_and(|due| now < due) {
            return;
        }
        self.due = None;
        while let Some((to, bytes)) = self.out.pop_front() {
            out.slot(to, 1_500)[..bytes.len()].copy_from_slice(&bytes);
            out.commit(bytes.len());
        }
    }

    fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn is_bound(&self, _: SocketAddr) -> bool {
        false
    }

    fn abandon(&mut self, from: Option<Suspect>) {
        if let Some(abandoned) = &self.abandoned {
            let _ = abandoned.send(from);
        }
    }
}

/// Another session, whose end is told.
fn end(session: MediaSession) -> MediaSession {
    MediaSession { relay: session.relay + 1, ..session }
}

fn start(core: Echo) -> (Shard, Notices, UdpSocket) {
    let socket = Socket::bind("127.0.0.1:0".parse().unwrap(), Options::default()).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(socket.local_addr()).unwrap();
    client.set_read_timeout(Some(BROKEN)).unwrap();
    let (shard, notices) = Shard::start(Config::default(), socket.into(), core, mpsc::channel(8).0).unwrap();
    assert_eq!(shard.handle().local_addr(), client.peer_addr().unwrap());
    (shard, notices, client)
}

fn echo(client: &UdpSocket, bytes: &[u8]) {
    client.send(bytes).unwrap();
    let mut buffer = [0; 2_048];
    let len = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], bytes);
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Waits for something that another thread does.
fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + BROKEN;
    while !is_so() {
        assert!(Instant::now() < end, "it never was so");
        thread::yield_now();
    }
}

fn watch(key: u128) -> Ask {
    Ask::Watch {
        session: MediaSession { relay: 0, key },
        stream: "stream".parse().unwrap(),
        user: "user".parse().unwrap(),
        offer: None,
        most: Most::All,
    }
}

fn stop() -> Ask {
    Ask::Stop { session: MediaSession { relay: 0, key: 0 } }
}

#[test]
fn datagrams_go_in_and_out_and_are_counted() {
    let (shard, _notices, client) = start(Echo::default());
    for number in 0..100_u8 {
        echo(&client, &[9, number, 1, 2, 3]);
    }
    let counters = shard.handle().counters();
    until(|| counters.datagrams_out.get() == 100);
    assert_eq!(
        (counters.datagrams_in.get(), counters.bytes_in.get(), counters.bytes_out.get()),
        (100, 500, 500)
    );
    assert!(shard.handle().is_well());
    client.send(&[9; 3_000]).unwrap();
    until(|| counters.truncated_in.get() == 1);
    shard.stop();
}

#[test]
fn the_kernel_says_when_a_datagram_came() {
    let bind = || {
        let options = Options { note_time: true, ..Options::default() };
        Socket::bind("127.0.0.1:0".parse().unwrap(), options).unwrap()
    };
    // The first socket of a machine that wants times has the kernel begin to note them, which takes it a moment.
    let _keeps_it_noting = bind();
    let began = Instant::now();
    loop {
        let socket = bind();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(socket.local_addr()).unwrap();
        client.set_read_timeout(Some(BROKEN)).unwrap();
        // Before anybody reads.
        client.send(&[AGE]).unwrap();
        thread::sleep(Duration::from_millis(60));
        let news = mpsc::channel(8).0;
        let (shard, _notices) =
            Shard::start(Config::default(), socket.into(), Echo::default(), news).unwrap();
        let mut age = [0; 8];
        client.recv(&mut age).unwrap();
        shard.stop();
        let age = u64::from_be_bytes(age);
        // The shard's first round may begin a little before the datagram is read.
        if age >= 50 {
            return;
        }
        assert!(began.elapsed() < BROKEN, "{age} ms");
    }
}

#[test]
fn an_answer_leaves_from_where_it_was_asked() {
    let socket = Socket::bind("0.0.0.0:0".parse().unwrap(), Options::default()).unwrap();
    let port = socket.local_addr().port();
    let (shard, _notices) =
        Shard::start(Config::default(), socket.into(), Echo::default(), mpsc::channel(8).0).unwrap();
    for address in ["127.0.0.1", "127.0.0.2", "127.1.2.3"] {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(BROKEN)).unwrap();
        // A connected socket hears nobody else.
        client.connect((address, port)).unwrap();
        echo(&client, &[9, 1, 2]);
    }
    shard.stop();
}

#[test]
fn what_is_due_is_sent_when_it_is_due() {
    let (shard, _notices, client) = start(Echo::default());
    let took = [(); 3].map(|()| {
        let began = Instant::now();
        echo(&client, &[SOON, 7]);
        began.elapsed()
    });
    // Without the timer it would be at the next sign of life, each time. This process may have been kept from its turn once.
    assert!(took.iter().all(|took| *took >= Duration::from_millis(20)), "{took:?}");
    assert!(took.iter().any(|took| *took < Duration::from_millis(300)), "{took:?}");
    // Nothing to do is nothing done.
    let rounds = shard.handle().counters().rounds.get();
    thread::sleep(Duration::from_millis(200));
    assert!(shard.handle().counters().rounds.get() < rounds + 10);
    shard.stop();
}

#[test]
fn a_burst_leaves_in_one_call() {
    let (shard, _notices, client) = start(Echo::default());
    client.send(&[BURST; 700]).unwrap();
    let mut buffer = [0; 2_048];
    for _ in 0..10 {
        assert_eq!(client.recv(&mut buffer).unwrap(), 700);
    }
    let counters = shard.handle().counters();
    until(|| counters.datagrams_out.get() == 10);
    assert_eq!((counters.calls_out.get(), counters.blocked.get()), (1, 0));
    shard.stop();
}

#[test]
fn questions_are_answered() {
    let (shard, _notices, _) = start(Echo::default());
    let handle = shard.handle().clone();
    block_on(async {
        for _ in 0..10 {
            assert_eq!(handle.ask(Ask::Streams).await, Ok(Told::Done));
        }
    });
    assert_eq!((handle.counters().commands.get(), handle.counters().inbox_depth.get()), (10, 0));
    shard.stop();
    let refused = block_on(handle.ask(Ask::Streams)).unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
}

#[test]
fn a_question_that_is_never_answered_ends_with_the_shard() {
    let (shard, _notices, client) = start(Echo::default());
    let handle = shard.handle().clone();
    let asked = thread::spawn(move || block_on(handle.ask(Ask::End { stream: "stream".parse().unwrap() })));
    until(|| shard.handle().counters().commands.get() == 1);
    echo(&client, &[9]);
    drop(shard);
    assert_eq!(asked.join().unwrap().unwrap_err().code, Code::Unavailable);
}

#[test]
fn a_full_inbox_refuses() {
    let (open, gate) = std_mpsc::channel();
    let (shard, _notices, _) = start(Echo { gate: Some(gate), ..Echo::default() });
    let handle = shard.handle();
    // The core holds still at the first question; the others fill the inbox.
    let mut answers = Vec::new();
    let mut put = || {
        let (answer, told) = oneshot::channel();
        answers.push(told);
        handle.put(Word::Ask { ask: Box::new(Ask::Streams), answer })
    };
    put().unwrap();
    until(|| handle.counters().commands.get() == 1);
    for _ in 0..INBOX_MAX {
        put().unwrap();
    }
    let refused = put().unwrap_err();
    assert_eq!((refused.code, refused.retry_after_ms), (Code::Unavailable, Some(COME_AGAIN_MS)));
    assert_eq!(handle.counters().inbox_depth.get(), INBOX_MAX as u64);
    assert_eq!(handle.counters().inbox_refused.get(), 1);
    open.send(()).unwrap();
    let refused = answers.pop().unwrap();
    for told in answers {
        assert_eq!(told.blocking_recv().unwrap(), Ok(Told::Done));
    }
    assert!(refused.blocking_recv().is_err());
    assert_eq!(handle.counters().inbox_depth.get(), 0);
    shard.stop();
}

#[test]
fn a_panic_costs_whoever_it_was_about() {
    let (abandoned, told) = std_mpsc::channel();
    let (shard, _notices, client) = start(Echo { abandoned: Some(abandoned), ..Echo::default() });
    client.send(&[PANIC]).unwrap();
    assert_eq!(told.recv_timeout(BROKEN).unwrap(), Some(Suspect::Address(client.local_addr().unwrap())));
    echo(&client, &[9]);
    assert!(shard.handle().is_well());
    client.send(&[PANIC_LATER]).unwrap();
    assert_eq!(told.recv_timeout(BROKEN).unwrap(), None);
    echo(&client, &[9]);
    let failure = block_on(shard.handle().ask(stop())).unwrap_err();
    assert_eq!(failure.code, Code::Unavailable);
    assert_eq!(told.recv_timeout(BROKEN).unwrap(), None);
    echo(&client, &[9]);
    // Once is an accident.
    assert_eq!(shard.handle().counters().panics.get(), 3);
    assert!(!shard.handle().is_well());
    shard.stop();
}

#[test]
fn others_of_a_batch_are_served_after_a_panic() {
    let (shard, _notices, client) = start(Echo::default());
    let other = client.try_clone().unwrap();
    for _ in 0..50 {
        client.send(&[PANIC]).unwrap();
        client.send(&[9]).unwrap();
    }
    let mut buffer = [0; 2_048];
    for _ in 0..50 {
        assert_eq!(other.recv(&mut buffer).unwrap(), 1);
    }
    assert_eq!(shard.handle().counters().panics.get(), 50);
    shard.stop();
}

#[test]
fn nobody_hears_and_nothing_but_old_states_is_lost() {
    let (shard, mut notices, client) = start(Echo::default());
    let handle = shard.handle();
    block_on(async {
        for key in 0..2_000 {
            // A full inbox cannot be: each is awaited.
            handle.ask(watch(key)).await.unwrap();
        }
    });
    echo(&client, &[9]);
    let counters = handle.counters();
    assert_eq!(counters.notices.get(), 2_000 * 101);
    assert_eq!(counters.notices_dropped.get(), 0);
    until(|| counters.notices_depth.get() > 0);
    let mut heard = std::collections::HashMap::new();
    block_on(async {
        for _ in 0..4_000 {
            let (session, notice) = tokio::time::timeout(BROKEN, notices.recv()).await.unwrap().unwrap();
            assert!(heard.insert(session, notice).is_none());
        }
    });
    assert!(heard.iter().all(|(session, notice)| match notice {
        Notice::State(state) => session.relay == 0 && state.viewers == 99,
        notice => session.relay == 1 && *notice == Notice::Ended(Ended::Stopped),
    }));
    assert_eq!(counters.notices_merged.get(), 2_000 * 99);
    until(|| counters.notices_depth.get() == 0);
    shard.stop();
}

#[test]
fn what_comes_through_pipes_reaches_the_core_and_its_news_whoever_hears_them() {
    let socket = Socket::bind("127.0.0.1:0".parse().unwrap(), Options::default()).unwrap();
    let (news, mut heard) = mpsc::channel(2);
    let (shard, _notices) = Shard::start(Config::default(), socket.into(), Echo::default(), news).unwrap();
    let word = || Delivered::Up(crate::carry::Up::Want(Vec::new()));
    for pipe in 0..10 {
        shard.handle().deliver(PipeId(pipe), word()).unwrap();
    }
    // Whoever hears them late loses none.
    until(|| heard.len() == 2);
    block_on(async {
        for pipe in 0..10 {
            let (_, news) = tokio::time::timeout(BROKEN, heard.recv()).await.unwrap().unwrap();
            assert_eq!(news, FeedNews::Over(PipeId(pipe)));
        }
    });
    // A word at which the core panics is not its last.
    shard.handle().deliver(PipeId(1), Delivered::Down(crate::carry::Down::Over)).unwrap();
    shard.handle().deliver(PipeId(99), word()).unwrap();
    let news = block_on(async { tokio::time::timeout(BROKEN, heard.recv()).await }).unwrap().unwrap().1;
    assert_eq!(news, FeedNews::Over(PipeId(99)));
    assert_eq!(shard.handle().counters().panics.get(), 1);
    let handle = shard.handle().clone();
    shard.stop();
    assert_eq!(handle.deliver(PipeId(1), word()), Err(Blocked::Closed));
}
