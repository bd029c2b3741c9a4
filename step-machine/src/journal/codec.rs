//! How secret outputs are sealed before a journal has them.

use super::BoxError;
use crate::run_id::RunId;

/// Seals what a step marked `#[step(output = T, secret)]` hands on, and opens it when the run goes on.
///
/// A codec is a cipher that also notices a change: an AEAD. [`Sealer`](super::Sealer), behind the feature `seal`, is one
/// that is ready; implement the trait for a service that holds your keys. What is sealed is text, as it becomes a part
/// of an event in JSON: a codec whose own result is bytes writes them as base64 or the like.
///
/// A codec is called while the run waits, and may block.
///
/// # Examples
///
/// A codec for tests, which hides nothing, and shows that the context belongs to what is sealed:
///
/// ```
/// use step_machine::journal::{Codec, CodecError, SealContext};
///
/// struct Plain;
///
/// impl Codec for Plain {
///     fn seal(&self, context: &SealContext<'_>, plain: &[u8]) -> Result<String, CodecError> {
///         Ok(format!("{}/{}:{}", context.run, context.step, String::from_utf8_lossy(plain)))
///     }
///
///     fn open(&self, context: &SealContext<'_>, sealed: &str) -> Result<Vec<u8>, CodecError> {
///         let own = format!("{}/{}:", context.run, context.step);
///         let plain = sealed.strip_prefix(&own).ok_or(CodecError::Refused)?;
///         Ok(plain.into())
///     }
/// }
///
/// let (run, other) = ("web-42".into(), "web-43".into());
/// let sealed = Plain.seal(&SealContext::new(&run, "deploy", "get-token"), b"7").unwrap();
/// assert!(Plain.open(&SealContext::new(&run, "deploy", "get-token"), &sealed).is_ok());
/// assert!(Plain.open(&SealContext::new(&other, "deploy", "get-token"), &sealed).is_err());
/// ```
pub trait Codec: Send + Sync {
    /// Seals `plain`, bound to `context`.
    fn seal(&self, context: &SealContext<'_>, plain: &[u8]) -> Result<String, CodecError>;

    /// What `sealed` was sealed from, in the same context; an error where anything of it, or the context, is another.
    fn open(&self, context: &SealContext<'_>, sealed: &str) -> Result<Vec<u8>, CodecError>;
}

macro_rules! forward {
    ($($pointer:path),*) => {
        $(impl<C: Codec + ?Sized> Codec for $pointer {
            fn seal(&self, context: &SealContext<'_>, plain: &[u8]) -> Result<String, CodecError> {
                (**self).seal(context, plain)
            }

            fn open(&self, context: &SealContext<'_>, sealed: &str) -> Result<Vec<u8>, CodecError> {
                (**self).open(context, sealed)
            }
        })*
    };
}

forward!(Box<C>, std::sync::Arc<C>);

/// Where a sealed output belongs. It is not a part of the sealed text, but of what a codec holds that text against: so
/// an output that was moved to another run or step does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealContext<'a> {
    /// The run.
    pub run: &'a RunId,
    /// The name of its workflow.
    pub workflow: &'a str,
    /// The id that the step had when it ended.
    pub step: &'a str,
}

impl<'a> SealContext<'a> {
    /// The output of this step of this run.
    pub fn new(run: &'a RunId, workflow: &'a str, step: &'a str) -> Self {
        Self { run, workflow, step }
    }

    /// The context as bytes, other ones for every other context: the associated data of an AEAD.
    pub fn associated_data(&self) -> Vec<u8> {
        let run = self.run.to_string();
        let mut data = Vec::new();
        for part in ["step-machine output", self.workflow, &run, self.step] {
            // With its length before it no part can pass for a part of the next one.
            data.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

/// Why an output could not be sealed, or opened again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The run was given no codec.
    #[error("the run has no codec; give it the one that sealed the output, by `.codec(..)`")]
    NoCodec,
    /// It was sealed with a key that the codec was not given.
    #[error("it was sealed with the key `{key}`, which the codec does not have; give the codec that key too")]
    UnknownKey {
        /// The id of the key.
        key: String,
    },
    /// The text is none that the codec writes.
    #[error("it is not as the codec writes it: {what}; it is damaged, or another codec sealed it")]
    Form {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The text is not what was sealed in this context with this key.
    #[error(
        "the codec refuses it: its key is another one, or the text was changed, or it was moved here from another run or step"
    )]
    Refused,
    /// The event says that there is an output, and does not have it: it is one that was for observers.
    #[error("the event is without it, as observers see it; restore the journal from a copy of the journal itself")]
    Missing,
    /// What came out is not what an output is recorded as.
    #[error("what the codec gave back is not JSON; it is not what was sealed")]
    NotJson,
    /// The codec has its own reason.
    #[error("the codec failed")]
    Other(#[source] BoxError),
}
