//! The parts of `docs/performance.md` that are figures: made from what is recorded, so that the page can say nothing else. A
//! test holds it to that.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;

use crate::{
    goals,
    micro::Micro,
    plot,
    results::Run,
    scenario::sweep::{self, Curve},
    server::Contender,
    table, worst,
};

const PAGE: &str = "performance.md";
const VIEWERS: f64 = 50_000.0;
const CONNECTIONS: f64 = 1_000_000.0;
/// What is planned with of a core; the rest is for peaks and for what another node leaves behind.
const PLANNED_SHARE: f64 = 0.5;

/// Writes the page's figures, its plots and the table of the benches' README; returns the table of the goals.
pub(crate) fn write(benches: &Path) -> anyhow::Result<String> {
    let docs = benches.parent().context("benches/ lies in the repository")?.join("docs");
    let results = benches.join("results");
    let path = docs.join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    fs::write(&path, with_figures(&page, &results)?)?;
    plot::write(&results, &docs)?;
    table::write(benches)?;
    goals::table(&results)
}

/// The page with what is between its marks made anew.
pub(crate) fn with_figures(page: &str, results: &Path) -> anyhow::Result<String> {
    let parts = [
        ("goals", goals::table(results)?),
        ("comparison", table::table(results)?),
        ("worst", worst::table(results)?),
        ("sizes", sizes(results)?),
        ("micro", Micro::read(results)?.map_or_else(|| "Not recorded yet.\n".into(), |micro| micro.table())),
        ("connections", connections(results)?),
        ("viewers", viewers(results)?),
    ];
    let mut page = page.to_owned();
    for (name, part) in parts {
        let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- end of {name} -->"));
        page = table::replaced(&page, &begin, &end, &part)?;
    }
    Ok(page)
}

/// Every curve: the plot, and the same as numbers.
fn sizes(results: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    for sweep in &sweep::ALL {
        let Some(run) = Run::latest(results, sweep.scenario.name)? else { continue };
        for curve in sweep.curves {
            let file = plot::file_name(sweep.scenario.name, curve);
            let _ = writeln!(text, "![{}]({}/{file})\n\n{}", curve.title, plot::FOLDER, by_size(&run, curve));
        }
        let _ = writeln!(text, "{}\n", table::origin(&run));
    }
    Ok(text)
}

