//! What the engine counts of how long things take, as Prometheus takes it: a histogram.

use std::collections::HashMap;

use prometheus::core::Desc;
use prometheus::proto::{Bucket, Histogram, Metric, MetricFamily, MetricType};

pub(crate) struct Spread {
    pub(crate) desc: Desc,
}

impl Spread {
    pub(crate) fn new(name: &str, help: &str) -> Result<Self, prometheus::Error> {
        Ok(Self { desc: Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())? })
    }

    pub(crate) fn family(&self, counted: &turnpike_engine::Spread) -> MetricFamily {
        let mut histogram = Histogram::default();
        histogram.set_sample_count(counted.count());
        histogram.set_sample_sum(counted.seconds());
        let bucket = |(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        histogram.set_bucket(counted.up_to().map(bucket).collect());
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        family
    }
}
