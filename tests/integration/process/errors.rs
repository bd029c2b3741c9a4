//! How a command fails.

use std::io::ErrorKind;

use step_machine::event::Effect;
use step_machine::process::{Command, CommandError};
use step_machine::{StepContext, StepError};

use super::{drive, output, sh};
use crate::support::{Recorded, block_on};

#[tokio::test]
async fn an_exit_code_comes_with_the_last_lines_of_standard_error() {
    let body = async |cx: &mut StepContext| {
        let script = "echo no; echo first >&2; echo; printf 'last\\n\\n' >&2; exit 3";
        cx.command(sh(script).arg("pass").arg("t0ps3cret").env("TOKEN", "t0ps3cret")).await.map(|_| ())
    };
    let failure = drive(Recorded::new(), body).await.unwrap_err();
    let record = failure.context().record().error.clone();
    assert_eq!((&*record.kind, record.effect), ("command-execution", Effect::Known));
    assert_eq!(record.message, "`sh` ended with exit code 3:\nfirst\nlast");
    assert!(!format!("{failure:#} {failure:?}").contains("t0ps3cret"));
}

#[tokio::test]
async fn an_error_of_one_line_is_one_line() {
    let error = output(Recorded::new(), "echo boom >&2; exit 1").await.unwrap_err();
    assert_eq!(error.to_string(), "`sh` ended with exit code 1: boom");
    let error = output(Recorded::new(), "exit 255").await.unwrap_err();
    assert_eq!(error.to_string(), "`sh` ended with exit code 255");
    let CommandError::Failed { program, status, stderr } = &error else { panic!("{error:?}") };
    assert_eq!((program.as_str(), status.code(), stderr.as_str()), ("sh", Some(255), ""));
    assert!(!error.is_fatal());
}

#[tokio::test]
async fn a_command_that_a_signal_ended_may_have_done_anything() {
    let error = output(Recorded::new(), "echo half >&2; kill -TERM $$").await.unwrap_err();
    assert_eq!(error.to_string(), "`sh` was ended by signal: 15 (SIGTERM): half");
    assert_eq!((error.kind(), error.effect(), error.is_fatal()), ("command-execution", Effect::Unknown, false));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_fatal() {
    let body = async |cx: &mut StepContext| cx.command(Command::new("/no/such/program")).await.map(|_| ());
    let failure = drive(Recorded::new(), body).await.unwrap_err();
    let record = failure.context().record().error.clone();
    assert_eq!((&*record.kind, record.effect), ("command-execution", Effect::Known));
    assert_eq!(record.message, "`/no/such/program` could not be started");
    assert!(record.chain[0].starts_with("No such file"), "{:?}", record.chain);

    let missing = || std::io::Error::from(ErrorKind::NotFound);
    assert!(CommandError::NotStarted { program: "x".into(), source: missing() }.is_fatal());
    let busy = ErrorKind::ExecutableFileBusy.into();
    assert!(!CommandError::NotStarted { program: "x".into(), source: busy }.is_fatal());
    let lost = CommandError::Io { program: "x".into(), source: missing() };
    assert_eq!((lost.is_fatal(), lost.effect()), (false, Effect::Unknown));
}

#[test]
fn without_a_runtime_a_command_is_an_error_and_no_panic() {
    let body = async |cx: &mut StepContext| cx.command(sh("true")).await.map(|_| ());
    let failure = block_on(drive(Recorded::new(), body)).unwrap_err();
    assert_eq!(failure.context().record().error.message, "`sh` could not be started");
}
