//! Those whom `compose` tells how far it is: each alone, all at once, and none.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use step_machine::Workflow;
use step_machine::event::{Event, Kind};
use step_machine_examples::steps::ComposeStep;

use super::compose_site::Shop;
use super::user::Screen;

/// Where each phase ends, in percent.
const ENDS: [f64; 11] = [5.0, 10.0, 15.0, 20.0, 25.0, 40.0, 60.0, 80.0, 90.0, 95.0, 100.0];

fn percentage(event: &Event) -> Option<f64> {
    Some(event.progress.as_ref()?.percentage)
}

#[test]
fn each_phase_ends_where_its_users_expect_it() {
    let shop = Shop::new();
    // A first one, which skips its cleanup, and a second one.
    for _ in 0..2 {
        let events = shop.told(&[]).events();
        let ends = events.iter().filter(|event| matches!(event.kind, Kind::StepEnd(_)));
        let ends: Vec<_> = ends.map(|event| (event.step().unwrap(), percentage(event).unwrap())).collect();
        let expected: Vec<_> = ComposeStep::steps().map(|step| step.id()).zip(ENDS).collect();
        assert_eq!(ends, expected);
        let all: Vec<f64> = events.iter().filter_map(percentage).collect();
        assert!(all.is_sorted(), "{all:?}");
    }
}

