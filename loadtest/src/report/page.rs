//! The report as one page of HTML: its styles and plots within it, no script, nothing fetched from anywhere.

use std::fmt::Write as _;

use super::{
    Summary,
    plot::{Line, plot, plot_over},
    table::{beside_the_server, grouped},
};
use crate::{
    figures::{SHARES, Second, Times},
    objective::duration,
};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;\
background:#fff}table{border-collapse:collapse;margin:1rem 0;width:100%}th,td{padding:.25rem .6rem;text-align:right;\
border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}.missed{color:#b00020;font-weight:600}\
.held{color:#00632b}figure{margin:1.5rem 0}figcaption{font-weight:600}svg{width:100%;height:auto;font-size:11px}\
.grid{stroke:#ddd}svg text{fill:currentColor}.note{border-left:4px solid #d55e00;padding:.3rem .8rem}\
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}th,td{border-color:#333}.grid{stroke:#333}\
.held{color:#4cc38a}.missed{color:#ff6b81}}";

pub fn page(summary: &Summary) -> String {
    let profile = escaped(&summary.profile);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{profile}</title><style>{STYLE}</style></head><body>\n<h1>{profile}</h1>\n\
         <p>{}</p><p>{} users against {}, {:.0} s.</p>\n",
        escaped(&summary.about),
        summary.users,
        escaped(&summary.host),
        summary.seconds
    );
    let verdict = summary.verdict();
    let class = if verdict == super::Verdict::Held { "held" } else { "missed" };
    let _ = writeln!(page, "<p class=\"{class}\">{}</p>", verdict.sentence());
    for note in &summary.generator.notes {
        let _ = writeln!(page, "<p class=\"note\">{}</p>", escaped(note));
    }
    rows(
        &mut page,
        &["objective", "found", ""],
        summary.objectives.iter().map(|outcome| {
            let (class, word) = if outcome.held { ("held", "held") } else { ("missed", "missed") };
            vec![
                escaped(&outcome.objective),
                escaped(&outcome.found),
                format!("<span class=\"{class}\">{word}</span>"),
            ]
        }),
    );
    rows(
        &mut page,
        &["", "count", "failed", "p50", "p90", "p99", "p99.9", "max"],
        summary.times.iter().map(|times| {
            let us = [times.p50_us, times.p90_us, times.p99_us, times.p999_us, times.max_us];
            let mut row = vec![
                format!("<abbr title=\"{}\">{}</abbr>", times.about, times.name),
                grouped(times.count),
                grouped(times.failed),
            ];
            row.extend(us.map(duration));
            row
        }),
    );
    account(&mut page, summary);
    rows(
        &mut page,
        &["failed", "why", "count"],
        summary.failures.iter().map(|one| vec![one.what.to_owned(), escaped(&one.why), grouped(one.count)]),
    );
    curves(&mut page, &summary.times);
    plots(&mut page, &summary.timeline);
    failures(&mut page, summary);
    let generator = &summary.generator;
    let _ = writeln!(
        page,
        "<p>The generator used {:.1} s of CPU in {:.1} s{} and woke up {} late at most.</p></body></html>",
        generator.cpu_seconds,
        generator.seconds,
        beside_the_server(generator),
        duration(generator.tick_late_max_us)
    );
    page
}

fn account(page: &mut String, summary: &Summary) {
    let account = &summary.account;
    if account.sent + account.delivered + account.frames_published == 0 {
        return;
    }
    let counts = [
        ("sent", account.sent),
        ("acknowledged", account.acknowledged),
        ("refused", account.refused),
        ("unanswered", account.unanswered),
        ("delivered", account.delivered),
        ("lost", account.lost),
        ("doubled", account.doubled),
        ("out of order", account.disordered),
        ("altered", account.altered),
        ("late", account.late),
        ("rooms begun anew", account.resyncs),
        ("of others", account.foreign),
        ("pictures published", account.frames_published),
        ("pictures shown", account.frames),
        ("pictures lost", account.frames_lost),
    ];
    rows(
        page,
        &["messages", ""],
        counts.iter().map(|(name, count)| vec![(*name).to_owned(), grouped(*count)]),
    );
    if !summary.examples.is_empty() {
        page.push_str("<ul>");
        for example in &summary.examples {
            let _ = write!(page, "<li>{}</li>", escaped(example));
        }
        page.push_str("</ul>\n");
    }
}

fn plots(page: &mut String, timeline: &[Second]) {
    let line =
        |name, of: &dyn Fn(&Second) -> Option<f64>| Line { name, values: timeline.iter().map(of).collect() };
    let ms = |us: Option<u64>| us.map(|us| us as f64 / 1_000.0);
    let latency = [
        line("p50", &|second| ms(second.delivery_p50_us)),
        line("p99", &|second| ms(second.delivery_p99_us)),
        line("max", &|second| ms(second.delivery_max_us)),
    ];
    page.push_str(&plot("Time from due to delivered", "ms", &latency));
    page.push_str(&plot(
        "Time from due to acknowledged, p99",
        "ms",
        &[line("send", &|second| ms(second.send_p99_us))],
    ));
    let rates = [
        line("deliveries", &|second| Some(second.deliveries as f64)),
        line("requests", &|second| Some(second.requests as f64)),
    ];
    page.push_str(&plot("A second", "", &rates));
    let frame = [line("p99", &|second| ms(second.frame_p99_us))];
    page.push_str(&plot("Time from a picture's due to whole", "ms", &frame));
    page.push_str(&plot("Pictures a second", "", &[line("shown", &|second| Some(second.frames as f64))]));
    page.push_str(&plot("Freezes a second", "", &[line("freezes", &|second| Some(second.freezes as f64))]));
    page.push_str(&plot("Connected users", "", &[line("users", &|second| Some(second.connected as f64))]));
    let cpu = [
        line("server", &|second| second.server_cpu.map(|share| share * 100.0)),
        line("generator", &|second| Some(second.own_cpu * 100.0)),
    ];
    page.push_str(&plot("CPU, of one core", "%", &cpu));
    let memory = |second: &Second| second.server_memory_bytes.map(|bytes| bytes as f64 / 1e6);
    page.push_str(&plot("Memory of the server", "MB", &[line("resident", &memory)]));
}

/// How long things took, as a curve over percentiles.
fn curves(page: &mut String, times: &[Times]) {
    let names = SHARES.map(|(_, name)| name);
    for times in times.iter().filter(|times| times.count > 1) {
        let values = times.curve_us.iter().map(|us| Some(*us as f64 / 1_000.0)).collect();
        let title = format!("Percentiles of {}", times.name);
        page.push_str(&plot_over(&title, "ms", &[Line { name: times.name, values }], &names));
    }
}

/// Kinds of failures that are drawn, the most frequent.
const KINDS_MAX: usize = 6;

/// What failed over time. Its reasons are sentences, so each has a plot of its own.
fn failures(page: &mut String, summary: &Summary) {
    for kind in summary.failures.iter().take(KINDS_MAX) {
        let in_second = |second: &Second| {
            let same = second.failures.iter().filter(|one| one.what == kind.what && one.why == kind.why);
            Some(same.map(|one| one.count).sum::<u64>() as f64)
        };
        let line = Line { name: kind.what, values: summary.timeline.iter().map(in_second).collect() };
        let title = escaped(&format!("Failed, a second: {}, {}", kind.what, kind.why));
        page.push_str(&plot(&title, "", &[line]));
    }
}

fn rows(page: &mut String, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    page.push_str("<table><tr>");
    for head in heads {
        let _ = write!(page, "<th>{head}</th>");
    }
    page.push_str("</tr>\n");
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            let _ = write!(page, "<td>{cell}</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
