//! A preview as a flowchart of Mermaid.

use std::fmt::Write as _;

use super::{Action, Preview, PreviewStep};

/// The classes that steps are styled by: the name, and the style.
const CLASSES: [(&str, &str); 3] = [
    ("non_critical", "stroke-dasharray: 5 5"),
    ("skipped", "fill:#eee,stroke:#999,color:#666"),
    ("not_reached", "fill:#fff,stroke:#ccc,color:#999"),
];

pub(super) fn draw(preview: &Preview) -> String {
    let mut chart = Chart { text: "flowchart TD\n".to_owned(), classed: [const { Vec::new() }; 3] };
    chart.workflow(preview, "s", 1);
    chart.classes();
    chart.text
}

struct Chart {
    text: String,
    /// The nodes of each class.
    classed: [Vec<String>; 3],
}

impl Chart {
    fn line(&mut self, depth: usize, line: &str) {
        let _ = writeln!(self.text, "{:indent$}{line}", "", indent = 4 * depth);
    }

    /// The steps of a workflow and what comes before what; a node's id is `prefix` and its number.
    fn workflow(&mut self, preview: &Preview, prefix: &str, depth: usize) {
        for (index, step) in preview.steps.iter().enumerate() {
            self.step(step, &format!("{prefix}{index}"), depth);
        }
        for (before, index) in preview.edges() {
            self.line(depth, &format!("{prefix}{before} --> {prefix}{index}"));
        }
    }

    fn step(&mut self, step: &PreviewStep, node: &str, depth: usize) {
        for (nodes, belongs) in self.classed.iter_mut().zip(classes_of(step)) {
            nodes.extend(belongs.then(|| node.to_owned()));
        }
        let label = label(step);
        let Some(nested) = step.within() else {
            return self.line(depth, &format!("{node}[\"{label}\"]"));
        };
        self.line(depth, &format!("subgraph {node}[\"{label}\"]"));
        self.workflow(&nested, &format!("{node}_"), depth + 1);
        self.line(depth, "end");
    }

    fn classes(&mut self) {
        for ((name, style), nodes) in CLASSES.into_iter().zip(std::mem::take(&mut self.classed)) {
            if !nodes.is_empty() {
                self.line(1, &format!("classDef {name} {style}"));
                self.line(1, &format!("class {} {name}", nodes.join(",")));
            }
        }
    }
}

/// Which of [`CLASSES`] the step has.
fn classes_of(step: &PreviewStep) -> [bool; 3] {
    [!step.info.critical, matches!(step.action, Action::Skip { .. }), step.action == Action::NotReached]
}

fn label(step: &PreviewStep) -> String {
    let mark = if step.info.undo { " ↶" } else { "" };
    let fate = step.fate().map(|fate| format!("<br/>{}", escape(&fate))).unwrap_or_default();
    // A label without any text is none to the grammar.
    let title = match step.title() {
        title if title.is_empty() => " ".to_owned(),
        title => escape(&title),
    };
    title + mark + &fate
}

/// One line of text for a quoted label: whatever could mean something to Mermaid becomes the entity code of its number.
///
/// That is more than the quote: labels are read as Markdown, as HTML and for icons, comments and formulas as well.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek();
        let plain = match c {
            ' ' | ',' => true,
            // Before a space it could begin a list.
            '-' => next.is_some_and(|next| next.is_alphanumeric()),
            // Before an entity code it could be taken for a style, which loses its last semicolon.
            ':' => next == Some(&' '),
            _ => c.is_alphanumeric(),
        };
        if plain {
            escaped.push(c);
        } else {
            let _ = write!(escaped, "#{};", u32::from(c));
        }
    }
    // Neither of the two needs to stand alone to be read as a keyword, not even in quotes: `direction LR` makes its line
    // a statement, and `C4Context` the whole text another kind of diagram.
    escaped.replace("direction ", "direction#32;").replace("C4", "C#52;")
}
