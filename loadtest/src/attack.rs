//! One run: users as goose users, its phases, and what is known at its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use goose::{
    GooseAttack,
    config::GooseConfiguration,
    goose::{GooseUser, Scenario, Transaction, TransactionFunction},
    metrics::GooseMetrics,
};

use crate::{
    arguments::Arguments,
    backend,
    client::{Client, Outcome},
    figures::{Figures, Measure},
    generator::Generator,
    objective::Objective,
    places::Places,
    process,
    report::Summary,
    run::{Phase, Run},
    watch::{self, Watched},
};

pub struct Prepared {
    run: Arc<Run>,
    objectives: Vec<Objective>,
    threads: usize,
}

/// Looks at everything that can be looked at before anybody is loaded.
pub fn prepare(arguments: &Arguments) -> anyhow::Result<Prepared> {
    let profile = arguments.profile()?;
    let objectives = arguments.objectives(&profile);
    let users = profile.users_in_all();
    let places = Places::find(&arguments.host, users, arguments.sources, arguments.allow_remote)?;
    process::provide_files(users).map_err(anyhow::Error::msg)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = arguments.threads.unwrap_or(cores).clamp(1, 64);
    // Runs beside each other, and after each other, are in different rooms.
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let id = crate::schedule::mixed(nanos ^ u64::from(std::process::id())) as u32;
    let run = Arc::new(Run::new(id, profile, places, arguments.tokens()));
    Ok(Prepared { run, objectives, threads })
}

pub fn run(arguments: &Arguments, prepared: Prepared) -> anyhow::Result<Summary> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(prepared.threads)
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(attack(arguments, prepared))
}

async fn attack(arguments: &Arguments, prepared: Prepared) -> anyhow::Result<Summary> {
    let Prepared { run, objectives, threads } = prepared;
    let watch = tokio::spawn(watch::watch(Arc::clone(&run), arguments.pid, arguments.quiet));
    let phases = tokio::spawn(phases(Arc::clone(&run)));
    let metrics = Box::pin(goose(arguments, &run)).await?;
    phases.abort();
    run.enter(Phase::Over);
    let watched = watch.await.context("the watch ended early")?;
    Ok(summary(arguments, &run, &objectives, threads, watched, &metrics))
}

/// How long users may take to come in before the load begins without them.
const GATHER_BESIDE: Duration = Duration::from_secs(30);
/// Every user looks at the phase once in this time.
const LOOK_US: u64 = 1_000_000;

async fn phases(run: Arc<Run>) {
    let users = run.profile.users_in_all();
    let hatching = Duration::from_secs_f64(f64::from(users) / f64::from(run.profile.hatch_rate));
    let late = tokio::time::Instant::now() + hatching + GATHER_BESIDE;
    while run.arrived.load(Ordering::Relaxed) < users && tokio::time::Instant::now() < late {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // By then everybody has seen it.
    let start_us = run.now_us() + LOOK_US + LOOK_US / 4;
    let stop_us = start_us + u64::from(run.profile.run_time_s) * 1_000_000;
    run.enter(Phase::Loading { start_us, stop_us });
    tokio::time::sleep_until(run.moment(stop_us)).await;
    run.enter(Phase::Settling { until_us: stop_us + u64::from(run.profile.settle_s) * 1_000_000 });
}

async fn goose(arguments: &Arguments, run: &Arc<Run>) -> anyhow::Result<GooseMetrics> {
    let profile = &run.profile;
    let mut configuration = GooseConfiguration::default();
    configuration.host = Some(run.places.host.to_string());
    configuration.users = Some(run.profile.users_in_all() as usize);
    configuration.increase_rate = Some(profile.hatch_rate.to_string());
    // Every user lives once, and goose ends with the last of them. Without an end of its own it counts from the first second.
    configuration.iterations = Some(1);
    configuration.no_transaction_metrics = true;
    configuration.no_scenario_metrics = true;
    configuration.no_print_metrics = true;
    // Nothing listens on this machine because of a load test.
    configuration.no_telnet = true;
    configuration.no_websocket = true;
    configuration.report_file =
        arguments.goose_report_file.iter().map(|path| path.display().to_string()).collect();
    configuration.quiet = 3;
    let mut attack = GooseAttack::initialize_with_config(configuration).context("goose")?;
    if profile.users > 0 {
        attack = attack.register_scenario(scenario("users", profile.users, keeping_a_connection(run))?);
    }
    if let Some(api) = &profile.api {
        attack = attack.register_scenario(scenario("backends", api.users, using_the_api(run))?);
    }
    Box::pin(attack.execute()).await.context("goose")
}

fn scenario(name: &str, users: u32, life: TransactionFunction) -> anyhow::Result<Scenario> {
    let scenario = Scenario::new(name).set_weight(users as usize).context("goose")?;
    Ok(scenario.register_transaction(Transaction::new(life)))
}

/// A user from its first connection to its last.
fn keeping_a_connection(run: &Arc<Run>) -> TransactionFunction {
    let (run, numbers) = (Arc::clone(run), Arc::new(AtomicU32::new(0)));
    Arc::new(move |user| {
        let (run, numbers) = (Arc::clone(&run), Arc::clone(&numbers));
        Box::pin(async move {
            let mut client = Client::new(&run, numbers.fetch_add(1, Ordering::Relaxed));
            client.begin().await;
            run.arrived.fetch_add(1, Ordering::Relaxed);
            live(&run, &mut client, user).await;
            client.end().await;
            report(client.take_outcomes(), user).await;
            Ok(())
        })
    })
}

/// How often a user that waits for its last deliveries looks whether there is still something to wait for.
const SETTLE_LOOK_US: u64 = 100_000;
/// Deliveries that nobody is owed, doubled ones, come so soon after the others.
const SETTLE_LEAST_US: u64 = 300_000;

async fn live(run: &Run, client: &mut Client, user: &mut GooseUser) {
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
                let until_us =
                    if now_us < stop_us { (now_us + LOOK_US).min(stop_us) } else { now_us + SETTLE_LOOK_US };
                client.live(until_us).await;
            }
            Phase::Settling { until_us } => {
                client.rest();
                let settled = client.is_settled() && run.under_way.load(Ordering::Relaxed) == 0;
                settled_us = if settled { settled_us.or(Some(now_us)) } else { None };
                let enough = settled_us.is_some_and(|since_us| now_us > since_us + SETTLE_LEAST_US);
                if enough || now_us >= until_us {
                    return;
                }
                client.live((now_us + SETTLE_LOOK_US).min(until_us)).await;
            }
            Phase::Over => return,
        }
        report(client.take_outcomes(), user).await;
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

