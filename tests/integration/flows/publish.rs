//! `publish`: every kind and every source, and what answers then.

use std::fs;
use std::process::Command;

use serde_json::json;
use step_machine::event::{EventType, Kind, Reason, RunStatus, StepStatus};

use super::publisher::{PAGES, Publisher};
#[cfg(unix)]
use super::user::eventually;

#[test]
fn each_kind_answers() {
    for (kind, steps) in [("static", 7), ("docker", 6), ("nodejs", 3)] {
        let publisher = Publisher::with(kind);
        publisher.answers("The shop is open");
        assert_eq!(publisher.page("/shop/style.css").unwrap().0, 200);
        assert_eq!(publisher.page("/shop/gone").unwrap().0, 404);
        assert_eq!(publisher.page("/shop/../../routes.json").unwrap().0, 404);
        assert_eq!(publisher.page("/other/").unwrap().0, 404);
        let screen = publisher.publish(&[kind]);
        assert_eq!(screen.stdout.lines().filter(|line| line.starts_with('✓')).count(), steps, "{screen}");
        assert_eq!(screen.stderr, "");
    }
}

#[test]
fn nested_steps_are_indented_below_their_step() {
    let screen = Publisher::new().publish(&["nodejs"]);
    let mut lines = screen.stdout.lines().map(|line| line.split("  0.").next().unwrap().trim_end()).skip(1);
    let expected = [
        "▸ 1/3  Pull source",
        "    ✓ 1/3  Find source",
        "    ✓ 2/3  Make room",
        "    ✓ 3/3  Transfer",
        "✓ 1/3  Pull source",
        "✓ 2/3  Write Dockerfile",
        "▸ 3/3  Run container",
        "    ▸ 1/6  Get build context",
        "        ✓ 1/3  Find source",
    ];
    for line in expected {
        assert_eq!(lines.next().map(|line| line.trim_end_matches(' ')), Some(line), "{screen}");
    }
    assert!(lines.any(|line| line == "✓ 3/3  Run container"), "{screen}");
}

#[test]
fn static_files_pass_through_the_known_percentages() {
    let told = Publisher::new().told(&["static"]);
    told.passes_through("", &[0.0, 10.0, 15.0, 25.0, 30.0, 60.0, 80.0, 90.0, 100.0]);
    assert_eq!(told.state("").status(), RunStatus::Completed);
}

#[test]
fn a_container_passes_through_the_known_percentages() {
    let told = Publisher::new().told(&["docker"]);
    told.passes_through("", &[0.0, 20.0, 50.0, 75.0, 90.0, 100.0]);
    told.passes_through("/get-context/source", &[0.0, 40.0, 60.0, 100.0]);
    let step = told.state("").step("build-image").unwrap().output().unwrap().clone();
    assert_eq!(step["name"], "shop:1");
    assert!(step["digest"].as_str().unwrap().starts_with("sha256:"), "{step}");
}

#[test]
fn a_nodejs_application_passes_through_those_of_its_container_too() {
    let told = Publisher::new().told(&["nodejs"]);
    // 75 % of the way are those of the container: its 20, 50, 75 and 90 %.
    told.passes_through("", &[0.0, 15.0, 25.0, 40.0, 62.5, 81.25, 92.5, 100.0]);
    told.passes_through("/run-container/docker", &[0.0, 20.0, 50.0, 75.0, 90.0, 100.0]);
    let begin = told.events("/run-container/docker").remove(0);
    let Kind::RunStart(start) = begin.kind else { panic!("{} comes first", begin.event_type()) };
    let parent = start.parent.unwrap();
    assert_eq!((parent.run, parent.step.id()), (told.events("")[0].run.clone(), "run-container"));
    told.passes_through("/run-container/docker/get-context/source", &[40.0, 60.0, 100.0]);
}

#[test]
fn each_phase_is_where_users_expect_it() {
    let told = Publisher::new().told(&["docker"]);
    for (step, percentage) in
        [("build-image", 20.0), ("copy-files", 50.0), ("update-routes", 75.0), ("health-check", 90.0)]
    {
        let mut events = told.events("").into_iter();
        let begin = events.find(|event| event.event_type() == EventType::StepStart && event.step() == Some(step));
        assert_eq!(begin.unwrap().progress.unwrap().percentage, percentage, "{step}");
    }
}

#[test]
fn the_source_alone_goes_no_further() {
    let publisher = Publisher::new();
    let told = publisher.told(&["source"]);
    assert_eq!(told.screen.code, Some(0), "{}", told.screen);
    told.passes_through("", &[0.0, 10.0, 15.0, 25.0]);
    assert_eq!(told.percentages("").last(), Some(&25.0));
    let Kind::RunEnd(end) = told.events("").pop().unwrap().kind else { panic!("the run did not end") };
    assert_eq!((end.status, end.reason), (RunStatus::Cancelled, Some(Reason::Requested)));
    assert_eq!(told.state("").step("check-files").unwrap().status(), StepStatus::Pending);
    assert!(publisher.user.path("sources/shop-1/index.html").exists());
    assert!(publisher.page("/shop/").is_none());
}

#[test]
fn much_data_is_many_small_updates() {
    let publisher = Publisher::new();
    let pages = publisher.pages("bucket/v1");
    fs::write(pages.join("film.bin"), vec![7; 4_000_000]).unwrap();
    let bucket = pages.parent().unwrap().display().to_string();
    let told = publisher.told(&["static", "--source", "bucket", "--bucket", &bucket, "--key", "v1"]);
    let percentages = told.percentages("");
    let transfer = percentages.iter().filter(|percentage| (15.0..=25.0).contains(*percentage));
    let transfer: Vec<_> = transfer.collect();
    assert!(transfer.len() > 50, "{transfer:?}");
    assert!(transfer.windows(2).all(|pair| pair[1] - pair[0] < 0.5), "{transfer:?}");
}

