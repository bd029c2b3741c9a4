use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(name = "")]
    Fetch,
}

fn main() {}
