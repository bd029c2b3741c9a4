//! An error of a journal for a second one who has to know of it.

use std::fmt;

use super::{BoxError, CodecError, JournalError};

/// The texts of an error that cannot be copied, and of what caused it.
#[derive(Debug)]
struct Told {
    text: String,
    source: Option<Box<Self>>,
}

impl Told {
    fn of(error: &dyn std::error::Error) -> Self {
        Self { text: error.to_string(), source: error.source().map(|source| Box::new(Self::of(source))) }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Told {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

fn boxed(source: &BoxError) -> BoxError {
    Box::new(Told::of(&**source))
}

fn codec(source: &CodecError) -> CodecError {
    match source {
        CodecError::NoCodec => CodecError::NoCodec,
        CodecError::UnknownKey { key } => CodecError::UnknownKey { key: key.clone() },
        CodecError::Form { what } => CodecError::Form { what },
        CodecError::Refused => CodecError::Refused,
        CodecError::Missing => CodecError::Missing,
        CodecError::NotJson => CodecError::NotJson,
        CodecError::Other(source) => CodecError::Other(boxed(source)),
    }
}

impl JournalError {
    /// The same error, with what others say about it as texts.
    pub(crate) fn copied(&self) -> Self {
        match self {
            Self::Write { run, source } => Self::Write { run: run.clone(), source: boxed(source) },
            Self::Read { run, source } => Self::Read { run: run.clone(), source: boxed(source) },
            Self::Store { journal, advice, source } => {
                Self::Store { journal: journal.clone(), advice: advice.clone(), source: boxed(source) }
            }
            Self::Damaged { run, what } => Self::Damaged { run: run.clone(), what: what.clone() },
            Self::Closed => Self::Closed,
            Self::Owned { run, owner } => Self::Owned { run: run.clone(), owner: owner.clone() },
            Self::Exclusive { run, name, holder, owner } => {
                let (name, holder, owner) = (name.clone(), holder.clone(), owner.clone());
                Self::Exclusive { run: run.clone(), name, holder, owner }
            }
            Self::TakenOver { run, owner } => Self::TakenOver { run: run.clone(), owner: owner.clone() },
            Self::Exists { run } => Self::Exists { run: run.clone() },
            Self::NotFound { run } => Self::NotFound { run: run.clone() },
            Self::Abandoned { run, why } => Self::Abandoned { run: run.clone(), why: why.clone() },
            Self::Conflict { run, found, last } => Self::Conflict { run: run.clone(), found: *found, last: *last },
            Self::Corrupt { run, source } => Self::Corrupt { run: run.clone(), source: source.clone() },
            Self::OtherWorkflow { run, found, expected } => {
                Self::OtherWorkflow { run: run.clone(), found: found.clone(), expected: expected.clone() }
            }
            Self::PlanChanged { run, changes } => Self::PlanChanged { run: run.clone(), changes: changes.clone() },
            Self::Output { run, step, source } => {
                let source = serde::de::Error::custom(source);
                Self::Output { run: run.clone(), step: step.clone(), source }
            }
            Self::NoCodec { run, step } => Self::NoCodec { run: run.clone(), step: step.clone() },
            Self::Sealing { run, step, source } => {
                Self::Sealing { run: run.clone(), step: step.clone(), source: Box::new(codec(source)) }
            }
            Self::Sealed { run, step, source } => {
                Self::Sealed { run: run.clone(), step: step.clone(), source: Box::new(codec(source)) }
            }
            Self::Over { run, status } => Self::Over { run: run.clone(), status: *status },
            Self::Refused { run, source } => Self::Refused { run: run.clone(), source: source.clone() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::whole_text;
    use crate::run_id::RunId;

    #[test]
    fn a_copy_says_what_the_error_says_and_what_caused_it() {
        let run = || RunId::from("r");
        let full = || Box::new(Told { text: "the disk is full".into(), source: Some(Box::new(Told::of(&Why))) });
        let sealing = CodecError::Other(full());
        let errors = [
            JournalError::Write { run: run(), source: full() },
            JournalError::Store { journal: "runs.db".into(), advice: "look".into(), source: full() },
            JournalError::Sealing { run: run(), step: "token".into(), source: Box::new(sealing) },
            JournalError::Conflict { run: run(), found: 7, last: 5 },
            JournalError::TakenOver { run: run(), owner: None },
            JournalError::Output { run: run(), step: "token".into(), source: serde::de::Error::custom("no number") },
        ];
        for error in errors {
            assert_eq!(whole_text(&error.copied()), whole_text(&error));
            assert_eq!(error.copied().is_of_writing(), error.is_of_writing());
        }
        let error = JournalError::Write { run: run(), source: full() };
        let text = whole_text(&error.copied());
        assert!(text.ends_with(": the disk is full: no space is left"), "{text}");
    }

    #[derive(Debug)]
    struct Why;

    impl fmt::Display for Why {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no space is left")
        }
    }

    impl std::error::Error for Why {}
}
