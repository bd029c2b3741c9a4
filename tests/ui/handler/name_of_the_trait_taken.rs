use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    Fetch,
}

struct ReleaseHandler;

fn main() {}
