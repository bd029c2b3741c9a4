use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(critical(false))]
    Fetch,
}

fn main() {}
