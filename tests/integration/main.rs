//! The library as a user sees it, one topic a module.
//!
//! A test says what was asked for and asserts the thing itself: which step, in which state, with which events in which
//! order.

#![allow(
    clippy::expect_used,
    clippy::float_cmp,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it cannot go on, and the numbers here are exact"
)]
#![allow(
    clippy::items_after_statements,
    clippy::unit_arg,
    clippy::unnecessary_wraps,
    reason = "bodies give a `Result` also where they cannot fail, and what a test needs stands where it needs it"
)]

mod allocations;
mod architecture;
mod asynchronous;
mod broadcast;
mod callbacks;
#[cfg(unix)]
mod cli;
mod clock;
mod context;
mod crash;
mod damaged_rows;
mod derive;
#[deny(
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    unused,
    warnings,
    clippy::pedantic,
    reason = "proves what is written here to be clean for a crate that allows nothing"
)]
pub mod derive_clean;
#[cfg(target_os = "linux")]
mod disk;
mod estimates;
mod events_read;
mod exhaust;
mod failure;
mod flows;
mod fold_costs;
mod gated;
mod handler;
mod journal;
mod journal_changes;
mod journal_conformance;
mod journal_damage;
mod journal_documented;
mod journal_dropped;
mod journal_faults;
mod journal_news;
mod journal_races;
mod journal_stalled;
mod kept_failures;
mod machine;
mod observers;
mod old_files;
mod old_journals;
mod parallel;
#[cfg(unix)]
mod postgres;
#[cfg(unix)]
mod process;
mod readme;
mod resumable;
mod retry;
mod rollback;
mod rollback_left;
mod rollback_policy;
mod rollback_resumed;
mod runner;
mod samples;
mod schema;
mod screen;
mod secret;
mod secret_damage;
mod secret_stored;
mod semantics;
mod sqlite;
mod support;
mod taken_over;
mod taken_over_nested;
mod telemetry;
mod thinning;
mod validator;
