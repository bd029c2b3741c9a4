use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(colour = "red")]
    Fetch,
}

fn main() {}
