use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry())]
    Fetch,
}

fn main() {}
