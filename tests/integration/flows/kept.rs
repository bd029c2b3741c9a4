//! What the examples say of the runs that they keep, as far as a user asks for it: how one goes on, and what cannot.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use serde_json::{Value, json};

use super::publisher::Publisher;
use super::user::{Screen, User};

by_both_drives! {
    a_crash_says_how_to_go_on_and_that_goes_on,
    a_run_that_failed_is_there_to_go_on_with,
    a_journal_without_room_stops_the_run_which_goes_on_when_there_is_some,
}

fn crash(user: &User, example: &str, arguments: &[&str]) -> Screen {
    let output = user.command(example, arguments).output().unwrap();
    assert_eq!(output.status.signal(), Some(9), "{}", String::from_utf8_lossy(&output.stderr));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Screen { code: None, stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn a_crash_says_how_to_go_on_and_that_goes_on(user: &User) {
    for when in ["before", "during", "after"] {
        let screen = crash(user, "provision", &["--crash-at", &format!("open-tofu-apply:{when}"), "--id", when]);
        screen.complains("died at open-tofu-apply; go on with it: cargo run --example provision -- ");
        screen.complains(&format!("--resume {when} --dir demo"));
        assert_eq!(user.read_json("environment.json")["state"], "provisioning");
        let screen = user.configure(&[]);
        assert_eq!(screen.code, Some(1));
        screen.complains("go on with `provision --resume`");
        let screen = user.provision(&["--resume"]);
        assert_eq!(screen.code, Some(0), "{screen}");
        screen.tells(&format!("provision: run {when} goes on, 4 of 9 steps are completed"));
        screen.tells("done before");
        let done = screen.stdout.lines().filter(|line| line.starts_with('✓'));
        assert_eq!(done.count(), 9, "{screen}");
        assert_eq!(user.read_json("environment.json")["state"], "provisioned");
    }
    let screen = user.provision(&["--resume"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.complains("nothing is left to do: after  completed");
}

fn a_run_that_failed_is_there_to_go_on_with(user: &User) {
    let screen = user.provision(&["--no-rollback", "--fail-at", "open-tofu-apply", "--id", "web"]);
    assert_eq!(screen.code, Some(1));
    screen.complains("go on with it: cargo run --example provision -- ");
    assert_eq!(user.stored_failure().kind(), "infrastructure-provisioning");
    // Nobody has the port any more.
    let screen = user.provision(&["--resume"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.tells("provision: run web goes on, 4 of 9 steps are completed");
    let screen = user.provision(&["--resume", "--retry-from", "get-instance-info"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.tells("✓ 5/9  OpenTofu apply");
    assert_eq!(screen.stdout.matches("done before").count(), 5, "{screen}");
}

fn a_journal_without_room_stops_the_run_which_goes_on_when_there_is_some(user: &User) {
    assert_eq!(user.provision(&[]).code, Some(0));
    let run = (20..80).map(|step| limited(user, step * 10)).find(|screen| screen.stdout.contains("✓ 2/9"));
    let screen = run.expect("a limit at which some steps find room");
    assert_eq!(screen.code, Some(1), "{screen}");
    assert!(!screen.stdout.contains("✓ 9/9"), "{screen}");
    screen.complains("error (journal)");
    screen.complains("its journal could not be written; once it can be, resume the run, or begin it again where it is not in the journal");
    screen.complains("go on with it: cargo run --example provision -- ");
    assert_eq!(user.stored_failure().kind(), "journal");
    let screen = user.provision(&["--resume"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.tells("✓ 2/9  OpenTofu init");
    screen.tells("done before");
    assert_eq!(user.read_json("environment.json")["state"], "provisioned");
}

/// A run none of whose files may be larger than so many blocks of 512 bytes.
fn limited(user: &User, blocks: usize) -> Screen {
    let command = user.command("provision", &[]);
    let mut limited = Command::new("sh");
    limited.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")).arg(command.get_program());
    limited.args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    Screen::of(limited)
}

#[test]
fn a_journal_that_cannot_be_used_is_an_error_that_says_what_to_do() {
    let user = User::new();
    assert_eq!(user.provision(&[]).code, Some(0));
    for (journal, advice) in [
        ("demo", "name the file in it that the runs are kept in"),
        ("nowhere/runs.db", "see that its directory is there and may be written to"),
        ("demo/environment.json", "the file is no SQLite database"),
    ] {
        let screen = user.provision(&["--journal", journal]);
        assert_eq!(screen.code, Some(1), "{screen}");
        screen.complains("error: the journal ");
        screen.complains(advice);
    }
    // What there was is as it was.
    assert_eq!(user.read_json("environment.json")["state"], "provisioned");
}

#[test]
fn what_cannot_go_on_is_wrong_usage_and_lists_what_there_is() {
    let user = User::new();
    assert_eq!(user.deploy(&["shop", "1.0.0", "--id", "first"]).code, Some(0));
    let screen = user.deploy(&["--resume", "second"]);
    assert_eq!(screen.code, Some(1));
    let journal = user.path("").canonicalize().unwrap().join("runs.db");
    let list = format!("`step-machine runs --journal {}` lists those that are", journal.display());
    screen.complains(&format!("run second is not in the journal; {list}\n"));
    let screen = user.deploy(&["shop", "2.0.0", "--id", "first"]);
    assert_eq!(screen.code, Some(1));
    screen.complains("run first is in the journal already; resume it, or choose another id");
    assert_eq!(user.deploy(&["shop", "2.0.0", "--resume", "first"]).code, Some(2));
    assert_eq!(user.deploy(&["--resume", "--journal", "none"]).code, Some(2));
    assert_eq!(user.deploy(&["--crash-at", "nowhere"]).code, Some(2));
    user.deploy(&["stop"]);
}

#[test]
fn a_run_of_another_workflow_or_folder_does_not_go_on_here() {
    let user = User::new();
    let journal = user.path("../runs.db").display().to_string();
    crash(&user, "provision", &["--crash-at", "open-tofu-plan", "--id", "one", "--journal", &journal]);
    let elsewhere = |example| {
        let mut command = Command::new(user.command(example, &[]).get_program());
        command.args(["--resume", "one", "--dir", "other", "--journal", &journal]).current_dir(user.path(".."));
        Screen::of(command)
    };
    let screen = elsewhere("deploy");
    assert_eq!(screen.code, Some(2), "{screen}");
    let text = "error: run one is one of `provision`, not of `deploy`; go on with it by the program that began it\n";
    assert_eq!(screen.stderr, text);
    let screen = elsewhere("provision");
    assert_eq!(screen.code, Some(2), "{screen}");
    let place = |name| std::path::absolute(user.path("..").canonicalize().unwrap().join(name)).unwrap();
    let (here, there) = (place("other"), place("demo"));
    let text =
        format!("run one works in {}, not in {}; name that folder to go on with it", there.display(), here.display());
    assert_eq!(screen.stderr, format!("error: {text}\n"));
    assert!(!here.exists(), "nothing was done there");
    let screen = user.provision(&["--resume", "one", "--journal", &journal]);
    assert_eq!(screen.code, Some(0), "{screen}");
}

#[test]
fn the_way_to_go_on_can_be_typed_as_it_is() {
    let user = User::new();
    let screen = crash(&user, "provision", &["--crash-at", "open-tofu-plan", "--id", "a run", "--journal", "it's.db"]);
    let words = r"-- --resume 'a run' --journal 'it'\''s.db' --dir demo";
    screen.complains(&format!("go on with it: cargo run --example provision {words}\n"));
    let program = user.command("provision", &[]);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("\"$0\" {}", words.trim_start_matches("-- ")));
    shell.arg(program.get_program()).current_dir(program.get_current_dir().unwrap());
    let screen = Screen::of(shell);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.tells("provision: run a run goes on, 3 of 9 steps are completed");
    let screen = user.provision(&["--id", ""]);
    assert_eq!(screen.code, Some(2), "{screen}");
    screen.complains("'--id <RUN>'");
}

#[test]
fn without_a_journal_nothing_is_kept() {
    let user = User::new();
    assert_eq!(user.provision(&["--journal", "none"]).code, Some(0));
    assert!(!user.path("runs.db").exists());
    // A variable that is empty is none.
    let mut command = user.command("provision", &[]);
    command.env("STEP_MACHINE_JOURNAL", "");
    let screen = Screen::of(command);
    assert_eq!(screen.code, Some(0), "{screen}");
    assert!(user.path("runs.db").exists());
}

#[test]
fn a_new_run_takes_the_place_of_one_that_died() {
    let user = User::new();
    crash(&user, "provision", &["--crash-at", "open-tofu-init", "--id", "first"]);
    let screen = user.provision(&["--id", "second"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    screen.complains("given up for a new one: first  running at open-tofu-init");
    let screen = user.provision(&["--resume", "first"]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains("run first was abandoned: another run took its place");
}

/// The query that the users of such a platform ask.
#[test]
fn publications_are_found_by_sql() {
    let publisher = Publisher::new();
    for kind in ["static", "docker", "nodejs"] {
        let screen = publisher.publish(&[kind, "--id", kind]);
        assert_eq!(screen.code, Some(0), "{screen}");
    }
    assert_eq!(publisher.publish(&["docker", "--id", "broken", "--fail-at", "health-check"]).code, Some(1));
    for run in found(&publisher) {
        let is_broken = run.id == "broken";
        assert_eq!(run.build_type, if is_broken { "docker" } else { &run.id });
        assert_eq!(run.status, if is_broken { "rolled_back" } else { "completed" });
        assert_eq!(run.progress == 100.0, !is_broken);
        let phase =
            if is_broken { "health-check" } else { ["run-container", "activate"][usize::from(run.id != "nodejs")] };
        assert_eq!(run.phase, phase);
        assert!(run.updated_at.ends_with('Z'), "{}", run.updated_at);
        assert_eq!(
            (&run.metadata["source"]["kind"], &run.metadata["source_status"]),
            (&json!("embedded"), &json!("ready"))
        );
        assert!(run.metadata["health_url"].as_str().unwrap().ends_with("/shop/"));
        for key in ["container", "image"] {
            assert_eq!(run.metadata.get(key).is_some(), run.id != "static", "{key} of {}", run.id);
        }
        assert_eq!(run.metadata.get("error").is_some(), is_broken);
    }
}

struct Publication {
    id: String,
    phase: String,
    progress: f64,
    build_type: String,
    updated_at: String,
    status: String,
    metadata: Value,
}

fn found(publisher: &Publisher) -> Vec<Publication> {
    let journal = rusqlite::Connection::open(publisher.user.path("runs.db")).unwrap();
    let query = "SELECT id, phase, progress, metadata->>'buildType', updated_at, status, metadata
        FROM runs WHERE parent IS NULL ORDER BY updated_at";
    let mut query = journal.prepare(query).unwrap();
    let found = query.query_map([], |row| {
        Ok(Publication {
            id: row.get(0)?,
            phase: row.get(1)?,
            progress: row.get(2)?,
            build_type: row.get(3)?,
            updated_at: row.get(4)?,
            status: row.get(5)?,
            metadata: serde_json::from_str(&row.get::<_, String>(6)?).unwrap(),
        })
    });
    let found: Vec<_> = found.unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(found.len(), 4);
    found
}
