use step_machine::Workflow;

#[derive(Workflow)]
union Release {
    fetch: u8,
    build: u16,
}

fn main() {}
