//! The JSON Schema of events, generated from their types.

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
    let schema = schemars::schema_for!(Event);
    format!("{:#}\n", schema.as_value())
}
