//! What of a run is not to be read by everybody: sealed outputs, and values that are redacted by key.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::event::{Event, Kind, StepEnd};
use crate::journal::{Codec, CodecError, JournalError, SealContext};
use crate::run_id::RunId;
use crate::state::RunState;
use crate::workflow::Plan;

/// What stands for a value that was redacted.
const REDACTED: &str = "[redacted]";

/// How a run keeps what is secret. Empty, and without cost, where nothing is.
#[derive(Clone, Default)]
pub(crate) struct Secrecy {
    codec: Option<Arc<dyn Codec>>,
    /// The keys whose values are left out, in lower case.
    redacted: Option<Arc<Vec<String>>>,
}

impl Secrecy {
    pub(crate) fn set_codec(&mut self, codec: impl Codec + 'static) {
        self.codec = Some(Arc::new(codec));
    }

    pub(crate) fn redact(&mut self, key: &str) {
        Arc::make_mut(self.redacted.get_or_insert_default()).push(key.to_lowercase());
    }

    /// Takes over what the run is kept by that this one is nested in.
    #[cfg(feature = "runner")]
    pub(crate) fn inherit(&mut self, outer: &Self) {
        if self.codec.is_none() {
            self.codec.clone_from(&outer.codec);
        }
        for key in outer.redacted.iter().flat_map(|keys| keys.iter()) {
            self.redact(key);
        }
    }

    /// Fails where a step of `plan` hands on a secret that a journal would have to keep, and nothing could seal it.
    pub(crate) fn check(&self, run: &RunId, plan: &Plan) -> Result<(), JournalError> {
        match first_secret(plan).filter(|_| self.codec.is_none()) {
            Some(step) => Err(JournalError::NoCodec { run: run.clone(), step }),
            None => Ok(()),
        }
    }

    /// The output of a step that ended, as a journal may have it; `None` where it hands on no secret.
    #[inline]
    pub(crate) fn seal(&self, run: &RunId, workflow: &str, kind: &Kind) -> Result<Option<Box<str>>, JournalError> {
        let Kind::StepEnd(StepEnd { step, secret: true, output: Some(output), .. }) = kind else { return Ok(None) };
        let context = SealContext::new(run, workflow, step.id());
        let sealed = match &self.codec {
            Some(codec) => codec.seal(&context, output.to_string().as_bytes()),
            None => Err(CodecError::NoCodec),
        };
        sealed.map(|text| Some(text.into())).map_err(|source| {
            let (run, step) = (run.clone(), step.id().to_owned());
            JournalError::Sealing { run, step, source: Box::new(source) }
        })
    }

    /// Where a run stands by what its journal has; a run of another workflow than the plan's without its secrets.
    pub(crate) fn fold(
        &self,
        run: &RunId,
        mut events: Vec<Event>,
        plan: &Plan,
    ) -> Result<Option<RunState>, JournalError> {
        if events.first().is_some_and(|first| first.workflow == plan.workflow) {
            self.open(&mut events)?;
        }
        RunState::fold(&events).map_err(|source| JournalError::Corrupt { run: run.clone(), source: Box::new(source) })
    }

    /// Puts outputs in place of what they were sealed to.
    fn open(&self, events: &mut [Event]) -> Result<(), JournalError> {
        for Event { run, workflow, kind, .. } in events {
            let Kind::StepEnd(StepEnd { step, secret: true, output: output @ None, sealed, .. }) = kind else {
                continue;
            };
            let opened = self.opened(&SealContext::new(run, workflow, step.id()), sealed.take());
            *output = Some(opened.map_err(|source| {
                let (run, step) = (run.clone(), step.id().to_owned());
                JournalError::Sealed { run, step, source: Box::new(source) }
            })?);
        }
        Ok(())
    }

    fn opened(&self, context: &SealContext<'_>, sealed: Option<Box<str>>) -> Result<Box<Value>, CodecError> {
        let sealed = sealed.ok_or(CodecError::Missing)?;
        let plain = self.codec.as_ref().ok_or(CodecError::NoCodec)?.open(context, &sealed)?;
        // What the parser says may quote the secret.
        serde_json::from_slice(&plain).map_err(|_| CodecError::NotJson)
    }

    /// Leaves out what labels say under a redacted key.
    pub(crate) fn redact_labels(&self, labels: &mut BTreeMap<String, String>) {
        for (_, value) in labels.iter_mut().filter(|(key, _)| self.redacts(key)) {
            REDACTED.clone_into(value);
        }
    }

    /// Leaves out what stands under a redacted key, at any depth.
    pub(crate) fn redact_value(&self, value: &mut Value) {
        match value {
            _ if self.redacted.is_none() => {}
            Value::Object(fields) => self.redact_fields(fields),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_value(item)),
            _ => {}
        }
    }

    fn redact_fields(&self, fields: &mut Map<String, Value>) {
        for (key, value) in fields {
            if self.redacts(key) {
                *value = Value::from(REDACTED);
            } else {
                self.redact_value(value);
            }
        }
    }

    /// Leaves out what a step told machines under a redacted key.
    #[inline]
    pub(crate) fn redact_news(&self, kind: &mut Kind) {
        if let (Some(_), Kind::StepUpdate(update)) = (&self.redacted, kind) {
            self.redact_fields(&mut update.metadata);
        }
    }

    fn redacts(&self, key: &str) -> bool {
        self.redacted.as_ref().is_some_and(|keys| keys.contains(&key.to_lowercase()))
    }
}

/// The event as it leaves the run's own memory: in place of a secret output what it was sealed to, if a journal is to
/// have it.
#[inline]
pub(crate) fn withhold(kind: &mut Kind, in_its_place: Option<Box<str>>) {
    if let Kind::StepEnd(StepEnd { secret: true, output, sealed, .. }) = kind {
        *output = None;
        *sealed = in_its_place;
    }
}

/// The way to the first step that hands on a secret, through nested workflows.
fn first_secret(plan: &Plan) -> Option<String> {
    plan.steps.iter().find_map(|step| match &step.nested {
        _ if step.secret => Some(step.id.clone()),
        Some(inner) => first_secret(inner).map(|inner| format!("{}/{inner}", step.id)),
        None => None,
    })
}
