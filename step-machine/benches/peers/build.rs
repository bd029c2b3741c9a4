//! Writes the workflows of 10, 100 and 1,000 steps: a macro cannot make up names.

use std::fmt::Write as _;
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let mut code = String::new();
    for steps in [10, 100, 1000] {
        workflow(&mut code, &format!("Chain{steps}"), "", steps)?;
    }
    workflow(&mut code, "Roots100", "#[workflow(parallel)] ", 100)?;
    for steps in [10, 100] {
        typed(&mut code, steps)?;
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("workflows.rs"), code)?;
    Ok(())
}

/// An enum, and the handler whose methods do nothing.
fn workflow(code: &mut String, name: &str, attribute: &str, steps: usize) -> std::fmt::Result {
    let variants: Vec<String> = (0..steps).map(|step| format!("S{step}")).collect();
    writeln!(code, "#[derive(step_machine::Workflow)] {attribute}enum {name} {{ {} }}", variants.join(", "))?;
    writeln!(code, "impl {name}Handler for Nothing {{ type Error = std::convert::Infallible;")?;
    for step in 0..steps {
        writeln!(code, "async fn s{step}(&self, _: &mut StepContext) -> Done {{ work() }}")?;
    }
    writeln!(code, "}}")
}

/// A chain driven with the typed machine.
fn typed(code: &mut String, steps: usize) -> std::fmt::Result {
    writeln!(code, "async fn typed_{steps}() -> Result<(), step_machine::Failure<Chain{steps}, Infallible>> {{")?;
    writeln!(code, "let run = Chain{steps}::machine().begin()?;")?;
    for step in 0..steps {
        writeln!(code, "let run = run.step_async(chain{steps}::S{step}, async |_| work()).await?;")?;
    }
    writeln!(code, "run.finish()?; Ok(()) }}")
}
