#![deny(warnings)]

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use step_machine::{StepError, event::Effect};

#[derive(Debug, thiserror::Error, StepError)]
enum Never {}

#[derive(Debug, thiserror::Error, StepError)]
#[error("no answer")]
struct NoAnswerError;

#[derive(Debug, thiserror::Error, StepError)]
#[error("busy for {0:?}")]
#[step_error(kind = "network", retry_after = 0)]
struct Busy(Duration);

#[derive(Debug, thiserror::Error, StepError)]
#[error(transparent)]
#[step_error(transparent)]
struct Wrapped {
    inner: Busy,
}

#[derive(Debug, thiserror::Error, StepError)]
enum Mixed {
    #[error("the disk is full")]
    #[step_error(fatal, unknown_effect)]
    DiskFull,
    #[error("wait")]
    #[step_error(retry_after = r#for)]
    Wait { r#for: Option<Duration> },
    #[error(transparent)]
    #[step_error(transparent)]
    Inner(#[from] std::io::Error),
    #[error("{0}")]
    #[step_error(transparent)]
    Boxed(Box<Wrapped>),
    #[error("{0} {1}")]
    Plain(u8, String),
}

#[derive(Debug, thiserror::Error, StepError)]
enum Generic<E: std::error::Error + 'static, const N: usize> {
    #[error(transparent)]
    #[step_error(transparent)]
    Inner(E),
    #[error("no answer after {N} attempts")]
    NoAnswer,
}

#[derive(Debug, StepError)]
#[step_error(kind = "holder")]
struct Holder<T>
where
    T: fmt::Debug,
{
    value: T,
}

impl<T: fmt::Debug> fmt::Display for Holder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "holds {:?}", self.value)
    }
}

impl<T: fmt::Debug> std::error::Error for Holder<T> {}

fn main() {
    let second = Duration::from_secs(1);
    assert_eq!(NoAnswerError.kind(), "no-answer");
    assert_eq!(Busy(second).retry_after(), Some(second));
    assert_eq!(Wrapped { inner: Busy(second) }.kind(), "network");
    assert_eq!(Mixed::DiskFull.kind(), "disk-full");
    assert!(Mixed::DiskFull.is_fatal());
    assert_eq!(Mixed::DiskFull.effect(), Effect::Unknown);
    assert_eq!(Mixed::Wait { r#for: Some(second) }.retry_after(), Some(second));
    assert_eq!(Mixed::Wait { r#for: None }.retry_after(), None);
    assert_eq!(Mixed::from(std::io::Error::from(std::io::ErrorKind::TimedOut)).kind(), "timed-out");
    assert_eq!(Mixed::Boxed(Box::new(Wrapped { inner: Busy(second) })).retry_after(), Some(second));
    assert_eq!(Mixed::Plain(1, "a".to_owned()).effect(), Effect::Known);
    assert_eq!(Generic::<_, 3>::Inner(Busy(second)).kind(), "network");
    assert_eq!(Generic::<Infallible, 3>::NoAnswer.kind(), "no-answer");
    assert_eq!(Holder { value: 7 }.kind(), "holder");
    let never: Option<Never> = None;
    assert_eq!(never.map(|never| never.kind().len()), None);
}
