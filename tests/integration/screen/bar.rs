//! What is drawn on a terminal.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use step_machine::event::{Event, EventType, Level};
use step_machine::observe::ProgressBar;
use step_machine::{Observer, Workflow};

use super::assert_kept;
use super::script::{Script, rich};
use super::terminal::{Show, Terminal};
use crate::support::{Trouble, ok};

/// What is on the terminal after the events of which `wanted` is true, and all that was on it at the end.
fn film(script: &Script, mut show: Show, wanted: impl Fn(&Event) -> bool) -> String {
    let mut film = String::new();
    for event in &script.events {
        show.event(event);
        if wanted(event) {
            let (_, rows) = show.terminal.size();
            let seen = show.terminal.rows();
            assert!(seen.len() <= usize::from(rows));
            writeln!(film, "--- {} {}\n{}", event.event_type(), event.step().unwrap_or_default(), seen.join("\n"))
                .unwrap();
        }
    }
    show.close();
    let history = show.terminal.history();
    assert_eq!(history.iter().filter(|row| row.starts_with("Progress:")).count(), 0, "it is gone with the run");
    assert_eq!(show.terminal.cursor().1, 0, "no half line is left");
    writeln!(film, "--- all of it\n{}", history.join("\n")).unwrap();
    film
}

fn telling(event: &Event) -> bool {
    use EventType::{RunEnd, RunStart, Stdout, StepRetry, StepStart, StepUpdate, TaskUpdate, UndoStart};
    [RunEnd, RunStart, StepRetry, StepStart, StepUpdate, Stdout, TaskUpdate, UndoStart].contains(&event.event_type())
}

#[test]
fn a_run_fits_terminals_of_any_width() {
    for columns in [40, 80, 200] {
        let film = film(&rich(), Show::new(columns, 24, |bar| bar), telling);
        assert_kept(&format!("rich-{columns}.txt"), &film);
        let is_narrow = |row: &str| console_columns(row) <= usize::from(columns);
        assert_eq!(film.lines().find(|row| !is_narrow(row)), None);
    }
}

/// Wide characters take two columns.
fn console_columns(text: &str) -> usize {
    text.chars().map(|c| if ('\u{2e80}'..='\u{ffdc}').contains(&c) { 2 } else { 1 }).sum()
}

/// The lines of what is going on, without those that have settled.
fn live(show: &Show) -> Vec<String> {
    show.terminal.rows().split_off(show.terminal.cursor().0.into())
}

fn play(show: &mut Show, script: &mut Script) {
    script.events.drain(..).for_each(|event| show.event(&event));
}

#[test]
fn two_hundred_steps_scroll_away_above_two_live_lines() {
    let ids: Vec<String> = (1..=200).map(|n| format!("s{n}")).collect();
    let names: Vec<String> = (1..=200).map(|n| format!("ステップ {n} 🚀")).collect();
    let steps: Vec<_> = ids.iter().zip(&names).map(|(id, name)| (id.as_str(), name.as_str())).collect();
    let mut script = Script::default();
    script.start("web", &steps, &[]);
    let mut show = Show::new(80, 24, |bar| bar);
    for id in &ids {
        script.begin("web", id).fraction("web", id, 0.5);
        play(&mut show, &mut script);
        assert_eq!(live(&show).len(), 2, "the step and the whole");
        assert!(show.terminal.rows().len() <= 24);
        script.wait(10).end("web", id, "completed", 10, "");
    }
    script.over("web", "completed");
    play(&mut show, &mut script);
    let history = show.terminal.history();
    let told: Vec<&str> = history.iter().map(|row| row.split("  ステップ").next().unwrap()).collect();
    let mut expected = vec!["w: 200 steps, run web".to_owned()];
    expected.extend((1..=200).map(|n| format!("✓ {n:>3}/200")));
    expected.push("completed in 2.000 s".to_owned());
    assert_eq!(told, expected, "each once and in order");
    assert_eq!(history[7], "✓   7/200  ステップ 7 🚀      0.010 s");
}

#[test]
fn more_than_there_are_rows_for_is_counted() {
    let ids: Vec<String> = (1..=40).map(|n| format!("s{n}")).collect();
    let steps: Vec<_> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
    let mut script = Script::default();
    script.start_with("web", &steps, &[], ",parallel");
    for id in &ids {
        script.begin("web", id);
    }
    let mut show = Show::new(80, 10, |bar| bar);
    play(&mut show, &mut script);
    let rows = live(&show);
    assert_eq!(rows.len(), 9, "one row is left for what has settled: {rows:?}");
    assert_eq!(rows[7..], ["… and 33 more", "Progress: 0.0% (0/40)  ░░░░░░░░░░░░░░░░░░░░  0.0 s elapsed"]);
    for id in &ids {
        script.end("web", id, "completed", 0, "");
    }
    script.over("web", "completed");
    play(&mut show, &mut script);
    let history = show.terminal.history();
    for id in &ids {
        let number = &id[1..];
        let line = format!("✓ {number:>2}/40  {id}");
        assert_eq!(history.iter().filter(|row| row.starts_with(&format!("{line} "))).count(), 1, "{history:?}");
    }
}

