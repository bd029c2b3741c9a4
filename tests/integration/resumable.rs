//! The comparison of an enum with the snapshot that is kept of it.

use std::fs;
use std::panic;
use std::path::PathBuf;

use step_machine::testing::{ResumableError, Update, resumable};
use step_machine::{Plan, PlanDiff, PlanDifference, Workflow, assert_resumable};

use crate::support::panic_text;

/// Versions of one workflow, each in a module of its own.
macro_rules! versions {
    ($($version:ident { $($variants:tt)* })*) => {$(
        mod $version {
            #[derive(step_machine::Workflow)]
            #[workflow(name = "release")]
            pub(super) enum Release {
                $($variants)*
            }
        }
    )*};
}

versions! {
    first { Fetch, Build }
    longer { Fetch, Build, Sign }
    ruled { #[step(timeout = "5m", undo)] Fetch, #[step(name = "Compile", weight = 3)] Build }
    renamed { #[step(alias = "fetch")] Download, Build }
    renamed_again { #[step(id = "download", alias = "fetch")] Get, Build }
    linted { Fetch, Lint, Build }
    warned { Fetch, #[step(critical = false)] Build }
}

/// A snapshot in a folder that is removed after the test.
struct Kept {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Kept {
    fn none() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().join("workflows/release.json"), _folder: folder }
    }

    fn of<W: Workflow>() -> Self {
        let kept = Self::none();
        assert!(kept.with::<W>(Update::Fitting).unwrap().is_empty());
        kept
    }

    fn with<W: Workflow>(&self, update: Update) -> Result<PlanDiff, ResumableError> {
        resumable::<W>(&self.path, update)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    /// The lines of an error, the path of the snapshot left out.
    fn says(&self, error: &ResumableError) -> Vec<String> {
        error.to_string().replace(&self.path.display().to_string(), "SNAPSHOT").lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_snapshot_that_is_missing_is_written_where_that_is_asked_for() {
    let kept = Kept::none();
    let error = kept.with::<first::Release>(Update::Never).unwrap_err();
    assert_eq!(
        kept.says(&error),
        ["workflow `release` has no snapshot SNAPSHOT; make it with `STEP_MACHINE_UPDATE=1 cargo test`, where CI is \
          not set, and commit it"]
    );
    assert!(!kept.path.exists());
    assert!(kept.with::<first::Release>(Update::Fitting).unwrap().is_empty());
    assert_eq!(serde_json::from_str::<Plan>(&kept.text()).unwrap(), *first::Release::plan());
    assert!(kept.text().starts_with("{\n  \"workflow\": \"release\",\n") && kept.text().ends_with("}\n"));
    assert!(kept.with::<first::Release>(Update::Never).unwrap().is_empty());
}

#[test]
fn rules_that_no_run_depends_on_may_differ() {
    let kept = Kept::of::<first::Release>();
    let before = kept.text();
    let diff = kept.with::<ruled::Release>(Update::Never).unwrap();
    let rules: Vec<_> = diff.differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        rules,
        [
            "step `fetch`: timeout was none, is 5m",
            "step `fetch`: undo was false, is true",
            "step `build`: name was \"Build\", is \"Compile\"",
            "step `build`: weight was 1.0, is 3.0",
        ]
    );
    assert_eq!(kept.text(), before);
    assert_eq!(kept.with::<ruled::Release>(Update::Fitting).unwrap(), diff);
    assert!(kept.with::<ruled::Release>(Update::Never).unwrap().is_empty());
}

#[test]
fn what_a_snapshot_does_not_know_has_to_be_added() {
    let kept = Kept::of::<first::Release>();
    let stale = |result: Result<PlanDiff, ResumableError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, ResumableError::Stale { .. }), "{error:?}");
        kept.says(&error)
    };
    assert_eq!(
        stale(kept.with::<longer::Release>(Update::Never)),
        [
            "workflow `release`: all runs can go on, but SNAPSHOT does not know all that they may have:",
            "  - step `sign` is new",
            "bring it up to date with `STEP_MACHINE_UPDATE=1 cargo test`, where CI is not set, and commit it",
        ]
    );
    assert_eq!(stale(kept.with::<renamed::Release>(Update::Never))[1], "  - step `fetch` is called `download` now");
    assert_eq!(stale(kept.with::<warned::Release>(Update::Never))[1], "  - step `build`: critical was true, is false");
}

#[test]
fn a_step_that_came_after_the_first_version_is_missed_as_well() {
    let kept = Kept::of::<first::Release>();
    let diff = kept.with::<longer::Release>(Update::Fitting).unwrap();
    assert_eq!(diff.differences, [PlanDifference::Added { step: "sign".to_owned(), before: None }]);
    let before = kept.text();
    // The switch that brings a snapshot up to date does not hide what breaks.
    for update in [Update::Never, Update::Fitting] {
        let error = kept.with::<first::Release>(update).unwrap_err();
        assert_eq!(
            kept.says(&error),
            [
                "workflow `release`: runs that began with SNAPSHOT could not go on, wherever they stand:",
                "  - step `sign` is gone (if it was renamed, give it `alias = \"sign\"`)",
                "keep what they need; or, once no such run is left, accept it with `STEP_MACHINE_UPDATE=breaking \
                 cargo test`",
            ]
        );
        assert_eq!(kept.text(), before);
    }
    assert!(kept.with::<first::Release>(Update::Breaking).unwrap().is_breaking());
    assert!(kept.with::<first::Release>(Update::Never).unwrap().is_empty());
}

#[test]
fn a_step_can_be_renamed_again_with_the_id_that_it_had_last() {
    let kept = Kept::of::<renamed::Release>();
    let diff = kept.with::<renamed_again::Release>(Update::Never).unwrap();
    assert_eq!(diff.to_string(), "step `download`: name was \"Download\", is \"Get\"");
}

#[test]
fn a_step_that_comes_before_others_stops_the_runs_that_are_past_it() {
    let kept = Kept::of::<first::Release>();
    let error = kept.with::<linted::Release>(Update::Fitting).unwrap_err();
    let ResumableError::Breaking { diff, .. } = &error else { panic!("{error:?}") };
    let before = Some("build".to_owned());
    assert_eq!(diff.differences, [PlanDifference::Added { step: "lint".to_owned(), before }]);
}

#[test]
fn a_snapshot_that_is_none_is_told_from_one_that_is_missing() {
    let kept = Kept::of::<first::Release>();
    fs::write(&kept.path, "<<<<<<< ours\n").unwrap();
    for update in [Update::Never, Update::Fitting] {
        let error = kept.with::<first::Release>(update).unwrap_err();
        assert!(matches!(error, ResumableError::NoPlan { .. }), "{error:?}");
        assert_eq!(kept.says(&error), ["snapshot SNAPSHOT is not a plan; restore it from your version control"]);
    }
    let twice = r#"{"workflow":"release","steps":[{"id":"a","name":"A"},{"id":"a","name":"A"}]}"#;
    fs::write(&kept.path, twice).unwrap();
    let error = kept.with::<first::Release>(Update::Fitting).unwrap_err();
    assert!(matches!(error, ResumableError::BadPlan { .. }), "{error:?}");
    kept.with::<first::Release>(Update::Breaking).unwrap();
    assert!(kept.with::<first::Release>(Update::Never).unwrap().is_empty());

    fs::remove_file(&kept.path).unwrap();
    fs::create_dir(&kept.path).unwrap();
    assert!(matches!(kept.with::<first::Release>(Update::Never), Err(ResumableError::Read { .. })));
}

#[test]
fn a_snapshot_that_cannot_be_written_is_told() {
    let kept = Kept::none();
    fs::write(kept.path.parent().unwrap(), "a file where the folder would be").unwrap();
    let error = kept.with::<first::Release>(Update::Fitting).unwrap_err();
    assert!(matches!(error, ResumableError::Read { .. } | ResumableError::Write { .. }), "{error:?}");
}

#[test]
fn the_macro_finds_the_snapshot_in_the_crate_of_its_user() {
    assert_resumable!(first::Release, "integration/workflows/release.json");
}

#[test]
fn the_macro_says_what_breaks() {
    let broken = || assert_resumable!(linted::Release, "integration/workflows/release.json",);
    let text = panic_text(panic::catch_unwind(broken).unwrap_err());
    assert!(
        text.starts_with("workflow `release`: runs that began with ")
            && text.contains(":\n  - step `lint` is new and comes before `build`, which a run may have settled\n"),
        "{text}"
    );
}

/// The other process: what `assert_resumable!` does, by the environment that it is started with.
mod by_the_environment {
    use std::path::Path;
    use std::process::Command;
    use std::time::{Duration, SystemTime};

    use step_machine::Workflow;

    use super::{Kept, first, longer, ruled};

    /// The folder of the snapshot, and the version of the workflow.
    const FOLDER: &str = "STEP_MACHINE_TEST_RESUMABLE";
    const VERSION: &str = "STEP_MACHINE_TEST_VERSION";

    #[test]
    fn compares_where_another_test_asks_for_it() {
        let Ok(folder) = std::env::var(FOLDER) else { return };
        let assert_resumable = match std::env::var(VERSION).unwrap().as_str() {
            "first" => step_machine::testing::assert_resumable::<first::Release>,
            "longer" => step_machine::testing::assert_resumable::<longer::Release>,
            "ruled" => step_machine::testing::assert_resumable::<ruled::Release>,
            other => panic!("no version {other}"),
        };
        assert_resumable(&folder, "workflows/release.json");
    }

    /// The test of a user with this version of the workflow, by these variables: whether it passes, and what it says.
    fn test(kept: &Kept, version: &str, variables: &[(&str, &str)]) -> (bool, String) {
        let folder = kept.path.parent().and_then(Path::parent).unwrap();
        let name = "resumable::by_the_environment::compares_where_another_test_asks_for_it";
        let ended = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env_remove("STEP_MACHINE_UPDATE")
            .env_remove("CI")
            .envs([(FOLDER, folder.as_os_str()), (VERSION, version.as_ref())])
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let stdout = String::from_utf8(ended.stdout).unwrap();
        assert!(stdout.contains("running 1 test"), "{stdout}");
        let stderr = String::from_utf8(ended.stderr).unwrap();
        (ended.status.success(), stderr.replace(&kept.path.display().to_string(), "SNAPSHOT"))
    }

    const UPDATE: (&str, &str) = ("STEP_MACHINE_UPDATE", "1");

    #[track_caller]
    fn fails(kept: &Kept, version: &str, variables: &[(&str, &str)], text: &str) {
        let (passes, said) = test(kept, version, variables);
        assert!(!passes && said.contains(text), "{passes}, without:\n{text}\n{said}");
    }

    const MISSING: &str = "workflow `release` has no snapshot SNAPSHOT; make it with `STEP_MACHINE_UPDATE=1 cargo test`, \
                           where CI is not set, and commit it\n";
    const STALE: &str = "workflow `release`: all runs can go on, but SNAPSHOT does not know all that they may have:\n  \
                         - step `sign` is new\nbring it up to date with `STEP_MACHINE_UPDATE=1 cargo test`, where CI is \
                         not set, and commit it\n";
    const BREAKING: &str = "workflow `release`: runs that began with SNAPSHOT could not go on, wherever they stand:\n  \
                            - step `sign` is gone (if it was renamed, give it `alias = \"sign\"`)\nkeep what they need; \
                            or, once no such run is left, accept it with `STEP_MACHINE_UPDATE=breaking cargo test`\n";

    #[test]
    fn the_switch_makes_a_snapshot_and_brings_it_up_to_date_and_without_it_a_difference_is_told() {
        let kept = Kept::none();
        fails(&kept, "first", &[], MISSING);
        fails(&kept, "first", &[("STEP_MACHINE_UPDATE", "0")], MISSING);
        fails(&kept, "first", &[UPDATE, ("CI", "true")], MISSING);
        assert!(!kept.path.exists());
        assert_eq!(test(&kept, "first", &[UPDATE]).0, true);
        let first = kept.text();
        assert_eq!(serde_json::from_str::<step_machine::Plan>(&first).unwrap(), *first::Release::plan());

        fails(&kept, "longer", &[], STALE);
        fails(&kept, "longer", &[UPDATE, ("CI", "1")], STALE);
        assert_eq!(kept.text(), first);
        assert_eq!(test(&kept, "longer", &[UPDATE, ("CI", "false")]).0, true);
        let longer = kept.text();
        assert_eq!(serde_json::from_str::<step_machine::Plan>(&longer).unwrap(), *longer::Release::plan());
        assert_eq!(test(&kept, "longer", &[]).0, true);

        // The switch does not hide what breaks; the other one accepts it.
        for variables in [&[][..], &[UPDATE]] {
            fails(&kept, "first", variables, BREAKING);
            assert_eq!(kept.text(), longer);
        }
        assert_eq!(test(&kept, "first", &[("STEP_MACHINE_UPDATE", "breaking")]).0, true);
        assert_eq!(kept.text(), first);
        let refused = "STEP_MACHINE_UPDATE is `yes`; `1` writes snapshots that are missing or fit, `breaking` also those \
                       that do not, and `0` none";
        fails(&kept, "longer", &[("STEP_MACHINE_UPDATE", "yes")], refused);
        assert_eq!(kept.text(), first);
    }

    #[test]
    fn an_update_without_a_change_writes_nothing() {
        let kept = Kept::of::<first::Release>();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let file = std::fs::File::options().write(true).open(&kept.path).unwrap();
        file.set_modified(long_ago).unwrap();
        drop(file);
        let modified = || std::fs::metadata(&kept.path).unwrap().modified().unwrap();
        for update in ["1", "breaking"] {
            assert_eq!(test(&kept, "first", &[("STEP_MACHINE_UPDATE", update)]).0, true);
            assert_eq!(modified(), long_ago, "{update}");
        }
        // A rule that differs is written, though no run depends on it.
        assert_eq!(test(&kept, "ruled", &[UPDATE]).0, true);
        assert!(modified() > long_ago);
    }
}
