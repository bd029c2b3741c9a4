enum Release {
    Fetch,
}

fn main() {
    let run = Release::machine();
    drop((run, Release::Fetch));
}