fn using_the_api(run: &Arc<Run>) -> TransactionFunction {
    let (run, numbers) = (Arc::clone(run), Arc::new(AtomicU32::new(0)));
    Arc::new(move |user| {
        let (run, numbers) = (Arc::clone(&run), Arc::clone(&numbers));
        Box::pin(async move {
            let backend = backend::Backend::new(&run, numbers.fetch_add(1, Ordering::Relaxed));
            if !backend::Backend::prepare(user).await {
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

fn summary(
    arguments: &Arguments,
    run: &Run,
    objectives: &[Objective],
    threads: usize,
    watched: Watched,
    metrics: &GooseMetrics,
) -> Summary {
    let account = run.account();
    let figures = &watched.figures;
    let seconds = run.elapsed().as_secs_f64();
    let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let mut generator = Generator {
        cpu_seconds: process::cpu_seconds(std::process::id()).unwrap_or_default(),
        seconds,
        threads,
        tick_late_p99_us: watched.tick_late_p99_us,
        tick_late_max_us: watched.tick_late_max_us,
        started: load(&run.started),
        started_late: load(&run.started_late),
        out_of_files: load(&run.out_of_files),
        out_of_ports: load(&run.out_of_ports),
        disagrees: disagreement(figures, metrics),
        notes: Vec::new(),
    };
    generator.judge();
    Summary {
        profile: arguments.profile.clone(),
        about: run.profile.about.clone(),
        host: run.places.host.to_string(),
        users: run.profile.users_in_all(),
        began_ms: run.began_ms(),
        seconds,
        times: figures.summary(),
        examples: run.examples(),
        failures: figures.failure_list(),
        objectives: objectives.iter().map(|objective| objective.judge(figures, &account)).collect(),
        account,
        generator,
        timeline: watched.timeline,
    }
}

/// Goose counts what we count; where it does not, neither can be believed.
fn disagreement(figures: &Figures, metrics: &GooseMetrics) -> Option<String> {
    let differing = Measure::ALL.iter().filter(|measure| measure.is_request() && **measure != Measure::Poll);
    let differing = differing.filter_map(|measure| {
        let ours = figures.count(*measure) + figures.failures_of(*measure);
        let named = metrics.requests.values().filter(|request| request.path == measure.name());
        let theirs: u64 = named.map(|request| (request.success_count + request.fail_count) as u64).sum();
        (ours != theirs).then(|| format!("{} {ours} by ours, {theirs} by goose's", measure.name()))
    });
    let differing: Vec<String> = differing.collect();
    (!differing.is_empty()).then(|| format!("counts of requests differ: {}", differing.join("; ")))
}
