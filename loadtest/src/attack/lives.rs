//! What goose's users do: each has one life, from its first moment to its last, and goose's books are told of it.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use goose::goose::{GooseUser, TransactionFunction};

use crate::{
    backend,
    client::{Client, Outcome},
    figures::Measure,
    reader::Reader,
    run::{Phase, Run, held},
    threads::Threads,
};

/// Until the load begins every user looks once in this time whether it does.
pub(super) const LOOK_US: u64 = 1_000_000;
/// Later it knows when the load ends; it may end before that.
const LOADED_LOOK_US: u64 = 10_000_000;

/// A user from its first connection to its last. It lives on a thread of its own choice, and goose is told now and then.
pub(super) fn keeping_a_connection(run: &Arc<Run>, homes: Arc<Threads>) -> TransactionFunction {
    let (run, numbers) = (Arc::clone(run), Arc::new(AtomicU32::new(0)));
    Arc::new(move |user| {
        let (run, numbers, homes) = (Arc::clone(&run), Arc::clone(&numbers), Arc::clone(&homes));
        Box::pin(async move {
            let own = numbers.fetch_add(1, Ordering::Relaxed);
            let number = run.part.number(own);
            let rooms = run.profile.rooms.as_ref().map_or(1, |rooms| rooms.count(run.profile.users));
            let told = Told::default();
            let home = homes.of(own, number % rooms, rooms);
            let mut life = pin!(home.handle.spawn(live(
                Arc::clone(&run),
                Arc::clone(&home.reader),
                number,
                Arc::clone(&told),
            )));
            loop {
                let over = tokio::time::timeout(TELL_GOOSE, &mut life).await;
                let outcomes = std::mem::take(&mut *held(&told));
                report(outcomes, user).await;
                match over {
                    Err(_) => {}
                    Ok(Ok(())) => return Ok(()),
                    Ok(Err(_)) => {
                        run.failed(
                            number,
                            Measure::Connection,
                            "the user ended early: a fault of this program",
                        );
                        return Ok(());
                    }
                }
            }
        })
    })
}

/// What has ended and goose does not know yet.
type Told = Arc<Mutex<Vec<Outcome>>>;

/// To wake goose's users for each outcome would cost more than to send the message; nobody reads its books before the end.
const TELL_GOOSE: Duration = Duration::from_secs(10);

async fn live(run: Arc<Run>, reader: Arc<Reader>, number: u32, told: Told) {
    let mut client = Client::new(&run, &reader, number);
    client.begin().await;
    run.arrived.fetch_add(1, Ordering::Relaxed);
    follow(&run, &mut client, &told).await;
    client.end().await;
    held(&told).append(&mut client.take_outcomes());
}

/// How often a user that waits for its last deliveries looks whether there is still something to wait for.
const SETTLE_LOOK_US: u64 = 100_000;
/// Deliveries that nobody is owed, doubled ones, come so soon after the others.
const SETTLE_LEAST_US: u64 = 300_000;

/// Through all phases of the run.
async fn follow(run: &Run, client: &mut Client, told: &Told) {
    let mut planned = false;
    let mut settled_us = None;
    loop {
        let now_us = run.now_us();
        match run.phase() {
            Phase::Gathering => client.live(now_us + LOOK_US).await,
            Phase::Loading { start_us, stop_us } => {
                if !planned {
                    client.plan(start_us, stop_us);
                    planned = true;
                }
                // The phase ends a moment after its last second.
                let until_us = if now_us < stop_us {
                    (now_us + LOADED_LOOK_US).min(stop_us)
                } else {
                    now_us + SETTLE_LOOK_US
                };
                client.live(until_us).await;
            }
            Phase::Settling { until_us } => {
                client.rest();
                let settled = client.is_settled() && run.is_quiet();
                settled_us = if settled { settled_us.or(Some(now_us)) } else { None };
                let enough = settled_us.is_some_and(|since_us| now_us > since_us + SETTLE_LEAST_US);
                if enough || now_us >= until_us {
                    return;
                }
                client.live((now_us + SETTLE_LOOK_US).min(until_us)).await;
            }
            Phase::Over => return,
        }
        held(told).append(&mut client.take_outcomes());
    }
}

/// Into goose's books.
async fn report(outcomes: Vec<Outcome>, user: &mut GooseUser) {
    for outcome in outcomes {
        let Outcome { measure, us, failure } = outcome;
        // It fails when goose has stopped counting.
        let _ = user
            .record_custom_request_duration(
                "WS",
                measure.name(),
                Duration::from_micros(us),
                failure.is_none(),
                None,
                failure.as_deref(),
            )
            .await;
    }
}

pub(super) fn using_the_api(run: &Arc<Run>) -> TransactionFunction {
    let (run, numbers) = (Arc::clone(run), Arc::new(AtomicU32::new(0)));
    Arc::new(move |user| {
        let (run, numbers) = (Arc::clone(&run), Arc::clone(&numbers));
        Box::pin(async move {
            let backend =
                backend::Backend::new(&run, run.part.number(numbers.fetch_add(1, Ordering::Relaxed)));
            if !backend::Backend::prepare(&run, user).await {
                run.failed(0, Measure::Publish, "no client");
            }
            run.arrived.fetch_add(1, Ordering::Relaxed);
            let mut phases = run.phases();
            let loading = phases.wait_for(|phase| *phase != Phase::Gathering).await.map(|phase| *phase);
            if let Ok(Phase::Loading { start_us, stop_us }) = loading {
                backend.work(user, start_us, stop_us).await;
            }
            Ok(())
        })
    })
}

/// What a publisher or a viewer does from its first moment to its last.
pub(super) type Life =
    for<'a> fn(&'a Arc<Run>, &'a mut GooseUser, u32) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

pub(super) fn with_media(run: &Arc<Run>, life: Life) -> TransactionFunction {
    let (run, numbers) = (Arc::clone(run), Arc::new(AtomicU32::new(0)));
    Arc::new(move |user| {
        let (run, numbers) = (Arc::clone(&run), Arc::clone(&numbers));
        Box::pin(async move {
            let number = run.part.number(numbers.fetch_add(1, Ordering::Relaxed));
            if backend::Backend::prepare(&run, user).await {
                life(&run, user, number).await;
            } else {
                run.failed(number, Measure::Media, "no client");
                run.arrived.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })
    })
}
