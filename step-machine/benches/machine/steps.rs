//! Workflows of 10 and 100 plain steps, and a driver for each.

/// Declares a workflow of the named steps and a function that drives it with one body for all steps.
macro_rules! workflow {
    ($name:ident, $module:ident, $drive:ident: $($step:ident)*) => {
        #[derive(step_machine::Workflow)]
        pub(crate) enum $name {
            $($step,)*
        }

        #[inline(never)]
        pub(crate) fn $drive(
            builder: step_machine::MachineBuilder<$name>,
            mut body: impl FnMut(&mut step_machine::StepContext) -> Result<(), std::io::Error>,
        ) -> step_machine::Report<$name> {
            let run = builder.begin().expect("nothing to fail on");
            $(let run = run.step($module::$step, &mut body).expect("the body succeeds");)*
            run.finish().expect("nothing to fail on")
        }
    };
}

workflow! { Ten, ten, drive_ten: S0 S1 S2 S3 S4 S5 S6 S7 S8 S9 }

workflow! { Hundred, hundred, drive_hundred:
    S0 S1 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 S12 S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23 S24
    S25 S26 S27 S28 S29 S30 S31 S32 S33 S34 S35 S36 S37 S38 S39 S40 S41 S42 S43 S44 S45 S46 S47 S48 S49
    S50 S51 S52 S53 S54 S55 S56 S57 S58 S59 S60 S61 S62 S63 S64 S65 S66 S67 S68 S69 S70 S71 S72 S73 S74
    S75 S76 S77 S78 S79 S80 S81 S82 S83 S84 S85 S86 S87 S88 S89 S90 S91 S92 S93 S94 S95 S96 S97 S98 S99
}
