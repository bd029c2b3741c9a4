use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(critical = no)]
    Fetch,
}

fn main() {}