fn by_size(run: &Run, curve: &Curve) -> String {
    let columns: Vec<_> = run.contenders.keys().map(|one| (*one, run.sizes(*one, curve.key))).collect();
    let columns: Vec<_> = columns.into_iter().filter(|(_, sizes)| !sizes.is_empty()).collect();
    let mut sizes: Vec<u32> =
        columns.iter().flat_map(|(_, sizes)| sizes.iter().map(|(size, _)| *size)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let names: Vec<&str> = columns.iter().map(|(one, _)| one.name()).collect();
    let mut rows = format!(
        "| {} | {} |\n| --- |{}\n",
        curve.size,
        names.join(&format!(", {} | ", curve.unit)) + ", " + curve.unit,
        " --- |".repeat(names.len())
    );
    for size in sizes {
        let cells: Vec<String> = columns
            .iter()
            .map(|(_, sizes)| {
                let at = sizes.iter().find(|(at, _)| *at == size);
                at.map_or_else(|| "-".into(), |(_, spread)| table::spelled(spread))
            })
            .collect();
        let _ = writeln!(rows, "| {size} | {} |", cells.join(" | "));
    }
    rows
}

/// The median of ours, by the latest record.
pub(crate) fn ours(results: &Path, scenario: &str, key: &str) -> anyhow::Result<f64> {
    let run = Run::latest(results, scenario)?.with_context(|| format!("{scenario} is not recorded"))?;
    let spread = run.spread(Contender::Turnpike, key).with_context(|| format!("{scenario} has no {key}"))?;
    Ok(spread.median)
}

/// What a million connections would take of gateways.
fn connections(results: &Path) -> anyhow::Result<String> {
    let memory = ours(results, "idle-memory", "kilobytes_per_connection")?;
    let kernel = ours(results, "idle-memory", "kernel_kilobytes_per_socket_end")?;
    let idle = ours(results, "idle-cpu", "cpu_us_per_second")?;
    let delivery = ours(results, "fanout-paced", "cpu_seconds_per_million")?;
    let session = ours(results, "session", "cpu_seconds_per_thousand")?;
    let gigabytes = |kilobytes: f64| kilobytes * CONNECTIONS / 1024.0 / 1024.0;
    let deliveries = CONNECTIONS / 100.0 * 20.0;
    let (idle_cores, delivery_cores) = (idle * CONNECTIONS / 1e6, delivery * deliveries / 1e6);
    let cores = idle_cores + delivery_cores;
    Ok(format!(
        "| what | arithmetic | estimate |\n| --- | --- | --- |\n\
         | memory of the gateways | 1,000,000 x {memory:.2} kB | {:.1} GiB |\n\
         | memory of their kernels, for the sockets | 1,000,000 x {kernel:.2} kB | {:.1} GiB |\n\
         | cores for heartbeats | 1,000,000 x {idle:.3} us a second | {idle_cores:.2} |\n\
         | cores for messages: each hundredth user sends one a second into a room of 20 at one node | 10,000 x 20 = 200,000 deliveries x {delivery:.2} us | {delivery_cores:.2} |\n\
         | cores to have, half of them for peaks and for a node that is lost | ({idle_cores:.2} + {delivery_cores:.2}) / {PLANNED_SHARE} | {:.1} |\n\
         | CPU for all to come in once | 1,000,000 x {:.0} us | {:.0} s of a core |\n",
        gigabytes(memory),
        gigabytes(kernel),
        cores / PLANNED_SHARE,
        session * 1e3,
        session * CONNECTIONS / 1e3,
    ))
}

/// What 50,000 viewers of one stream would take of relays.
fn viewers(results: &Path) -> anyhow::Result<String> {
    let packet = ours(results, "relay-forward", "cpu_micros_per_packet_400")?;
    let memory = ours(results, "relay-forward", "resident_kilobytes_per_viewer")?;
    let join = ours(results, "relay-join", "cpu_millis_per_join")?;
    let a_second = 2_500_000.0 / 8.0 / 1_200.0;
    let packets = a_second * VIEWERS;
    let cores = packets * packet / 1e6;
    let gigabits = VIEWERS * 2.5 / 1e3;
    let relays = (gigabits / 10.0 / PLANNED_SHARE).max(cores / PLANNED_SHARE / 4.0).ceil();
    Ok(format!(
        "| what | arithmetic | estimate |\n| --- | --- | --- |\n\
         | packets a second and viewer | 2.5 Mb/s / 8 / 1,200 bytes | {a_second:.0} |\n\
         | packets a second | 50,000 x {a_second:.0} | {:.1} million |\n\
         | cores that forward | {:.1} million x {packet:.2} us | {cores:.1} |\n\
         | cores to have | {cores:.1} / {PLANNED_SHARE} | {:.0} |\n\
         | lines | 50,000 x 2.5 Mb/s | {gigabits:.0} Gb/s |\n\
         | relays of four cores and a line of 10 Gb/s, each half used | the greater of {gigabits:.0} / 5 and {:.0} / 4 | {relays:.0} |\n\
         | viewers of each | 50,000 / {relays:.0} | {:.0} |\n\
         | memory of all relays | 50,000 x {memory:.1} KB | {:.1} GiB |\n\
         | what relays send each other | {relays:.0} links x 2.5 Mb/s, one copy each | {:.2} Gb/s |\n\
         | CPU for all to join | 50,000 x {join:.2} ms | {:.0} s of a core |\n",
        packets / 1e6,
        packets / 1e6,
        cores / PLANNED_SHARE,
        cores / PLANNED_SHARE,
        VIEWERS / relays,
        VIEWERS * memory / 1024.0 / 1024.0,
        relays * 2.5 / 1e3,
        VIEWERS * join / 1e3,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn benches() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    /// `UPDATE_DOCS=1 cargo test -p turnpike-benches` makes them again.
    #[test]
    fn the_page_and_its_plots_say_what_was_recorded() {
        let results = benches().join("results");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            write(benches()).unwrap();
        }
        let docs = benches().parent().unwrap().join("docs");
        let page = fs::read_to_string(docs.join(PAGE)).unwrap();
        let wanted = with_figures(&page, &results).unwrap();
        assert!(page == wanted, "docs/performance.md: run UPDATE_DOCS=1 cargo test -p turnpike-benches");
        for (name, drawing) in plot::all(&results).unwrap() {
            let drawn = fs::read_to_string(docs.join(plot::FOLDER).join(&name)).unwrap_or_default();
            assert!(drawn == drawing, "docs/plots/{name}: run UPDATE_DOCS=1 cargo test -p turnpike-benches");
        }
        let readme = fs::read_to_string(benches().join("README.md")).unwrap();
        assert!(readme == table::with_table(&readme, &results).unwrap(), "benches/README.md: run the same");
    }
}
