//! The recorder behind the numbers. It is not the process's: whoever has a [`super::Metrics`] has one of its own.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Seconds, from a dispatch's acceptance to an e-mail's.
const DELIVERY: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0,
    21600.0, 86400.0,
];

/// Seconds for one commit.
const COMMIT: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

pub(super) const DELIVERY_SECONDS: &str = "herald_delivery_seconds";
pub(super) const COMMIT_SECONDS: &str = "herald_ledger_commit_seconds";

const ABOUT: Metadata<'static> = Metadata::new("herald", Level::INFO, None);

#[derive(Clone)]
pub(super) struct Book {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl Book {
    pub(super) fn new() -> Self {
        let recorder = Arc::new(builder().build_recorder());
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    pub(super) fn render(&self) -> String {
        self.handle.render()
    }

    pub(super) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    pub(super) fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Counter {
        self.recorder
            .describe_counter(KeyName::from_const_str(name), None, help.into());
        self.recorder.register_counter(&key(name, labels), &ABOUT)
    }

    pub(super) fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Gauge {
        self.recorder
            .describe_gauge(KeyName::from_const_str(name), None, help.into());
        self.recorder.register_gauge(&key(name, labels), &ABOUT)
    }

    pub(super) fn histogram(&self, name: &'static str, help: &'static str) -> Histogram {
        self.recorder
            .describe_histogram(KeyName::from_const_str(name), None, help.into());
        self.recorder.register_histogram(&key(name, &[]), &ABOUT)
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels = labels.iter();
    let labels: Vec<Label> = labels
        .map(|(label, value)| Label::new(*label, (*value).to_owned()))
        .collect();
    Key::from_parts(name, labels)
}

/// Buckets are refused only where there are none.
fn builder() -> PrometheusBuilder {
    let full = |name: &str| Matcher::Full(name.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(full(DELIVERY_SECONDS), DELIVERY)
        .and_then(|builder| builder.set_buckets_for_metric(full(COMMIT_SECONDS), COMMIT))
        .unwrap_or_else(|_| PrometheusBuilder::new())
}
