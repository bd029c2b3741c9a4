//! Events as JSON text, as their `Serialize` has it. What all of them have is put down here field by field, since a
//! journal and a log write it for each event, and serde would look at every letter of every name.

use std::io::Write;

use serde::Serialize;
use serde::ser::Error as _;
use serde_json::{Error, to_writer};

use super::{Event, Progress};
use crate::time::millis;

impl Event {
    /// Adds it to `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.write_lean(out, true, true)
    }

    /// Adds it to `out`; without its run and its workflow where the reader knows them.
    pub(crate) fn write_lean(&self, out: &mut Vec<u8>, has_run: bool, has_workflow: bool) -> Result<(), Error> {
        field(out, "{\"v\":", &self.v)?;
        if has_run {
            field(out, ",\"run\":", &self.run)?;
        }
        if has_workflow {
            field(out, ",\"workflow\":", &self.workflow)?;
        }
        field(out, ",\"seq\":", &self.seq)?;
        write!(out, ",\"at\":\"{}\"", humantime::format_rfc3339_micros(self.at)).map_err(Error::custom)?;
        field(out, ",\"elapsed_ms\":", &millis::to_f64(self.elapsed))?;
        self.write_kind(out)?;
        if let Some(progress) = &self.progress {
            progress.write(out)?;
        }
        out.push(b'}');
        Ok(())
    }

    /// The fields of the kind, which as JSON is an object of its own.
    fn write_kind(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = out.len();
        to_writer(&mut *out, &self.kind)?;
        if let Some(brace) = out.get_mut(start) {
            *brace = b',';
        }
        out.pop();
        Ok(())
    }
}

impl Progress {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        field(out, ",\"progress\":{\"percentage\":", &self.percentage)?;
        field(out, ",\"step_number\":", &self.step_number)?;
        field(out, ",\"total_steps\":", &self.total_steps)?;
        field(out, ",\"completed\":", &self.completed)?;
        if let Some(current) = &self.current {
            field(out, ",\"current\":", current)?;
        }
        if let Some(eta) = self.eta {
            field(out, ",\"eta_ms\":", &millis::to_f64(eta))?;
        }
        out.push(b'}');
        Ok(())
    }
}

fn field<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: &'static str, value: &T) -> Result<(), Error> {
    out.extend_from_slice(name.as_bytes());
    to_writer(out, value)
}
