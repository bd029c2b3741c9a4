//! What an enum declares, resolved: defaults filled in, names found, ready to be checked and expanded.

use std::time::Duration;

use proc_macro2::{Ident, Span};
use syn::{Fields, Path, Type, Visibility};

use crate::value::At;

/// An enum that is a workflow. Complete even where the enum is broken.
#[derive(Clone)]
pub(crate) struct Workflow {
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) generics: syn::Generics,
    pub(crate) krate: Path,
    /// The module with the markers.
    pub(crate) module: Ident,
    /// The trait with a method for each step.
    pub(crate) handler: Ident,
    pub(crate) name: String,
    pub(crate) doc: Vec<String>,
    pub(crate) parallel: bool,
    pub(crate) rollback: Option<Span>,
    pub(crate) deadline: Option<At<Duration>>,
    pub(crate) steps: Vec<Step>,
}

/// A variant that is a step.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) ident: Ident,
    /// The fields of the variant: a fault where there are any, and then there is no value of it to write down.
    pub(crate) fields: Fields,
    pub(crate) doc: Vec<String>,
    pub(crate) id: At<String>,
    pub(crate) alias: Option<At<String>>,
    pub(crate) name: String,
    pub(crate) critical: bool,
    pub(crate) skippable: bool,
    pub(crate) output: Option<Type>,
    /// The place of the key.
    pub(crate) secret: Option<Span>,
    pub(crate) needs: Vec<Ident>,
    /// The place of the key.
    pub(crate) undo: Option<Span>,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<At<Duration>>,
    pub(crate) deadline: Option<At<Duration>>,
    pub(crate) weight: Option<At<f64>>,
    pub(crate) stalled_after: Option<At<Duration>>,
    pub(crate) nested: Option<Path>,
}

#[derive(Clone)]
pub(crate) struct Retry {
    pub(crate) attempts: Option<At<u32>>,
    pub(crate) delay: Option<At<Duration>>,
    pub(crate) factor: Option<At<f64>>,
    pub(crate) max_delay: Option<At<Duration>>,
    pub(crate) jitter: Option<At<bool>>,
}

impl Step {
    pub(crate) fn has_fields(&self) -> bool {
        !matches!(self.fields, Fields::Unit)
    }

    /// Whether the handler undoes the step itself; what a nested workflow did is undone by that.
    pub(crate) fn has_undo(&self) -> bool {
        self.undo.is_some() && self.nested.is_none()
    }
}

impl Workflow {
    /// The position of the step that `ident` names.
    pub(crate) fn position(&self, ident: &Ident) -> Option<usize> {
        self.steps.iter().position(|step| step.ident == *ident)
    }

    /// The positions of what `step` needs, as far as they are steps.
    pub(crate) fn needs(&self, step: &Step) -> Vec<usize> {
        step.needs.iter().filter_map(|need| self.position(need)).collect()
    }
}
