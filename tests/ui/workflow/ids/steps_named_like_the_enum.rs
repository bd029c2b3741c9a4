use step_machine::Workflow;

#[derive(Workflow)]
#[allow(non_camel_case_types)]
enum release {
    Fetch,
}

fn main() {}
