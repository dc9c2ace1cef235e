//! The table in benches/README.md, made from the latest run of each scenario, between two markers.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;

use crate::{
    results::{Run, Spread},
    scenario::{self, Field, Figure},
    server::Contender,
};

const BEGIN: &str = "<!-- table -->";
const END: &str = "<!-- end of table -->";

/// Writes the table into the README.
pub(crate) fn write(benches: &Path) -> anyhow::Result<()> {
    let path = benches.join("README.md");
    let readme = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    fs::write(&path, with_table(&readme, &benches.join("results"))?)?;
    Ok(())
}

pub(crate) fn with_table(readme: &str, results: &Path) -> anyhow::Result<String> {
    replaced(readme, BEGIN, END, &table(results)?)
}

/// The text with something else between two marks.
pub(crate) fn replaced(text: &str, begin: &str, end: &str, part: &str) -> anyhow::Result<String> {
    let (before, rest) = text.split_once(begin).with_context(|| format!("the page has no {begin}"))?;
    let (_, after) = rest.split_once(end).with_context(|| format!("the page has no {end}"))?;
    Ok(format!("{before}{begin}\n{part}{end}{after}"))
}

/// What is put side by side, and under which names.
struct Columns {
    field: Field,
    peers: &'static [(Contender, &'static str)],
}

const TABLES: [Columns; 3] = [
    Columns {
        field: Field::Servers,
        peers: &[
            (Contender::Node, "Node"),
            (Contender::NodeStreams, "Node, streams"),
            (Contender::Socketioxide, "socketioxide"),
        ],
    },
    Columns { field: Field::Relays, peers: &[(Contender::Webrtc, "`webrtc`"), (Contender::Janus, "janus")] },
    Columns { field: Field::Proxies, peers: &[(Contender::Nginx, "nginx"), (Contender::Haproxy, "haproxy")] },
];

pub(crate) fn table(results: &Path) -> anyhow::Result<String> {
    let (mut rows, mut origins) = (String::new(), String::new());
    for columns in &TABLES {
        let peers: Vec<&str> = columns.peers.iter().map(|(_, name)| *name).collect();
        let peers = peers.join(" | ");
        let rule = " --- |".repeat(columns.peers.len());
        let _ = writeln!(
            rows,
            "| figure | unit | Turnpike | goal | {peers} | floor | to the best peer | to the floor |\n\
             | --- | --- | --- | --- |{rule} --- | --- | --- |"
        );
        for scenario in scenario::ALL.iter().filter(|scenario| scenario.field() == columns.field) {
            let Some(run) = Run::latest(results, scenario.name)? else { continue };
            for figure in scenario.figures {
                rows.push_str(&row(figure, &run, columns));
            }
            let _ = writeln!(origins, "- {}", origin(&run));
        }
        rows.push('\n');
    }
    Ok(format!(
        "{rows}Median (lowest to highest), or what the only round gave. Where each row comes from:\n\n{origins}"
    ))
}

/// How and when a run was made.
pub(crate) fn origin(run: &Run) -> String {
    let rounds = if run.rounds == 1 { "round" } else { "rounds" };
    format!(
        "`{}`: `{}`, {} {rounds}, commit {}, {}; {} cores, {}, Linux {}",
        run.scenario,
        run.command,
        run.rounds,
        run.commit,
        run.date,
        run.machine.cores,
        run.machine.cpu,
        run.machine.kernel
    )
}

fn row(figure: &Figure, run: &Run, columns: &Columns) -> String {
    let cell =
        |contender| run.spread(contender, figure.key).map_or_else(|| "-".into(), |spread| spelled(&spread));
    let median = |contender| run.spread(contender, figure.key).map(|spread| spread.median);
    let ratio = |of: Option<f64>, to: Option<f64>| match (of, to) {
        (Some(of), Some(to)) if to > 0.0 => format!("{:.2}", of / to),
        _ => "-".into(),
    };
    let ours = median(Contender::Turnpike);
    let best_peer = columns.peers.iter().filter_map(|(peer, _)| median(*peer)).min_by(f64::total_cmp);
    let peers: Vec<String> = columns.peers.iter().map(|(peer, _)| cell(*peer)).collect();
    let peers = peers.join(" | ");
    format!(
        "| {} | {} | {} | {} | {peers} | {} | {} | {} |\n",
        figure.title,
        figure.unit,
        cell(Contender::Turnpike),
        figure.goal.map_or_else(|| "-".into(), |goal| format!("≤ {goal}")),
        cell(Contender::Floor),
        ratio(ours, best_peer),
        ratio(ours, median(Contender::Floor)),
    )
}

pub(crate) fn spelled(spread: &Spread) -> String {
    let Spread { median, min, max } = *spread;
    // Three figures that count: more is noise.
    let places = if median >= 100.0 {
        0
    } else if median >= 10.0 {
        1
    } else if median >= 1.0 {
        2
    } else {
        3
    };
    if min.to_bits() == max.to_bits() {
        return format!("{median:.places$}");
    }
    format!("{median:.places$} ({min:.places$} to {max:.places$})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let readme = "before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n";
        let new = |text: &str| replaced(text, BEGIN, END, "new\n");
        let written = new(readme).unwrap();
        assert_eq!(written, "before\n<!-- table -->\nnew\n<!-- end of table -->\nafter\n");
        assert_eq!(new(&written).unwrap(), written);
        assert!(new("no markers").is_err());
    }
}
