use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(weight = 1)]
    #[step(weight = 2)]
    Fetch,
}

fn main() {}
