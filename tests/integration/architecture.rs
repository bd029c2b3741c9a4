//! Arrows between modules point down only: what each may use, held against the source.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The modules of the library from the bottom up. A module may use those before it, and itself.
const LAYERS: [&str; 31] = [
    "sync",
    "time",
    "stop",
    "policy",
    "rule",
    "run_id",
    "workflow",
    "plan_diff",
    "graph",
    "event",
    "state",
    "preview",
    "journal",
    "observe",
    "failure",
    "secret",
    "book",
    "resources",
    "recorder",
    "turn",
    "link",
    "opening",
    "context",
    "process",
    "faults",
    "report",
    "machine",
    "runner",
    "testing",
    "schema",
    "private",
];

/// What code that the derive's model turns into may rest on: the model, and the values in it.
const EXPAND_MAY_USE: [&str; 6] =
    ["workflow::model", "workflow::expand", "step_error::model", "step_error::expand", "value::At", "names"];

/// A path of the crate's own that a file names.
#[derive(Debug, PartialEq)]
struct Use {
    line: usize,
    /// From the crate's root.
    path: Vec<String>,
}

/// Reads the paths that begin with `crate`, `super` or `self` in the code of one file; tests are left out.
struct Reader {
    /// The module that the code belongs to.
    module: Vec<String>,
    uses: Vec<Use>,
}

impl Reader {
    fn read(module: Vec<String>, source: &str) -> Vec<Use> {
        let mut reader = Self { module, uses: Vec::new() };
        let tokens: TokenStream = source.parse().unwrap();
        reader.walk(&tokens.into_iter().collect::<Vec<_>>());
        reader.uses
    }

    fn walk(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while at < tokens.len() {
            if is_test_only(&tokens[at..]) {
                at += 2 + item_length(&tokens[at + 2..]);
                continue;
            }
            at += self.token(&tokens[at..]);
        }
    }

    /// Reads what begins here, and tells how many tokens it was.
    fn token(&mut self, tokens: &[TokenTree]) -> usize {
        match &tokens[0] {
            TokenTree::Ident(word) if word == "mod" => {
                if let [_, TokenTree::Ident(name), TokenTree::Group(body), ..] = tokens {
                    self.module.push(name.to_string());
                    self.walk(&body.stream().into_iter().collect::<Vec<_>>());
                    self.module.pop();
                    return 3;
                }
                1
            }
            TokenTree::Ident(word) if is_path(tokens, 1) => {
                let base = match word.to_string().as_str() {
                    "crate" => Vec::new(),
                    "super" => self.module[..self.module.len().saturating_sub(1)].to_vec(),
                    "self" => self.module.clone(),
                    _ => return other_path(tokens),
                };
                3 + self.path(base, &tokens[3..])
            }
            TokenTree::Group(group) => {
                self.walk(&group.stream().into_iter().collect::<Vec<_>>());
                1
            }
            TokenTree::Literal(text) => {
                // Attributes name functions in text: `#[serde(with = "crate::time::millis")]`.
                if let Some(path) = text.to_string().strip_prefix("\"crate::") {
                    let path = path.trim_end_matches('"').split("::").map(str::to_owned).collect();
                    self.uses.push(Use { line: text.span().start().line, path });
                }
                1
            }
            _ => 1,
        }
    }

    /// The rest of a path after its `::`, or all the paths of a `{..}`.
    fn path(&mut self, mut base: Vec<String>, tokens: &[TokenTree]) -> usize {
        match tokens.first() {
            Some(TokenTree::Ident(word)) if word == "super" && is_path(tokens, 1) => {
                base.pop();
                3 + self.path(base, &tokens[3..])
            }
            Some(TokenTree::Ident(word)) => {
                base.push(word.to_string());
                if is_path(tokens, 1) {
                    return 3 + self.path(base, &tokens[3..]);
                }
                self.uses.push(Use { line: word.span().start().line, path: base });
                1
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                for part in inner.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')) {
                    self.path(base.clone(), part);
                }
                1
            }
            // A glob names the module itself; `<` of a turbofish ends a path.
            Some(other) => {
                self.uses.push(Use { line: other.span().start().line, path: base });
                0
            }
            None => 0,
        }
    }
}

/// How long a path of another crate or of this module is: nothing in it begins anew.
fn other_path(tokens: &[TokenTree]) -> usize {
    let mut at = 0;
    while matches!(tokens.get(at), Some(TokenTree::Ident(_))) && is_path(tokens, at + 1) {
        at += 3;
    }
    at.max(1)
}

/// Whether `::` stands at `at`.
fn is_path(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(tokens.get(at)) && colon(tokens.get(at + 1))
}

/// Whether `#[cfg(test)]` stands here.
fn is_test_only(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] = tokens else { return false };
    hash.as_char() == '#' && attribute.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// Up to the end of an item: its `{..}` or its `;`.
