//! The table of `docs/semantics.md`, tried cell by cell.

use std::fs;
use std::path::Path;

use step_machine::{RunState, Runner, StepContext, Workflow};
use tokio::sync::Notify;

use crate::support::{Recorded, Trouble};

/// What happens in the step that a row is about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Happens {
    Error,
    Timeout,
    Panic,
    Cancelled,
    SkipMethod,
}

/// The columns of the table after the three rules.
const COLUMNS: [Happens; 5] =
    [Happens::Error, Happens::Timeout, Happens::Panic, Happens::Cancelled, Happens::SkipMethod];

struct World {
    happens: Happens,
    hangs: Notify,
}

impl World {
    async fn it(&self) -> Result<(), Trouble> {
        match self.happens {
            Happens::Error => Err(Trouble::Network),
            Happens::Panic => panic!("the step panics"),
            Happens::Timeout => std::future::pending().await,
            Happens::Cancelled => {
                self.hangs.notify_one();
                std::future::pending().await
            }
            Happens::SkipMethod => Ok(()),
        }
    }

    fn skips(&self) -> Option<String> {
        (self.happens == Happens::SkipMethod).then(|| "not today".to_owned())
    }
}

macro_rules! method {
    (undo) => {
        async fn undo_it(&self, _: &mut StepContext) -> Result<(), Trouble> {
            Ok(())
        }
    };
    (skip) => {
        async fn skip_it(&self, _: &mut StepContext) -> Result<Option<String>, Trouble> {
            Ok(self.skips())
        }
    };
}

/// A workflow whose second step has the rules of a row, and its handler.
macro_rules! row {
    ($name:ident, $handler:ident, [$($rule:tt)*], $($method:ident)*) => {
        #[derive(Workflow)]
        #[workflow(on_failure = "rollback", handler = $handler)]
        enum $name {
            #[step(undo)]
            Before,
            #[step($($rule)*, timeout = "20ms")]
            It,
            After,
        }

        impl $handler for World {
            type Error = Trouble;

            async fn before(&self, _: &mut StepContext) -> Result<(), Trouble> {
                Ok(())
            }

            async fn undo_before(&self, _: &mut StepContext) -> Result<(), Trouble> {
                Ok(())
            }

            async fn it(&self, _: &mut StepContext) -> Result<(), Trouble> {
                World::it(self).await
            }

            async fn after(&self, _: &mut StepContext) -> Result<(), Trouble> {
                Ok(())
            }

            $(method!($method);)*
        }
    };
}

row!(C, CHandler, [critical = true],);
row!(CU, CuHandler, [critical = true, undo], undo);
row!(CS, CsHandler, [critical = true, skippable], skip);
row!(Csu, CsuHandler, [critical = true, skippable, undo], skip undo);
row!(N, NHandler, [critical = false],);
row!(NU, NuHandler, [critical = false, undo], undo);
row!(NS, NsHandler, [critical = false, skippable], skip);
row!(Nsu, NsuHandler, [critical = false, skippable, undo], skip undo);

/// What a cell says of a run of `W`.
async fn cell<'h, W, P>(run: Runner<'h, W, P>, world: &'h World) -> String
where
    W: Workflow,
    P: step_machine::runner::HandlerFor<W> + 'h,
{
    let seen = Recorded::new();
    let run = run.observe(seen.clone()).cancel_on(world.hangs.notified());
    let ended = run.await;
    let state = RunState::fold(&seen.events()).unwrap().unwrap();
    match &ended {
        Ok(report) => assert_eq!(*report.state(), state),
        Err(failure) => assert_eq!(*failure.state().unwrap(), state),
    }
    format!("{}, run {}", state.step("it").unwrap().status(), state.status())
}

async fn try_cell(rules: [bool; 3], happens: Happens) -> String {
    let world = World { happens, hangs: Notify::new() };
    match rules {
        [true, false, false] => cell(C::run(&world), &world).await,
        [true, false, true] => cell(CU::run(&world), &world).await,
        [true, true, false] => cell(CS::run(&world), &world).await,
        [true, true, true] => cell(Csu::run(&world), &world).await,
        [false, false, false] => cell(N::run(&world), &world).await,
        [false, false, true] => cell(NU::run(&world), &world).await,
        [false, true, false] => cell(NS::run(&world), &world).await,
        [false, true, true] => cell(Nsu::run(&world), &world).await,
    }
}

/// The rows of the first table that begins with `critical`: the rules, and the cells after them.
fn rows() -> Vec<([bool; 3], Vec<String>)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/semantics.md");
    let page = fs::read_to_string(page).unwrap();
    let lines = page.lines().skip_while(|line| !line.starts_with("| critical |")).skip(2);
    lines.take_while(|line| line.starts_with('|')).map(row).collect()
}

fn row(line: &str) -> ([bool; 3], Vec<String>) {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let is_yes = |cell: &str| match cell {
        "yes" => true,
        "no" => false,
        other => panic!("`{other}` is neither yes nor no"),
    };
    ([is_yes(cells[0]), is_yes(cells[1]), is_yes(cells[2])], cells[3..].iter().map(ToString::to_string).collect())
}

#[tokio::test(start_paused = true)]
async fn what_the_page_says_of_each_combination_is_what_happens() {
    let rows = rows();
    assert_eq!(rows.len(), 8, "every combination of the three rules");
    let mut wrong = Vec::new();
    for (rules, cells) in rows {
        assert_eq!(cells.len(), COLUMNS.len());
        for (happens, says) in COLUMNS.into_iter().zip(cells) {
            if happens == Happens::SkipMethod && !rules[1] {
                assert_eq!(says, "-", "a step that may not be skipped has no skip method");
                continue;
            }
            let found = try_cell(rules, happens).await;
            if found != says {
                wrong.push(format!("critical, skippable, undo {rules:?}, {happens:?}: says `{says}`, is `{found}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
