//! A step by its id.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Text;
use crate::workflow::Plan;

/// A step by its id.
///
/// It also carries where the writer's plan had the step; this is only a hint that saves a search, and no part of the
/// value.
#[derive(Clone)]
pub struct StepRef {
    id: Text,
    hint: usize,
}

impl StepRef {
    /// A step by its id.
    pub fn new(id: impl Into<Text>) -> Self {
        Self { id: id.into(), hint: usize::MAX }
    }

    /// A step by its id, which stands at `hint` in the plan.
    #[inline]
    pub(crate) fn at(id: &'static str, hint: usize) -> Self {
        Self { id: Cow::Borrowed(id), hint }
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The position in `plan`.
    #[inline]
    pub(crate) fn find(&self, plan: &Plan) -> Option<usize> {
        self.find_near(plan, [])
    }

    /// The position in `plan`, looked for first where it is likely to be.
    #[inline]
    pub(crate) fn find_near<const N: usize>(&self, plan: &Plan, likely: [usize; N]) -> Option<usize> {
        let is_at = |at: usize| plan.steps.get(at).is_some_and(|step| same_text(&step.id, &self.id));
        if is_at(self.hint) {
            return Some(self.hint);
        }
        likely.into_iter().find(|&at| is_at(at)).or_else(|| plan.position(&self.id))
    }
}

#[inline]
fn same_text(left: &str, right: &str) -> bool {
    // The very same bytes in the usual case, where both are the plan's own id.
    std::ptr::eq(left, right) || left == right
}

impl fmt::Debug for StepRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.id, f)
    }
}

impl fmt::Display for StepRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.id)
    }
}

impl PartialEq for StepRef {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for StepRef {}

impl std::hash::Hash for StepRef {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl PartialEq<str> for StepRef {
    fn eq(&self, other: &str) -> bool {
        self.id == other
    }
}

impl PartialEq<&str> for StepRef {
    fn eq(&self, other: &&str) -> bool {
        self.id == *other
    }
}

impl Serialize for StepRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.id)
    }
}

impl<'de> Deserialize<'de> for StepRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for StepRef {
    fn schema_name() -> Cow<'static, str> {
        "StepRef".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}
