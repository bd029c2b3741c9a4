//! `provision`, broken at every step, by either drive.

use std::fs;

use step_machine::event::{Effect, RunStatus, UndoStatus};
use step_machine::{Undo, Workflow};
use step_machine_examples::steps::ProvisionStep;

use super::user::{Screen, User, assert_gone, start_and_end};

/// The number of the step that creates the instance.
const APPLY: usize = 5;

/// One test a step and drive: broken there, it fails there, as this kind of error, for this reason.
macro_rules! broken {
    ($($test:ident: $step:ident, $kind:literal, [$($text:literal),+];)*) => {$(
        fn $test(user: &User) {
            fails_at(user, ProvisionStep::$step, $kind, &[$($text),+]);
        }
    )* by_both_drives! { $($test),* } };
}

broken! {
    a_broken_template: RenderOpenTofuTemplates, "template-rendering",
        ["the templates of OpenTofu cannot be rendered", "tofu/main.tf.json.j2", "syntax error"];
    a_missing_program: OpenTofuInit, "command-execution",
        ["`tofu init` cannot be run", "bin", "os error 2"];
    an_unknown_field: OpenTofuValidate, "infrastructure-provisioning",
        ["`tofu validate` failed", "unknown field `memory`"];
    half_a_state: OpenTofuPlan, "infrastructure-provisioning",
        ["`tofu plan` failed", "terraform.tfstate: EOF while parsing"];
    a_port_that_is_taken: OpenTofuApply, "infrastructure-provisioning",
        ["`tofu apply` failed", "cannot listen on 127.0.0.1"];
    an_output_that_is_missing: GetInstanceInfo, "infrastructure-provisioning",
        ["the outputs of OpenTofu do not say where the instance is", "missing field `port`"];
    an_undefined_variable: RenderAnsibleTemplates, "template-rendering",
        ["the templates of Ansible cannot be rendered", "ansible/inventory.json.j2", "`ssh_key` is undefined"];
    an_instance_that_is_gone: WaitSshConnectivity, "network-connectivity",
        ["nothing answers at 127.0.0.1", "refused"];
    a_first_boot_that_fails: CloudInitWait, "configuration",
        ["the first boot of the instance failed", "cannot write etc/hostname/motd"];
}

fn fails_at(user: &User, broken: ProvisionStep, kind: &str, chain: &[&str]) {
    let screen = user.provision(&["--format", "json", "--fail-at", broken.id()]);
    assert_eq!(screen.code, Some(1), "{screen}");
    names_the_step(&screen, broken, kind, chain);
    tells_the_steps_in_order(&screen, broken);
    takes_back_what_it_created(user, &screen, broken);
    stores_the_failure(user, &screen, broken);
}

fn names_the_step(screen: &Screen, broken: ProvisionStep, kind: &str, chain: &[&str]) {
    let failure = screen.failure();
    let number = broken.index() + 1;
    assert_eq!(failure.step.as_ref().unwrap(), &broken.id());
    assert_eq!((failure.step_number, failure.total_steps), (number, 9));
    assert_eq!((&*failure.error.kind, failure.error.effect), (kind, Effect::Known));
    let texts: Vec<&String> = std::iter::once(&failure.error.message).chain(&failure.error.chain).collect();
    assert_eq!(texts.len(), chain.len(), "{texts:?}");
    for (text, part) in texts.iter().zip(chain) {
        assert!(text.contains(part), "`{part}` is not in `{text}`");
    }
    screen.complains(&format!("step {number}/9 `{}` of `provision` failed ({kind})", broken.id()));
    for text in texts.into_iter().flat_map(|text| text.lines()) {
        screen.complains(text);
    }
}

fn tells_the_steps_in_order(screen: &Screen, broken: ProvisionStep) {
    let mut expected = vec!["run_start ".to_owned()];
    expected.extend(ProvisionStep::steps().take(broken.index()).flat_map(start_and_end));
    if broken == ProvisionStep::WaitSshConnectivity {
        let attempt = |what| format!("{what} {}", broken.id());
        expected.extend((1..5).flat_map(|_| [attempt("step_start"), attempt("step_retry")]));
    }
    expected.extend(start_and_end(broken));
    if broken.index() + 1 >= APPLY {
        expected.extend(["undo_start open-tofu-apply".to_owned(), "undo_end open-tofu-apply".to_owned()]);
    }
    expected.push("run_end ".to_owned());
    assert_eq!(screen.story(), expected);
}

fn takes_back_what_it_created(user: &User, screen: &Screen, broken: ProvisionStep) {
    let state = screen.state();
    assert_eq!(state.failure(), Some(&screen.failure()));
    assert!(!user.path("instance").exists());
    if broken.index() + 1 < APPLY {
        assert_eq!(state.status(), RunStatus::Failed);
        assert_eq!(screen.failure().rollback, None);
        return;
    }
    assert_eq!(state.status(), RunStatus::RolledBack);
    assert_eq!(state.step("open-tofu-apply").unwrap().undo(), Undo::Ended(UndoStatus::Undone));
    let rollback = screen.failure().rollback.unwrap();
    assert_eq!(rollback.status, RunStatus::RolledBack);
    let undone: Vec<&str> = rollback.undos.iter().map(|undo| undo.step.id()).collect();
    assert_eq!(undone, ["open-tofu-apply"]);
    assert_eq!(user.read_json("build/tofu/terraform.tfstate")["resources"], serde_json::json!([]));
    assert_gone(user.port());
}

fn stores_the_failure(user: &User, screen: &Screen, broken: ProvisionStep) {
    let stored = user.stored_failure();
    assert_eq!(stored.step(), Some(broken));
    let before: Vec<_> = ProvisionStep::steps().take(broken.index()).collect();
    assert_eq!(stored.completed().collect::<Vec<_>>(), before);
    let after: Vec<_> = ProvisionStep::steps().skip(broken.index() + 1).collect();
    assert_eq!(stored.never_ran().collect::<Vec<_>>(), after);
    // The trace is written after the run has ended, so only the stored failure can name it.
    let mut record = stored.into_record();
    let trace = record.trace_file.take().unwrap();
    assert_eq!(record, screen.failure());
    let trace = fs::read_to_string(trace).unwrap();
    for text in [broken.id(), &record.error.kind, &record.run.to_string()] {
        assert!(trace.contains(text), "`{text}` is not in\n{trace}");
    }
    assert!(screen.stderr.contains(trace.trim_end()), "the screen and the trace differ:\n{screen}\n--- trace\n{trace}");
    assert_eq!(trace.matches("never ran").count(), after.len());
}
