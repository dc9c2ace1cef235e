//! What is measured: how long each kind of thing took, what failed and why, and how that went over time.
//!
//! Values in, values out; who measures and when is not known here.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

macro_rules! measures {
    ($($name:ident = $text:literal, $about:literal;)*) => {
        /// Kinds of things that take time.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Measure {
            $($name,)*
        }

        impl Measure {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            pub fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

measures! {
    Connection = "connection", "that ended without being asked to";
    Connect = "connect", "from when it was due until the server had accepted the client";
    Join = "join", "a room, until its answer";
    Leave = "leave", "a room, until its answer";
    Send = "send", "a message, from when it was due until its ack";
    Receipt = "receipt", "what a device confirms to have, until its answer";
    Delivery = "delivery", "a message, from when it was due until a member had it";
    Recovery = "recovery", "from the first attempt to come back until everything missed was there";
    Typing = "typing", "an indicator, until its answer";
    Poll = "poll", "the handshake of long-polling, its three requests";
    Publish = "publish", "a message over HTTP";
    History = "history", "a page of history over HTTP";
    Presence = "presence", "a page of who is there over HTTP";
    Whip = "whip", "a session of publishing, until its answer";
    Whep = "whep", "a session of watching, until its answer";
    Media = "media", "from when it was due until ICE and DTLS were through";
    FirstFrame = "first-frame", "from when watching was due until the first picture was whole";
    Frame = "frame", "a picture, from when it was due until a viewer had all of it";
    Freeze = "freeze", "a picture that stood for more than 250 ms";
}

impl Measure {
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|measure| measure.name() == name)
    }

    /// What a client asks for and is answered, as opposed to what merely happens to it.
    pub fn is_request(self) -> bool {
        !matches!(
            self,
            Self::Connection
                | Self::Delivery
                | Self::Recovery
                | Self::Media
                | Self::FirstFrame
                | Self::Frame
                | Self::Freeze
        )
    }
}

/// A day; nothing that is measured takes longer.
const US_MAX: u64 = 86_400_000_000;

/// Different failures that are told apart; a server that makes up a new sentence for each would fill the memory.
const FAILURES_MAX: usize = 64;
const REST: &str = "others";

/// One part's share of what was measured; parts are added up.
#[derive(Clone, Default)]
pub struct Figures {
    histograms: BTreeMap<Measure, Histogram<u64>>,
    failures: BTreeMap<(Measure, String), u64>,
}

impl Figures {
    pub fn record(&mut self, measure: Measure, us: u64) {
        self.record_many(measure, us, 1);
    }

    fn record_many(&mut self, measure: Measure, us: u64, count: u64) {
        let histogram = self.histograms.entry(measure).or_insert_with(|| {
            Histogram::new(3).expect("three digits are among those that a histogram can have")
        });
        histogram.record_n(us.min(US_MAX), count).expect("a histogram grows as needed");
    }

    pub fn failed(&mut self, measure: Measure, why: &str) {
        self.failed_often(measure, why, 1);
    }

    fn failed_often(&mut self, measure: Measure, why: &str, count: u64) {
        let known =
            self.failures.len() < FAILURES_MAX || self.failures.contains_key(&(measure, why.to_owned()));
        let why = if known { why } else { REST };
        *self.failures.entry((measure, why.to_owned())).or_default() += count;
    }

    pub fn add(&mut self, other: &Self) {
        for (measure, histogram) in other.histograms.iter().filter(|(_, histogram)| !histogram.is_empty()) {
            match self.histograms.get_mut(measure) {
                Some(mine) => mine.add(histogram).expect("both grow as needed"),
                None => drop(self.histograms.insert(*measure, histogram.clone())),
            }
        }
        for ((measure, why), count) in &other.failures {
            *self.failures.entry((*measure, why.clone())).or_default() += count;
        }
    }

    /// The same, and begins anew. What it needs for that it keeps: a second later it is needed again.
    pub fn move_to(&mut self, other: &mut Self) {
        other.add(self);
        for histogram in self.histograms.values_mut() {
            histogram.reset();
        }
        self.failures.clear();
    }

