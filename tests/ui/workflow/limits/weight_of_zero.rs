use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(weight = 0)]
    Fetch,
}

fn main() {}
