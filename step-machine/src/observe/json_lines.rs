//! Events as JSON, one a line.

use std::io::Write;

use super::Observer;
use crate::event::Event;

/// Writes every event as one line of JSON and flushes it.
///
/// Once the writer fails, a closed pipe for one, nothing more is written and the run goes on.
///
/// # Examples
///
/// ```
/// use step_machine::{Workflow, observe::JsonLines};
///
/// #[derive(Workflow)]
/// enum Greet { Hello }
///
/// let run = Greet::machine().observe(JsonLines::new(std::io::stdout())).begin()?;
/// run.step(greet::Hello, |_| Ok::<(), std::io::Error>(()))?.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct JsonLines<W> {
    writer: Option<W>,
    line: Vec<u8>,
}

impl<W: Write + Send> JsonLines<W> {
    /// Writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self { writer: Some(writer), line: Vec::new() }
    }
}

impl<W: Write + Send> Observer for JsonLines<W> {
    fn event(&mut self, event: &Event) {
        let Some(writer) = &mut self.writer else { return };
        // One write a line, so that lines of several writers do not mix.
        self.line.clear();
        let written = event.write(&mut self.line).map_err(std::io::Error::from).and_then(|()| {
            self.line.push(b'\n');
            writer.write_all(&self.line)?;
            writer.flush()
        });
        if written.is_err() {
            self.writer = None;
        }
    }
}
