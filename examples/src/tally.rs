//! Which bodies were called, for tests that count them.

use std::fs::File;
use std::io::Write;

use step_machine::StepContext;

/// The file that a body is written down in when it is called; only tests set it.
const FILE: &str = "STEP_MACHINE_TALLY";

/// Writes down that the body of this step was called.
pub fn tally(cx: &StepContext) {
    if let Some(file) = std::env::var_os(FILE) {
        let line = format!("{} {} {}\n", cx.run(), cx.step(), cx.attempt());
        // A test that cannot find what was called says so itself.
        let _ =
            File::options().create(true).append(true).open(file).and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
