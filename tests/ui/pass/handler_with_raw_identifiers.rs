#![deny(warnings)]
#![allow(non_camel_case_types)]

use step_machine::{StepContext, Workflow};

#[derive(Workflow)]
#[workflow(handler = r#dyn, steps = r#loop)]
enum r#while {
    #[step(output = u16, undo)]
    r#type,
    #[step(needs(r#type), undo, output = u16)]
    r#match,
    #[step(needs(r#match), skippable, output = u16)]
    Self_,
    #[step(needs(Self_, r#type), output = u16)]
    run,
    #[step(needs(run))]
    WaitSSHv2,
}
use r#loop::*;

/// The context of a method is named like its first step.
#[derive(Workflow)]
enum Names {
    #[step(output = u16, undo)]
    Cx,
    #[step(needs(Cx), output = u16)]
    Handler,
    #[step(needs(Handler, Cx), skippable, output = u16, undo)]
    Output,
    #[step(needs(Output))]
    Error,
}

struct Handled;

impl r#dyn for Handled {
    type Error = std::io::Error;

    async fn r#type(&self, _: &mut StepContext) -> Result<u16, Self::Error> {
        Ok(7)
    }

    async fn undo_type(&self, _: &mut StepContext, _: Option<&u16>) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn r#match(&self, _: &mut StepContext, _: &u16) -> Result<u16, Self::Error> {
        Ok(7)
    }

    async fn undo_match(&self, _: &mut StepContext, _: Option<&u16>) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn self_(&self, _: &mut StepContext, _: &u16) -> Result<u16, Self::Error> {
        Ok(7)
    }

    async fn run(&self, _: &mut StepContext, _: Option<&u16>, _: &u16) -> Result<u16, Self::Error> {
        Ok(7)
    }

    async fn wait_ss_hv2(&self, _: &mut StepContext, _: &u16) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl NamesHandler for Handled {
    type Error = std::io::Error;

    async fn cx(&self, _: &mut StepContext) -> Result<u16, Self::Error> {
        Ok(7)
    }

    async fn undo_cx(&self, _: &mut StepContext, _: Option<&u16>) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn handler(&self, _: &mut StepContext, _: &u16) -> Result<u16, Self::Error> {
        Ok(7)
    }

    async fn output(&self, _: &mut StepContext, _: &u16, _: &u16) -> Result<u16, Self::Error> {
        Ok(7)
    }

    async fn undo_output(&self, _: &mut StepContext, _: Option<&u16>) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn error(&self, _: &mut StepContext, _: Option<&u16>) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _ = Names::run(&Handled);
    let machine = r#while::machine().begin()?;
    let (machine, size) = machine.step(r#type, |_| Ok::<_, std::io::Error>(7))?;
    assert_eq!(size, 7);
    drop(machine);
    Ok(())
}
