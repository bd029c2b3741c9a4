#![deny(warnings)]

use std::collections::BTreeMap;

use step_machine::Workflow;

mod model {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    pub(crate) struct Pair<T, const N: usize> {
        pub(crate) left: T,
        pub(crate) right: [T; 2],
    }
}

#[derive(Workflow)]
enum Release {
    #[step(output = model::Pair<u16, 3>, undo)]
    Path,
    #[step(output = BTreeMap<String, Vec<(u8, bool)>>, weight = 2)]
    Nested,
    #[step(output = (u8, char))]
    Tuple,
    #[step(output = [u8; 4])]
    Array,
    #[step(output = Box<str>)]
    Text,
    #[step(output = ())]
    Unit,
    #[step(output = serde_json::Value)]
    Json,
}
use release::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let run = Release::machine().begin()?;
    let pair = model::Pair { left: 1, right: [2, 3] };
    let (run, output) = run.step(Path, |_| Ok::<_, std::io::Error>(pair))?;
    assert_eq!(output.right, [2, 3]);
    let (run, output) = run.step(Nested, |_| Ok::<_, std::io::Error>(BTreeMap::new()))?;
    assert!(output.is_empty());
    let (run, output) = run.step(Tuple, |_| Ok::<_, std::io::Error>((1, 'a')))?;
    assert_eq!(output.1, 'a');
    let (run, output) = run.step(Array, |_| Ok::<_, std::io::Error>([1; 4]))?;
    assert_eq!(output.len(), 4);
    let (run, output) = run.step(Text, |_| Ok::<_, std::io::Error>("a".into()))?;
    assert_eq!(&*output, "a");
    let (run, ()) = run.step(Unit, |_| Ok::<_, std::io::Error>(()))?;
    let (run, output) = run.step(Json, |_| Ok::<_, std::io::Error>(serde_json::json!({ "a": 1 })))?;
    assert_eq!(output["a"], 1);
    run.finish()?;
    Ok(())
}
