use step_machine::Workflow;

#[derive(Workflow)]
enum Release<'a> {
    Fetch(&'a str),
}

fn main() {}
