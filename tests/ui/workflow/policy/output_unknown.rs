use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(output = Archive)]
    Fetch,
}

fn main() {}
