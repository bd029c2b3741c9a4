#![deny(warnings)]

use step_machine::Workflow;

#[derive(Workflow)]
enum Type {
    Check,
}

#[derive(Workflow)]
enum Crate {
    Check,
}

#[derive(Workflow)]
enum Super {
    Check,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Type::machine().begin()?.step(r#type::Check, |_| Ok::<_, std::io::Error>(()))?.finish()?;
    Crate::machine().begin()?.step(crate_::Check, |_| Ok::<_, std::io::Error>(()))?.finish()?;
    Super::machine().begin()?.step(super_::Check, |_| Ok::<_, std::io::Error>(()))?.finish()?;
    assert_eq!(Super::NAME, "super");
    Ok(())
}
