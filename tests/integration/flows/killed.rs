//! The flows that are killed, and what there is when they have come to their end.

use std::process::Command;

use step_machine::event::RunStatus;

use super::publisher::{git, write_pages};
use super::user::{User, eventually, greeting};

/// A flow, and what there is when it has come to its end.
pub(crate) struct Flow {
    pub(crate) name: &'static str,
    pub(crate) example: &'static str,
    pub(super) drive: &'static str,
    /// What is typed before the options.
    pub(super) command: &'static [&'static str],
    /// What is typed to have it go on, before the id of the run.
    pub(super) again: &'static [&'static str],
    /// Makes what is no example's.
    pub(super) prepare: fn(&User),
    /// What is there before the first run.
    pub(super) before: &'static [(&'static str, &'static [&'static str])],
    /// Breaks a step, to have it taken back.
    pub(crate) fail_at: Option<&'static str>,
    /// What is another one in each run, beside the names that [`Field::results`](super::field::Field::results) leaves out: a
    /// step, and where in its output.
    pub(super) differs: &'static [(&'static str, &'static str)],
    /// How it ends where nothing goes wrong.
    pub(crate) ends: RunStatus,
    pub(super) is_well: fn(&User, RunStatus),
}

pub(crate) const PROVISION: Flow = Flow {
    name: "provision by the machine",
    example: "provision",
    drive: "machine",
    command: &[],
    again: &[],
    prepare: |_| {},
    before: &[],
    fail_at: None,
    // A free one of the machine.
    differs: &[("get-instance-info", "/port")],
    ends: RunStatus::Completed,
    is_well: the_instance_is_well,
};

const DEPLOY: Flow = Flow {
    name: "deploy",
    example: "deploy",
    command: &["shop", "2.0.0"],
    // The second of them, so that each run finds the same version there.
    before: &[("deploy", &["shop", "1.0.0"]), ("deploy", &["shop", "2.0.0"])],
    differs: &[],
    is_well: the_service_is_well,
    ..PROVISION
};

const STATIC: Flow = Flow {
    name: "publish static",
    example: "publish",
    command: &["static"],
    again: &["static"],
    before: &[("publish", &["static"])],
    differs: &[],
    is_well: |user, status| the_publication_is_well(user, status, 1),
    ..PROVISION
};

const DOCKER: Flow = Flow {
    name: "publish docker",
    command: &["docker"],
    again: &["docker"],
    before: &[("publish", &["docker"])],
    is_well: |user, status| the_publication_is_well(user, status, 2),
    ..STATIC
};

const COMPOSE: Flow = Flow {
    name: "compose",
    example: "compose",
    command: &["--ref", "v2.0.0"],
    // The same, so that each run finds its images there, and tells as much as the one before.
    before: &[("compose", &["--ref", "v2.0.0"])],
    // What was deployed before.
    differs: &[("initializing", "/deployed/run")],
    is_well: the_stack_is_well,
    ..PROVISION
};

/// The beginning of `static`, which is cancelled there: as far as it was to go.
pub(crate) const SOURCE: Flow = Flow {
    name: "publish source",
    command: &["source"],
    again: &["source"],
    before: &[],
    ends: RunStatus::Cancelled,
    is_well: |user, _| the_source_is_there(user, "server.js"),
    ..STATIC
};

/// Those that come to their end; what takes longest comes first. The four kinds that `publish` has are among them, and each
/// way by which a source comes.
pub(crate) const FLOWS: [Flow; 12] = [
    COMPOSE,
    Flow {
        name: "publish nodejs",
        command: &["nodejs"],
        again: &["nodejs"],
        before: &[("publish", &["nodejs"])],
        ..DOCKER
    },
    DEPLOY,
    STATIC,
    DOCKER,
    SOURCE,
    Flow {
        name: "publish source of git",
        command: &["source", "--source", "git", "--repository", "pages", "--branch", "live"],
        prepare: |user| {
            let folder = user.path("../pages");
            write_pages(&folder);
            git(&folder, &["init", "--quiet", "--initial-branch", "live"]);
            git(&folder, &["add", "."]);
            git(&folder, &["-c", "user.name=me", "-c", "user.email=me@localhost", "commit", "--quiet", "-m", "Begin"]);
        },
        is_well: |user, _| the_source_is_there(user, "about"),
        ..SOURCE
    },
    Flow {
        name: "publish source of an upload",
        command: &["source", "--source", "upload", "--file", "pages.tar.gz"],
        prepare: |user| {
            let folder = user.path("../pages");
            write_pages(&folder);
            let file = user.path("../pages.tar.gz");
            assert!(
                Command::new("tar").arg("-czf").arg(file).arg("-C").arg(folder).arg(".").status().unwrap().success()
            );
        },
        is_well: |user, _| the_source_is_there(user, "about"),
        ..SOURCE
    },
    Flow {
        name: "publish source of a bucket",
        command: &["source", "--source", "bucket", "--bucket", ".", "--key", "pages"],
        prepare: |user| write_pages(&user.path("../pages")),
        is_well: |user, _| the_source_is_there(user, "about"),
        ..SOURCE
    },
    PROVISION,
    Flow { name: "provision by the runner", drive: "runner", ..PROVISION },
    Flow {
        name: "configure",
        example: "configure",
        before: &[("provision", &[])],
        differs: &[],
        is_well: the_instance_is_set_up,
        ..PROVISION
    },
];

