//! An axis: which values it shows, where they lie, and how they are written.

#[derive(Clone, Debug)]
pub(super) struct Axis {
    min: f64,
    max: f64,
    is_logarithmic: bool,
    /// Where the values lie in the drawing; the second may be less than the first.
    from: f64,
    to: f64,
}

/// About so many marks.
const MARKS: f64 = 5.0;

impl Axis {
    /// So that all of these are on it. Nothing may be without values.
    pub(super) fn over(values: impl Iterator<Item = f64>, is_logarithmic: bool, from: f64, to: f64) -> Self {
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite() && (!is_logarithmic || *value > 0.0)) {
            (min, max) = (min.min(value), max.max(value));
        }
        if min > max {
            (min, max) = (1.0, 2.0);
        }
        if is_logarithmic {
            // A little room, so that nothing lies on the frame.
            (min, max) = (min / 1.15, max * 1.15);
        } else {
            (min, max) = (0.0, if max > 0.0 { max * 1.05 } else { 1.0 });
        }
        Self { min, max, is_logarithmic, from, to }
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        let share = if self.is_logarithmic {
            (value.max(f64::MIN_POSITIVE) / self.min).ln() / (self.max / self.min).ln()
        } else {
            (value - self.min) / (self.max - self.min)
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    pub(super) fn marks(&self) -> Vec<f64> {
        if self.is_logarithmic { self.powers() } else { self.steps() }
    }

    /// 1, 2 and 5 times the powers of ten; the powers alone where these would be many.
    fn powers(&self) -> Vec<f64> {
        let is_wide = (self.max / self.min).log10() > 3.0;
        let within = |mark: &f64| *mark >= self.min && *mark <= self.max;
        let mut marks = Vec::new();
        let (first, last) = (self.min.log10().floor() as i32, self.max.log10().ceil() as i32);
        for power in first..=last {
            let digits: &[f64] = if is_wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
            marks.extend(digits.iter().map(|digit| digit * 10_f64.powi(power)).filter(within));
        }
        marks
    }

    fn steps(&self) -> Vec<f64> {
        let rough = (self.max - self.min) / MARKS;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let count = ((self.max - self.min) / step).floor() as u32;
        (0..=count).map(|at| self.min + f64::from(at) * step).collect()
    }
}

/// As a reader would write it: thousands apart, no more places than it takes.
pub(crate) fn spelled(value: f64) -> String {
    if value.abs() >= 1_000.0 {
        let whole = format!("{value:.0}");
        let mut spelled = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                spelled.push(',');
            }
            spelled.push(digit);
        }
        return spelled;
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_on_the_axis() {
        let linear = Axis::over([3.0, 18_000.0].into_iter(), false, 0.0, 100.0);
        assert_eq!(linear.marks(), vec![0.0, 5_000.0, 10_000.0, 15_000.0]);
        let logarithmic = Axis::over([2.0, 500.0].into_iter(), true, 0.0, 100.0);
        let marks: Vec<String> = logarithmic.marks().into_iter().map(spelled).collect();
        assert_eq!(marks, ["2", "5", "10", "20", "50", "100", "200", "500"]);
        for value in logarithmic.marks() {
            assert!((0.0..=100.0).contains(&logarithmic.place(value)), "{value}");
        }
    }

    #[test]
    fn nothing_and_a_single_value_have_an_axis() {
        for values in [&[][..], &[0.0], &[7.0]] {
            for is_logarithmic in [false, true] {
                let axis = Axis::over(values.iter().copied(), is_logarithmic, 0.0, 100.0);
                assert!(axis.place(7.0).is_finite());
                assert!(axis.marks().len() < 20);
            }
        }
    }

    #[test]
    fn values_are_written_as_a_reader_would() {
        let written = [0.0, 0.25, 12.5, 999.0, 18_000.0, 1_250_000.0].map(spelled);
        assert_eq!(written, ["0", "0.25", "12.5", "999", "18,000", "1,250,000"]);
    }
}
