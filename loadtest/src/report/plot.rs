//! A plot over time as SVG: lines, axes that end at round numbers, and names. Numbers in, text out.

use std::fmt::Write as _;

pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    /// A gap where there is nothing.
    pub(super) values: Vec<Option<f64>>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 24.0;
/// Told apart also by who does not see red and green.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// Over time, a value a second. Nothing if there is nothing to be seen.
pub(super) fn plot(title: &str, unit: &str, lines: &[Line<'_>]) -> String {
    let count = lines.iter().map(|line| line.values.len()).max().unwrap_or_default();
    let marks = if count < 2 { Vec::new() } else { vec![0, (count - 1) / 2, count - 1] };
    let marks: Vec<(usize, String)> = marks.into_iter().map(|at| (at, format!("{at} s"))).collect();
    draw(title, unit, lines, &marks)
}

/// Over things that have names.
pub(super) fn plot_over(title: &str, unit: &str, lines: &[Line<'_>], names: &[&str]) -> String {
    let marks: Vec<(usize, String)> =
        names.iter().enumerate().map(|(at, name)| (at, (*name).to_owned())).collect();
    draw(title, unit, lines, &marks)
}

fn draw(title: &str, unit: &str, lines: &[Line<'_>], marks: &[(usize, String)]) -> String {
    let values = || lines.iter().flat_map(|line| line.values.iter().flatten());
    let highest = values().copied().fold(0.0, f64::max);
    let count = lines.iter().map(|line| line.values.len()).max().unwrap_or_default();
    if highest <= 0.0 || count < 2 {
        return String::new();
    }
    let top = round_up(highest);
    let x = |at: usize| LEFT + (WIDTH - LEFT - 8.0) * at as f64 / (count - 1) as f64;
    let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top;
    let mut svg = format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
    );
    for quarter in 0_u8..=4 {
        let value = top * f64::from(quarter) / 4.0;
        let at = y(value);
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" class=\"grid\"/><text x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{} {unit}</text>",
            WIDTH - 8.0,
            LEFT - 6.0,
            at + 4.0,
            short(value)
        );
    }
    for (at, name) in marks {
        let at = *at;
        let anchor = if at == 0 {
            "start"
        } else if at == count - 1 {
            "end"
        } else {
            "middle"
        };
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{name}</text>",
            x(at),
            HEIGHT - 6.0
        );
    }
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let mut path = String::new();
        let mut pen_down = false;
        for (at, value) in line.values.iter().enumerate() {
            if let Some(value) = value {
                let _ = write!(path, "{}{:.1} {:.1}", if pen_down { 'L' } else { 'M' }, x(at), y(*value));
            }
            pen_down = value.is_some();
        }
        let _ = write!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/><text x=\"{}\" y=\"14\" fill=\"{colour}\">{}</text>",
            LEFT + 120.0 * index as f64,
            line.name
        );
    }
    svg.push_str("</svg></figure>\n");
    svg
}

/// The next number of the form 1, 2 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.iter().map(|step| step * power).find(|round| *round >= value * 0.999_999).unwrap_or(value)
}

fn short(value: f64) -> String {
    let (number, unit) = if value >= 1e6 {
        (value / 1e6, "M")
    } else if value >= 1e3 {
        (value / 1e3, "k")
    } else {
        (value, "")
    };
    let digits = format!("{number:.2}");
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, round) in [(1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (7.0, 10.0), (140.0, 200.0), (0.03, 0.05)]
        {
            assert!((round_up(value) - round).abs() < 1e-9, "{value}");
        }
        assert_eq!([0.0, 0.25, 50.0, 1_500.0, 2e6].map(short), ["0", "0.25", "50", "1.5k", "2M"]);
    }

    #[test]
    fn lines_stay_within_the_picture_and_break_at_gaps() {
        let values = vec![Some(1.0), None, Some(4.0), Some(2.0)];
        let svg = plot("t", "ms", &[Line { name: "p99", values }]);
        assert_eq!(svg.matches('M').count(), 2, "{svg}");
        assert_eq!(plot("t", "ms", &[Line { name: "p99", values: vec![None; 9] }]), "");
        assert_eq!(plot("t", "ms", &[]), "");
    }
}
