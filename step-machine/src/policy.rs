//! The rules that a step or a workflow declares: retry, and what a failure leads to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{LONGEST_SPAN, millis, millis_option};

/// How often a failed step is tried again, and how long to wait in between.
///
/// The wait before attempt *n* + 1 is bounded by `delay` × `factor`ⁿ⁻¹, never above `max_delay`. With jitter the wait
/// is drawn uniformly from zero to that bound ("full jitter" in the [AWS Architecture Blog][aws]); without, it is the
/// bound.
///
/// [aws]: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use step_machine::Retry;
///
/// let retry = Retry::new(4)
///     .delay(Duration::from_secs(2))
///     .max_delay(Duration::from_secs(5));
/// let bounds: Vec<_> = (1..=4).map(|failed| retry.backoff(failed)).collect();
/// assert_eq!(
///     bounds,
///     [
///         Some(Duration::from_secs(2)),
///         Some(Duration::from_secs(4)),
///         Some(Duration::from_secs(5)),
///         None, // the fourth attempt was the last
///     ]
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Retry {
    /// How many attempts there may be, the first one included.
    pub attempts: u32,
    /// The bound of the first wait.
    #[serde(rename = "delay_ms", with = "millis")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub delay: Duration,
    /// What the bound is multiplied by after each wait.
    pub factor: f64,
    /// The bound is never longer than this.
    #[serde(rename = "max_delay_ms", default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub max_delay: Option<Duration>,
    /// Whether the wait is drawn at random below the bound.
    pub jitter: bool,
}

impl Retry {
    /// At most `attempts` attempts with waits of 1 s, 2 s, 4 s and so on, with full jitter and no upper bound.
    pub fn new(attempts: u32) -> Self {
        Self { attempts, delay: Duration::from_secs(1), factor: 2.0, max_delay: None, jitter: true }
    }

    /// Sets the bound of the first wait.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Sets what the bound is multiplied by after each wait.
    #[must_use]
    pub fn factor(self, factor: f64) -> Self {
        Self { factor, ..self }
    }

    /// Sets the longest bound.
    #[must_use]
    pub fn max_delay(self, max_delay: Duration) -> Self {
        Self { max_delay: Some(max_delay), ..self }
    }

    /// Turns jitter on or off.
    #[must_use]
    pub fn jitter(self, jitter: bool) -> Self {
        Self { jitter, ..self }
    }

    /// The longest wait after `failed` failed attempts, or `None` when no attempt is left.
    pub fn backoff(&self, failed: u32) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        if self.delay.is_zero() {
            return Some(Duration::ZERO);
        }
        let exponent = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.delay.as_secs_f64() * self.factor.powi(exponent);
        // No bound that a Duration cannot hold: a wait of centuries is as good as any longer one.
        let bound = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        Some(self.max_delay.map_or(bound, |max| bound.min(max)))
    }

    /// The wait after `failed` failed attempts: [`backoff`](Self::backoff) with jitter applied.
    ///
    /// `random` is a number in 0.0..1.0; the choice is the caller's, so that this stays a pure function.
    pub fn wait(&self, failed: u32, random: f64) -> Option<Duration> {
        let bound = self.backoff(failed)?;
        Some(if self.jitter {
            Duration::try_from_secs_f64(bound.as_secs_f64() * random).unwrap_or(bound)
        } else {
            bound
        })
    }
}

/// What an error says about trying again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Advice {
    /// Trying again is pointless.
    pub(crate) fatal: bool,
    /// How long to wait, where the error knows it better than the rule.
    pub(crate) retry_after: Option<Duration>,
}

/// How long the next attempt is waited for after `failed` attempts failed; `None` where none is due.
///
/// `random` is a number in 0.0..1.0, and `left` the time that all attempts together have left.
pub(crate) fn next_attempt(
    retry: Option<Retry>,
    failed: u32,
    advice: Advice,
    random: f64,
    left: Option<Duration>,
) -> Option<Duration> {
    if advice.fatal {
        return None;
    }
    let wait = retry?.wait(failed, random)?;
    // No longer than what an event can carry.
    let wait = advice.retry_after.unwrap_or(wait).min(LONGEST_SPAN);
    // An attempt that the deadline would cut off at its start is not waited for.
    left.is_none_or(|left| wait < left).then_some(wait)
}

/// What happens after a critical step failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnFailure {
    /// The run ends as failed; what was done stays.
    #[default]
    Stop,
    /// The steps that began are undone, newest first.
    Rollback,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_jitter_draws_below_the_bound() {
        let retry = Retry::new(3).delay(Duration::from_secs(10));
        assert_eq!(retry.wait(1, 0.0), Some(Duration::ZERO));
        assert_eq!(retry.wait(1, 0.25), Some(Duration::from_millis(2_500)));
        assert_eq!(retry.wait(2, 0.5), Some(Duration::from_secs(10)));
        assert_eq!(retry.wait(3, 0.5), None);
    }

    #[test]
    fn without_jitter_the_wait_is_the_bound() {
        let retry = Retry::new(3).jitter(false);
        assert_eq!(retry.wait(2, 0.1), Some(Duration::from_secs(2)));
    }

    #[test]
    fn no_delay_stays_none_however_often() {
        assert_eq!(Retry::new(u32::MAX).delay(Duration::ZERO).backoff(100_000), Some(Duration::ZERO));
    }

    #[test]
    fn a_bound_that_overflows_is_the_longest_duration() {
        let retry = Retry::new(u32::MAX).factor(1e9);
        assert_eq!(retry.backoff(1_000), Some(Duration::MAX));
    }
}
