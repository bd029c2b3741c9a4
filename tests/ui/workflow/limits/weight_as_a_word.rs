use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(weight = heavy)]
    Fetch,
}

fn main() {}
