use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[step(output = &'static str, secret)]
    Fetch,
}

fn main() {}
