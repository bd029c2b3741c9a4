#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::{Action, Preview};
use crate::policy::{OnFailure, Retry};
use crate::state::walks::generator::plans;
use crate::workflow::{Plan, StepInfo};

fn step(id: &str, name: &str, change: impl FnOnce(&mut StepInfo)) -> StepInfo {
    let mut step = StepInfo::new(id, name);
    change(&mut step);
    step
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A sequence with every rule that the text tells of, and a workflow inside.
fn provision() -> Plan {
    let docker =
        [step("repository", "Add the repository", |_| {}), step("install", "Install", |step| step.weight = 3.0)];
    let mut plan = Plan::new(
        "provision",
        [
            step("render", "Render templates", |_| {}),
            step("init", "OpenTofu init", |step| {
                step.retry = Some(Retry::new(4).delay(seconds(2)).jitter(false));
                step.timeout = Some(seconds(300));
                step.deadline = Some(seconds(1_800));
            }),
            step("apply", "OpenTofu apply", |step| {
                "Create the \"machine\"\n& its disk".clone_into(&mut step.description);
                step.undo = true;
                step.weight = 5.0;
            }),
            step("wait", "Wait for SSH", |step| {
                step.retry = Some(Retry::new(30).max_delay(seconds(30)));
                step.timeout = Some(Duration::from_millis(1_500));
            }),
            step("cloud-init", "Wait for cloud-init", |step| step.skippable = true),
            step("docker", "Install Docker", |step| {
                step.undo = true;
                step.critical = false;
                step.nested = Some(Plan::new("docker", docker).into());
            }),
            step("report", "Report", |_| {}),
        ],
    );
    plan.on_failure = OnFailure::Rollback;
    plan.deadline = Some(seconds(5_400));
    plan
}

/// A parallel plan whose first step needs later ones.
fn build() -> Plan {
    let needs = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
    let mut plan = Plan::new(
        "build",
        [
            step("publish", "Publish", |step| step.needs = needs(&["lint", "compile"])),
            step("fetch", "Fetch", |step| step.undo = true),
            step("compile", "Compile", |step| {
                step.needs = needs(&["fetch"]);
                step.undo = true;
            }),
            step("lint", "Lint", |step| {
                step.needs = needs(&["fetch"]);
                step.skippable = true;
                step.critical = false;
            }),
            step("docs", "Docs", |step| {
                step.needs = needs(&["fetch"]);
                step.undo = true;
            }),
        ],
    );
    plan.parallel = true;
    plan
}

#[test]
fn a_sequence_as_text() {
    let why = "the image has no cloud-init,\nsee the list of images";
    let text = Preview::of(provision()).skip(4, why.into()).only_until(5).to_string();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_eq!(
        text,
        "\
provision: 7 steps (5 would run), in order, at most 1h 30m
If a step fails, the run stops and what was done is undone.

  > 1/7  Render templates       9%
  > 2/7  OpenTofu init          9%  up to 4 attempts with waits of 2s, 4s, 8s;
                                    at most 5m an attempt; at most 30m in all
  > 3/7  OpenTofu apply        45%  can be undone
  > 4/7  Wait for SSH           9%  up to 30 attempts with waits of at most 1s,
                                    2s, 4s .. 30s; at most 1s 500ms an attempt
  - 5/7  Wait for cloud-init    9%  skipped: the image has no cloud-init, see
                                    the list of images
  > 6/7  Install Docker         9%  runs docker: 2 steps, in order; a failure is
                                    a warning; can be undone
      > 1/2  Add the repository   25%
      > 2/2  Install              75%
    7/7  Report                 9%  not reached

If it fails, these would be undone, in this order: Install Docker, OpenTofu
  apply
"
    );
}

#[test]
fn a_parallel_plan_as_text() {
    let preview = Preview::of(build()).max_parallel(NonZeroUsize::new(2));
    assert_eq!(
        preview.to_string(),
        "\
build: 5 steps, in parallel up to 2
If a step fails, the run stops.

  > 1/5  Publish   20%  needs Lint, Compile
  > 2/5  Fetch     20%  can be undone
  > 3/5  Compile   20%  needs Fetch; can be undone
  ? 4/5  Lint      20%  may be skipped; needs Fetch; a failure is a warning
  > 5/5  Docs      20%  needs Fetch; can be undone

If it is rolled back after a failure, these are undone, in this order: Docs,
  Compile, Fetch
"
    );
    let nothing =
        Preview::of(Plan { on_failure: OnFailure::Rollback, ..build() }).skip(1, "".into()).only_until(3).to_string();
    assert!(nothing.contains("\n  - 2/5  Fetch     20%  skipped\n"), "{nothing}");
    assert!(nothing.ends_with("\nIf it fails, there is nothing to undo.\n"), "{nothing}");
}

#[test]
fn a_retry_in_words() {
    let told = |retry| super::text::attempts(&retry);
    let retry = Retry::new(3).jitter(false);
    assert_eq!(told(retry), "up to 3 attempts with waits of 1s, 2s");
    assert_eq!(told(retry.factor(1.0)), "up to 3 attempts with waits of 1s");
    assert_eq!(told(retry.delay(Duration::ZERO)), "up to 3 attempts without waits");
    assert_eq!(told(Retry { attempts: 5, ..retry }), "up to 5 attempts with waits of 1s, 2s, 4s .. 8s");
    let capped = Retry { attempts: 9, ..retry }.max_delay(seconds(2));
    assert_eq!(told(capped), "up to 9 attempts with waits of 1s, 2s");
    assert_eq!(told(retry.delay(Duration::from_nanos(1)).factor(1.0)), "up to 3 attempts with waits of 1ns");
}

#[test]
fn names_of_any_kind_stay_on_their_line() {
    let red = step("red", "\u{1b}[31mRed\r\nalert\u{7}\u{ffff}", |_| {});
    let unnamed = step("unnamed", "\n", |step| step.weight = 1e-9);
    let text = Preview::of(Plan::new("odd\tone", [red, unnamed])).to_string();
    assert_eq!(
        text,
        "\
odd one: 2 steps, in order
If a step fails, the run stops.

  > 1/2  [31mRed alert  100%
  > 2/2  unnamed         <1%
"
    );
}

#[test]
fn undoing_goes_back_the_way_of_the_needs() {
    assert_eq!(Preview::of(provision()).undo_order(), ["docker", "apply"]);
    let build = Preview::of(build());
    assert_eq!(build.undo_order(), ["docs", "compile", "fetch"]);
    assert_eq!(build.waves(), [vec!["fetch"], vec!["compile", "lint", "docs"], vec!["publish"]]);
    // A step that is skipped has its turn after what it needs, and takes none.
    let skipped = build.skip(2, "cached".into()).skip(3, "later".into());
    assert_eq!(skipped.waves(), [vec!["fetch"], vec!["publish", "docs"]]);
    assert_eq!(skipped.undo_order(), ["docs", "fetch"]);
}

#[test]
fn what_is_decided_does_not_depend_on_the_order() {
    let one = Preview::of(build()).skip(3, "later".into()).skip(4, "never".into()).only_until(0);
    let other = Preview::of(build()).only_until(0).skip(4, "never".into()).skip(3, "later".into());
    assert_eq!(one, other);
    let actions: Vec<_> = one.steps().map(|step| step.action.clone()).collect();
    let later = Action::Skip { why: "later".into() };
    assert_eq!(actions, [Action::Run, Action::Run, Action::Run, later, Action::NotReached]);
}

#[test]
fn a_plan_that_none_could_declare_is_shown_all_the_same() {
    let circle = |step: &mut StepInfo| step.needs = vec!["one".to_owned(), "two".to_owned(), "gone".to_owned()];
    let mut plan = Plan::new("circle", [step("one", "One", circle), step("two", "Two", circle)]);
    plan.parallel = true;
    plan.steps[0].weight = f64::NAN;
    let preview = Preview::of(plan).only_until(1).only_until(7).skip(7, "none".into());
    assert_eq!(preview.waves(), Vec::<Vec<&str>>::new());
    let preview = Preview::of(preview.plan().clone());
    assert_eq!(preview.waves().concat().len(), 2);
    assert!(preview.to_string().contains("needs One, Two, gone"), "{preview}");
}

#[test]
fn a_preview_as_json() {
    let preview =
        Preview::of(Plan { on_failure: OnFailure::Rollback, ..build() }).skip(3, "later".into()).only_until(0);
    let data = serde_json::to_value(&preview).unwrap();
    let all: Vec<_> = data.as_object().unwrap().keys().collect();
    assert_eq!(all, ["on_failure", "parallel", "steps", "undo_order", "waves", "workflow"]);
    assert_eq!(data["on_failure"], "rollback");
    assert_eq!(data["undo_order"], json!(["compile", "fetch"]));
    assert_eq!(data["waves"], json!([["fetch"], ["compile"], ["publish"]]));
    assert_eq!((&data["steps"][3]["id"], &data["steps"][3]["needs"]), (&json!("lint"), &json!(["fetch"])));
    assert_eq!((&data["steps"][3]["action"], &data["steps"][3]["why"]), (&json!("skip"), &json!("later")));
    assert_eq!((&data["steps"][0]["action"], &data["steps"][4]["action"]), (&json!("run"), &json!("not_reached")));
    assert_eq!(serde_json::to_value(Preview::of(build())).unwrap()["steps"][3]["action"], "may_skip");
    assert_eq!(serde_json::to_value(Preview::of(provision())).unwrap()["deadline_ms"], 5_400_000.0);
}

#[test]
fn a_sequence_as_mermaid() {
    let preview = Preview::of(provision()).skip(4, "no \"cloud-init\"".into()).only_until(5);
    assert_eq!(
        preview.to_mermaid(),
        r#"flowchart TD
    s0["Render templates"]
    s1["OpenTofu init"]
    s2["OpenTofu apply ↶"]
    s3["Wait for SSH"]
    s4["Wait for cloud-init<br/>skipped: no #34;cloud-init#34;"]
    subgraph s5["Install Docker ↶"]
        s5_0["Add the repository"]
        s5_1["Install"]
        s5_0 --> s5_1
    end
    s6["Report<br/>not reached"]
    s0 --> s1
    s1 --> s2
    s2 --> s3
    s3 --> s4
    s4 --> s5
    s5 --> s6
    classDef non_critical stroke-dasharray: 5 5
    class s5 non_critical
    classDef skipped fill:#eee,stroke:#999,color:#666
    class s4 skipped
    classDef not_reached fill:#fff,stroke:#ccc,color:#999
    class s6 not_reached
"#
    );
}

#[test]
fn a_sequence_as_dot() {
    let preview = Preview::of(provision()).skip(4, "no \"cloud-init\"".into()).only_until(5);
    assert_eq!(
        preview.to_dot(),
        r##"digraph "provision" {
    compound=true;
    node [shape=box, style=rounded];
    s0 [label="Render templates"];
    s1 [label="OpenTofu init"];
    s2 [label="OpenTofu apply ↶", tooltip="Create the \"machine\" &amp; its disk"];
    s3 [label="Wait for SSH"];
    s4 [label="Wait for cloud-init\nskipped: no \"cloud-init\"", class=skipped, style="rounded,filled", fillcolor="#eeeeee", color="#666666", fontcolor="#666666"];
    subgraph cluster_s5 {
        label="Install Docker ↶";
        style="rounded,dashed";
        s5_0 [label="Add the repository"];
        s5_1 [label="Install"];
        s5_0 -> s5_1;
    }
    s6 [label="Report\nnot reached", class=not_reached, style="rounded,filled", fillcolor="#ffffff", color="#999999", fontcolor="#999999"];
    s0 -> s1;
    s1 -> s2;
    s2 -> s3;
    s3 -> s4;
    s4 -> s5_0 [lhead=cluster_s5];
    s5_0 -> s6 [ltail=cluster_s5];
}
"##
    );
}

#[test]
fn the_needs_of_a_parallel_plan_are_its_edges() {
    let preview = Preview::of(build());
    let edges = |text: String, arrow: &str| {
        text.lines().filter(|line| line.contains(arrow)).map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    let mermaid = ["s3 --> s0", "s2 --> s0", "s1 --> s2", "s1 --> s3", "s1 --> s4"];
    assert_eq!(edges(preview.to_mermaid(), "-->"), mermaid);
    let dot = mermaid.map(|edge| edge.replace("-->", "->") + ";");
    assert_eq!(edges(preview.to_dot(), "->"), dot);
}

#[test]
fn no_name_means_anything_to_mermaid() {
    let drawn = |name: &str| {
        let text = Preview::of(Plan::new("odd", [step("odd", name, |_| {})])).to_mermaid();
        let label = text.lines().nth(1).unwrap().strip_prefix("    s0[\"").unwrap();
        label.strip_suffix("\"]").unwrap().to_owned()
    };
    assert_eq!(drawn("say \"hi\" #1; [x] <b>"), "say #34;hi#34; #35;1#59; #91;x#93; #60;b#62;");
    assert_eq!(drawn("`- a` 1. b"), "#96;#45; a#96; 1#46; b");
    assert_eq!(drawn("%%{init}%%"), "#37;#37;#123;init#125;#37;#37;");
    assert_eq!(drawn("style:#a; b: c"), "style#58;#35;a#59; b: c");
    assert_eq!(drawn("Set direction TB"), "Set direction#32;TB");
    assert_eq!(drawn("a C4Container"), "a C#52;Container");
    assert_eq!(drawn("Größe\nändern 🚀"), "Größe ändern #128640;");
    assert_eq!(drawn("\n"), "odd");
}

#[test]
fn no_name_means_anything_to_dot() {
    let drawn = |name: &str| {
        let text = Preview::of(Plan::new("odd", [step("odd", name, |_| {})])).to_dot();
        text.lines().find(|line| line.contains("s0")).unwrap().trim().to_owned()
    };
    assert_eq!(drawn(r#"say "hi" \N <b>"#), r#"s0 [label="say \"hi\" \\N <b>"];"#);
    assert_eq!(drawn("a\\\nb\\"), r#"s0 [label="a\\ b\\"];"#);
    assert_eq!(drawn("&lt; ä"), r#"s0 [label="&amp;lt; ä"];"#);
}

prop_compose! {
    /// A preview of a random plan with something decided, and the step that it ends with.
    fn previews()(
        plan in plans(),
        skipped in prop::collection::vec((any::<Index>(), texts()), 0..3),
        last in prop::option::of(any::<Index>()),
    ) -> (Preview, Option<usize>) {
        let count = plan.steps.len();
        let mut preview = Preview::of(plan);
        for (index, why) in skipped {
            preview = preview.skip(index.index(count), why.into());
        }
        let last = last.map(|last| last.index(count));
        (match last { Some(last) => preview.only_until(last), None => preview }, last)
    }
}

/// Texts in which what means something to a language is frequent.
fn texts() -> impl Strategy<Value = String> {
    let odd = prop::sample::select("\"\\#&;<>[](){}|`%\n-:. end".chars().collect::<Vec<_>>());
    prop::collection::vec(prop_oneof![odd, any::<char>()], 0..24).prop_map(String::from_iter)
}

fn needs_of(plan: &Plan, id: &str) -> Vec<String> {
    if plan.parallel {
        return plan.step(id).unwrap().needs.clone();
    }
    plan.steps.iter().map(|step| step.id.clone()).take_while(|before| before != id).collect()
}

/// Everything that comes before a step, by way of others too.
fn all_needs(plan: &Plan, id: &str) -> HashSet<String> {
    let (mut found, mut open) = (HashSet::new(), needs_of(plan, id));
    while let Some(need) = open.pop() {
        open.extend(needs_of(plan, &need).into_iter().filter(|further| !found.contains(further)));
        found.insert(need);
    }
    found
}

fn running(preview: &Preview) -> impl Iterator<Item = &StepInfo> {
    preview.steps().filter(|step| step.action.runs()).map(|step| &step.info)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn undoing_is_the_reverse_of_an_order_that_the_needs_allow((preview, _) in previews()) {
        let order = preview.undo_order();
        let undoable: HashSet<_> = running(&preview).filter(|step| step.undo).map(|step| &*step.id).collect();
        prop_assert_eq!(order.len(), undoable.len());
        prop_assert_eq!(order.iter().copied().collect::<HashSet<_>>(), undoable);
        for (at, id) in order.iter().enumerate() {
            let needs = all_needs(preview.plan(), id);
            prop_assert!(order[..at].iter().all(|&earlier| !needs.contains(earlier)), "{:?}: {}", order, id);
        }
    }

    #[test]
    fn a_wave_needs_only_what_earlier_ones_ran((preview, _) in previews()) {
        let waves = preview.waves();
        let mut ran = HashSet::new();
        let runs: HashSet<_> = running(&preview).map(|step| step.id.clone()).collect();
        for wave in &waves {
            prop_assert!(!wave.is_empty() && (preview.plan().parallel || wave.len() == 1), "{:?}", waves);
            for id in wave {
                let needs = all_needs(preview.plan(), id);
                prop_assert!(needs.intersection(&runs).all(|need| ran.contains(need)), "{:?}: {}", waves, id);
            }
            for id in wave {
                prop_assert!(ran.insert((*id).to_owned()), "{:?}: {} twice", waves, id);
            }
        }
        prop_assert_eq!(ran, runs);
    }

    #[test]
    fn a_run_that_ends_early_has_the_last_step_and_all_it_needs((preview, last) in previews()) {
        let reached = preview.steps().filter(|step| step.action != Action::NotReached);
        let reached: HashSet<_> = reached.map(|step| step.info.id.clone()).collect();
        let expected = match last {
            Some(last) => {
                let last = &preview.plan().steps[last].id;
                let mut expected = all_needs(preview.plan(), last);
                expected.insert(last.clone());
                expected
            }
            None => preview.plan().steps.iter().map(|step| step.id.clone()).collect(),
        };
        prop_assert_eq!(reached, expected);
    }

    #[test]
    fn diagrams_are_well_formed_whatever_the_names_are(
        (preview, _) in previews(),
        texts in prop::collection::vec((texts(), texts()), 1..13),
        nested in any::<Index>(),
    ) {
        let mut plan = preview.plan().clone();
        let inside = plan.clone();
        nested.get_mut(&mut plan.steps).nested = Some(inside.into());
        for (step, (name, description)) in plan.steps.iter_mut().zip(&texts) {
            step.name.clone_from(name);
            step.description.clone_from(description);
        }
        plan.workflow.clone_from(&texts[0].0);
        let preview = Preview::of(plan);
        for line in preview.to_mermaid().lines() {
            let labels = line.matches('"').count();
            prop_assert!(labels == 0 || labels == 2 && line.ends_with("\"]"), "{}", line);
            prop_assert!(!line.contains("[\"\"]"), "{}", line);
        }
        for line in preview.to_dot().lines() {
            // What is left without the escapes are the strings' own quotes.
            let bare = line.replace(r"\\", "").replace("\\\"", "");
            prop_assert_eq!(bare.matches('"').count() % 2, 0, "{}", line);
            prop_assert!(line.ends_with([';', '{', '}']), "{}", line);
        }
        prop_assert!(!preview.to_string().contains(|c: char| c.is_control() && c != '\n'));
    }
}
