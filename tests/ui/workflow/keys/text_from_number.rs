use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(id = 1)]
    Fetch,
}

fn main() {}
