#![deny(warnings)]
#![allow(non_camel_case_types)]

use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(steps = r#loop)]
enum r#while {
    r#type,
    #[step(needs(r#type), undo)]
    r#match,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = r#while::machine().begin()?;
    let run = run.step(r#loop::r#type, |_| Ok::<_, std::io::Error>(()))?;
    let run = run.step(r#loop::r#match, |_| Ok::<_, std::io::Error>(()))?;
    run.finish()?;
    let plan = r#while::plan();
    assert_eq!(plan.workflow, "while");
    assert_eq!(plan.steps[0].id, "type");
    assert_eq!(plan.steps[1].name, "Match");
    assert_eq!(plan.steps[1].needs, ["type"]);
    Ok(())
}