/// Those that are taken back.
pub(crate) const TAKEN_BACK: [Flow; 5] = [
    Flow { name: "compose, taken back", fail_at: Some("health-check"), ..COMPOSE },
    Flow { name: "provision by the machine, taken back", fail_at: Some("get-instance-info"), ..PROVISION },
    Flow {
        name: "provision by the runner, taken back",
        drive: "runner",
        fail_at: Some("get-instance-info"),
        ..PROVISION
    },
    Flow {
        name: "deploy, taken back",
        before: &[("deploy", &["shop", "1.0.0"])],
        fail_at: Some("start-service"),
        ..DEPLOY
    },
    Flow { name: "publish docker, taken back", fail_at: Some("health-check"), ..DOCKER },
];

/// How many processes have the folder of the user among their arguments.
fn processes(user: &User) -> usize {
    let home = user.path("").parent().unwrap().display().to_string();
    let listed = Command::new("ps").args(["-A", "-ww", "-o", "args="]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).lines().filter(|line| line.contains(&home)).count()
}

fn only(user: &User, number: usize) {
    eventually(&format!("{number} processes are left"), || processes(user) == number);
}

fn the_instance_is_well(user: &User, status: RunStatus) {
    let state = &user.read_json("environment.json")["state"];
    if status == RunStatus::RolledBack {
        assert_eq!(state, "provision_failed");
        assert!(!user.path("instance").exists());
        return only(user, 0);
    }
    assert_eq!(state, "provisioned");
    assert_eq!(user.read_json("environment.json")["instance"]["port"], user.port());
    assert_eq!(greeting(user.port()).unwrap(), "SSH-2.0-step-machine-demo web-1\n");
    assert_eq!(user.read("instance/root/etc/hostname"), "web-1\n");
    only(user, 1);
}

fn the_instance_is_set_up(user: &User, status: RunStatus) {
    the_instance_is_well(user, status);
    let installed = user.read_json("instance/root/var/lib/packages.json");
    assert_eq!(installed.as_object().unwrap().len(), 2);
    assert!(user.path("instance/root/etc/apt/apt.conf.d/50unattended-upgrades").exists());
    assert!(user.read("instance/root/etc/firewall.rules").contains("allow"));
}

fn the_service_is_well(user: &User, status: RunStatus) {
    let page = super::deploy_site::page(user).unwrap();
    let current = super::deploy_site::current(user).unwrap();
    if status == RunStatus::Completed {
        assert_eq!(page, "shop 2.0.0 is well");
    }
    // The version before, which is the same one when it was deployed before.
    assert!(page.contains(current.trim_end_matches("-again")), "{current} is current: {page}");
    super::deploy_site::nothing_half_done(user);
    only(user, 1);
}

fn the_publication_is_well(user: &User, _: RunStatus, number: usize) {
    let names = |folder: &str| super::deploy_site::names(user, folder);
    let port = user.read_json("router.json")["port"].as_u64().unwrap();
    let (status, page) = super::publisher::get(u16::try_from(port).unwrap(), "/shop/").expect("the router answers");
    assert!(status == 200 && page.contains("shop"), "{status}: {page}");
    assert_eq!(names("sources"), Vec::<String>::new());
    let (containers, releases) = (names("containers").len(), names("releases/shop").len());
    assert_eq!((containers, names("images").len(), releases), if number == 2 { (1, 1, 0) } else { (0, 0, 2) });
    only(user, number);
}

/// The source of the last run is whole, and nothing was begun with it.
fn the_source_is_there(user: &User, with: &str) {
    let number = user.read_json("platform.json").as_u64().unwrap();
    let found = super::deploy_site::names(user, &format!("sources/shop-{number}"));
    assert!(
        ["index.html", "package.json", "Dockerfile", with].iter().all(|name| found.iter().any(|file| file == name)),
        "{found:?}"
    );
    assert!(!user.path("releases").exists() && !user.path("router.json").exists());
    only(user, 0);
}

fn the_stack_is_well(user: &User, _: RunStatus) {
    let current = user.read_json("current.json");
    let port = user.read_json("router.json")["port"].as_u64().unwrap();
    let port = u16::try_from(port).unwrap();
    let page = super::publisher::get(port, "/").expect("the router answers");
    assert_eq!(page, (200, "web 2.0.0, api 2.0.0, db 1\n".to_owned()));
    assert_eq!(super::publisher::get(port, "/deployment").unwrap().1, current["deployment"]);
    // What is deployed, and what can be come back to.
    let names = |folder: &str| super::deploy_site::names(user, folder);
    assert!(names("services").len() <= 2 && names("worktrees").len() <= 2, "{:?}", names("worktrees"));
    only(user, 4);
}