#[test]
fn the_next_attempt_is_counted_down_to() {
    let mut script = Script::default();
    let retry = r#""retry":{"attempts":3,"delay_ms":1500.0,"factor":2.0,"max_delay_ms":30000.0,"jitter":false}"#;
    script.start("web", &[("a", "Ask")], &[("a", retry)]).begin("web", "a").wait(10);
    let error = r#""error":{"kind":"network","message":"refused"}"#;
    script.say("web", "step_retry", &format!(r#""step":"a","attempt":1,"delay_ms":1500.0,{error}"#));
    let mut show = Show::new(80, 24, |bar| bar);
    play(&mut show, &mut script);
    let mut seen = vec![live(&show)[0].clone()];
    for _ in 0..2 {
        show.clock.advance(Duration::from_millis(700));
        show.draw();
        seen.push(live(&show)[0].clone());
    }
    let seen: Vec<&str> = seen.iter().map(|row| row.trim_start_matches(|c: char| !c.is_ascii())).collect();
    assert_eq!(
        seen,
        [
            " 1/1  Ask      0.0 s  in 1.5 s attempt 2 of 3: refused",
            " 1/1  Ask      0.7 s  in 0.8 s attempt 2 of 3: refused",
            " 1/1  Ask      1.4 s  in 0.1 s attempt 2 of 3: refused",
        ]
    );
}

#[test]
fn nothing_is_left_behind_when_the_terminal_changes_its_size() {
    let mut script = Script::default();
    let steps: Vec<String> = (1..=12).map(|n| format!("s{n}")).collect();
    let named: Vec<_> = steps.iter().map(|id| (id.as_str(), "A step with quite a long name")).collect();
    script.start("web", &named, &[]);
    let mut show = Show::new(80, 24, |bar| bar);
    let sizes = [(80, 24), (60, 12), (30, 24), (120, 8), (40, 24), (80, 24)];
    for (id, (columns, rows)) in steps.iter().zip(sizes.iter().cycle()) {
        script.begin("web", id).message("web", id, "info", "a message that does not fit where there is little room");
        play(&mut show, &mut script);
        show.terminal.resize(*columns, *rows);
        show.draw();
        let rows = live(&show);
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert!(rows.iter().all(|row| console_columns(row) < usize::from(*columns)), "{rows:?}");
        script.wait(10).end("web", id, "completed", 10, "");
    }
    script.over("web", "completed");
    play(&mut show, &mut script);
    let history = show.terminal.history();
    let settled = history.iter().filter(|row| row.starts_with('✓')).count();
    assert_eq!(settled, 12, "{}", history.join("\n"));
    assert_eq!(history.iter().filter(|row| row.starts_with(char::is_alphabetic)).count(), 2, "{}", history.join("\n"));
}

#[test]
fn what_others_write_stays_and_does_not_mix() {
    let mut script = Script::default();
    script.start("web", &[("a", "A"), ("b", "B")], &[]).complete("web", "a", 10).begin("web", "b");
    let mut show = Show::new(60, 24, |bar| bar);
    play(&mut show, &mut script);
    show.terminal.clone().write_all("\r\u{1b}[Jfrom elsewhere\r\n".as_bytes()).unwrap();
    script.message("web", "b", "info", "on it");
    play(&mut show, &mut script);
    let rows = show.terminal.rows();
    assert_eq!(rows[1..3], ["✓ 1/2  A    0.010 s", "from elsewhere"]);
    assert_eq!((rows.len(), live(&show).len()), (5, 2), "{rows:?}");
}

#[test]
fn a_run_that_is_cancelled_or_dropped_leaves_what_settled() {
    let begun = |script: &mut Script| {
        script.start("web", &[("a", "A"), ("b", "B")], &[]).complete("web", "a", 10).begin("web", "b");
    };
    let mut script = Script::default();
    begun(&mut script);
    script.end("web", "b", "cancelled", 5, r#""reason":"dropped""#).over("web", "cancelled");
    let mut show = Show::new(60, 24, |bar| bar);
    play(&mut show, &mut script);
    let expected =
        ["w: 2 steps, run web", "✓ 1/2  A    0.010 s", "✗ 2/2  B    0.005 s  cancelled", "cancelled after 0.010 s"];
    assert_eq!(show.terminal.rows(), expected);

    let mut script = Script::default();
    begun(&mut script);
    let mut show = Show::new(60, 24, |bar| bar);
    play(&mut show, &mut script);
    assert_eq!(show.terminal.rows().len(), 4);
    show.close();
    assert_eq!(show.terminal.rows(), expected[..2]);
    assert_eq!(show.terminal.cursor(), (2, 0));
}

#[test]
fn a_summary_has_one_line_for_each_step() {
    let told =
        film(&rich(), Show::new(80, 50, |bar| bar.summary(true)), |event| event.event_type() == EventType::RunEnd);
    assert_kept("summary.txt", &told);
}

#[test]
fn a_summary_leaves_what_came_before_where_it_is_also_where_the_end_is_not_told() {
    let mut show = Show::new(80, 24, |bar| bar.summary(true).level(Level::Warning));
    let mut script = Script::default();
    script.start("web", &[("build", "Build")], &[]).begin("web", "build");
    script.message("web", "build", "warning", "one is large").wait(10);
    script.end("web", "build", "completed", 10, "").over("web", "completed");
    play(&mut show, &mut script);
    show.close();
    assert_eq!(show.terminal.history(), ["! 1/1  Build  warning: one is large"]);
}

#[test]
fn only_what_matters_stays_for_whoever_wants_no_more() {
    let mut show = Show::new(120, 24, |bar| bar.level(Level::Warning));
    let mut script = rich();
    play(&mut show, &mut script);
    show.close();
    let expected = include_str!("kept/rich-warning.txt");
    assert_eq!(show.terminal.history(), expected.lines().collect::<Vec<_>>());
}

#[test]
fn what_commands_write_can_be_left_out() {
    let mut show = Show::new(80, 24, |bar| bar.output(false));
    let mut script = rich();
    play(&mut show, &mut script);
    assert!(!show.terminal.history().iter().any(|row| row.contains("| 50 %")), "it stood beside its step only");
}

#[test]
fn there_are_colours_only_where_they_are_wanted() {
    let colors = |colors: bool| {
        let mut show = Show::new(80, 24, |bar| bar.colors(colors));
        let mut script = rich();
        play(&mut show, &mut script);
        (show.terminal.written(), show.terminal.history())
    };
    let ((plain, plain_rows), (colored, colored_rows)) = (colors(false), colors(true));
    let paints = |text: &str| {
        let codes = text.split("\u{1b}[").skip(1);
        codes.filter(|code| code.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('m')).count()
    };
    assert_eq!((paints(&plain), paints(&colored) > 50), (0, true));
    assert!(colored.contains("\u{1b}[32m✓\u{1b}[0m 1/6  Init"), "{colored}");
    assert!(colored.contains("\u{1b}[31m✗\u{1b}[0m 5/6  Start"), "{colored}");
    assert_eq!(plain_rows, colored_rows, "and nothing else differs");
}

/// Writes nothing before it is let.
struct Gate {
    open: Receiver<()>,
    terminal: Terminal,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.open.recv();
        self.terminal.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_terminal_that_stands_still_does_not_hold_the_run() {
    let terminal = Terminal::new(80, 24);
    let (let_it, open) = mpsc::channel();
    let mut bar = ProgressBar::terminal(Gate { open, terminal: terminal.clone() }, || (80, 24));
    let mut script = Script::default();
    script.start("web", &[("a", "A")], &[]).begin("web", "a");
    for n in 0..20_000 {
        script.output("web", "a", &format!("line {n}"));
    }
    script.end("web", "a", "completed", 0, "");
    // Nothing can be drawn yet, and all of it is taken.
    script.events.drain(..).for_each(|event| bar.event(&event));
    assert_eq!(terminal.written(), "");
    drop(let_it);
    script.over("web", "completed");
    script.events.drain(..).for_each(|event| bar.event(&event));
    let history = terminal.history();
    assert!(history.iter().any(|row| row.starts_with("… ") && row.ends_with(" lines are left out")), "what it costs");
    assert_eq!(history[history.len() - 3..], ["  1/1  | line 19999", "✓ 1/1  A    0.000 s", "completed in 0.000 s"]);
}

#[derive(Workflow)]
enum Deploy {
    Copy,
    Start,
}

#[test]
fn a_run_draws_itself_and_ends_clean_also_where_it_panics() {
    let terminal = Terminal::new(80, 24);
    let bar = |terminal: &Terminal| ProgressBar::terminal(terminal.clone(), || (80, 24));
    let run = Deploy::machine().id("web").observe(bar(&terminal)).begin().unwrap();
    let run = run.step(deploy::Copy, ok).unwrap();
    run.step(deploy::Start, |_| {
        // Until the thread that draws has done so.
        while !terminal.rows().iter().any(|row| row.starts_with("Progress: 50.0% (1/2)")) {
            std::thread::yield_now();
        }
        Ok::<(), Trouble>(())
    })
    .unwrap()
    .finish()
    .unwrap();
    let rows: Vec<_> = terminal.rows().iter().map(|row| row.chars().take(12).collect::<String>()).collect();
    assert_eq!(rows, ["deploy: 2 st", "✓ 1/2  Copy ", "✓ 2/2  Start", "completed in"]);

    let terminal = Terminal::new(80, 24);
    let panics = std::panic::AssertUnwindSafe(|| {
        let run = Deploy::machine().id("web").observe(bar(&terminal)).begin().unwrap();
        let _run = run.step(deploy::Copy, ok).unwrap();
        panic!("outside of a step");
    });
    std::panic::catch_unwind(panics).unwrap_err();
    let rows = terminal.rows();
    assert_eq!((rows.len(), terminal.cursor()), (3, (3, 0)), "{rows:?}");
    assert!(rows[1].starts_with("✓ 1/2  Copy") && rows[2].starts_with("cancelled after "), "{rows:?}");
}
