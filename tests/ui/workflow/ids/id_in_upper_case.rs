use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(id = "Fetch")]
    Fetch,
}

fn main() {}
