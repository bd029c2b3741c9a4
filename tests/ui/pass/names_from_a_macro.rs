#![deny(warnings)]

use step_machine::Workflow;

macro_rules! workflow {
    ($name:ident: $($step:ident $output:ty),*) => {
        #[derive(Workflow)]
        enum $name {
            $(#[step(output = $output)] $step,)*
        }
    };
}

workflow!(Release: Fetch u16, Build Vec<u8>);
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let (run, size) = run.step(Fetch, |_| Ok::<_, std::io::Error>(7))?;
    let (run, bytes) = run.step(Build, |_| Ok::<_, std::io::Error>(vec![1]))?;
    run.finish()?;
    assert_eq!((size, bytes.len()), (7, 1));
    Ok(())
}
