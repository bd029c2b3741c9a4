//! What the derives give: the plan in full, names, places where an enum may stand, and an expansion without warnings.

use std::time::Duration;

use step_machine::event::Effect;
use step_machine::{OnFailure, Plan, Retry, Step, StepError, StepInfo, Workflow};

use crate::support::{Trouble, ok};

/// What runs inside of a step.
#[derive(Workflow, Debug)]
enum Nested {
    Only,
}

/// Bring up one machine.
///
/// In two paragraphs.
#[derive(Workflow, Debug, Clone, Copy, PartialEq, Eq)]
#[workflow(
    name = "bring-up",
    parallel,
    on_failure = "rollback",
    deadline = "1h 30m",
    steps = bring_up_steps,
    handler = BringUp,
    crate = step_machine,
)]
enum Provision {
    /// Render the `OpenTofu` templates
    RenderTemplates,
    #[step(
        retry(attempts = 3, delay = "2s", factor = 1.5, max_delay = "30s", jitter = false),
        timeout = "5m",
        deadline = "20m",
        weight = 10,
        stalled_after = "1m"
    )]
    OpenTofuInit,
    #[step(undo, needs(OpenTofuInit, RenderTemplates), weight = 2.5)]
    #[step(id = "apply", alias = "tofu-apply", name = "Apply it")]
    OpenTofuApply,
    #[step(output = Vec<(u8, String)>, critical = true)]
    GetInstanceInfo,
    #[step(critical = false, skippable, retry(attempts = 2))]
    WaitSSH,
    #[step(workflow = Nested)]
    S3Upload,
}

/// The plan of [`Provision`], written by hand.
fn expected() -> Plan {
    let render = |mut step: StepInfo| {
        "Render the `OpenTofu` templates".clone_into(&mut step.description);
        step
    };
    let init = |mut step: StepInfo| {
        let retry = Retry::new(3).delay(Duration::from_secs(2)).factor(1.5);
        step.retry = Some(retry.max_delay(Duration::from_secs(30)).jitter(false));
        step.timeout = Some(Duration::from_secs(300));
        step.deadline = Some(Duration::from_secs(1_200));
        step.stalled_after = Some(Duration::from_secs(60));
        step.weight = 10.0;
        step
    };
    let apply = |mut step: StepInfo| {
        step.undo = true;
        step.weight = 2.5;
        step.needs = vec!["open-tofu-init".to_owned(), "render-templates".to_owned()];
        step.aliases = vec!["tofu-apply".to_owned()];
        step
    };
    let info = |mut step: StepInfo| {
        step.output = true;
        step
    };
    let wait = |mut step: StepInfo| {
        step.critical = false;
        step.skippable = true;
        step.retry = Some(Retry::new(2));
        step
    };
    let upload = |mut step: StepInfo| {
        step.nested = Some(Nested::plan().into());
        step
    };
    let steps = [
        render(StepInfo::new("render-templates", "Render templates")),
        init(StepInfo::new("open-tofu-init", "Open tofu init")),
        apply(StepInfo::new("apply", "Apply it")),
        info(StepInfo::new("get-instance-info", "Get instance info")),
        wait(StepInfo::new("wait-ssh", "Wait ssh")),
        upload(StepInfo::new("s3-upload", "S3 upload")),
    ];
    let mut plan = Plan::new("bring-up", steps);
    "Bring up one machine.\n\nIn two paragraphs.".clone_into(&mut plan.description);
    plan.parallel = true;
    plan.on_failure = OnFailure::Rollback;
    plan.deadline = Some(Duration::from_secs(5_400));
    plan
}

#[test]
fn the_plan_is_what_the_attributes_say() {
    assert_eq!(*Provision::plan(), expected());
    assert_eq!(Provision::plan().check(), Ok(()));
    assert_eq!(Provision::NAME, "bring-up");
    assert!(std::ptr::eq(Provision::plan(), Provision::plan()), "a plan is built once");
}

#[test]
fn a_plan_survives_its_json() {
    let text = serde_json::to_string(Provision::plan()).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), *Provision::plan());
}

#[test]
fn an_enum_without_attributes_gets_the_defaults() {
    let mut plan = Plan::new("nested", [StepInfo::new("only", "Only")]);
    "What runs inside of a step.".clone_into(&mut plan.description);
    assert_eq!(*Nested::plan(), plan);
    let only = &Nested::plan().steps[0];
    assert_eq!((only.critical, only.weight, only.retry), (true, 1.0, None));
}

#[test]
fn steps_are_found_by_position_id_and_old_id() {
    assert_eq!(Provision::steps().count(), 6);
    for (index, step) in Provision::steps().enumerate() {
        assert_eq!((step.index(), Provision::from_index(index)), (index, Some(step)));
        assert_eq!(Provision::from_id(step.id()), Some(step));
        assert_eq!(step.info().id, step.id());
    }
    assert_eq!(Provision::from_id("tofu-apply"), Some(Provision::OpenTofuApply));
    assert_eq!(Provision::from_id("open-tofu-apply"), None, "the step says that its id is another");
    assert_eq!(Provision::from_index(6), None);
}

#[test]
fn each_marker_knows_its_step() {
    assert_eq!(bring_up_steps::OpenTofuApply::STEP, Provision::OpenTofuApply);
    assert_eq!(bring_up_steps::WaitSSH::STEP, Provision::WaitSSH);
    fn output<S: Step>(_: S) -> &'static str {
        std::any::type_name::<S::Output>()
    }
    assert_eq!(output(bring_up_steps::GetInstanceInfo), "alloc::vec::Vec<(u8, alloc::string::String)>");
    assert_eq!(output(bring_up_steps::S3Upload), "()");
}

