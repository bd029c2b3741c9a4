#![deny(warnings)]

use step_machine::Workflow;

/// Bring out a release.
///
/// It is in two parts:
///     - one
#[doc = "- `two`, with \"quotes\" and a backslash \\"]
#[derive(Workflow)]
enum Release {
    /** Fetch the sources.

    From the mirror. */
    Fetch,
    #[doc = concat!("Build", " them")]
    /// on this machine.
    Build,
    ///
    Publish,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let run = run.step(release::Fetch, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(release::Build, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(release::Publish, |_| Ok::<_, std::io::Error>(()))?;
    run.finish()?;
    let plan = Release::plan();
    assert_eq!(
        plan.description,
        "Bring out a release.\n\nIt is in two parts:\n    - one\n- `two`, with \"quotes\" and a backslash \\"
    );
    assert!(plan.steps[0].description.starts_with("Fetch the sources."));
    assert!(plan.steps[0].description.ends_with("From the mirror."));
    assert!(plan.steps[1].description.ends_with("on this machine."));
    assert_eq!(plan.steps[2].description, "");
    Ok(())
}
