//! One run: users as goose users, its phases, and what is known at its end.

mod lives;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use goose::{
    GooseAttack,
    client::GooseClientBuilder,
    config::GooseConfiguration,
    goose::{Scenario, Transaction, TransactionFunction},
    metrics::GooseMetrics,
};

use crate::{
    arguments::Arguments,
    client,
    generator::{self, Generator},
    media,
    objective::Objective,
    parts::{self, Part, child, parent, parent::Ended},
    places::{self, Places},
    process,
    profile::Profile,
    report::{self, Summary},
    run::{Phase, Run},
    schedule, server,
    threads::{self, Threads},
    tls,
    watch::{self, Progress, Watched},
};

use lives::{LOOK_US, Life, keeping_a_connection, using_the_api, with_media};

pub struct Prepared {
    run: Arc<Run>,
    objectives: Vec<Objective>,
    threads: usize,
    sources: Vec<server::Source>,
}

impl Prepared {
    /// Whether all threads are one runtime.
    fn is_shared(&self) -> bool {
        self.run.users() == 0 || self.run.profile.video.is_some()
    }

    /// Where users with a connection live.
    fn threads(&self) -> anyhow::Result<Arc<Threads>> {
        let count = if self.is_shared() { 1 } else { self.threads };
        Ok(Arc::new(Threads::begin(count).context("no threads")?))
    }
}

/// Looks at everything that can be looked at before anybody is loaded.
pub fn prepare(arguments: &Arguments) -> anyhow::Result<Prepared> {
    let profile = arguments.profile()?;
    let objectives = arguments.objectives(&profile);
    let users = profile.users_in_all();
    let places = Places::find(&arguments.host, users, arguments.sources, arguments.allow_remote)?;
    let part = arguments.part.unwrap_or(Part::WHOLE);
    // Whoever starts the parts has no connections.
    process::provide_files(users.div_ceil(part.of.max(arguments.processes))).map_err(anyhow::Error::msg)?;
    let threads = arguments.threads.unwrap_or_else(|| threads_for(&profile, part)).clamp(1, 64);
    process::can_kill(&arguments.kill).map_err(anyhow::Error::msg)?;
    // Runs beside each other, and after each other, are in different rooms.
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let id = arguments.run_id.unwrap_or(schedule::mixed(nanos ^ u64::from(std::process::id())) as u32);
    let sources = sources(arguments)?;
    if arguments.part.is_none() {
        let files = [&arguments.report_file, &arguments.json_file, &arguments.goose_report_file];
        report::can_write(&files.map(Option::as_deref))?;
    }
    let tls = tls::configuration(arguments.ca.as_deref())?;
    let run = Arc::new(Run::new(id, part, profile, places, arguments.tokens()?, tls));
    Ok(Prepared { run, objectives, threads, sources })
}

/// As many as the load needs: what is shared among more than that wakes more often for less.
fn threads_for(profile: &Profile, part: Part) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let most = cores.div_ceil(part.of as usize);
    if profile.video.is_some() {
        return most;
    }
    let share = profile.generator_us_a_second() / u64::from(part.of) / THREAD_US_A_SECOND;
    most.min(1 + share as usize)
}

/// Of a thread that has time for what comes at once.
const THREAD_US_A_SECOND: u64 = 500_000;

fn sources(arguments: &Arguments) -> anyhow::Result<Vec<server::Source>> {
    let mut sources: Vec<server::Source> =
        arguments.pid.iter().copied().map(server::Source::Process).collect();
    for address in &arguments.metrics {
        let (mut url, _) = places::look_up("--metrics", address, arguments.allow_remote)?;
        if url.path() == "/" {
            url.set_path("/metrics");
        }
        sources.push(server::Source::Metrics(url));
    }
    Ok(sources)
}

