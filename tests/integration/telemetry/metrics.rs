//! What is counted and measured, as Prometheus is shown it.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use step_machine::observe::Metrics;
use step_machine::runner::HandlerFor;
use step_machine::time::ManualClock;
use step_machine::{MachineBuilder, MemoryJournal, StepContext, Workflow};

use crate::support::{Trouble, ok, refuse};

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(on_failure = "rollback")]
enum Deploy {
    #[step(undo, retry(attempts = 2, delay = "2s", jitter = false), weight = 2)]
    Download,
    #[step(critical = false)]
    Scan,
    #[step(skippable)]
    Announce,
    Start,
}
use deploy::{Announce, Download, Scan, Start};

/// A recorder whose durations are histograms.
fn recorder() -> PrometheusRecorder {
    let durations = Matcher::Suffix("duration_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(durations, &Metrics::DURATION_BUCKETS).unwrap();
    builder.build_recorder()
}

/// The text that Prometheus is shown after `run`.
fn shown(run: impl FnOnce()) -> String {
    let recorder = recorder();
    metrics::with_local_recorder(&recorder, run);
    recorder.handle().render()
}

/// The series of a text, without the buckets of histograms.
fn series(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty() && !line.contains("_bucket{"));
    lines.map(|line| line.rsplit_once(' ').map(|(name, value)| (name, value.parse().unwrap())).unwrap()).collect()
}

fn clocked(clock: &ManualClock) -> MachineBuilder<Deploy> {
    Deploy::machine().clock(clock.clone()).observe(Metrics::new())
}

/// A run with a retry, a warning and a step that is left out, which completes.
fn complete() {
    let clock = ManualClock::new();
    let run = clocked(&clock).begin().unwrap();
    let run = run.step_retry(Download, |cx| {
        clock.advance(Duration::from_secs(3));
        if cx.attempt() == 1 { Err(Trouble::Network) } else { Ok(()) }
    });
    let run = run.unwrap().step(Scan, refuse).skip(Announce, "nobody is awake");
    run.step(Start, |_| Ok::<_, Trouble>(clock.advance(Duration::from_millis(500)))).unwrap().finish().unwrap();
}

