//! The examples, run as a user runs them: real processes, files and sockets.

/// One test for each drive of `provision`, from functions that take a user who has chosen one.
macro_rules! by_both_drives {
    ($($test:ident),+ $(,)?) => {
        mod machine {
            $(#[test] fn $test() { super::$test(&super::User::driving("machine")); })+
        }
        mod runner {
            $(#[test] fn $test() { super::$test(&super::User::driving("runner")); })+
        }
    };
}

mod broken;
#[cfg(unix)]
mod cancel;
#[cfg(unix)]
mod compose;
#[cfg(unix)]
mod compose_broken;
#[cfg(unix)]
mod compose_cancel;
#[cfg(unix)]
mod compose_site;
#[cfg(unix)]
mod compose_told;
mod configure;
#[cfg(unix)]
mod crash;
#[cfg(unix)]
mod crash_postgres;
mod deploy;
mod deploy_broken;
#[cfg(unix)]
mod deploy_cancel;
mod deploy_site;
mod drives;
#[cfg(unix)]
mod field;
#[cfg(target_os = "linux")]
mod full_disk;
#[cfg(unix)]
mod kept;
#[cfg(unix)]
mod killed;
#[cfg(unix)]
mod metrics;
#[cfg(unix)]
mod pipe;
mod provision;
mod publish;
#[cfg(unix)]
mod publish_cancel;
mod publish_failure;
#[cfg(unix)]
mod publish_stalled;
pub(crate) mod publisher;
#[cfg(unix)]
mod read_only;
#[cfg(unix)]
mod refused;
#[cfg(unix)]
mod sessions;
pub(crate) mod user;
mod validated;
