//! Writes the workflows of 10 to 1,000 steps: a macro cannot make up names.

use std::fmt::Write as _;
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let mut code = String::new();
    for steps in [10, 100, 1000] {
        workflow(&mut code, &format!("Chain{steps}"), steps)?;
    }
    typed(&mut code, 100)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("workflows.rs"), code)?;
    Ok(())
}

/// An enum, and the handler whose methods do nothing.
fn workflow(code: &mut String, name: &str, steps: usize) -> std::fmt::Result {
    let variants: Vec<String> = (0..steps).map(|step| format!("S{step}")).collect();
    writeln!(code, "#[derive(step_machine::Workflow)] pub(crate) enum {name} {{ {} }}", variants.join(", "))?;
    writeln!(code, "impl {name}Handler for Nothing {{ type Error = Infallible;")?;
    for step in 0..steps {
        writeln!(code, "async fn s{step}(&self, cx: &mut StepContext) -> Done {{ self.work(cx).await }}")?;
    }
    writeln!(code, "}}")
}

/// A chain driven with the typed machine.
fn typed(code: &mut String, steps: usize) -> std::fmt::Result {
    writeln!(
        code,
        "pub(crate) fn typed_{steps}(journal: SqliteJournal) -> Result<(), Failure<Chain{steps}, Infallible>> {{"
    )?;
    writeln!(code, "let run = Chain{steps}::machine().journal(journal).begin()?;")?;
    for step in 0..steps {
        writeln!(code, "let run = run.step(chain{steps}::S{step}, |_| Ok(()))?;")?;
    }
    writeln!(code, "run.finish()?; Ok(()) }}")
}