#[test]
fn a_run_is_counted_and_measured_by_workflow_step_and_status() {
    let text = shown(complete);
    let expected = [
        (r#"step_machine_attempt_duration_seconds_count{workflow="deploy",step="download",phase="run"}"#, 2.0),
        (r#"step_machine_attempt_duration_seconds_count{workflow="deploy",step="scan",phase="run"}"#, 1.0),
        (r#"step_machine_attempt_duration_seconds_count{workflow="deploy",step="start",phase="run"}"#, 1.0),
        (r#"step_machine_attempt_duration_seconds_sum{workflow="deploy",step="download",phase="run"}"#, 6.0),
        (r#"step_machine_attempt_duration_seconds_sum{workflow="deploy",step="scan",phase="run"}"#, 0.0),
        (r#"step_machine_attempt_duration_seconds_sum{workflow="deploy",step="start",phase="run"}"#, 0.5),
        (r#"step_machine_current_step{workflow="deploy"}"#, 4.0),
        (r#"step_machine_errors_total{workflow="deploy",step="download",phase="run",error_type="network"}"#, 1.0),
        (r#"step_machine_errors_total{workflow="deploy",step="scan",phase="run",error_type="network"}"#, 1.0),
        (r#"step_machine_progress_ratio{workflow="deploy"}"#, 1.0),
        (r#"step_machine_retries_total{workflow="deploy",step="download",phase="run"}"#, 1.0),
        (r#"step_machine_run_duration_seconds_count{workflow="deploy",status="completed"}"#, 1.0),
        (r#"step_machine_run_duration_seconds_sum{workflow="deploy",status="completed"}"#, 8.5),
        (r#"step_machine_runs_in_progress{workflow="deploy"}"#, 0.0),
        (r#"step_machine_runs_total{workflow="deploy",status="completed"}"#, 1.0),
        (r#"step_machine_step_duration_seconds_count{workflow="deploy",step="download",status="completed"}"#, 1.0),
        (r#"step_machine_step_duration_seconds_count{workflow="deploy",step="scan",status="skipped"}"#, 1.0),
        (r#"step_machine_step_duration_seconds_count{workflow="deploy",step="start",status="completed"}"#, 1.0),
        (r#"step_machine_step_duration_seconds_sum{workflow="deploy",step="download",status="completed"}"#, 8.0),
        (r#"step_machine_step_duration_seconds_sum{workflow="deploy",step="scan",status="skipped"}"#, 0.0),
        (r#"step_machine_step_duration_seconds_sum{workflow="deploy",step="start",status="completed"}"#, 0.5),
        (r#"step_machine_steps_total{workflow="deploy",step="announce",status="skipped"}"#, 1.0),
        (r#"step_machine_steps_total{workflow="deploy",step="download",status="completed"}"#, 1.0),
        (r#"step_machine_steps_total{workflow="deploy",step="scan",status="skipped"}"#, 1.0),
        (r#"step_machine_steps_total{workflow="deploy",step="start",status="completed"}"#, 1.0),
    ];
    assert_eq!(series(&text).into_iter().collect::<Vec<_>>(), expected);
    let bucket = r#"step_machine_run_duration_seconds_bucket{workflow="deploy",status="completed",le="#;
    assert!(
        text.contains(&format!("{bucket}\"5\"}} 0\n")) && text.contains(&format!("{bucket}\"10\"}} 1\n")),
        "{text}"
    );
    assert!(text.contains("# HELP step_machine_runs_total Ends of runs; a run that goes on ends again.\n"), "{text}");
}

#[test]
fn gauges_show_where_a_run_is() {
    let recorder = recorder();
    let now = || {
        let text = recorder.handle().render();
        let series = series(&text);
        ["runs_in_progress", "current_step", "progress_ratio"]
            .map(|name| series[format!("step_machine_{name}{{workflow=\"deploy\"}}").as_str()])
    };
    metrics::with_local_recorder(&recorder, || {
        let run = Deploy::machine().observe(Metrics::new()).begin().unwrap();
        assert_eq!(now(), [1.0, 0.0, 0.0]);
        let run = run.step(Download, |cx| {
            cx.progress(0.5);
            assert_eq!(now(), [1.0, 1.0, 0.2]);
            ok(cx)
        });
        let run = run.unwrap();
        assert_eq!(now(), [1.0, 1.0, 0.4]);
        let other = Deploy::machine().observe(Metrics::new()).begin().unwrap();
        assert_eq!(now(), [2.0, 0.0, 0.0], "the run that told something last");
        drop(run.step(Scan, ok));
        assert_eq!(now(), [1.0, 2.0, 0.6]);
        drop(other);
        assert_eq!(now()[0], 0.0);
    });
}

#[test]
fn a_rollback_is_counted_and_measured_by_what_became_of_each_undo() {
    let text = shown(|| {
        let clock = ManualClock::new();
        let run = clocked(&clock).begin().unwrap();
        let run = run.step(Download, ok).unwrap().step(Scan, ok).skip(Announce, "quiet");
        drop(run.step(Start, refuse).unwrap_err().rollback(|_, cx| {
            clock.advance(Duration::from_secs(1));
            if cx.attempt() == 1 { Err(Trouble::Lost) } else { Ok(()) }
        }));
    });
    let series = series(&text);
    let expected = [
        (r#"step_machine_undos_total{workflow="deploy",step="download",status="undone"}"#, 1.0),
        (r#"step_machine_undo_duration_seconds_sum{workflow="deploy",step="download",status="undone"}"#, 4.0),
        (r#"step_machine_attempt_duration_seconds_sum{workflow="deploy",step="download",phase="undo"}"#, 2.0),
        (r#"step_machine_attempt_duration_seconds_count{workflow="deploy",step="download",phase="undo"}"#, 2.0),
        (r#"step_machine_retries_total{workflow="deploy",step="download",phase="undo"}"#, 1.0),
        (r#"step_machine_errors_total{workflow="deploy",step="download",phase="undo",error_type="lost"}"#, 1.0),
        (r#"step_machine_steps_total{workflow="deploy",step="start",status="failed"}"#, 1.0),
        (r#"step_machine_runs_total{workflow="deploy",status="rolled_back"}"#, 1.0),
        (r#"step_machine_runs_in_progress{workflow="deploy"}"#, 0.0),
    ];
    for (name, value) in expected {
        assert_eq!(series.get(name), Some(&value), "{name} in\n{text}");
    }
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Outer {
    #[step(workflow = Inner)]
    Nested,
}

#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
enum Inner {
    Work,
}

struct Both;

impl OuterHandler for Both {
    type Error = Trouble;

    fn nested(&self) -> impl HandlerFor<Inner> {
        self
    }
}

impl InnerHandler for Both {
    type Error = Trouble;

    async fn work(&self, _: &mut StepContext) -> Result<(), Trouble> {
        Ok(())
    }
}

#[test]
fn a_workflow_in_a_step_counts_under_its_own_name() {
    let text = shown(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { Outer::run(&Both).observe(Metrics::new()).await.unwrap() });
    });
    let series = series(&text);
    for workflow in ["outer", "inner"] {
        assert_eq!(
            series[format!(r#"step_machine_runs_total{{workflow="{workflow}",status="completed"}}"#).as_str()],
            1.0
        );
        assert_eq!(series[format!(r#"step_machine_runs_in_progress{{workflow="{workflow}"}}"#).as_str()], 0.0);
    }
    assert_eq!(series[r#"step_machine_steps_total{workflow="inner",step="work",status="completed"}"#], 1.0);
}

#[test]
fn what_a_copy_of_a_run_takes_over_is_not_counted_and_a_run_that_goes_on_ends_again() {
    let journal = MemoryJournal::new();
    let begun = Deploy::machine().id("old").journal(journal.clone()).begin().unwrap();
    drop(begun.step(Download, ok).unwrap());
    let text = shown(|| {
        let copy =
            Deploy::machine().id("new").journal(journal.clone()).fork("old", Deploy::Scan).observe(Metrics::new());
        drop(copy.begin().unwrap().step(Download, ok).unwrap().step(Scan, ok));
        let old = Deploy::machine().id("old").journal(journal).observe(Metrics::new()).begin().unwrap();
        drop(old.step(Download, ok).unwrap());
    });
    let series = series(&text);
    assert_eq!(series[r#"step_machine_runs_total{workflow="deploy",status="cancelled"}"#], 2.0);
    assert_eq!(series[r#"step_machine_steps_total{workflow="deploy",step="scan",status="completed"}"#], 1.0);
    assert!(!text.contains(r#"step_machine_steps_total{workflow="deploy",step="download""#), "{text}");
}
