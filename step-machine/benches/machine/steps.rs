//! Sequences of 10 and 100 plain steps: as workflows, and as one would write them by hand.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant, SystemTime};

/// What a command keeps that wants to tell afterwards when it began, what its steps took, and what all of it took.
pub(crate) struct Kept {
    started_at: SystemTime,
    times: Vec<(Duration, Duration)>,
    took: Duration,
}

/// Declares a sequence of the named steps and what drives it, with one body for all steps: the workflow, the sequence
/// by hand with two clock readings a step, both kept, and the same with a record of its own, as a run leaves one.
macro_rules! sequence {
    ($name:ident, $module:ident, $drive:ident, $by_hand:ident, $with_record:ident: $($step:ident)*) => {
        #[derive(step_machine::Workflow)]
        pub(crate) enum $name {
            $($step,)*
        }

        #[inline(never)]
        pub(crate) fn $drive(
            builder: step_machine::MachineBuilder<$name>,
            mut body: impl FnMut(&mut step_machine::StepContext) -> Result<(), io::Error>,
        ) -> step_machine::Report<$name> {
            let run = builder.begin().expect("nothing to fail on");
            $(let run = run.step($module::$step, &mut body).expect("the body succeeds");)*
            run.finish().expect("nothing to fail on")
        }

        #[inline(never)]
        pub(crate) fn $by_hand(
            times: &mut Vec<(Duration, Duration)>,
            mut body: impl FnMut() -> Result<(), io::Error>,
        ) -> Result<(), io::Error> {
            times.clear();
            let origin = Instant::now();
            $({
                let _ = $name::$step;
                let start = origin.elapsed();
                body()?;
                times.push((start, origin.elapsed()));
            })*
            Ok(())
        }

        #[inline(never)]
        pub(crate) fn $with_record(body: impl FnMut() -> Result<(), io::Error>) -> Result<Box<Kept>, io::Error> {
            let times = Vec::with_capacity([$(stringify!($step)),*].len());
            let mut kept = Box::new(Kept { started_at: SystemTime::now(), times, took: Duration::ZERO });
            let origin = Instant::now();
            $by_hand(&mut kept.times, body)?;
            kept.took = origin.elapsed();
            black_box((kept.started_at, kept.took));
            Ok(kept)
        }
    };
}

sequence! { Ten, ten, drive_ten, ten_by_hand, ten_with_record: S0 S1 S2 S3 S4 S5 S6 S7 S8 S9 }

sequence! { Hundred, hundred, drive_hundred, hundred_by_hand, hundred_with_record:
    S0 S1 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 S12 S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23 S24
    S25 S26 S27 S28 S29 S30 S31 S32 S33 S34 S35 S36 S37 S38 S39 S40 S41 S42 S43 S44 S45 S46 S47 S48 S49
    S50 S51 S52 S53 S54 S55 S56 S57 S58 S59 S60 S61 S62 S63 S64 S65 S66 S67 S68 S69 S70 S71 S72 S73 S74
    S75 S76 S77 S78 S79 S80 S81 S82 S83 S84 S85 S86 S87 S88 S89 S90 S91 S92 S93 S94 S95 S96 S97 S98 S99
}
