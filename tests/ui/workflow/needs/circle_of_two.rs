use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(parallel)]
enum Release {
    #[step(needs(Build))]
    Fetch,
    #[step(needs(Fetch))]
    Build,
}

fn main() {}
