//! The README shows code that compiles and messages that the compiler gives.

use std::fs;
use std::path::Path;

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_code_that_drives_is_that_of_a_case_that_compiles() {
    let (case, readme) = (file("ui/pass/readme.rs"), file("../README.md"));
    let parts: Vec<&str> = case.split("// README: begin\n").skip(1).collect();
    assert_eq!(parts.len(), 3, "the case marks the code of both drives, and of a run that is kept");
    for part in parts {
        let (code, _) = part.split_once("// README: end\n").expect("the case marks where the README's code ends");
        assert!(readme.contains(code), "copy the marked part of tests/ui/pass/readme.rs into the README:\n{code}");
    }
}

#[test]
fn the_message_of_the_compiler_is_that_of_a_case() {
    let readme = file("../README.md");
    let (_, message) = readme.split_once("```text\nerror[E0277]").expect("the README shows a message of the compiler");
    let (message, _) = message.split_once("```").expect("the message ends");
    let case = file("ui/machine/out_of_order.stderr");
    for line in message.lines().filter(|line| !line.trim().is_empty()) {
        assert!(case.contains(line), "tests/ui/machine/out_of_order.stderr has no such line: {line}");
    }
}
