//! What the README shows of the examples is what they print: its commands are run in order, in a folder that is new.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::user::program;

/// A command of an example, and the lines that come of it.
#[derive(Debug, PartialEq)]
struct Call {
    line: String,
    printed: Vec<String>,
}

/// The calls of each block of the README that begins with one of an example, and the heading that the block stands under.
fn sessions() -> Vec<(String, Vec<Call>)> {
    let readme = include_str!("../../../README.md");
    let mut heading = "";
    let mut found = Vec::new();
    for (at, part) in readme.split("```").enumerate() {
        let block =
            part.strip_prefix("text\n").filter(|block| at % 2 == 1 && block.starts_with("$ cargo run --example"));
        if let Some(block) = block {
            found.push((heading.to_owned(), calls(block)));
        } else if at % 2 == 0 {
            heading = part.lines().rev().find_map(|line| line.strip_prefix("## ")).unwrap_or(heading);
        }
    }
    found
}

fn calls(block: &str) -> Vec<Call> {
    let parts = block.split("$ ").skip(1).map(|part| part.split_once('\n').unwrap());
    parts.map(|(line, printed)| Call { line: line.to_owned(), printed: normal(printed) }).collect()
}

/// A clone of the project in which nobody has run anything yet, as far as an example sees it.
struct Checkout {
    folder: TempDir,
    used: Vec<&'static std::path::Path>,
}

impl Checkout {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), used: Vec::new() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// Types a line, and reads what comes on the screen: both outputs, in the order in which they come.
    fn types(&mut self, line: &str) -> Call {
        let rest = line.strip_prefix("cargo run --example ").unwrap();
        let (example, arguments) = rest.split_once(" -- ").unwrap_or((rest, ""));
        let program = program(example);
        self.used.push(program);
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(program).args(arguments.split_whitespace());
        command.current_dir(self.path()).stdin(Stdio::null());
        for variable in ["GITHUB_ACTIONS", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PROVISION_FAIL_AT"] {
            command.env_remove(variable);
        }
        let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let printed = printed.replace(&self.path().display().to_string(), "…/step-machine");
        Call { line: line.to_owned(), printed: normal(&printed) }
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        for program in &self.used {
            let _ = Command::new(program).arg("destroy").current_dir(self.folder.path()).output();
        }
    }
}

/// The lines of a screen without what is another one each time: ids, times, spans of time and ports.
fn normal(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let line = alike(line, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "RUN");
        let line = alike(&line, "0000-00-00T00:00:00.000Z", "TIME");
        let line = alike(&line, "00000000T000000Z", "TIME");
        let line = alike(&line, "127.0.0.1:00000", "127.0.0.1:PORT");
        let line = alike(&line, "127.0.0.1:0000", "127.0.0.1:PORT");
        let line = alike(&line, " 00.000 s", "  0.000 s");
        alike(&line, "0.000 s", "0.000 s")
    };
    text.trim_end().lines().map(line).collect()
}

/// A text with `with` in place of each part that looks like `pattern`: a `0` there is any digit, an `x` any one of hex.
fn alike(text: &str, pattern: &str, with: &str) -> String {
    let fits = |(found, wanted): (char, char)| match wanted {
        '0' => found.is_ascii_digit(),
        'x' => found.is_ascii_hexdigit(),
        other => found == other,
    };
    let (mut left, mut changed) = (text, String::new());
    while let Some(first) = left.chars().next() {
        if left.chars().count() >= pattern.len() && left.chars().zip(pattern.chars()).all(fits) {
            changed.push_str(with);
            // What fits is of ASCII, as the pattern is.
            left = &left[pattern.len()..];
        } else {
            changed.push(first);
            left = &left[first.len_utf8()..];
        }
    }
    changed
}

/// Runs the commands of the one block under a heading.
fn prints_what_the_readme_shows(heading: &str) {
    let (_, shown) = sessions().into_iter().find(|(found, _)| found == heading).expect("the README has this session");
    let mut checkout = Checkout::new();
    for call in shown {
        let printed = checkout.types(&call.line);
        assert_eq!(
            call,
            printed,
            "the README shows something else under `{heading}`; this is printed:\n$ {}\n{}",
            call.line,
            printed.printed.join("\n")
        );
    }
}

#[test]
fn all_sessions_of_the_readme_are_tried() {
    let headings: Vec<_> = sessions().into_iter().map(|(heading, calls)| (heading, calls.len())).collect();
    let expected = [("Try it", 1), ("A run that fails", 1), ("A run that crashes", 2)];
    assert_eq!(headings, expected.map(|(heading, calls)| (heading.to_owned(), calls)));
}

#[test]
fn a_run_that_completes() {
    prints_what_the_readme_shows("Try it");
}

/// By the words and the number of this system's error.
#[cfg(target_os = "linux")]
#[test]
fn a_run_that_fails() {
    prints_what_the_readme_shows("A run that fails");
}

#[test]
fn a_run_that_crashes_and_goes_on() {
    prints_what_the_readme_shows("A run that crashes");
}
