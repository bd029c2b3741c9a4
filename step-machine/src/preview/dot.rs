//! A preview in DOT, the language of Graphviz.

use std::fmt::Write as _;

use super::{Action, Preview, PreviewStep, one_line};

pub(super) fn draw(preview: &Preview) -> String {
    let mut graph = Graph { text: format!("digraph {} {{\n", quote(&one_line(&preview.plan.workflow))) };
    // Edges end at the border of a nested workflow.
    graph.line(1, "compound=true;");
    graph.line(1, "node [shape=box, style=rounded];");
    graph.workflow(preview, "s", 1);
    graph.text + "}\n"
}

struct Graph {
    text: String,
}

impl Graph {
    fn line(&mut self, depth: usize, line: &str) {
        let _ = writeln!(self.text, "{:indent$}{line}", "", indent = 4 * depth);
    }

    /// The steps of a workflow and what comes before what; a node's id is `prefix` and its number.
    fn workflow(&mut self, preview: &Preview, prefix: &str, depth: usize) {
        for (index, step) in preview.steps.iter().enumerate() {
            self.step(step, &format!("{prefix}{index}"), depth);
        }
        for (before, index) in preview.edges() {
            self.edge(&End::of(preview, prefix, before), &End::of(preview, prefix, index), depth);
        }
    }

    fn step(&mut self, step: &PreviewStep, node: &str, depth: usize) {
        let attributes = attributes(step);
        let Some(nested) = step.within() else {
            return self.line(depth, &format!("{node} [{}];", attributes.join(", ")));
        };
        self.line(depth, &format!("subgraph cluster_{node} {{"));
        for attribute in attributes {
            self.line(depth + 1, &format!("{attribute};"));
        }
        self.workflow(&nested, &format!("{node}_"), depth + 1);
        self.line(depth, "}");
    }

    fn edge(&mut self, tail: &End, head: &End, depth: usize) {
        let borders = [("ltail", &tail.cluster), ("lhead", &head.cluster)];
        let borders: Vec<_> = borders
            .into_iter()
            .filter_map(|(name, cluster)| cluster.as_ref().map(|cluster| format!("{name}={cluster}")))
            .collect();
        let borders = if borders.is_empty() { String::new() } else { format!(" [{}]", borders.join(", ")) };
        self.line(depth, &format!("{} -> {}{borders};", tail.node, head.node));
    }
}

/// Where an edge ends: at a node, or at the border of the cluster around it.
struct End {
    node: String,
    cluster: Option<String>,
}

impl End {
    fn of(preview: &Preview, prefix: &str, index: usize) -> Self {
        let node = format!("{prefix}{index}");
        match preview.steps[index].within() {
            // DOT has no edges to clusters: it takes one to a node inside, and cuts it at the border.
            Some(nested) => {
                Self { cluster: Some(format!("cluster_{node}")), ..Self::of(&nested, &format!("{node}_"), 0) }
            }
            None => Self { node, cluster: None },
        }
    }
}

fn attributes(step: &PreviewStep) -> Vec<String> {
    let mut attributes = vec![format!("label={}", quote_lines(&label(step)))];
    let description = one_line(&step.info.description);
    if !description.is_empty() {
        attributes.push(format!("tooltip={}", quote(&description)));
    }
    let dashed = if step.info.critical { "" } else { ",dashed" };
    match step.action {
        Action::Run | Action::MaySkip if step.info.critical => {}
        Action::Run | Action::MaySkip => attributes.push("style=\"rounded,dashed\"".to_owned()),
        Action::Skip { .. } => attributes.extend(greyed("skipped", dashed, "#eeeeee", "#666666")),
        Action::NotReached => attributes.extend(greyed("not_reached", dashed, "#ffffff", "#999999")),
    }
    attributes
}

/// The style of a step that does not run; in an SVG it is of this class too.
fn greyed(class: &str, dashed: &str, fill: &str, text: &str) -> [String; 5] {
    [
        format!("class={class}"),
        format!("style=\"rounded,filled{dashed}\""),
        format!("fillcolor=\"{fill}\""),
        format!("color=\"{text}\""),
        format!("fontcolor=\"{text}\""),
    ]
}

fn label(step: &PreviewStep) -> Vec<String> {
    let mark = if step.info.undo { " ↶" } else { "" };
    std::iter::once(step.title() + mark).chain(step.fate()).collect()
}

/// One line of text as a quoted string.
fn quote(text: &str) -> String {
    quote_lines(&[text.to_owned()])
}

/// Lines of text as a quoted string.
fn quote_lines(lines: &[String]) -> String {
    // A label replaces its own escapes (`\N` is the node's name) and HTML entities, so that both are escaped besides.
    let escape = |line: &String| line.replace('\\', r"\\").replace('"', "\\\"").replace('&', "&amp;");
    format!("\"{}\"", lines.iter().map(escape).collect::<Vec<_>>().join(r"\n"))
}
