use step_machine::Workflow;

#[derive(Workflow)]
enum Release {
    #[allow(non_camel_case_types)]
    at,
}

fn main() {}
