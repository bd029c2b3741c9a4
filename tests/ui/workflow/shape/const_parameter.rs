use step_machine::Workflow;

#[derive(Workflow)]
enum Release<const SIZE: usize> {
    Fetch,
}

fn main() {}
