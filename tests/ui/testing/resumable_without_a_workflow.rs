use step_machine::assert_resumable;

enum Release {
    Fetch,
}

fn main() {
    let _ = Release::Fetch;
    assert_resumable!(Release, "workflows/release.json");
}
