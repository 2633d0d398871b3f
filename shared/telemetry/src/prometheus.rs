//! The Prometheus recorder: installed once a process, with buckets for `*_seconds` and `*_size`, kept small by a timer.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::metric;

/// From one millisecond (a commit) to a minute (the longest that a delivery is held).
const SECONDS_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// A message ages up to 24 h before it is parked.
const AGE_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0];
/// Up to the greatest batch of a job.
const SIZE_BUCKETS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0];
/// Histograms keep every raw sample until the next upkeep or scrape: at 10,000 samples/s this is 400 KB.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Renders the process's metrics; cheap to clone.
#[derive(Clone)]
pub struct MetricsHandle(PrometheusHandle);

impl MetricsHandle {
    /// The metrics in Prometheus's text format.
    pub fn render(&self) -> String {
        self.0.render()
    }
}

impl fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsHandle")
    }
}

/// Another recorder than ours is already installed in this process.
#[derive(Debug, thiserror::Error)]
#[error("install the metrics recorder: another one is installed already")]
pub struct AlreadyInstalled;

/// The process's recorder: installs it at the first call, answers the same one afterwards.
pub(crate) fn install() -> Result<MetricsHandle, AlreadyInstalled> {
    static HANDLE: Mutex<Option<MetricsHandle>> = Mutex::new(None);
    let mut handle = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*handle {
        return Ok(handle.clone());
    }
    let recorder = builder().build_recorder();
    let new = MetricsHandle(recorder.handle());
    metrics::set_global_recorder(recorder).map_err(|_| AlreadyInstalled)?;
    metric::describe();
    run_upkeep(new.0.clone());
    *handle = Some(new.clone());
    Ok(new)
}

fn builder() -> PrometheusBuilder {
    let buckets = [
        (Matcher::Suffix("_seconds".to_owned()), SECONDS_BUCKETS),
        (Matcher::Suffix("_size".to_owned()), SIZE_BUCKETS),
        (Matcher::Full(metric::MESSAGE_AGE_SECONDS.to_owned()), AGE_BUCKETS),
        (Matcher::Full(metric::RELAY_LAG_SECONDS.to_owned()), AGE_BUCKETS),
        (Matcher::Full(metric::TICK_LATENESS_SECONDS.to_owned()), AGE_BUCKETS),
    ];
    buckets.into_iter().fold(PrometheusBuilder::new(), |builder, (matcher, values)| {
        builder.set_buckets_for_metric(matcher, values).expect("the bucket lists above are not empty")
    })
}

/// A thread of its own: it must run whatever the runtime does, and there may be none.
fn run_upkeep(handle: PrometheusHandle) {
    std::thread::Builder::new()
        .name("metrics-upkeep".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(UPKEEP_INTERVAL);
                handle.run_upkeep();
            }
        })
        .expect("a process that cannot start a thread cannot start at all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_sizes_are_histograms_with_buckets_and_help() {
        let handle = install().unwrap();
        metrics::histogram!(metric::JOB_SECONDS, "kind" => "k").record(0.002);
        metrics::histogram!(metric::BATCH_SIZE, "kind" => "k").record(150.0);
        metrics::histogram!(metric::MESSAGE_AGE_SECONDS, "kind" => "k").record(2_000.0);
        let text = handle.render();
        assert!(text.contains(r#"muster_job_seconds_bucket{kind="k",le="0.0025"} 1"#), "{text}");
        assert!(text.contains(r#"muster_batch_size_bucket{kind="k",le="200"} 1"#), "{text}");
        assert!(text.contains(r#"muster_message_age_seconds_bucket{kind="k",le="3600"} 1"#), "{text}");
        assert!(text.contains("# HELP muster_batch_size Messages in one batch"), "{text}");
    }

    #[test]
    fn a_second_install_answers_the_same_recorder() {
        let (first, second) = (install().unwrap(), install().unwrap());
        metrics::counter!("muster_twice_total").increment(1);
        assert!(first.render().contains("muster_twice_total 1"));
        assert!(second.render().contains("muster_twice_total 1"));
    }
}
