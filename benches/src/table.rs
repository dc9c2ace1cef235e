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

/// Writes the table into the README and returns it.
pub(crate) fn write(benches: &Path) -> anyhow::Result<String> {
    let table = table(&benches.join("results"))?;
    let path = benches.join("README.md");
    let readme = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    fs::write(&path, replaced(&readme, &table)?)?;
    Ok(table)
}

fn replaced(readme: &str, table: &str) -> anyhow::Result<String> {
    let (before, rest) = readme.split_once(BEGIN).with_context(|| format!("no {BEGIN} in the README"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no {END} in the README"))?;
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

/// What is put side by side, and under which names.
struct Columns {
    field: Field,
    peers: &'static [(Contender, &'static str)],
}

const TABLES: [Columns; 3] = [
    Columns {
        field: Field::Servers,
        peers: &[(Contender::Node, "Node"), (Contender::Socketioxide, "socketioxide")],
    },
    Columns { field: Field::Relays, peers: &[(Contender::Webrtc, "`webrtc`"), (Contender::Janus, "janus")] },
    Columns { field: Field::Proxies, peers: &[(Contender::Nginx, "nginx")] },
];

fn table(results: &Path) -> anyhow::Result<String> {
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
            let _ = writeln!(
                origins,
                "- `{}`: `{}`, {} rounds, commit {}, {}; {} cores, {}, Linux {}",
                run.scenario,
                run.command,
                run.rounds,
                run.commit,
                run.date,
                run.machine.cores,
                run.machine.cpu,
                run.machine.kernel
            );
        }
        rows.push('\n');
    }
    Ok(format!("{rows}Median (lowest to highest). Where each row comes from:\n\n{origins}"))
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

fn spelled(spread: &Spread) -> String {
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
    format!("{median:.places$} ({min:.places$} to {max:.places$})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let readme = "before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n";
        let written = replaced(readme, "new\n").unwrap();
        assert_eq!(written, "before\n<!-- table -->\nnew\n<!-- end of table -->\nafter\n");
        assert_eq!(replaced(&written, "new\n").unwrap(), written);
        assert!(replaced("no markers", "new\n").is_err());
    }
}
