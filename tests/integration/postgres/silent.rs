//! A server that takes connections and says nothing, or says it slowly.

use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::thread::spawn;
use std::time::{Duration, Instant};

use step_machine::journal::{Append, Reply};
use step_machine::{Journal, JournalError, PostgresJournal};

use super::proxy::Proxy;
use super::{Place, append, claim};
use crate::sqlite::{event, events};

/// Through a proxy, and with little patience.
fn open(place: &Place, proxy: &Proxy) -> PostgresJournal {
    let options = PostgresJournal::options().schema(&place.schema).patience(Duration::from_secs(1));
    options.open(proxy.url()).wait().unwrap()
}

/// What is answered, which has to come within a minute.
fn soon<T: Send + 'static>(wait: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, answer) = channel();
    spawn(move || sender.send(wait()));
    answer.recv_timeout(Duration::from_secs(60)).expect("there is no answer")
}

fn soon_refused<T: Send + std::fmt::Debug + 'static>(reply: Reply<T>) -> JournalError {
    soon(|| reply.wait()).unwrap_err()
}

fn why(error: &JournalError) -> String {
    std::error::Error::source(error).unwrap().to_string()
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_when_the_journal_is_opened() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = soon_refused(PostgresJournal::open(&format!("postgres://step@127.0.0.1:{port}/postgres")));
    let JournalError::Store { advice, .. } = &error else { panic!("{error:?}") };
    assert_eq!(advice, "the server does not answer; see whether it and the network to it are well");
    assert!(why(&error).starts_with("the server said nothing for 10s"), "{error:?}");
}

#[test]
fn a_server_that_says_nothing_is_waited_for_as_long_as_the_patience_and_a_moment() {
    let place = Place::new();
    let proxy = Proxy::to(&place.url);
    let journal = open(&place, &proxy);
    let lease = claim(&journal, "r");
    append(&journal, &lease, &events("r", 2));
    proxy.be_silent();
    let (written, read) = (journal.append(Append::new(&lease, &events("r", 3)[2..])), journal.load(&"r".into()));
    let errors = [soon_refused(written), soon_refused(read)];
    assert!(matches!(errors, [JournalError::Write { .. }, JournalError::Read { .. }]), "{errors:?}");
    for error in errors {
        assert!(why(&error).starts_with("the server said nothing for 10s"), "{error:?}");
    }
    // Whatever else it was asked for.
    soon(move || drop(journal));
}

#[test]
fn a_run_that_comes_slowly_is_waited_for_as_long_as_it_comes() {
    let place = Place::new();
    let writes = place.open();
    let lease = claim(&writes, "r");
    let message = "x".repeat(30_000);
    let news = |seq| event("r", seq, &format!(r#""type":"step_update","step":"apply","message":"{message}""#));
    let mut all = events("r", 2);
    all.extend((3..=200).map(news));
    for event in all.chunks(1) {
        append(&writes, &lease, event);
    }
    writes.release(&lease).wait().unwrap();

    let proxy = Proxy::to(&place.url);
    let journal = open(&place, &proxy);
    // 6 MB, in more than the 10 s that one answer may take.
    proxy.slow_down(500_000);
    let since = Instant::now();
    assert!(journal.load(&"r".into()).wait().unwrap() == all);
    assert!(since.elapsed() > Duration::from_secs(10), "it came too soon to show anything");
}
