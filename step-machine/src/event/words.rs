//! The small vocabularies of events: statuses, reasons and levels.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares a small vocabulary: an enum whose names are the same in JSON and in text.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$word_doc])* $word,)*
        }

        impl $name {
            /// The word as in JSON.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// The status of a run.
    RunStatus {
        /// It is going on, or the process that drove it is gone.
        Running = "running",
        /// Every step is completed or skipped; there may be warnings.
        Completed = "completed",
        /// A critical step failed, or the run as a whole did. Can be resumed.
        Failed = "failed",
        /// It was stopped from outside. Can be resumed.
        Cancelled = "cancelled",
        /// Steps are being undone.
        RollingBack = "rolling_back",
        /// Every step that began and can be undone is undone.
        RolledBack = "rolled_back",
        /// An undo failed; somebody has to look. Can be resumed.
        Stuck = "stuck",
    }
}

impl RunStatus {
    /// Whether the run is over, for good or until it is resumed.
    pub fn has_ended(self) -> bool {
        !matches!(self, Self::Running | Self::RollingBack)
    }

    /// Whether a run in this status can go on.
    pub fn can_resume(self) -> bool {
        !matches!(self, Self::Completed | Self::RolledBack)
    }
}

words! {
    /// The status of a step.
    StepStatus {
        /// It has not started, or will start again.
        Pending = "pending",
        /// An attempt is going on, or the next one is waited for.
        Running = "running",
        /// It did what it is for.
        Completed = "completed",
        /// It failed and stopped the run.
        Failed = "failed",
        /// It was left out on purpose, or it failed without being critical; the reason tells.
        Skipped = "skipped",
        /// It was stopped before its end.
        Cancelled = "cancelled",
        /// Its effect was taken back.
        Undone = "undone",
        /// Its effect could not be taken back.
        UndoFailed = "undo_failed",
    }
}

impl StepStatus {
    /// Whether the run can go past a step in this status.
    #[inline]
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Completed | Self::Skipped)
    }
}

words! {
    /// Why a step ended as it did.
    Reason {
        /// It failed.
        Failed = "failed",
        /// It was left out on purpose; the message says why.
        Requested = "requested",
        /// Its body panicked.
        Panicked = "panicked",
        /// Its body was dropped before its end, as a cancelled future is.
        Dropped = "dropped",
        /// The run began as a copy of another one, which had settled the step.
        Forked = "forked",
    }
}

words! {
    /// How much a message matters.
    Level {
        /// For those who look for a fault.
        Debug = "debug",
        /// For everybody.
        Info = "info",
        /// Something is not as it should be.
        Warning = "warning",
        /// Something failed.
        Error = "error",
        /// Something worth saying went well.
        Success = "success",
    }
}

words! {
    /// How a task ended.
    TaskStatus {
        /// It is going on.
        Running = "running",
        /// It did what it is for.
        Completed = "completed",
        /// It failed.
        Failed = "failed",
    }
}

words! {
    /// How undoing a step ended.
    UndoStatus {
        /// The effect was taken back.
        Undone = "undone",
        /// The effect could not be taken back.
        UndoFailed = "undo_failed",
        /// Somebody decided to leave the effect; the message says why.
        Skipped = "skipped",
    }
}