#[test]
fn an_enum_may_stand_in_a_function() {
    #[derive(Workflow)]
    enum Local {
        #[step(skippable)]
        One,
        Two,
    }
    let run = Local::machine().begin().unwrap().skip(local::One, "no need").step(local::Two, ok).unwrap();
    assert_eq!(run.finish().unwrap().state().plan().workflow, "local");
}

/// Enums of every visibility, with names that are keywords.
mod places {
    pub(super) mod inner {
        #[derive(step_machine::Workflow)]
        pub(crate) enum Crate {
            One,
        }

        #[derive(step_machine::Workflow)]
        pub(in crate::derive) enum Path {
            #[step(output = u8)]
            One,
        }

        #[derive(step_machine::Workflow)]
        pub(super) enum Super {
            One,
        }

        #[derive(step_machine::Workflow)]
        #[allow(non_camel_case_types, reason = "a keyword as a step")]
        pub(crate) enum Match {
            r#type,
            r#await,
        }
    }

    pub(super) fn run_super() {
        let run = inner::Super::machine().begin().unwrap();
        run.step(inner::super_::One, super::ok).unwrap().finish().unwrap();
    }
}

#[test]
fn an_enum_may_have_any_visibility_and_name() {
    use places::inner::{Crate, Match, Path, crate_, r#match, path};
    let run = Crate::machine().begin().unwrap();
    run.step(crate_::One, ok).unwrap().finish().unwrap();
    let (run, _) = Path::machine().begin().unwrap().step(path::One, |_| Ok::<_, Trouble>(1)).unwrap();
    run.finish().unwrap();
    let run = Match::machine().begin().unwrap().step(r#match::r#type, ok).unwrap();
    run.step(r#match::r#await, ok).unwrap().finish().unwrap();
    let ids: Vec<_> = Match::steps().map(|step| step.id()).collect();
    assert_eq!(ids, ["type", "await"]);
    places::run_super();
}

#[derive(Debug, thiserror::Error, StepError)]
enum Class {
    #[error("a")]
    PlainName,
    #[error("b")]
    #[step_error(kind = "two words", fatal, unknown_effect)]
    Fatal(#[source] std::io::Error),
    #[error("c")]
    #[step_error(retry_after = 1)]
    Unnamed(String, Option<Duration>),
    #[error("d")]
    #[step_error(retry_after = r#in)]
    Named { r#in: Duration, code: u8 },
    #[error(transparent)]
    #[step_error(transparent)]
    Inside(Trouble),
    #[error(transparent)]
    #[step_error(transparent)]
    Boxed { error: Box<Trouble> },
}

/// What an error says of itself.
fn says(error: &impl StepError) -> (String, bool, Option<Duration>, Effect) {
    (error.kind().to_owned(), error.is_fatal(), error.retry_after(), error.effect())
}

#[test]
fn an_error_says_what_its_attributes_say() {
    let wait = Duration::from_secs(3);
    let known = |kind: &str, fatal, wait| (kind.to_owned(), fatal, wait, Effect::Known);
    assert_eq!(says(&Class::PlainName), known("plain-name", false, None));
    let fatal = Class::Fatal(std::io::Error::other("x"));
    assert_eq!(says(&fatal), ("two words".to_owned(), true, None, Effect::Unknown));
    assert_eq!(says(&Class::Unnamed(String::new(), Some(wait))), known("unnamed", false, Some(wait)));
    assert_eq!(says(&Class::Unnamed(String::new(), None)), known("unnamed", false, None));
    assert_eq!(says(&Class::Named { r#in: wait, code: 7 }), known("named", false, Some(wait)));
    assert_eq!(says(&Class::Inside(Trouble::Template)), known("template", true, None));
    assert_eq!(says(&Class::Boxed { error: Box::new(Trouble::Busy { wait }) }), known("busy", false, Some(wait)));
    assert_eq!(says(&Class::Inside(Trouble::Lost)), ("lost".to_owned(), false, None, Effect::Unknown));
}

#[derive(Debug, thiserror::Error, StepError)]
#[error("{code}")]
#[step_error(fatal)]
struct ExitCodeError {
    code: u8,
}

#[derive(Debug, thiserror::Error, StepError)]
enum Wrapped<E: StepError> {
    #[error("inside")]
    #[step_error(transparent)]
    Inside(E),
    #[error("out of luck")]
    Luck,
}

#[test]
fn an_error_may_be_a_struct_or_generic() {
    assert_eq!(says(&ExitCodeError { code: 3 }), ("exit-code".to_owned(), true, None, Effect::Known));
    assert_eq!(says(&Wrapped::Inside(Trouble::Template)).0, "template");
    assert_eq!(says(&Wrapped::<Trouble>::Luck).0, "luck");
}

#[test]
fn errors_of_the_standard_library_have_a_kind() {
    use std::io::{Error, ErrorKind as K};
    let kinds = [
        (K::NotFound, "not-found"),
        (K::PermissionDenied, "permission-denied"),
        (K::TimedOut, "timed-out"),
        (K::ConnectionRefused, "connection"),
        (K::StorageFull, "storage"),
        (K::Other, "io"),
    ];
    for (kind, expected) in kinds {
        assert_eq!(StepError::kind(&Error::from(kind)), expected);
    }
}
