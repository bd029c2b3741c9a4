use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(output(u16))]
    Fetch,
}

fn main() {}
