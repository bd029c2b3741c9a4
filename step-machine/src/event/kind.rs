//! The kinds of events.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    OutputLine, RunEnd, RunResume, RunStart, Stalled, StepEnd, StepRef, StepRetry, StepStart, StepUpdate, TaskEnd,
    TaskStart, TaskUpdate, UndoEnd, UndoStart, Unknown,
};

/// Declares the kinds once: the enum, its names, and how a JSON object of each type is read.
macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident($payload:ty) = $name:literal;)*) => {
        /// What happened. In JSON the name stands in `type`, the fields beside it.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "type", rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $variant($payload),)*
            /// A type that this version does not know, kept as it was read.
            #[serde(untagged)]
            #[cfg_attr(feature = "schema", schemars(skip))]
            Unknown(Box<Unknown>),
        }

        /// The type of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum EventType {
            $($(#[$doc])* $variant,)*
            /// A type that this version does not know.
            Unknown,
        }

        impl EventType {
            /// The name as in JSON; `unknown` for a type that this version does not know.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Unknown => "unknown",
                }
            }
        }

        impl Kind {
            /// What kind of event this is.
            pub fn event_type(&self) -> EventType {
                match self {
                    $(Self::$variant(_) => EventType::$variant,)*
                    Self::Unknown(_) => EventType::Unknown,
                }
            }

            /// Reads a type that is known from the text of its whole event; what else stands there is passed over.
            pub(super) fn from_text(name: &str, text: &str) -> Option<Self> {
                match name {
                    $($name => serde_json::from_str(text).ok().map(Self::$variant),)*
                    _ => None,
                }
            }

            /// Reads the fields of the type `name`; a name that is not known keeps its fields.
            pub(super) fn from_fields(
                name: String,
                fields: Map<String, Value>,
            ) -> Result<Self, serde_path_to_error::Error<serde_json::Error>> {
                match name.as_str() {
                    $($name => {
                        serde_path_to_error::deserialize(Value::Object(fields)).map(Self::$variant)
                    })*
                    _ => Ok(Self::Unknown(Box::new(Unknown { name, fields }))),
                }
            }
        }
    };
}

kinds! {
    /// The run began; carries the whole plan.
    RunStart(Box<RunStart>) = "run_start";
    /// The run goes on after a stop or a crash.
    RunResume(RunResume) = "run_resume";
    /// An attempt at a step begins.
    StepStart(StepStart) = "step_start";
    /// News from inside a step.
    StepUpdate(Box<StepUpdate>) = "step_update";
    /// An attempt failed and another one will follow after a wait.
    StepRetry(Box<StepRetry>) = "step_retry";
    /// A step is settled.
    StepEnd(StepEnd) = "step_end";
    /// A line that a step's command wrote to its standard output.
    Stdout(OutputLine) = "stdout";
    /// A line that a step's command wrote to its standard error.
    Stderr(OutputLine) = "stderr";
    /// A task inside a step began.
    TaskStart(Box<TaskStart>) = "task_start";
    /// News from a task.
    TaskUpdate(Box<TaskUpdate>) = "task_update";
    /// A task ended.
    TaskEnd(Box<TaskEnd>) = "task_end";
    /// Nothing was heard from a step for too long.
    Stalled(Stalled) = "stalled";
    /// An attempt to undo a step begins.
    UndoStart(UndoStart) = "undo_start";
    /// Undoing a step ended.
    UndoEnd(Box<UndoEnd>) = "undo_end";
    /// The run ended; it may be resumed where its status allows it.
    RunEnd(Box<RunEnd>) = "run_end";
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Kind {
    /// The step that the event belongs to, if it belongs to one.
    pub fn step(&self) -> Option<&StepRef> {
        match self {
            Self::StepStart(event) => Some(&event.step),
            Self::StepUpdate(event) => Some(&event.step),
            Self::StepRetry(event) => Some(&event.step),
            Self::StepEnd(event) => Some(&event.step),
            Self::Stdout(event) | Self::Stderr(event) => Some(&event.step),
            Self::TaskStart(event) => Some(&event.step),
            Self::TaskUpdate(event) => Some(&event.step),
            Self::TaskEnd(event) => Some(&event.step),
            Self::Stalled(event) => Some(&event.step),
            Self::UndoStart(event) => Some(&event.step),
            Self::UndoEnd(event) => Some(&event.step),
            Self::RunStart(_) | Self::RunResume(_) | Self::RunEnd(_) | Self::Unknown(_) => None,
        }
    }
}
