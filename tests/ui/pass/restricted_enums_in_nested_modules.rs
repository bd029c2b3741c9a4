#![deny(warnings)]

mod outer {
    pub(crate) mod middle {
        pub(crate) mod inner {
            use step_machine::Workflow;

            #[derive(Workflow)]
            pub(super) enum ForMiddle {
                First,
            }

            #[derive(Workflow)]
            pub(in super::super) enum ForOuter {
                First,
            }

            #[derive(Workflow)]
            pub(in crate::outer) enum ByPath {
                First,
            }

            #[derive(Workflow)]
            pub(self) enum ForInner {
                First,
            }

            pub(crate) fn drive() -> Result<(), Box<dyn std::error::Error>> {
                let run = ForInner::machine().begin()?;
                run.step(for_inner::First, |_| Ok::<_, std::io::Error>(()))?.finish()?;
                Ok(())
            }
        }

        pub(crate) fn drive() -> Result<(), Box<dyn std::error::Error>> {
            let run: step_machine::Machine<_, inner::for_middle::at::First> = inner::ForMiddle::machine().begin()?;
            run.step(inner::for_middle::First, |_| Ok::<_, std::io::Error>(()))?.finish()?;
            inner::drive()
        }
    }

    pub(crate) fn drive() -> Result<(), Box<dyn std::error::Error>> {
        use middle::inner::{ByPath, ForOuter, by_path, for_outer};
        let run: step_machine::Machine<_, for_outer::at::First> = ForOuter::machine().begin()?;
        run.step(for_outer::First, |_| Ok::<_, std::io::Error>(()))?.finish()?;
        let run: step_machine::Machine<_, by_path::at::First> = ByPath::machine().begin()?;
        run.step(by_path::First, |_| Ok::<_, std::io::Error>(()))?.finish()?;
        middle::drive()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    outer::drive()
}
