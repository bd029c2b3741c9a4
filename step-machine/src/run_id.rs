//! The identity of a run.

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The identity of a run: a name that the user gave, or a generated UUID of version 7 (ordered by time, RFC 9562).
///
/// # Examples
///
/// ```
/// use step_machine::RunId;
///
/// let named = RunId::from("web-42");
/// assert_eq!(named.to_string(), "web-42");
/// assert_eq!(named, RunId::from(String::from("web-42")));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(Repr);

// A generated id is formatted only when somebody asks for it: a run that nobody watches never does.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Generated(Uuid),
    Named(Arc<str>),
}

impl RunId {
    /// A new id for a run that starts at `now`.
    pub(crate) fn generate(now: SystemTime) -> Self {
        thread_local! {
            // Seeded from the operating system's randomness, by way of the one source the standard library has.
            static RANDOM: RefCell<fastrand::Rng> =
                RefCell::new(fastrand::Rng::with_seed(RandomState::new().hash_one(0)));
        }
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let millis = since.as_secs().saturating_mul(1_000).saturating_add(u64::from(since.subsec_millis()));
        let (eight, two) = RANDOM.with_borrow_mut(|random| (random.u64(..), random.u16(..)));
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&eight.to_le_bytes());
        bytes[8..].copy_from_slice(&two.to_le_bytes());
        Self(Repr::Generated(uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()))
    }
}

impl From<&str> for RunId {
    fn from(id: &str) -> Self {
        // The same text is the same id, whether it was generated here or read somewhere.
        match Uuid::try_parse(id) {
            Ok(uuid) if uuid.hyphenated().to_string() == id => Self(Repr::Generated(uuid)),
            _ => Self(Repr::Named(id.into())),
        }
    }
}

impl From<String> for RunId {
    fn from(id: String) -> Self {
        id.as_str().into()
    }
}

impl From<&RunId> for RunId {
    fn from(id: &RunId) -> Self {
        id.clone()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Generated(uuid) => uuid.hyphenated().fmt(f),
            Repr::Named(name) => f.pad(name),
        }
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(std::borrow::Cow::<'de, str>::deserialize(deserializer)?.as_ref().into())
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for RunId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RunId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_differ_and_sort_by_time() {
        let early = RunId::generate(SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        let late = RunId::generate(SystemTime::UNIX_EPOCH + Duration::from_secs(2));
        assert_ne!(early, RunId::generate(SystemTime::UNIX_EPOCH + Duration::from_secs(1)));
        assert!(early < late);
    }

    #[test]
    fn a_generated_id_survives_its_text() {
        let id = RunId::generate(SystemTime::now());
        assert_eq!(RunId::from(id.to_string()), id);
    }

    #[test]
    fn a_name_that_only_looks_like_a_uuid_keeps_its_spelling() {
        let id = "0190A3F0-0000-7000-8000-000000000000";
        assert_eq!(RunId::from(id).to_string(), id);
    }
}
