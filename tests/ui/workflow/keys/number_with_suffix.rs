use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(weight = 10u32)]
    Fetch,
}

fn main() {}
