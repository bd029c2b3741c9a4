use step_machine::Workflow;

struct Archive;

#[derive(Workflow)]
enum Release {
    #[step(output = Archive)]
    Fetch,
}

fn main() {}
