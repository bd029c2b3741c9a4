use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(parallel)]
    Fetch,
}

fn main() {}
