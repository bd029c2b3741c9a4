use step_machine::Workflow;

#[derive(Workflow)]
#[workflow(parallel)]
enum Release {
    Fetch,
    #[step(needs(Build))]
    Build,
}

fn main() {}
