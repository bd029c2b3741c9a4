use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(weight = -2.5)]
    Fetch,
}

fn main() {}
