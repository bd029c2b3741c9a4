use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(retry = 3)]
    Fetch,
}

fn main() {}
