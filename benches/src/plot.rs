//! Curves as SVG: cost over size, a line for each who was measured, with the range of its rounds.

mod axis;
mod look;

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;
use axis::Axis;
pub(crate) use axis::spelled;

use crate::{
    results::{Run, Spread},
    scenario::sweep::{self, Curve},
    server::Contender,
};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 610.0;
const TOP: f64 = 52.0;
const BOTTOM: f64 = 340.0;

/// Below `docs/`, beside the page that shows them.
pub(crate) const FOLDER: &str = "plots";

pub(crate) fn file_name(scenario: &str, curve: &Curve) -> String {
    format!("{scenario}-{}.svg", curve.key.replace('_', "-"))
}

/// One line of a drawing.
struct Line {
    contender: Contender,
    /// By size, ascending.
    points: Vec<(f64, Spread)>,
}

/// Draws every curve there are results for, and returns the names of the files.
pub(crate) fn write(results: &Path, docs: &Path) -> anyhow::Result<Vec<String>> {
    let folder = docs.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let mut written = Vec::new();
    for (name, drawing) in all(results)? {
        let path = folder.join(&name);
        fs::write(&path, drawing).with_context(|| path.display().to_string())?;
        written.push(name);
    }
    Ok(written)
}

/// Name and text of each.
pub(crate) fn all(results: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut drawings = Vec::new();
    for sweep in &sweep::ALL {
        let Some(run) = Run::latest(results, sweep.scenario.name)? else { continue };
        for curve in sweep.curves {
            let lines = lines(&run, curve);
            if !lines.is_empty() {
                drawings.push((file_name(sweep.scenario.name, curve), drawing(curve, &lines, &origin(&run))));
            }
        }
    }
    Ok(drawings)
}

fn origin(run: &Run) -> String {
    let rounds = if run.rounds == 1 { "1 round".into() } else { format!("{} rounds", run.rounds) };
    format!("{}, commit {}, {rounds}, server on one core of {}", run.date, run.commit, run.machine.cpu)
}

fn lines(run: &Run, curve: &Curve) -> Vec<Line> {
    let line = |contender: &Contender| {
        let points = run.sizes(*contender, curve.key);
        (!points.is_empty()).then(|| Line {
            contender: *contender,
            points: points.into_iter().map(|(size, spread)| (f64::from(size), spread)).collect(),
        })
    };
    run.contenders.keys().filter_map(line).collect()
}

fn drawing(curve: &Curve, lines: &[Line], origin: &str) -> String {
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let across = Axis::over(points().map(|(size, _)| *size), curve.is_logarithmic, LEFT, RIGHT);
    let values = points().flat_map(|(_, spread)| [spread.min, spread.max]).chain(curve.goal);
    let up = Axis::over(values, curve.is_logarithmic, BOTTOM, TOP);

    let mut svg = String::new();
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\">\n<title>{title}</title>\n{style}\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" class=\"page\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\" font-weight=\"bold\">{title}</text>\n\
         <text x=\"{LEFT}\" y=\"40\" class=\"minor\">{unit}</text>",
        style = look::style(&lines.iter().map(|line| line.contender).collect::<Vec<_>>()),
        title = escaped(curve.title),
        unit = escaped(curve.unit),
    );
    grid(&mut svg, &across, &up);
    if let Some(goal) = curve.goal {
        // Named below the others, where no line can run through it.
        let (y, x, named) = (up.place(goal), RIGHT + 16.0, legend(lines.len()));
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" class=\"turnpike goal\"/>\n\
             <line x1=\"{x}\" y1=\"{named}\" x2=\"{}\" y2=\"{named}\" class=\"turnpike goal\"/>\
             <text x=\"{}\" y=\"{}\">goal {}</text>",
            x + 20.0,
            x + 26.0,
            named + 4.0,
            spelled(goal),
        );
    }
    for (at, line) in lines.iter().enumerate() {
        draw(&mut svg, line, &across, &up);
        let (x, y) = (RIGHT + 16.0, legend(at));
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" class=\"line {}\"/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            x + 20.0,
            line.contender.name(),
            x + 26.0,
            y + 4.0,
            line.contender.name(),
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" class=\"minor\">{}</text>\n\
         <text x=\"{LEFT}\" y=\"{:.1}\" font-size=\"10\" class=\"origin\">{}</text>\n</svg>",
        f64::midpoint(LEFT, RIGHT),
        BOTTOM + 36.0,
        escaped(curve.size),
        HEIGHT - 8.0,
        escaped(origin),
    );
    svg
}

/// How high the name of the line with this number stands.
fn legend(number: usize) -> f64 {
    TOP + 14.0 + 20.0 * number as f64
}

fn grid(svg: &mut String, across: &Axis, up: &Axis) {
    for mark in up.marks() {
        let y = up.place(mark);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" class=\"grid\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" class=\"minor\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            spelled(mark),
        );
    }
    for mark in across.marks() {
        let x = across.place(mark);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{BOTTOM}\" x2=\"{x:.1}\" y2=\"{:.1}\" class=\"frame\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" class=\"minor\">{}</text>",
            BOTTOM + 5.0,
            BOTTOM + 19.0,
            spelled(mark),
        );
    }
    let _ = writeln!(svg, "<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" class=\"frame\"/>");
}

fn draw(svg: &mut String, line: &Line, across: &Axis, up: &Axis) {
    let name = line.contender.name();
    let mut way = String::new();
    for (size, spread) in &line.points {
        let (x, y) = (across.place(*size), up.place(spread.median));
        let _ = write!(way, "{x:.1},{y:.1} ");
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" class=\"dot {name}\"/>");
        if spread.max > spread.min {
            let (low, high) = (up.place(spread.min), up.place(spread.max));
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{low:.1}\" x2=\"{x:.1}\" y2=\"{high:.1}\" class=\"range {name}\"/>"
            );
        }
    }
    let _ = writeln!(svg, "<polyline points=\"{}\" class=\"line {name}\"/>", way.trim_end());
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_who_was_measured_has_a_line_within_the_frame() {
        let curve = Curve {
            key: "k",
            title: "cost & size",
            size: "members",
            unit: "CPU us",
            is_logarithmic: true,
            goal: Some(4.0),
        };
        let spread = |median: f64| Spread { median, min: median * 0.9, max: median * 1.1 };
        let line = |contender, factor: f64| Line {
            contender,
            points: [1.0, 10.0, 100.0].iter().map(|size| (*size, spread(size * factor))).collect(),
        };
        let lines = [line(Contender::Turnpike, 0.5), line(Contender::Floor, 0.1)];
        let svg = drawing(&curve, &lines, "a day, a commit");
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 6);
        assert!(
            svg.contains("goal 4") && svg.contains("cost &amp; size") && svg.contains(">turnpike<"),
            "{svg}"
        );
        for part in svg.split("cy=\"").skip(1) {
            let y: f64 = part.split('"').next().unwrap().parse().unwrap();
            assert!((TOP..=BOTTOM).contains(&y), "{y}");
        }
    }
}
