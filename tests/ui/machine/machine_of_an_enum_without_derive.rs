use step_machine::Machine;

enum Release {
    Fetch,
}

fn id<At>(run: &Machine<Release, At>) -> String {
    run.run().to_string()
}

fn main() {}