    /// For another process, without loss.
    pub fn pack(&self) -> Packed {
        let counts = |histogram: &Histogram<u64>| {
            histogram
                .iter_recorded()
                .map(|value| (value.value_iterated_to(), value.count_at_value()))
                .collect()
        };
        let times =
            self.histograms.iter().map(|(measure, histogram)| (measure.name().to_owned(), counts(histogram)));
        let failures = self.failures.iter();
        Packed {
            times: times.collect(),
            failures: failures
                .map(|((measure, why), count)| (measure.name().to_owned(), why.clone(), *count))
                .collect(),
        }
    }

    pub fn unpack(packed: &Packed) -> Self {
        let mut figures = Self::default();
        for (name, counts) in &packed.times {
            let Some(measure) = Measure::parse(name) else { continue };
            for (us, count) in counts {
                figures.record_many(measure, *us, *count);
            }
        }
        for (name, why, count) in &packed.failures {
            if let Some(measure) = Measure::parse(name) {
                figures.failed_often(measure, why, *count);
            }
        }
        figures
    }

    pub fn count(&self, measure: Measure) -> u64 {
        self.histograms.get(&measure).map_or(0, Histogram::len)
    }

    pub fn failures_of(&self, measure: Measure) -> u64 {
        self.failures.iter().filter(|((of, _), _)| *of == measure).map(|(_, count)| count).sum()
    }

    pub fn failures(&self) -> u64 {
        self.failures.values().sum()
    }

    /// In microseconds; nothing if there was none.
    pub fn at(&self, measure: Measure, share: f64) -> Option<u64> {
        let histogram = self.histograms.get(&measure)?;
        (!histogram.is_empty()).then(|| histogram.value_at_quantile(share))
    }

    pub fn summary(&self) -> Vec<Times> {
        let seen = |measure: &&Measure| self.count(**measure) + self.failures_of(**measure) > 0;
        Measure::ALL.iter().filter(seen).map(|measure| self.times(*measure)).collect()
    }

    fn times(&self, measure: Measure) -> Times {
        let at = |share| self.at(measure, share).unwrap_or_default();
        let mean = self.histograms.get(&measure).map_or(0.0, Histogram::mean);
        Times {
            name: measure.name(),
            about: measure.about(),
            count: self.count(measure),
            failed: self.failures_of(measure),
            min_us: at(0.0),
            mean_us: mean as u64,
            p50_us: at(0.50),
            p90_us: at(0.90),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: at(1.0),
            curve_us: SHARES.map(|(share, _)| at(share)).to_vec(),
        }
    }

    pub fn failure_list(&self) -> Vec<Failures> {
        let of = |((measure, why), count): (&(Measure, String), &u64)| Failures {
            what: measure.name(),
            why: why.clone(),
            count: *count,
        };
        let mut list: Vec<Failures> = self.failures.iter().map(of).collect();
        list.sort_by_key(|failures| std::cmp::Reverse(failures.count));
        list
    }
}

/// The same as plain numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Packed {
    /// By the name of the measure: microseconds and how often.
    times: Vec<(String, Vec<(u64, u64)>)>,
    failures: Vec<(String, String, u64)>,
}

/// How long one kind of thing took.
#[derive(Clone, Debug, Serialize)]
pub struct Times {
    pub name: &'static str,
    pub about: &'static str,
    pub count: u64,
    pub failed: u64,
    pub min_us: u64,
    pub mean_us: u64,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
    /// At [`SHARES`], in microseconds.
    pub curve_us: Vec<u64>,
}

/// Where the curve of percentiles is looked up: evenly on the scale on which people read it.
pub const SHARES: [(f64, &str); 9] = [
    (0.0, "min"),
    (0.5, "p50"),
    (0.75, "p75"),
    (0.9, "p90"),
    (0.95, "p95"),
    (0.99, "p99"),
    (0.999, "p99.9"),
    (0.9999, "p99.99"),
    (1.0, "max"),
];

#[derive(Clone, Debug, Serialize)]
pub struct Failures {
    pub what: &'static str,
    pub why: String,
    pub count: u64,
}

