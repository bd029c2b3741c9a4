use step_machine::Workflow;

#[derive(Workflow)]
enum Release {}

struct Releasing;

impl ReleaseHandler for Releasing {
    type Error = std::io::Error;
}

fn main() {
    let _ = Release::run(&Releasing);
}
