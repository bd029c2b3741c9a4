//! The structured callback: each update as a line of JSON in a file.

use std::fs::File;
use std::io::Write;

use step_machine::Observer;
use step_machine::event::Event;
use step_machine_examples::cli::complain;

use super::update::Teller;

/// Appends each update to a file.
pub(super) struct Updates {
    /// None any more where it could not be written: the run is not hurt by that.
    file: Option<File>,
    teller: Teller,
}

impl Updates {
    pub(super) fn new(file: File, teller: Teller) -> Self {
        Self { file: Some(file), teller }
    }
}

impl Observer for Updates {
    fn name(&self) -> &'static str {
        "updates"
    }

    fn event(&mut self, event: &Event) {
        let update = self.teller.update(event);
        append(&mut self.file, "--updates", &update);
    }
}

/// Appends a line, in one write: whoever reads it meanwhile finds whole lines.
pub(super) fn append(file: &mut Option<File>, option: &str, line: &impl serde::Serialize) {
    let Some(open) = file else { return };
    let written = serde_json::to_string(line).map_err(Into::into).and_then(|text| writeln_at_once(open, text));
    if let Err(error) = written {
        complain(&format!("{option} ends here: {error}"));
        *file = None;
    }
}

fn writeln_at_once(file: &mut File, text: String) -> std::io::Result<()> {
    file.write_all((text + "\n").as_bytes())
}
