//! Clocks, and how times and time spans look in JSON.

use std::time::{Duration, Instant, SystemTime};

/// Where a run takes its time from.
///
/// The default is the operating system's clock. Tests hand in a [`ManualClock`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use step_machine::time::{Clock, ManualClock};
///
/// let clock = ManualClock::new();
/// let before = clock.instant();
/// clock.advance(Duration::from_secs(3));
/// assert_eq!(clock.instant() - before, Duration::from_secs(3));
/// ```
pub trait Clock: Send + Sync {
    /// The time of day; read once when a run begins or resumes.
    fn wall(&self) -> SystemTime;

    /// The monotonic time; read once at the start and once at the end of a step.
    fn instant(&self) -> Instant;

    /// Waits before a retry, on the calling thread.
    fn sleep(&self, span: Duration);
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn wall(&self) -> SystemTime {
        (**self).wall()
    }

    fn instant(&self) -> Instant {
        (**self).instant()
    }

    fn sleep(&self, span: Duration) {
        (**self).sleep(span);
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, span: Duration) {
        std::thread::sleep(span);
    }
}

/// A clock that stands still until it is told to move; a sleep moves it and returns at once.
///
/// Clones share one time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    wall: SystemTime,
    instant: Instant,
    moved: std::sync::Arc<std::sync::Mutex<Duration>>,
}

impl ManualClock {
    /// A clock that shows 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        Self::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600))
    }

    /// A clock that shows `wall`.
    pub fn starting_at(wall: SystemTime) -> Self {
        Self { wall, instant: Instant::now(), moved: std::sync::Arc::default() }
    }

    /// Moves the clock forward by `span`.
    pub fn advance(&self, span: Duration) {
        let mut moved = crate::sync::lock(&self.moved);
        // A clock at the end of time stands still.
        let later = moved.saturating_add(span);
        if self.wall.checked_add(later).is_some() && self.instant.checked_add(later).is_some() {
            *moved = later;
        }
    }

    fn moved(&self) -> Duration {
        *crate::sync::lock(&self.moved)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> SystemTime {
        self.wall + self.moved()
    }

    fn instant(&self) -> Instant {
        self.instant + self.moved()
    }

    fn sleep(&self, span: Duration) {
        self.advance(span);
    }
}

/// The longest time span that an event can carry: some 570 years.
pub(crate) const LONGEST_SPAN: Duration = Duration::from_secs(18_000_000_000);

/// Nanoseconds since a run's start: what the fold counts in, at half the size and cost of a [`Duration`].
#[inline]
pub(crate) fn nanos(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(span.subsec_nanos()))
}

/// The last second that a run may begin in: 584 years later its latest event is still before the year 10000.
const LAST_TIME: Duration = Duration::from_secs(234_000_000_000);

/// Cuts a time to whole microseconds, the precision of an event, and to the range that RFC 3339 text can carry.
pub(crate) fn timestamp(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).min(LAST_TIME);
    SystemTime::UNIX_EPOCH + Duration::new(since.as_secs(), since.subsec_micros() * 1_000)
}

/// RFC 3339 text with microseconds.
pub(crate) mod rfc3339 {
    use super::SystemTime;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_micros(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text)
            .map_err(|error| D::Error::custom(format!("`{text}` is not an RFC 3339 time in UTC: {error}")))
    }
}

/// A time span as milliseconds with a fraction.
pub(crate) mod millis {
    use super::Duration;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::cast_precision_loss, reason = "exact to the nanosecond below 104 days")]
    pub(crate) fn to_f64(span: Duration) -> f64 {
        span.as_nanos() as f64 / 1e6
    }

    pub(crate) fn from_f64(millis: f64) -> Option<Duration> {
        // Whole nanoseconds first: going through seconds would lose the last digits.
        let nanos = (millis * 1e6).round();
        if !(0.0..=1.8e19).contains(&nanos) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked above")]
        Some(Duration::from_nanos(nanos as u64))
    }

    pub(crate) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(to_f64(*span))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let millis = f64::deserialize(deserializer)?;
        from_f64(millis).ok_or_else(|| D::Error::custom(format!("{millis:?} is not a time span in milliseconds")))
    }
}

/// [`millis`], where there may be none.
pub(crate) mod millis_option {
    use super::{Duration, millis};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "the shape serde asks for")]
    pub(crate) fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        span.map(millis::to_f64).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let Some(span) = Option::<f64>::deserialize(deserializer)? else {
            return Ok(None);
        };
        millis::from_f64(span)
            .map(Some)
            .ok_or_else(|| D::Error::custom(format!("{span:?} is not a time span in milliseconds")))
    }
}