/// Nothing to say for one of several processes: it has told the first.
pub fn run(arguments: &Arguments, prepared: Prepared) -> anyhow::Result<Option<Summary>> {
    // Pictures cost CPU, and one thread could not make them all; messages cost the system's time, and threads that share them more of it.
    let is_shared = prepared.is_shared();
    let runtime = if is_shared { threads::sharing(prepared.threads) } else { threads::one() };
    let runtime = runtime.context("no runtime")?;
    let summary = runtime.block_on(async {
        if arguments.part.is_none() {
            look_around(&prepared).await.map_err(anyhow::Error::msg)?;
        }
        match (arguments.part, arguments.processes) {
            (Some(_), _) => part(arguments, prepared).await.map(|()| None),
            (None, 1) => alone(arguments, prepared).await.map(Some),
            (None, of) => together(arguments, prepared, of).await.map(Some),
        }
    });
    // What still hangs in the system is not waited for.
    runtime.shutdown_background();
    summary
}

/// Whether there is somebody to load, and to watch.
async fn look_around(prepared: &Prepared) -> Result<(), String> {
    let run = &prepared.run;
    server::check(&prepared.sources, &run.tokens.admin(), run.tls.config()).await?;
    client::knock(run).await
}

async fn alone(arguments: &Arguments, prepared: Prepared) -> anyhow::Result<Summary> {
    let homes = prepared.threads()?;
    let Prepared { run, objectives, threads, sources } = prepared;
    let server = server::watch(sources, run.tokens.admin(), Arc::clone(run.tls.config()));
    let watch = tokio::spawn(watch::watch(Arc::clone(&run), server, Progress::new(arguments.quiet)));
    let phases = tokio::spawn(phases(Arc::clone(&run), arguments.kill.clone()));
    let metrics = Box::pin(goose(arguments, &run, homes)).await?;
    phases.abort();
    run.enter(Phase::Over);
    let watched = watch.await.context("the watch ended early")?;
    let ended = ended(&run, threads, &watched, &metrics);
    Ok(summary(arguments, &run, &objectives, watched, ended))
}

/// One of several processes.
async fn part(arguments: &Arguments, prepared: Prepared) -> anyhow::Result<()> {
    let homes = prepared.threads()?;
    let Prepared { run, threads, .. } = prepared;
    child::follow(&run);
    let watch = tokio::spawn(watch::watch(Arc::clone(&run), server::unknown(), watch::Told));
    let metrics = Box::pin(goose(arguments, &run, homes)).await?;
    run.enter(Phase::Over);
    let watched = watch.await.context("the watch ended early")?;
    let Ended { account, examples, generator } = ended(&run, threads, &watched, &metrics);
    child::tell(&parts::Told::End { account, examples, generator: Box::new(generator) });
    Ok(())
}

/// The process that the others tell.
async fn together(arguments: &Arguments, prepared: Prepared, of: u32) -> anyhow::Result<Summary> {
    let Prepared { run, objectives, sources, .. } = prepared;
    let server = server::watch(sources, run.tokens.admin(), Arc::clone(run.tls.config()));
    let watch = tokio::spawn(watch::watch(Arc::clone(&run), server, Progress::new(arguments.quiet)));
    let phases = tokio::spawn(phases(Arc::clone(&run), arguments.kill.clone()));
    let mut ended = parent::load(&run, of).await?;
    phases.abort();
    run.enter(Phase::Over);
    let watched = watch.await.context("the watch ended early")?;
    ended.generator.server_cpu_seconds = watched.server_cpu_seconds;
    ended.generator.judge();
    Ok(summary(arguments, &run, &objectives, watched, ended))
}

/// How long users may take to come in before the load begins without them.
const GATHER_BESIDE: Duration = Duration::from_secs(30);
async fn phases(run: Arc<Run>, to_kill: Vec<u32>) {
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
    if !to_kill.is_empty() {
        tokio::time::sleep_until(run.moment(start_us.midpoint(stop_us))).await;
        for pid in to_kill {
            process::kill(pid);
        }
    }
    tokio::time::sleep_until(run.moment(stop_us)).await;
    run.enter(Phase::Settling { until_us: stop_us + u64::from(run.profile.settle_s) * 1_000_000 });
}

