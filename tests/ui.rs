//! What the compiler says to a user: misuse does not compile and is explained, and what is allowed compiles and runs.
//!
//! One rule for each file, named after the rule. After a change of a message, `TRYBUILD=overwrite` writes the expected
//! outputs anew; read every one that changed as somebody who sees this crate for the first time.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::Command;

/// The compiler that the expected outputs are from. Another one may word its own part of a message differently.
const PINNED_RUSTC: &str = "1.95.0";

#[test]
fn misuse_is_explained() {
    let found = compiler();
    if found.as_deref() != Some(PINNED_RUSTC) {
        let found = found.as_deref().unwrap_or("an unknown version");
        let why = format!("the expected messages are from rustc {PINNED_RUSTC}, this is {found}");
        assert!(
            env::var_os("STEP_MACHINE_UI").is_none_or(|value| value != "required"),
            "{why}; run the UI cases with `cargo +{PINNED_RUSTC} test`"
        );
        // Written past the harness, which shows what is printed only where a test fails.
        let _ = writeln!(io::stderr(), "skipped: the UI cases of misuse, for {why}");
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/workflow/**/*.rs");
    cases.compile_fail("ui/step_error/*.rs");
    cases.compile_fail("ui/machine/*.rs");
    cases.compile_fail("ui/handler/*.rs");
    cases.compile_fail("ui/runner/*.rs");
    cases.compile_fail("ui/testing/*.rs");
}

#[test]
fn what_is_allowed_compiles_and_runs() {
    trybuild::TestCases::new().pass("ui/pass/*.rs");
}

/// The version of the compiler that the cases are built with.
fn compiler() -> Option<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(rustc).arg("--version").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    version.split_whitespace().nth(1).map(str::to_owned)
}