/// What the step that transfers tells machines.
fn metadata(publisher: &Publisher, arguments: &[&str]) -> serde_json::Value {
    let told = publisher.told(&[&["static", "--source"], arguments].concat());
    assert_eq!(told.screen.code, Some(0), "{}", told.screen);
    let state = told.state("/pull-source/source");
    serde_json::to_value(state.step("transfer").unwrap().metadata().unwrap()).unwrap()
}

#[test]
fn a_git_repository_is_a_source() {
    let publisher = Publisher::new();
    let repository = publisher.repository();
    let told = metadata(&publisher, &["git", "--repository", &repository, "--branch", "live"]);
    let source = json!({ "kind": "git", "repository": repository, "branch": "live" });
    assert_eq!(told, json!({ "source": source, "source_status": "ready" }));
    publisher.answers("Mine");
    assert_eq!(publisher.page("/shop/.git/HEAD").unwrap().0, 404);
    // The branch that the repository names.
    metadata(&publisher, &["git", "--repository", &repository]);
}

#[test]
fn an_upload_is_a_source() {
    let publisher = Publisher::new();
    let (pages, file) = (publisher.pages("pages"), publisher.work.path().join("pages.tar.gz"));
    let packed = Command::new("tar").arg("-czf").arg(&file).arg("-C").arg(pages).arg(".").status().unwrap();
    assert!(packed.success());
    let told = metadata(&publisher, &["upload", "--file", file.to_str().unwrap()]);
    assert_eq!(told["source"], json!({ "kind": "upload", "file": file }));
    publisher.answers("Mine");
    assert_eq!(publisher.page("/shop/about/index.html").unwrap().1, "<h1>About me</h1>\n");
    assert!(!publisher.entries("releases/shop/shop-1").contains(&".upload.tar.gz".to_owned()));
}

#[test]
fn a_bucket_is_a_source() {
    let publisher = Publisher::new();
    let bucket = publisher.pages("bucket/site/v2").parent().unwrap().parent().unwrap().display().to_string();
    let told = metadata(&publisher, &["bucket", "--bucket", &bucket, "--key", "site/v2"]);
    assert_eq!(told["source"], json!({ "kind": "bucket", "bucket": bucket, "key": "site/v2" }));
    publisher.answers("Mine");
    assert_eq!(publisher.entries("releases/shop/shop-1").len(), PAGES.len());
}

#[test]
fn every_source_does_for_a_container() {
    let publisher = Publisher::new();
    let repository = publisher.repository();
    for kind in ["docker", "nodejs"] {
        let screen = publisher.publish(&[kind, "--source", "git", "--repository", &repository]);
        assert_eq!(screen.code, Some(0), "{screen}");
        publisher.answers("Mine");
    }
    let file = fs::read_to_string(publisher.user.path("containers/shop-2/root/srv/Dockerfile")).unwrap();
    assert!(file.starts_with("# Written for mine 2.0.0.\n"), "{file}");
    assert!(file.ends_with("CMD [\"node\", \"mine.js\"]"), "{file}");
}

#[cfg(unix)]
#[test]
fn a_new_version_takes_the_place_of_the_old_one() {
    let publisher = Publisher::with("docker");
    let repository = publisher.repository();
    assert_eq!(publisher.processes(), 2);
    let mine = ["--source", "git", "--repository", &repository];
    let screen = publisher.publish(&[&["docker"][..], &mine].concat());
    screen.tells("shop-1 is retired");
    publisher.answers("Mine");
    assert_eq!((publisher.processes(), publisher.entries("containers")), (2, vec!["shop-2".to_owned()]));
    assert_eq!((publisher.entries("images").len(), publisher.entries("sources").len()), (1, 0));
    publisher.publish(&["static"]).tells("shop-2 is retired");
    publisher.answers("The shop is open");
    assert_eq!((publisher.processes(), publisher.entries("containers").len()), (1, 0));
    publisher.publish(&["nodejs"]).tells("shop-3 is retired");
    assert_eq!((publisher.processes(), publisher.entries("releases/shop").len()), (2, 0));
    publisher.answers("The shop is open");
}

#[cfg(unix)]
#[test]
fn two_applications_are_beside_each_other() {
    let publisher = Publisher::with("docker");
    assert_eq!(publisher.publish(&["static", "--app", "blog"]).code, Some(0));
    assert_eq!(publisher.page("/blog/").unwrap().0, 200);
    publisher.answers("The shop is open");
    assert_eq!(publisher.processes(), 2);
    let screen = publisher.publish(&["stop"]);
    assert_eq!(screen.stdout, "demo: nothing is published any more\n");
    eventually("all processes end", || publisher.processes() == 0);
    assert!(!publisher.user.path("").exists());
    assert_eq!(publisher.publish(&["stop"]).stdout, "demo: nothing is published\n");
}

#[cfg(unix)]
#[test]
fn what_is_published_ends_where_its_folder_goes() {
    let publisher = Publisher::with("nodejs");
    fs::remove_dir_all(publisher.user.path("")).unwrap();
    eventually("all processes end", || publisher.processes() == 0);
}

#[test]
fn a_plan_runs_nothing() {
    let publisher = Publisher::new();
    let screen = publisher.publish(&["nodejs", "--plan"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.tells("> 3/6  Copy files          25%");
    assert!(screen.stdout.lines().all(|line| line.chars().count() <= 80), "{screen}");
    let plan = publisher.publish(&["source", "--plan", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!((&plan["waves"], &plan["steps"][1]["action"]), (&json!([["pull-source"]]), &json!("not_reached")));
    assert!(!publisher.user.path("").exists());
}
