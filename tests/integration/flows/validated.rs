//! What the examples print as JSON, held against the kept schema by a validator in another language.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

#[cfg(unix)]
use super::compose_site::Shop;
use super::publisher::Publisher;
use super::user::{Screen, User};
#[cfg(unix)]
use super::{deploy_cancel, publish_cancel};

/// A Python that has the packages, as `tests/run.sh` sets it.
const VARIABLE: &str = "STEP_MACHINE_TEST_PYTHON";

fn python() -> PathBuf {
    let named = std::env::var_os(VARIABLE);
    assert!(
        named.is_some(),
        "{VARIABLE} names no Python that has jsonschema and rfc3339-validator; `tests/run.sh test` installs one"
    );
    named.unwrap_or_default().into()
}

/// What runs printed, each in a file.
struct Printed(TempDir);

impl Printed {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn add(&self, name: &str, screen: &Screen, code: i32) {
        assert_eq!(screen.code, Some(code), "{name}: {screen}");
        self.add_text(name, &screen.stdout);
    }

    fn add_text(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(format!("{name}.jsonl")), text).unwrap();
    }

    /// What the validator says, and whether it is content.
    fn judge(&self, options: &[&str]) -> (bool, String) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files: Vec<_> = fs::read_dir(self.0.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        files.sort();
        let mut command = Command::new(python());
        command.arg(root.join("validate_events.py")).args(options).arg(root.join("../docs/events.schema.json"));
        let output = command.args(files).current_dir(self.0.path()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.success(), said)
    }

    fn is_valid(&self, options: &[&str], runs: usize) {
        let (is_valid, said) = self.judge(options);
        assert!(is_valid && said.contains(&format!("of {runs} runs, 0 faults")), "{said}");
    }
}

/// Provisions, and presses Ctrl-C while the instance boots, so often as it takes to end that at once.
#[cfg(unix)]
fn cancelled(user: &User, times: usize) -> Screen {
    let mut child = user.command("provision", &json(&["--boot-seconds", "9"])).spawn().unwrap();
    let (mut stdout, mut lines) = (String::new(), BufReader::new(child.stdout.take().unwrap()));
    while !stdout.contains(r#""type":"step_start","step":"cloud-init-wait""#) {
        assert_ne!(lines.read_line(&mut stdout).unwrap(), 0, "the instance never boots:\n{stdout}");
    }
    let (mut stderr, mut complaints) = (String::new(), BufReader::new(child.stderr.take().unwrap()));
    for time in 0..times {
        if time > 0 {
            complaints.read_line(&mut stderr).unwrap();
            assert!(stderr.contains("what is running is finished first"), "{stderr}");
        }
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    }
    lines.read_to_string(&mut stdout).unwrap();
    complaints.read_to_string(&mut stderr).unwrap();
    Screen { code: child.wait().unwrap().code(), stdout, stderr }
}

const JSON: [&str; 2] = ["--format", "json"];

fn json<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &JSON].concat()
}

#[test]
#[cfg(unix)]
fn provision_and_configure_print_valid_events_however_they_end() {
    let (printed, cut) = (Printed::new(), Printed::new());
    for (drive, times) in [("machine", 1), ("runner", 2)] {
        let user = User::driving(drive);
        let name = |what: &str| format!("{drive}-{what}");
        printed.add(&name("failed"), &user.provision(&json(&["--fail-at", "get-instance-info"])), 1);
        printed.add(&name("cancelled"), &cancelled(&user, times), 130);
        cut.add_text(&name("crashed"), &user.provision(&json(&["--crash-at", "open-tofu-apply"])).stdout);
        printed.add(&name("resumed"), &user.provision(&json(&["--resume"])), 0);
        printed.add(&name("completed"), &user.provision(&JSON), 0);
        if drive == "machine" {
            printed.add("configure-failed", &user.configure(&json(&["--fail-at", "install-docker"])), 1);
            cut.add_text("configure-crashed", &user.configure(&json(&["--crash-at", "configure-firewall"])).stdout);
            printed.add("configure-resumed", &user.configure(&json(&["--resume"])), 0);
            let warned = ["--fail-at", "configure-security-updates"];
            printed.add("configure-warned", &user.configure(&json(&warned)), 0);
            printed.add("configure-completed", &user.configure(&JSON), 0);
        }
    }
    printed.is_valid(&[], 12);
    cut.is_valid(&["--cut"], 3);
}