fn item_length(tokens: &[TokenTree]) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    };
    tokens.iter().position(ends).map_or(tokens.len(), |end| end + 1)
}

/// Every source file of a crate of this workspace with its module and what it uses.
fn crate_files(name: &str) -> Vec<(PathBuf, Vec<String>, Vec<Use>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&root).unwrap().to_path_buf();
                let module = module_of(&relative);
                let uses = Reader::read(module.clone(), &fs::read_to_string(&path).unwrap());
                files.push((Path::new(name).join("src").join(relative), module, uses));
            }
        }
    }
    files.sort_by(|(left, ..), (right, ..)| left.cmp(right));
    assert!(files.len() > 5, "the sources of {name} are not where this test looks");
    files
}

fn module_of(file: &Path) -> Vec<String> {
    let mut module: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    module
}

/// Why a module of the library may not use a path, if it may not.
fn layer_fault(module: &str, path: &[String]) -> Option<String> {
    let place = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let used = path.first()?.as_str();
    let Some(own) = place(module) else {
        return Some(format!("module `{module}` has no place among the layers of this test; give it one"));
    };
    match place(used) {
        Some(used) if used <= own => None,
        Some(_) => Some(format!("`{module}` uses `{used}`, which stands above it: arrows point down only")),
        None => Some(format!("`{module}` uses `crate::{used}` by the crate's root; name its module instead")),
    }
}

fn report(faults: &[String]) {
    let mut text = String::new();
    for fault in faults {
        let _ = write!(text, "\n  {fault}");
    }
    assert!(faults.is_empty(), "{} forbidden uses:{text}\n", faults.len());
}

#[test]
fn the_modules_of_the_library_use_only_what_is_below_them() {
    let mut faults = Vec::new();
    for (file, module, uses) in crate_files("step-machine") {
        // The root only declares the modules and says what is public.
        let Some(module) = module.first() else { continue };
        for Use { line, path } in uses {
            if let Some(fault) = layer_fault(module, &path) {
                faults.push(format!("{}:{line}: {fault}", file.display()));
            }
        }
    }
    report(&faults);
}

#[test]
fn every_module_of_the_library_has_a_place_and_every_place_a_module() {
    let mut modules: Vec<String> =
        crate_files("step-machine").into_iter().filter_map(|(_, module, _)| module.into_iter().next()).collect();
    modules.sort();
    modules.dedup();
    let mut layers = LAYERS;
    layers.sort_unstable();
    assert_eq!(modules, layers);
}

#[test]
fn the_stages_of_the_derive_use_only_what_is_before_them() {
    let mut faults = Vec::new();
    for (file, module, uses) in crate_files("step-machine-derive") {
        let may_use: &[&str] = match module.get(1).map(String::as_str) {
            Some("expand") => &EXPAND_MAY_USE,
            Some("model") => &["value::At"],
            _ => continue,
        };
        for Use { line, path } in uses {
            let path = path.join("::");
            if !may_use.iter().any(|allowed| path == *allowed || path.starts_with(&format!("{allowed}::"))) {
                let module = module.join("::");
                faults.push(format!(
                    "{}:{line}: `{module}` uses `{path}`; it may use {}",
                    file.display(),
                    may_use.join(", ")
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn a_forbidden_use_is_found_however_it_is_written() {
    let source = r#"
//! [`crate::machine`] in a comment is no use.
use crate::{event::{Event, Kind}, machine::Machine as M};
use super::super::report;
/// `crate::report::Failure` neither.
#[serde(with = "crate::recorder::text")]
fn here(value: crate::context::StepContext) -> impl Fn() {
    std::mem::drop(value);
    let text = "a path in a text: crate::report";
    super::illegal::new::<crate::private::Glue>()
}
mod inner {
    use super::super::super::machine::*;
}
#[cfg(test)]
mod tests {
    use crate::machine::Machine;
}
#[cfg(test)]
use crate::report::Report;
use crate::Journal;
"#;
    let module = vec!["state".to_owned(), "apply".to_owned()];
    let uses = Reader::read(module, source);
    let found: Vec<_> = uses.iter().map(|found| format!("{}: {}", found.line, found.path.join("::"))).collect();
    assert_eq!(
        found,
        [
            "3: event::Event",
            "3: event::Kind",
            "3: machine::Machine",
            "4: report",
            "6: recorder::text",
            "7: context::StepContext",
            "10: state::illegal::new",
            "10: private::Glue",
            "13: machine",
            "21: Journal",
        ]
    );
    let faults: Vec<_> = uses.iter().filter_map(|found| layer_fault("state", &found.path)).collect();
    assert_eq!(faults.len(), 7);
    assert_eq!(faults[0], "`state` uses `machine`, which stands above it: arrows point down only");
    assert_eq!(faults[6], "`state` uses `crate::Journal` by the crate's root; name its module instead");
}
