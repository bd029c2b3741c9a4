//! The JSON Schema of events, generated from their types.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::Value;

use crate::event::Event;

/// The JSON Schema (2020-12) of one event, as text that ends with a line feed.
///
/// # Examples
///
/// ```
/// let schema = step_machine::schema::event_schema();
/// assert!(schema.contains("\"run_start\""));
/// ```
pub fn event_schema() -> String {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(plain_description));
    let schema = settings.into_generator().into_root_schema_for::<Event>();
    format!("{:#}\n", schema.as_value())
}

/// The descriptions are the types' documentation, whose links lead nowhere outside of it.
fn plain_description(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = without_links(text);
    }
}

/// ``[`Kind`](super::Kind)`` and ``[`Kind`]`` become `` `Kind` ``.
fn without_links(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((name, after)) = link.split_once("`]") else { break };
        plain.extend([before, "`", name, "`"]);
        let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
        rest = target.map_or(after, |(_, after)| after);
    }
    plain + rest
}
