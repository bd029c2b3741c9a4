use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(weight(10))]
    Fetch,
}

fn main() {}
