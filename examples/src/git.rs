//! `git`, as a program that asks nobody calls it.

use step_machine::process::Command;

/// What of another repository a caller may have set, as a hook of `git` does.
const FOREIGN: [&str; 4] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"];

/// A `git` that asks nobody, and speaks English.
pub fn git() -> Command {
    let mut command = Command::new("git");
    command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    command
}