async fn goose(arguments: &Arguments, run: &Arc<Run>, homes: Arc<Threads>) -> anyhow::Result<GooseMetrics> {
    let mut configuration = GooseConfiguration::default();
    configuration.host = Some(run.places.host().to_string());
    let users = run.users() + run.backends() + run.streams() + run.viewers();
    configuration.users = Some(users as usize);
    configuration.increase_rate =
        Some((f64::from(run.profile.hatch_rate) / f64::from(run.part.of)).to_string());
    // Every user lives once, and goose ends with the last of them. Without an end of its own it counts from the first second.
    configuration.iterations = Some(1);
    configuration.no_transaction_metrics = true;
    configuration.no_scenario_metrics = true;
    configuration.no_print_metrics = true;
    // Nothing listens on this machine because of a load test.
    configuration.no_telnet = true;
    configuration.report_file =
        arguments.goose_report_file.iter().map(|path| own_file(path, run.part)).collect();
    configuration.quiet = 3;
    let mut attack = GooseAttack::initialize_with_config(configuration).context("goose")?;
    // Whoever asks for something over HTTP makes a client of their own; for the others one would read all certificates of the machine.
    attack = attack
        .set_client_builder_without_cookies(GooseClientBuilder::new().without_cookies())
        .context("goose")?;
    if run.users() > 0 {
        attack = attack.register_scenario(scenario("users", run.users(), keeping_a_connection(run, homes))?);
    }
    if run.backends() > 0 {
        attack = attack.register_scenario(scenario("backends", run.backends(), using_the_api(run))?);
    }
    if run.streams() > 0 {
        let publish: Life = |run, user, number| Box::pin(media::publish(run, user, number));
        attack = attack.register_scenario(scenario("publishers", run.streams(), with_media(run, publish))?);
    }
    if run.viewers() > 0 {
        let watch: Life = |run, user, number| Box::pin(media::watch(run, user, number));
        attack = attack.register_scenario(scenario("viewers", run.viewers(), with_media(run, watch))?);
    }
    Box::pin(attack.execute()).await.context("goose")
}

/// Each process has a report of its own.
fn own_file(path: &std::path::Path, part: Part) -> String {
    if part == Part::WHOLE {
        return path.display().to_string();
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_extension(format!("{}.{extension}", part.index)).display().to_string()
}

fn scenario(name: &str, users: u32, life: TransactionFunction) -> anyhow::Result<Scenario> {
    let scenario = Scenario::new(name).set_weight(users as usize).context("goose")?;
    Ok(scenario.register_transaction(Transaction::new(life)))
}

/// What this process came to.
fn ended(run: &Run, threads: usize, watched: &Watched, metrics: &GooseMetrics) -> Ended {
    let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let counted = |name: &str| {
        let named = metrics.requests.values().filter(|request| request.path == name);
        named.map(|request| (request.success_count + request.fail_count) as u64).sum()
    };
    let mut generator = Generator {
        cpu_seconds: process::cpu_seconds(std::process::id()).unwrap_or_default(),
        seconds: run.elapsed().as_secs_f64(),
        server_cpu_seconds: watched.server_cpu_seconds,
        threads,
        tick_late_p99_us: watched.tick_late_p99_us,
        tick_late_max_us: watched.tick_late_max_us,
        started: load(&run.started),
        started_late: load(&run.started_late),
        out_of_files: load(&run.out_of_files),
        out_of_ports: load(&run.out_of_ports),
        disagrees: generator::disagreement(&watched.figures, counted),
        notes: Vec::new(),
    };
    generator.judge();
    Ended { account: run.account(), examples: run.examples(), generator }
}

fn summary(
    arguments: &Arguments,
    run: &Run,
    objectives: &[Objective],
    watched: Watched,
    ended: Ended,
) -> Summary {
    let Ended { account, examples, generator } = ended;
    let figures = &watched.figures;
    Summary {
        profile: arguments.profile.clone(),
        about: run.profile.about.clone(),
        host: run.places.names(),
        users: run.profile.users_in_all(),
        processes: arguments.processes,
        began_ms: run.began_ms(),
        seconds: run.elapsed().as_secs_f64(),
        times: figures.summary(),
        examples,
        failures: figures.failure_list(),
        objectives: objectives.iter().map(|objective| objective.judge(figures, &account)).collect(),
        account,
        generator,
        timeline: watched.timeline,
    }
}