/// One second of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Second {
    pub at_s: u64,
    /// Users that are connected at its end.
    pub connected: u64,
    pub requests: u64,
    pub deliveries: u64,
    pub failed: u64,
    /// The same by what failed and why.
    pub failures: Vec<Failures>,
    pub delivery_p50_us: Option<u64>,
    pub delivery_p99_us: Option<u64>,
    pub delivery_max_us: Option<u64>,
    pub send_p99_us: Option<u64>,
    /// Pictures that viewers had whole.
    pub frames: u64,
    pub frame_p99_us: Option<u64>,
    pub freezes: u64,
    /// Share of one core, where the server's process is known.
    pub server_cpu: Option<f64>,
    pub server_memory_bytes: Option<u64>,
    /// Share of one core.
    pub own_cpu: f64,
}

impl Second {
    pub fn of(at_s: u64, connected: u64, figures: &Figures) -> Self {
        let requests = Measure::ALL.iter().filter(|measure| measure.is_request());
        Self {
            at_s,
            connected,
            requests: requests.map(|measure| figures.count(*measure) + figures.failures_of(*measure)).sum(),
            deliveries: figures.count(Measure::Delivery),
            failed: figures.failures(),
            failures: figures.failure_list(),
            delivery_p50_us: figures.at(Measure::Delivery, 0.5),
            delivery_p99_us: figures.at(Measure::Delivery, 0.99),
            delivery_max_us: figures.at(Measure::Delivery, 1.0),
            send_p99_us: figures.at(Measure::Send, 0.99),
            frames: figures.count(Measure::Frame) + figures.count(Measure::FirstFrame),
            frame_p99_us: figures.at(Measure::Frame, 0.99),
            freezes: figures.count(Measure::Freeze),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up() {
        let mut whole = Figures::default();
        let mut part = Figures::default();
        for us in 1..=1_000 {
            part.record(Measure::Send, us);
        }
        part.failed(Measure::Join, "refused");
        whole.add(&part);
        whole.add(&part);
        assert_eq!(
            (whole.count(Measure::Send), whole.failures_of(Measure::Join), whole.failures()),
            (2_000, 2, 2)
        );
        assert_eq!(whole.at(Measure::Send, 0.99), Some(990));
        assert_eq!(whole.at(Measure::Delivery, 0.99), None);
        let names: Vec<&str> = whole.summary().iter().map(|times| times.name).collect();
        assert_eq!(names, ["join", "send"]);
        let again = Figures::unpack(&whole.pack());
        assert_eq!(
            format!("{:?}", again.summary()),
            format!("{:?}", whole.summary()),
            "nothing is lost on the way"
        );
        let second = Second::of(3, 7, &whole);
        assert_eq!((second.requests, second.failed, second.deliveries), (2_002, 2, 0));
        part.move_to(&mut whole);
        assert_eq!((whole.count(Measure::Send), whole.failures_of(Measure::Join)), (3_000, 3));
        part.record(Measure::Delivery, 1);
        part.move_to(&mut whole);
        assert_eq!(
            (whole.count(Measure::Send), whole.count(Measure::Delivery), whole.failures()),
            (3_000, 1, 3)
        );
    }

    #[test]
    fn failures_without_end_do_not_fill_the_memory() {
        let mut figures = Figures::default();
        for number in 0..1_000 {
            figures.failed(Measure::Send, &format!("no {number}"));
        }
        figures.failed(Measure::Send, "no 1");
        assert_eq!(figures.failures(), 1_001);
        assert_eq!(figures.failure_list().len(), FAILURES_MAX + 1);
        assert_eq!(figures.failure_list()[0].why, REST);
        figures.record(Measure::Send, u64::MAX);
        assert!(figures.at(Measure::Send, 1.0).is_some());
    }

    #[test]
    fn every_measure_is_found_by_its_name() {
        for measure in Measure::ALL {
            assert_eq!(Measure::parse(measure.name()), Some(*measure));
        }
        assert_eq!(Measure::parse("lost"), None);
    }
}
