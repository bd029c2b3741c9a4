//! Events as lines of text.

use std::time::Duration;

use step_machine::event::{Event, Level};
use step_machine::observe::{PlainText, TextLine};

use super::assert_kept;
use super::script::{Script, rich};

fn written(mut text: PlainText, script: &Script) -> String {
    let lines = script.events.iter().flat_map(|event| text.lines(event));
    lines.flat_map(|line| [line.to_string(), "\n".to_owned()]).collect()
}

#[test]
fn a_run_is_told_in_a_line_for_each_step() {
    assert_kept("rich.txt", &written(PlainText::new(), &rich()));
}

#[test]
fn whoever_looks_for_a_fault_is_told_everything_as_it_comes() {
    assert_kept("rich-debug.txt", &written(PlainText::new().level(Level::Debug).at_once(), &rich()));
}

#[test]
fn only_what_matters_is_told_to_whoever_wants_no_more() {
    assert_kept("rich-warning.txt", &written(PlainText::new().level(Level::Warning), &rich()));
}

#[test]
fn nothing_that_comes_from_outside_steers_a_terminal() {
    let told = written(PlainText::new().level(Level::Debug).at_once(), &rich());
    assert!(told.contains("creating one  instance") && told.contains("(network)"), "{told}");
    assert_eq!(told.chars().find(|c| c.is_control() && *c != '\n'), None);
}

#[test]
fn every_line_has_its_level_and_depth() {
    let mut text = PlainText::new();
    let lines: Vec<TextLine> = rich().events.iter().flat_map(|event| text.lines(event)).collect();
    let of = |part: &str| {
        let line = lines.iter().find(|line| line.text().contains(part)).unwrap_or_else(|| panic!("no line has {part}"));
        (line.level(), line.depth())
    };
    assert_eq!(of("w: 6 steps"), (Level::Info, 0));
    assert_eq!(of("! 1/6  Init  warning: the disk"), (Level::Warning, 0));
    assert_eq!(of("✓ 1/6"), (Level::Success, 0));
    assert_eq!(of("✓ 1/2  Find"), (Level::Success, 1));
    assert_eq!(of("✗ 2/2  Fetch: Layer 2"), (Level::Warning, 2));
    assert_eq!(of("↻ 5/6"), (Level::Warning, 0));
    assert_eq!(of("✗ 5/6"), (Level::Error, 0));
    assert_eq!(of("↶ 5/6"), (Level::Info, 0));
    let success = lines.iter().find(|line| line.level() == Level::Success).unwrap();
    assert!(success.is_at_least(Level::Info) && !success.is_at_least(Level::Warning));
}

#[test]
fn a_run_that_goes_on_says_what_was_done_before() {
    let mut script = Script::default();
    script.start("web", &[("a", "A"), ("b", "B"), ("c", "C")], &[("b", r#""skippable":true"#)]);
    script.complete("web", "a", 250);
    script.end("web", "b", "skipped", 0, r#""attempt":0,"reason":"requested","message":"no need""#).begin("web", "c");
    let before = script.state("web");
    script.events.clear();
    script.wait(5000).say("web", "run_resume", r#""plan":null"#);
    script.say("web", "step_start", r#""step":"c","attempt":2,"interrupted":true"#);
    script.wait(10).end("web", "c", "completed", 5010, r#""attempt":2"#).over("web", "completed");
    let told = written(PlainText::new().level(Level::Debug).after([before]), &script);
    let expected = "w: run web goes on, 2 of 3 steps are completed\n\
        ✓ 1/3  A    0.250 s  done before\n\
        - 2/3  B    0.000 s  skipped before: no need\n\
        > 3/3  C  attempt 2, an earlier one was interrupted\n\
        ✓ 3/3  C    5.010 s  2 attempts\n\
        completed in 5.260 s\n";
    assert_eq!(told, expected);
}

#[test]
fn a_run_that_goes_on_has_the_attempts_of_its_rule_beside_those_before() {
    let mut script = Script::default();
    let rule = r#""retry":{"attempts":3,"delay_ms":1500.0,"factor":2.0,"max_delay_ms":30000.0,"jitter":false}"#;
    let retry = |attempt: u32| {
        let error = r#""error":{"kind":"network","message":"refused"}"#;
        format!(r#""step":"a","attempt":{attempt},"delay_ms":1500.0,{error}"#)
    };
    script.start("web", &[("a", "Ask")], &[("a", rule)]).begin("web", "a");
    script.say("web", "step_retry", &retry(1)).wait(1500).say("web", "step_start", r#""step":"a","attempt":2"#);
    script.say("web", "step_retry", &retry(2)).wait(1500).say("web", "step_start", r#""step":"a","attempt":3"#);
    // It died there, and is resumed.
    script.say("web", "run_resume", r#""plan":null"#);
    script.say("web", "step_start", r#""step":"a","attempt":4,"interrupted":true"#);
    script.say("web", "step_retry", &retry(4)).wait(1500).say("web", "step_start", r#""step":"a","attempt":5"#);
    script.say("web", "step_retry", &retry(5));
    let told = |events: &[Event]| -> Vec<String> {
        let mut text = PlainText::new().level(Level::Warning);
        let lines: Vec<_> = events.iter().flat_map(|event| text.lines(event)).collect();
        let of_attempts = |line: &TextLine| {
            let line = line.to_string();
            line[line.find("attempt").unwrap()..].replace(" in 1.5 s: refused", "")
        };
        lines.iter().map(of_attempts).collect()
    };
    assert_eq!(told(&script.events), ["attempt 2 of 3", "attempt 3 of 3", "attempt 5 of 6", "attempt 6 of 6"]);
    // Who has seen none of it but the last knows not of how many.
    assert_eq!(told(&script.events[script.events.len() - 1..]), ["attempt 6"]);
}

#[test]
fn what_is_still_running_is_told_by_the_innermost_steps() {
    let mut script = Script::default();
    script.start_with("web", &[("a", "Alpha"), ("b", "B")], &[], ",parallel").begin("web", "a").begin("web", "b");
    script.start_in("web/b/w", "web", "b", &[("x", "X")]).wait(1000).begin("web/b/w", "x");
    script.output("web/b/w", "x", "pulling\u{1b}[1m").wait(500).message("web", "a", "info", "waiting");
    let mut text = PlainText::new();
    script.events.iter().for_each(|event| drop(text.lines(event)));
    let still: Vec<_> = text.still_running(Duration::from_secs(30)).iter().map(ToString::to_string).collect();
    assert_eq!(
        still,
        ["… 1/2  Alpha   31.500 s  still running: waiting", "    … 1/1  X   30.500 s  still running: pulling"]
    );
}
