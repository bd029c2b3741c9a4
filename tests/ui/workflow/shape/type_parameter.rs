use step_machine::Workflow;

#[derive(Workflow)]
enum Release<T> {
    Fetch(T),
}

fn main() {}
