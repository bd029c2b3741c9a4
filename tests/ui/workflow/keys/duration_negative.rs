use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(timeout = "-5s")]
    Fetch,
}

fn main() {}
