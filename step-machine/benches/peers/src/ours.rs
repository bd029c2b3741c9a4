//! step-machine itself: the typed machine, and the enums for what drives them.

use std::time::Instant;

use crate::steps::{hundred_steps, ten_steps, thousand_steps};
use crate::{Case, Contender, Runs, work};

/// Declares a workflow of the steps, each with the name of its handler's method.
macro_rules! workflow {
    ($(#[$attribute:meta])* $name:ident: $($step:ident $method:ident)*) => {
        #[derive(step_machine::Workflow)]
        $(#[$attribute])*
        enum $name {
            $($step,)*
        }
    };
}

/// Declares a function that drives a chain with the typed machine.
macro_rules! typed {
    ($drive:ident $name:ident $module:ident: $($step:ident $method:ident)*) => {
        async fn $drive() -> Result<(), step_machine::Failure<$name, std::convert::Infallible>> {
            let run = $name::machine().begin()?;
            $(let run = run.step_async($module::$step, async |_| work()).await?;)*
            run.finish()?;
            Ok(())
        }
    };
}

ten_steps! { give workflow; Chain10 }
hundred_steps! { give workflow; Chain100 }
thousand_steps! { give workflow; Chain1000 }
hundred_steps! { give workflow; #[workflow(parallel)] Roots100 }

ten_steps! { give typed; typed_10 Chain10 chain10 }
hundred_steps! { give typed; typed_100 Chain100 chain100 }

pub(crate) fn typed() -> Contender {
    Contender {
        name: "typed machine",
        timed: "begin, the steps and finish; the report is dropped; no journal, no observers",
        prepare: |case| match case {
            Case::Chain(10) => Ok(runs(typed_10)),
            Case::Chain(100) => Ok(runs(typed_100)),
            Case::Chain(_) => Err("not written: a statement a step"),
            Case::Roots(_) => Err("one step at a time"),
        },
    }
}

fn runs<F, E>(run: fn() -> F) -> Runs
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: std::fmt::Debug,
{
    Box::new(move |runs| {
        Box::pin(async move {
            let start = Instant::now();
            for _ in 0..runs {
                run().await.expect("nothing fails");
            }
            start.elapsed()
        })
    })
}
