//! As much of JSON Schema as the schema of events uses.
//!
//! A full validator is a tree of dependencies many times the size of the library's own. A keyword that is not known
//! here is a failure, so that none is passed over.

use serde_json::{Map, Value};

/// Why `value` is not valid by `schema`; `Ok` where it is.
pub(crate) fn validate(schema: &Value, value: &Value) -> Result<(), String> {
    Validator { root: schema }.check(schema, value, "")
}

struct Validator<'a> {
    root: &'a Value,
}

impl Validator<'_> {
    fn check(&self, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
        match schema {
            Value::Bool(true) => Ok(()),
            Value::Object(keywords) => {
                keywords.iter().try_for_each(|(keyword, rule)| self.keyword(keyword, rule, keywords, value, path))
            }
            other => panic!("{other} is no schema"),
        }
    }

    fn keyword(
        &self,
        keyword: &str,
        rule: &Value,
        schema: &Map<String, Value>,
        value: &Value,
        path: &str,
    ) -> Result<(), String> {
        let fault = |text: String| Err(format!("{path}: {text}"));
        match keyword {
            "$ref" => self.check(self.definition(rule), value, path),
            "type" if !is_of(rule, value) => fault(format!("{value} is not of type {rule}")),
            "const" if rule != value => fault(format!("{value} is not {rule}")),
            "format" if rule == "date-time" && !is_time(value) => fault(format!("{value} is no time")),
            "minimum" if value.as_f64() < rule.as_f64() => fault(format!("{value} is under {rule}")),
            "maximum" if value.is_number() && value.as_f64() > rule.as_f64() => {
                fault(format!("{value} is over {rule}"))
            }
            "type" | "const" | "format" | "minimum" | "maximum" | "$schema" | "$defs" | "title" | "description"
            | "default" => Ok(()),
            "required" => match items(rule).iter().find(|name| value.get(name.as_str().unwrap()).is_none()) {
                Some(missing) => fault(format!("{missing} is missing")),
                None => Ok(()),
            },
            "properties" => fields(rule).iter().try_for_each(|(name, schema)| match value.get(name) {
                Some(field) => self.check(schema, field, &format!("{path}/{name}")),
                None => Ok(()),
            }),
            "additionalProperties" => fields(value)
                .iter()
                .filter(|(name, _)| schema.get("properties").is_none_or(|known| known.get(name).is_none()))
                .try_for_each(|(name, field)| self.check(rule, field, &format!("{path}/{name}"))),
            "items" => {
                let mut items = value.as_array().into_iter().flatten().enumerate();
                items.try_for_each(|(index, item)| self.check(rule, item, &format!("{path}/{index}")))
            }
            "anyOf" | "oneOf" => {
                let results: Vec<_> = items(rule).iter().map(|schema| self.check(schema, value, path)).collect();
                match (results.iter().filter(|result| result.is_ok()).count(), keyword) {
                    (1, _) | (2.., "anyOf") => Ok(()),
                    (count, _) => fault(format!("{count} of {keyword} fit: {results:?}")),
                }
            }
            unknown => panic!("the validator of these tests does not know the keyword `{unknown}`: teach it"),
        }
    }

    fn definition(&self, reference: &Value) -> &Value {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        self.root.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn fields(value: &Value) -> &Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    value.as_object().unwrap_or(&NONE)
}

fn is_of(types: &Value, value: &Value) -> bool {
    match types {
        Value::Array(types) => types.iter().any(|one| is_of(one, value)),
        one => match one.as_str().unwrap() {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.is_i64() || value.is_u64(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            unknown => panic!("`{unknown}` is no type"),
        },
    }
}

/// `2026-01-01T00:00:01.500000Z`, as events write it.
fn is_time(value: &Value) -> bool {
    let pattern = b"0000-00-00T00:00:00.000000Z";
    value.as_str().is_some_and(|text| {
        text.len() == pattern.len()
            && text.bytes().zip(pattern).all(|(c, p)| if *p == b'0' { c.is_ascii_digit() } else { c == *p })
    })
}
