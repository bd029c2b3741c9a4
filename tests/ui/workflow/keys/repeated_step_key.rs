use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(weight = 1, timeout = "5m", weight = 2)]
    Fetch,
}

fn main() {}