#[test]
#[cfg(unix)]
fn deploy_prints_valid_events_however_it_ends() {
    let (printed, user) = (Printed::new(), User::new());
    printed.add("completed", &user.deploy(&JSON), 0);
    printed.add("failed", &user.deploy(&json(&["shop", "1.1.0", "--fail-at", "health-check"])), 1);
    user.deploy(&json(&["shop", "1.2.0", "--crash-at", "extract"]));
    printed.add("resumed", &user.deploy(&json(&["--resume"])), 0);
    printed.add("cut-short", &user.deploy(&json(&["shop", "1.3.0", "--only-until", "extract"])), 0);
    printed.add("cancelled", &deploy_cancel::cancelled(&user, 4, 1, &[]), 130);
    printed.is_valid(&[], 5);
}

#[test]
#[cfg(unix)]
fn compose_prints_valid_events_however_it_ends() {
    let (printed, shop) = (Printed::new(), Shop::new());
    printed.add("completed", &shop.compose(&json(&["--ref", "v1.0.0"])), 0);
    printed.add("failed", &shop.compose(&json(&["--fail-at", "traefik"])), 1);
    shop.compose(&json(&["--crash-at", "pulling"]));
    printed.add("resumed", &shop.compose(&json(&["--resume"])), 0);
    printed.is_valid(&[], 3);
}

#[test]
#[cfg(unix)]
fn publish_prints_valid_events_however_it_ends() {
    let (printed, publisher) = (Printed::new(), Publisher::new());
    for kind in ["static", "docker", "nodejs"] {
        printed.add(&format!("{kind}-completed"), &publisher.publish(&json(&[kind])), 0);
        let steps = publisher.steps(kind);
        let late = steps.iter().find(|step| step.ends_with("health-check")).unwrap();
        printed.add(&format!("{kind}-failed"), &publisher.publish(&json(&[kind, "--fail-at", late])), 1);
        publisher.publish(&json(&[kind, "--crash-at", late]));
        printed.add(&format!("{kind}-resumed"), &publisher.publish(&json(&[kind, "--resume"])), 0);
    }
    printed.add("cancelled", &publish_cancel::cancelled(&publisher, "exec sleep 600", 2).screen, 130);
    printed.is_valid(&[], 10);
}

const EVENT: &str =
    r#"{"v":1,"run":"r","workflow":"w","seq":1,"at":"2026-01-01T00:00:00.000000Z","elapsed_ms":0.0,"type":"#;
const START: &str = r#""run_start","plan":{"workflow":"w","steps":[{"id":"a","name":"A"}]}}"#;
const END: &str = r#""run_end","status":"completed","warnings":0}"#;

/// What the validator says of a run of these lines.
fn said_of(lines: &[String], options: &[&str]) -> (bool, String) {
    let printed = Printed::new();
    printed.add_text("run", &lines.join(""));
    printed.judge(options)
}

#[test]
fn the_validator_says_what_is_wrong() {
    let start = format!("{EVENT}{START}\n");
    let end = format!("{EVENT}{END}\n").replace(r#""seq":1"#, r#""seq":2"#);
    let good = [start.clone(), end.clone()];
    assert_eq!(said_of(&good, &[]), (true, "2 events of 1 runs, 0 faults\n".to_owned()));
    assert_eq!(said_of(&good[..1], &["--cut"]).1, "1 events of 1 runs, 0 faults\n");

    let bad = |what: &str, with: &str| vec![start.clone(), end.replace(what, with)];
    let cases = [
        (bad(r#""seq":2,"#, ""), "run.jsonl:2: $: 'seq' is a required property"),
        (bad(r#""elapsed_ms":0.0"#, r#""elapsed_ms":"0""#), "run.jsonl:2: $.elapsed_ms: '0' is not of type 'number'"),
        (bad("2026-01-01T", "2026-13-01T"), "run.jsonl:2: $.at: '2026-13-01T00:00:00.000000Z' is not a 'date-time'"),
        (bad("completed", "somehow"), "run.jsonl:2: $: "),
        (bad(r#""seq":2"#, r#""seq":3"#), "run.jsonl:2: 3 comes after 1"),
        (bad("\n", ""), "run.jsonl:2: the line has no end"),
        (bad("}", ""), "run.jsonl:2: no JSON: "),
        (vec![start.clone()], "run.jsonl:1: a run ends with its end, and this is run_start of r"),
        (vec![end.clone()], "run.jsonl:1: a run begins with its plan, and this is run_end"),
        (bad(r#""run":"r""#, r#""run":"other""#), "run.jsonl:2: a run ends with its end, and this is run_end of other"),
        (Vec::new(), "run.jsonl: no event"),
    ];
    for (lines, fault) in cases {
        let (is_valid, said) = said_of(&lines, &[]);
        assert!(!is_valid && said.contains(fault), "`{fault}` is not said of {lines:?}:\n{said}");
    }
}
