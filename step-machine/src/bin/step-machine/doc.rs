//! `step-machine completions` and `step-machine man`.

use std::io::Write;

use clap::CommandFactory;

use super::args::{Args, Completions};
use super::trouble::{CODES, OK, Outcome};

/// What is read of the environment.
const VARIABLES: [(&str, &str); 3] = [
    ("STEP_MACHINE_JOURNAL", "The journal, where \\-\\-journal does not name it."),
    ("STEP_MACHINE_SCHEMA", "Its schema in PostgreSQL, where \\-\\-schema does not name it."),
    ("COLUMNS", "How wide tables may be, in place of the width of the terminal; 80 where there is neither."),
];

pub(crate) fn completions(options: &Completions, out: &mut dyn Write) -> Outcome {
    // Into memory first: what writes it takes no error for an answer.
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut Args::command(), "step-machine", &mut text);
    out.write_all(&text)?;
    Ok(OK)
}

/// One page, with a section for each command.
pub(crate) fn man(out: &mut dyn Write) -> Outcome {
    let mut command = Args::command();
    command.build();
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(out, ".SH {}\n{}", inner.get_name().to_uppercase(), about.replace('-', "\\-"))?;
        let page = clap_mangen::Man::new(inner.clone());
        let mut section = Vec::new();
        page.render_synopsis_section(&mut section)?;
        page.render_options_section(&mut section)?;
        let section = String::from_utf8_lossy(&section).replace(".SH ", ".SS ");
        out.write_all(section.as_bytes())?;
    }
    writeln!(out, ".SH ENVIRONMENT")?;
    for (variable, meaning) in VARIABLES {
        writeln!(out, ".TP\n.B {variable}\n{meaning}")?;
    }
    writeln!(out, ".SH EXIT STATUS")?;
    for (code, meaning) in CODES {
        writeln!(out, ".TP\n.B {code}\n{meaning}")?;
    }
    Ok(OK)
}
