#![deny(warnings)]

use std::time::Duration;

use step_machine::{OnFailure, Retry, Workflow};

#[derive(Workflow)]
#[workflow(name = "bring-out", on_failure = "rollback", deadline = "1h 30m", steps = parts, handler = Parts)]
enum Release {
    #[step(name = "Fetch the sources", id = "get", alias = "download", weight = 2.5, undo)]
    #[step(retry(attempts = 3, delay = "500ms", factor = 1, max_delay = "30s", jitter = false))]
    Fetch,
    #[step(timeout = "5m", deadline = "30m", stalled_after = "1m", critical = true,)]
    Build,
    #[step(retry(attempts = 1), workflow = self::Tests)]
    Test,
}

#[derive(Workflow)]
#[workflow(on_failure = "stop")]
enum Tests {
    Unit,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(parts::Fetch, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(parts::Build, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(parts::Test, |_| Ok::<_, std::io::Error>(()))?;
    run.finish()?;
    let plan = Release::plan();
    plan.check()?;
    let [fetch, build, test] = plan.steps.as_slice() else { return Err("three steps".into()) };
    assert_eq!((plan.workflow.as_str(), plan.on_failure), ("bring-out", OnFailure::Rollback));
    assert_eq!(plan.deadline, Some(Duration::from_secs(5400)));
    assert_eq!((fetch.id.as_str(), fetch.name.as_str(), fetch.weight), ("get", "Fetch the sources", 2.5));
    assert_eq!(fetch.aliases, ["download"]);
    let retry = Retry::new(3).delay(Duration::from_millis(500)).factor(1.0).max_delay(Duration::from_secs(30));
    assert_eq!(fetch.retry, Some(retry.jitter(false)));
    assert_eq!((build.timeout, build.stalled_after), (Some(Duration::from_secs(300)), Some(Duration::from_secs(60))));
    assert_eq!(test.nested.as_deref().unwrap().workflow, "tests");
    assert_eq!(Tests::plan().on_failure, OnFailure::Stop);
    let run = Tests::machine().begin()?;
    run.step(tests::Unit, |_| Ok::<_, std::io::Error>(()))?.finish()?;
    Ok(())
}
