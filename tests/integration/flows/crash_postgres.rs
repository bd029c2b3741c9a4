//! The examples with their runs in PostgreSQL: named as such, killed, and gone on with.

use step_machine::RunState;
use step_machine::event::RunStatus;

use super::crash::{at_every_moment, on_the_way_back};
use super::field::Field;
use super::killed::{FLOWS, Flow, TAKEN_BACK};
use super::user::{Screen, User};
use crate::postgres::Database;

/// One of the flows that are killed with their runs in files.
fn named(flows: &'static [Flow], name: &str) -> &'static Flow {
    flows.iter().find(|flow| flow.name == name).unwrap_or_else(|| panic!("no flow is called {name}"))
}

#[test]
fn killed_at_every_moment_the_runner_goes_on() {
    at_every_moment(Field::on_server(named(&FLOWS, "provision by the runner")));
}

#[test]
fn killed_at_every_moment_the_machine_goes_on() {
    at_every_moment(Field::on_server(named(&FLOWS, "provision by the machine")));
}

/// With a workflow inside another one, and a name that only one run may hold.
#[test]
fn killed_at_every_moment_a_publication_goes_on() {
    at_every_moment(Field::on_server(named(&FLOWS, "publish static")));
}

#[test]
fn killed_on_its_way_back_a_run_goes_on_backwards() {
    on_the_way_back(Field::on_server(named(&TAKEN_BACK, "provision by the runner, taken back")));
}

/// So many processes are killed within their run.
const KILLS: usize = 24;

/// From outside, at any instruction: all along the run.
#[test]
fn killed_from_outside_a_publication_goes_on() {
    let mut field = Field::on_server(named(&FLOWS, "publish static"));
    let (mut took, id, _) = field.undisturbed();
    let results = field.results(&id);
    let (mut within, mut tries) = (0, 0);
    while within < KILLS {
        let delay = took * (tries * 11 % 32 + 1) / 32;
        tries += 1;
        assert!(tries < 200, "{within} of {tries} were killed within their run");
        let killed = field.killed_in(delay);
        within += usize::from(killed.is_within());
        // What it takes depends on what else the machine does.
        took = match (killed.is_by_signal(), killed.has_begun()) {
            (false, _) => took * 8 / 10,
            (true, true) => took,
            (true, false) => took * 11 / 10,
        };
        if killed.has_begun() {
            assert_eq!(field.goes_on(&killed), RunStatus::Completed, "killed after {delay:?}");
            field.has_results(&killed.id, &results, &format!("killed after {delay:?}"));
        }
    }
    println!("{within} of {tries} were killed within their run");
}

/// The same server as somebody whose password is `geheim`; it asks for none.
fn with_password(database: &Database) -> String {
    database.url.replace("step@", "step:geheim@")
}

fn keeps_quiet(screen: &Screen) {
    assert!(!screen.stdout.contains("geheim") && !screen.stderr.contains("geheim"), "{screen}");
}

#[test]
fn a_run_on_a_server_says_how_it_goes_on_and_no_password() {
    let (user, database) = (User::driving("runner"), Database::new());
    let url = with_password(&database);
    let screen = user.provision(&["--journal", &url, "--id", "first", "--crash-at", "open-tofu-init"]);
    assert_eq!(screen.code, None, "{screen}");
    keeps_quiet(&screen);
    let journal = database.url.replace("step@", "step:***@");
    screen.complains("died at open-tofu-init; go on with it: cargo run --features postgres --example provision -- ");
    screen.complains(&format!("--resume first --journal '{journal}'"));
    assert!(!user.path("runs.db").exists());

    // The environment names it as well, and then nobody has to type it.
    let mut command = user.command("provision", &["--resume", "--crash-at", "open-tofu-plan"]);
    command.env("STEP_MACHINE_JOURNAL", &url);
    let screen = Screen::of(command);
    assert_eq!(screen.code, None, "{screen}");
    keeps_quiet(&screen);
    let way_on = "cargo run --features postgres --example provision -- --drive runner --resume first --dir demo\n";
    screen.complains(&format!("died at open-tofu-plan; go on with it: {way_on}"));

    let screen = user.provision(&["--journal", &url, "--resume"]);
    assert_eq!(screen.code, Some(0), "{screen}");
    keeps_quiet(&screen);
    let events = step_machine::Journal::load(&database.journal(), &"first".into()).wait().unwrap();
    assert_eq!(RunState::fold(&events).unwrap().unwrap().status(), RunStatus::Completed);
    let said = database.rows("SELECT count(*), bool_and(labels ->> 'folder' LIKE '%:/%/demo') FROM runs");
    assert_eq!(said, ["1 | t"], "a folder has the name of its machine before it");
}

#[test]
fn a_server_that_cannot_be_used_is_an_error_without_a_password() {
    let (user, database) = (User::driving("runner"), Database::new());
    let url = with_password(&database);
    let (server, _) = url.rsplit_once('/').unwrap();
    for (journal, advice) in [
        ("postgres://step:geheim@127.0.0.1:1/runs", "see whether the server runs, and whether host and port are right"),
        (&*format!("{server}/nothing"), "create the database, or name another one"),
        ("postgres://step:geheim@[oops/runs", "name it as in postgres://user@host/database"),
    ] {
        let screen = user.provision(&["--journal", journal]);
        assert_eq!(screen.code, Some(1), "{screen}");
        keeps_quiet(&screen);
        screen.complains("error: the journal in PostgreSQL");
        screen.complains(advice);
    }
    let screen = user.provision(&["--journal", &url, "--accept-damaged-log"]);
    assert_eq!(screen.code, Some(2), "{screen}");
    screen.complains("--accept-damaged-log is for a file; a server sees to its log itself");
    let mut command = user.command("provision", &["--help"]);
    command.env("STEP_MACHINE_JOURNAL", &url);
    let screen = Screen::of(command);
    screen.tells("STEP_MACHINE_JOURNAL");
    keeps_quiet(&screen);
}
