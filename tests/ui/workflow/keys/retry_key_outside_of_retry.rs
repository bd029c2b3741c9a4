use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(attempts = 3, delay = "2s")]
    Fetch,
}

fn main() {}
