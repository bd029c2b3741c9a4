use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(parallel)]
enum Release {
    #[step(needs(Publish))]
    Fetch,
    #[step(needs(Fetch))]
    Build,
    #[step(needs(Build))]
    Test,
    #[step(needs(Test))]
    Publish,
    #[step(needs(Publish))]
    Announce,
}

fn main() {}