#[test]
fn the_progress_of_pulling_is_that_of_its_bytes() {
    let shop = Shop::new();
    let events = shop.told(&[]).events();
    let pulling = events.iter().filter(|event| event.step() == Some("pulling"));
    let percentages: Vec<f64> = pulling.clone().filter_map(percentage).collect();
    let different: BTreeSet<u64> = percentages.iter().map(|percentage| percentage.to_bits()).collect();
    assert!(different.len() > 30, "{percentages:?}");
    // Of the 15 % that pulling has no piece makes more than one.
    assert!(percentages.windows(2).all(|pair| pair[1] - pair[0] < 1.0), "{percentages:?}");
    let tasks: Vec<String> = pulling
        .clone()
        .filter_map(|event| match &event.kind {
            Kind::TaskStart(start) => Some(start.task.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(tasks, ["db:1", "api:2.0.0", "web:2.0.0"]);
    for task in &tasks {
        let fractions: Vec<f64> = pulling
            .clone()
            .filter_map(|event| match &event.kind {
                Kind::TaskUpdate(update) if update.task == *task => update.fraction,
                _ => None,
            })
            .collect();
        assert!(fractions.is_sorted() && fractions.len() > 5, "{task}: {fractions:?}");
        assert_eq!(fractions.last(), Some(&1.0));
    }
}

/// What all consumers were told of one deployment.
struct Told {
    screen: Screen,
    updates: Vec<Value>,
    audit: Vec<Value>,
}

/// Deploys, with everybody told.
fn all_told(shop: &Shop, arguments: &[&str]) -> Told {
    let (updates, audit) = (shop.file("updates"), shop.file("audit"));
    let files = ["--updates", updates.to_str().unwrap(), "--audit", audit.to_str().unwrap()];
    let screen = shop.told(&[&["--on-status", "--channel"][..], &files, arguments].concat());
    Told { screen, updates: shop.lines("updates"), audit: shop.lines("audit") }
}

#[test]
fn an_update_has_what_its_users_asked_for() {
    let shop = Shop::with(&["v1.0.0"]);
    let Told { screen, updates, .. } = all_told(&shop, &[]);
    assert_eq!(updates.len(), screen.events().len(), "an update for each event");
    let fields: BTreeSet<&str> = [
        "project",
        "deployment_id",
        "phase",
        "phase_progress",
        "total_progress",
        "level",
        "message",
        "timestamp",
        "elapsed",
        "metadata",
    ]
    .into();
    let phases: Vec<String> = ComposeStep::steps().map(|step| step.id().replace('-', "_")).collect();
    for (update, event) in updates.iter().zip(screen.events()) {
        let object = update.as_object().unwrap();
        assert_eq!(object.keys().map(String::as_str).collect::<BTreeSet<_>>(), fields);
        assert_eq!((&update["project"], &update["deployment_id"]), (&json!("shop"), &json!("shop-2")));
        assert!(phases.iter().any(|phase| update["phase"] == **phase), "{update}");
        assert_eq!(update["timestamp"], serde_json::to_value(&event).unwrap()["at"]);
        assert_eq!(update["elapsed"].as_f64(), Some(event.elapsed.as_secs_f64()));
        assert!((0.0..=1.0).contains(&update["phase_progress"].as_f64().unwrap()), "{update}");
        assert!(!update["message"].as_str().unwrap().is_empty(), "{update}");
        assert!(update["metadata"].is_object());
        if let Some(percentage) = percentage(&event) {
            assert_eq!(update["total_progress"].as_f64(), Some(percentage / 100.0));
        }
    }
    let ends = updates.iter().filter(|update| update["message"] == "is done");
    let ends: Vec<_> =
        ends.map(|update| (update["phase"].clone(), update["total_progress"].as_f64().unwrap())).collect();
    let expected: Vec<_> = phases.iter().map(|phase| json!(phase)).zip(ENDS.map(|end| end / 100.0)).collect();
    assert_eq!(ends, expected);
    let levels: BTreeSet<&str> = updates.iter().map(|update| update["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["info", "success", "verbose"].into());
    let pulling = updates.iter().filter(|update| update["phase"] == "pulling");
    let progress: Vec<f64> = pulling.map(|update| update["phase_progress"].as_f64().unwrap()).collect();
    assert!(progress.is_sorted() && progress.contains(&0.0) && progress.contains(&1.0), "{progress:?}");
}

#[test]
fn the_audit_says_who_changed_what_to_which_status() {
    let shop = Shop::new();
    let who = ["--by", "eve", "--ticket", "OPS-7", "--label", "team=payments", "--id", "first"];
    let Told { audit, .. } = all_told(&shop, &who);
    let change = |entry: &Value| {
        let step = entry.get("step").map_or("", |step| step.as_str().unwrap());
        format!("{step} {}", entry["status"].as_str().unwrap())
    };
    let mut expected = vec![" running".to_owned()];
    for step in ComposeStep::steps() {
        if step == ComposeStep::Cleanup {
            expected.push("cleanup skipped".to_owned());
        } else {
            expected.extend(["running", "completed"].map(|status| format!("{} {status}", step.id())));
        }
    }
    expected.push(" completed".to_owned());
    assert_eq!(audit.iter().map(change).collect::<Vec<_>>(), expected);
    for entry in &audit {
        let labels = ["by", "ticket", "team"].map(|key| entry["labels"][key].as_str().unwrap());
        assert_eq!(labels, ["eve", "OPS-7", "payments"]);
        assert_eq!((&entry["run"], &entry["deployment_id"]), (&json!("first"), &json!("shop-1")));
    }
    // The next one is appended, with what was taken back.
    let Told { audit, .. } = all_told(&shop, &["--by", "bob", "--fail-at", "traefik"]);
    let second: Vec<_> = audit[expected.len()..].iter().collect();
    assert!(second.iter().all(|entry| entry["labels"]["by"] == "bob"));
    let tail: Vec<String> = second[second.len() - 5..].iter().map(|entry| change(entry)).collect();
    assert_eq!(tail, ["traefik failed", "traefik undone", "starting undone", "worktree undone", " rolled_back"]);
    assert_eq!(second[second.len() - 5]["kind"], "routing");
}

#[test]
fn levels_tell_what_matters_and_nothing_below_it() {
    let shop = Shop::with(&["v1.0.0"]);
    let lines = |level: &str, more: &[&str]| {
        let screen = shop.compose(&[&["--on-status", "--level", level], more].concat());
        let lines = screen.stderr.lines().filter(|line| line.starts_with("shop-")).map(str::to_owned);
        lines.map(|line| line.split_whitespace().nth(2).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let has = |lines: &[String]| lines.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(has(&lines("debug", &[])), ["debug", "info", "success"].map(str::to_owned).into());
    assert_eq!(has(&lines("info", &[])), ["info", "success"].map(str::to_owned).into());
    assert_eq!(lines("warning", &[]), Vec::<String>::new());
    let broken = lines("warning", &["--fail-at", "traefik"]);
    assert_eq!(has(&broken), ["error", "warning"].map(str::to_owned).into());
    assert_eq!(lines("error", &["--fail-at", "traefik"]), ["error", "error"]);
}

#[test]
fn a_line_says_how_far_it_is() {
    let shop = Shop::new();
    let Told { screen, .. } = all_told(&shop, &[]);
    for line in [
        "shop-1   0.0% info    initializing: the deployment begins",
        "shop-1  25.0% success validating: is done",
        "shop-1  80.0% success health_check: is done",
        "shop-1 100.0% success complete: the deployment is completed",
    ] {
        screen.complains(line);
    }
    let events = screen.events().len();
    screen.complains(&format!("channel: {events} events up to 100 %: 1 run_start, 10 step_start, "));
}

#[test]
fn a_run_that_goes_on_is_told_to_the_same_files() {
    let shop = Shop::new();
    let crashed = all_told(&shop, &["--crash-at", "starting:before", "--by", "eve"]);
    assert_eq!(crashed.screen.code, None, "{}", crashed.screen);
    let Told { screen, updates, audit } = all_told(&shop, &["--resume"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let resumed = &updates[crashed.updates.len()];
    assert_eq!((&resumed["message"], &resumed["deployment_id"]), (&json!("the deployment goes on"), &json!("shop-1")));
    assert_eq!((&resumed["phase"], &resumed["total_progress"]), (&json!("starting"), &json!(0.4)));
    let resumed = &audit[crashed.audit.len()];
    assert_eq!((&resumed["status"], &resumed["labels"]["by"]), (&json!("running"), &json!("eve")));
    shop.runs("2.0.0", "shop-1");
}

#[test]
fn a_file_that_cannot_be_written_stops_nothing_but_itself() {
    let shop = Shop::new();
    let screen = shop.compose(&["--updates", "nowhere/updates"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("nowhere/updates");
    assert!(shop.processes().is_empty(), "{:?}", shop.processes());
    if fs::exists("/dev/full").unwrap() {
        let screen = shop.compose(&["--updates", "/dev/full", "--audit", "/dev/full"]);
        assert_eq!(screen.code, Some(0), "{screen}");
        screen.complains("--updates ends here: No space left on device");
        screen.complains("--audit ends here: No space left on device");
        shop.runs("2.0.0", "shop-2");
    }
}

#[test]
fn what_is_counted_is_there_for_prometheus() {
    let shop = Shop::new();
    let file = shop.file("metrics.prom");
    let screen = shop.compose(&["--metrics", file.to_str().unwrap()]);
    assert_eq!(screen.code, Some(0), "{screen}");
    let text = fs::read_to_string(file).unwrap();
    for line in [
        r#"step_machine_runs_total{workflow="compose",status="completed"} 1"#,
        r#"step_machine_steps_total{workflow="compose",step="health-check",status="completed"} 1"#,
        r#"step_machine_steps_total{workflow="compose",step="cleanup",status="skipped"} 1"#,
        r#"step_machine_progress_ratio{workflow="compose"} 1"#,
    ] {
        assert!(text.lines().any(|shown| shown == line), "`{line}` is not in\n{text}");
    }
}

#[test]
fn what_is_removed_is_not_said_to_be_stopped() {
    let shop = Shop::new();
    let told: Vec<_> = (0..3).map(|_| shop.told(&[])).collect();
    let said = told.last().unwrap().stdout.lines().filter(|line| line.contains(r#""step":"cleanup""#));
    let said = said.collect::<Vec<_>>().join("\n");
    assert!(said.contains("shop-1 is removed") && said.contains("shop-2 is stopped"), "{said}");
}
