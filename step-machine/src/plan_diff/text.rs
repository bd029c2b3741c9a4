//! A difference in words.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{PlanDiff, PlanDifference};
use crate::time::millis;

impl fmt::Display for PlanDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |(is_breaking, text)| if is_breaking { format!("breaking: {text}") } else { text };
        let lines: Vec<String> = self.lines().into_iter().map(line).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl PlanDiff {
    /// One line for each difference, those inside of a step one by one, and whether it is breaking.
    fn lines(&self) -> Vec<(bool, String)> {
        self.texts(&|difference| Some(difference.is_breaking()))
    }

    /// One line for each difference that `wanted` knows something of, and what it knows.
    pub(crate) fn texts<T>(&self, wanted: &dyn Fn(&PlanDifference) -> Option<T>) -> Vec<(T, String)> {
        let mut lines = Vec::new();
        for difference in &self.differences {
            match difference {
                PlanDifference::Nested { step, diff } => {
                    let inside = |(known, text)| (known, format!("inside of step `{step}`: {text}"));
                    lines.extend(diff.texts(wanted).into_iter().map(inside));
                }
                _ => lines.extend(wanted(difference).map(|known| (known, difference.to_string()))),
            }
        }
        lines
    }
}

impl fmt::Display for PlanDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workflow { old, new } => write!(f, "the workflow is `{new}` now, not `{old}`"),
            Self::Lost { step } => {
                write!(f, "step `{step}` is gone (if it was renamed, give it `alias = \"{step}\"`)")
            }
            Self::Renamed { old, new } => write!(f, "step `{old}` is called `{new}` now"),
            Self::AliasAdded { step, alias } => write!(f, "step `{step}` is found by the old id `{alias}` too"),
            Self::AliasLost { step, alias } => write!(
                f,
                "step `{step}` is not found by its old id `{alias}` any more (keep the alias, and the id that it had \
                 last with `id = ..`)"
            ),
            Self::FirstId { step, old, new } => write!(
                f,
                "the first id of step `{step}` is `{new}` now, not `{old}`, from which its idempotency keys and the \
                 ids of the runs inside of it were made"
            ),
            Self::Reordered { first, second } => write!(f, "step `{second}` now comes before `{first}`"),
            Self::Added { step, before: None } => write!(f, "step `{step}` is new"),
            Self::Added { step, before: Some(before) } => {
                write!(f, "step `{step}` is new and comes before `{before}`, which a run may have settled")
            }
            Self::Sequential => {
                write!(f, "the steps run one after the other now, and a run may have settled them in another order")
            }
            Self::OutputMissing { step } => {
                write!(f, "step `{step}` must have an output now, and a run may have settled it without one")
            }
            Self::NestedAdded { step, workflow } => write!(f, "workflow `{workflow}` runs inside of step `{step}` now"),
            Self::NestedLost { step, workflow } => {
                write!(f, "workflow `{workflow}` does not run inside of step `{step}` any more")
            }
            Self::Nested { step, diff } => {
                let inside = |((), text)| format!("inside of step `{step}`: {text}");
                let lines: Vec<String> = diff.texts(&|_| Some(())).into_iter().map(inside).collect();
                f.write_str(&lines.join("\n"))
            }
            Self::PlanRule { rule, old, new } => write_rule(f, rule, old, new),
            Self::Rule { step, rule, old, new } => {
                write!(f, "step `{step}`: ")?;
                write_rule(f, rule, old, new)
            }
        }
    }
}

fn write_rule(f: &mut fmt::Formatter<'_>, rule: &str, old: &Value, new: &Value) -> fmt::Result {
    let name = rule.strip_suffix("_ms").unwrap_or(rule);
    write!(f, "{name} was {}, is {}", value(rule, old), value(rule, new))
}

/// A value as a person writes it: time spans like `5m`, the fields of an object one after the other.
fn value(rule: &str, value: &Value) -> String {
    let span = || value.as_f64().filter(|_| rule.ends_with("_ms")).and_then(millis::from_f64);
    match value {
        Value::Null => "none".to_owned(),
        Value::Object(fields) => object(fields),
        _ => span().map_or_else(|| value.to_string(), shown),
    }
}

fn object(fields: &Map<String, Value>) -> String {
    let field = |(name, inner): (&String, &Value)| {
        format!("{} {}", name.strip_suffix("_ms").unwrap_or(name), value(name, inner))
    };
    let fields: Vec<String> = fields.iter().map(field).collect();
    format!("({})", fields.join(", "))
}

fn shown(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}
