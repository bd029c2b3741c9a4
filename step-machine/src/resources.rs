//! What each step of a run took of processor and memory.

use std::time::Duration;

use serde_json::{Map, Value};

/// The key that a step's metadata has it under.
pub(crate) const KEY: &str = "resources";

/// What the steps of a run began with.
#[derive(Default)]
pub(crate) struct Meter {
    begun: Vec<(usize, Usage)>,
}

impl Meter {
    /// A step begins, or is tried again.
    pub(crate) fn begin(&mut self, step: usize) {
        if self.begun.iter().all(|(begun, _)| *begun != step)
            && let Some(usage) = Usage::now()
        {
            self.begun.push((step, usage));
        }
    }

    /// What a step took that ends, as metadata; `None` where it did not begin here, or nothing can be asked.
    pub(crate) fn end(&mut self, step: usize) -> Option<Map<String, Value>> {
        let at = self.begun.iter().position(|(begun, _)| *begun == step)?;
        let (_, before) = self.begun.swap_remove(at);
        let mut metadata = Map::new();
        metadata.insert(KEY.to_owned(), Usage::now()?.since(&before));
        Some(metadata)
    }
}

/// What the process took up to a moment.
struct Usage {
    own: Share,
    children: Share,
}

/// Times in microseconds, memory in bytes.
struct Share {
    user: i64,
    system: i64,
    peak: i64,
}

impl Usage {
    #[cfg(unix)]
    fn now() -> Option<Self> {
        use nix::sys::resource::{UsageWho, getrusage};

        let own = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let children = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
        Some(Self { own: Share::of(&own), children: Share::of(&children) })
    }

    #[cfg(not(unix))]
    fn now() -> Option<Self> {
        None
    }

    fn since(&self, before: &Self) -> Value {
        let millis = |now: i64, before: i64| {
            let micros = u64::try_from(now.saturating_sub(before)).unwrap_or(0);
            Value::from(Duration::from_micros(micros).as_secs_f64() * 1000.0)
        };
        let mut taken = Map::new();
        let mut note = |key: &str, value| taken.insert(key.to_owned(), value);
        note("cpu_user_ms", millis(self.own.user, before.own.user));
        note("cpu_system_ms", millis(self.own.system, before.own.system));
        note("children_cpu_user_ms", millis(self.children.user, before.children.user));
        note("children_cpu_system_ms", millis(self.children.system, before.children.system));
        note("peak_memory_bytes", Value::from(self.own.peak));
        note("children_peak_memory_bytes", Value::from(self.children.peak));
        Value::Object(taken)
    }
}

#[cfg(unix)]
impl Share {
    fn of(usage: &nix::sys::resource::Usage) -> Self {
        use nix::sys::time::TimeValLike;

        // Apple's systems tell bytes, all others units of 1024.
        let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
        #[allow(clippy::useless_conversion, reason = "it is as wide as the system's words")]
        let peak = i64::from(usage.max_rss()).saturating_mul(unit);
        Self { user: usage.user_time().num_microseconds(), system: usage.system_time().num_microseconds(), peak }
    }
}
