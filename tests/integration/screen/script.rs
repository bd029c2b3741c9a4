//! Runs that are made up event by event, at times that the test says.

use std::collections::BTreeMap;
use std::time::Duration;

use step_machine::RunState;
use step_machine::event::Event;

/// Where the runs of a test are.
#[derive(Default)]
pub(super) struct Script {
    runs: BTreeMap<String, RunState>,
    /// How many events a run has, and when it began.
    seen: BTreeMap<String, (u64, Duration)>,
    now: Duration,
    pub(super) events: Vec<Event>,
}

impl Script {
    /// Lets milliseconds pass.
    pub(super) fn wait(&mut self, ms: u64) -> &mut Self {
        self.now += Duration::from_millis(ms);
        self
    }

    /// Something happens in `run`: the type of the event, and its other fields as JSON.
    pub(super) fn say(&mut self, run: &str, name: &str, fields: &str) -> &mut Self {
        let (seen, began) = self.seen.entry(run.to_owned()).or_insert((0, self.now));
        *seen += 1;
        let at =
            humantime::format_rfc3339_micros(std::time::UNIX_EPOCH + Duration::from_secs(1_767_225_600) + self.now);
        let elapsed = self.now.saturating_sub(*began).as_secs_f64() * 1000.0;
        let comma = if fields.is_empty() { "" } else { "," };
        let text = format!(
            r#"{{"v":1,"run":"{run}","workflow":"w","seq":{seen},"at":"{at}","elapsed_ms":{elapsed:?},"type":"{name}"{comma}{fields}}}"#
        );
        let mut event = Event::from_json(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let state = match self.runs.remove(run) {
            None => RunState::start(&event).unwrap(),
            Some(state) => state.apply(&event).unwrap_or_else(|error| panic!("{error}: {text}")),
        };
        let is_output = matches!(name, "stdout" | "stderr");
        event.progress = (!is_output).then(|| state.progress());
        self.runs.insert(run.to_owned(), state);
        self.events.push(event);
        self
    }

    /// A run begins whose steps have these ids and names; `more` are further fields of a step by its id.
    pub(super) fn start(&mut self, run: &str, steps: &[(&str, &str)], more: &[(&str, &str)]) -> &mut Self {
        self.start_with(run, steps, more, "")
    }

    /// A run begins in a step of another one.
    pub(super) fn start_in(&mut self, run: &str, outer: &str, step: &str, steps: &[(&str, &str)]) -> &mut Self {
        self.start_with(run, steps, &[], &format!(r#","parent":{{"run":"{outer}","step":"{step}"}}"#))
    }

    pub(super) fn start_with(
        &mut self,
        run: &str,
        steps: &[(&str, &str)],
        more: &[(&str, &str)],
        rest: &str,
    ) -> &mut Self {
        let more = |id: &str| -> String {
            let more = more.iter().filter(|(of, _)| *of == id).flat_map(|(_, more)| [",", *more]);
            more.collect()
        };
        let steps = steps.iter().map(|(id, name)| {
            let name = serde_json::Value::from(*name);
            format!(r#"{{"id":"{id}","name":{name}{}}}"#, more(id))
        });
        let steps: Vec<_> = steps.collect();
        let parallel = rest.contains("parallel");
        let rest = rest.replace(",parallel", "");
        let plan = format!(r#""plan":{{"workflow":"w","parallel":{parallel},"steps":[{}]}}{rest}"#, steps.join(","));
        self.say(run, "run_start", &plan)
    }

    pub(super) fn begin(&mut self, run: &str, step: &str) -> &mut Self {
        self.attempt(run, step, 1)
    }

    pub(super) fn attempt(&mut self, run: &str, step: &str, attempt: u32) -> &mut Self {
        self.say(run, "step_start", &format!(r#""step":"{step}","attempt":{attempt}"#))
    }

    pub(super) fn message(&mut self, run: &str, step: &str, level: &str, message: &str) -> &mut Self {
        let message = serde_json::Value::from(message);
        self.say(run, "step_update", &format!(r#""step":"{step}","level":"{level}","message":{message}"#))
    }

    pub(super) fn fraction(&mut self, run: &str, step: &str, fraction: f64) -> &mut Self {
        self.say(run, "step_update", &format!(r#""step":"{step}","fraction":{fraction:?}"#))
    }

    pub(super) fn output(&mut self, run: &str, step: &str, line: &str) -> &mut Self {
        let line = serde_json::Value::from(line);
        self.say(run, "stdout", &format!(r#""step":"{step}","line":{line}"#))
    }

    /// A step ends after `ms`; `more` are further fields.
    pub(super) fn end(&mut self, run: &str, step: &str, status: &str, ms: u64, more: &str) -> &mut Self {
        let comma = if more.is_empty() { "" } else { "," };
        let attempt = if more.contains("\"attempt\"") { "" } else { r#""attempt":1,"# };
        let fields = format!(
            r#""step":"{step}","status":"{status}",{attempt}"duration_ms":{ms}.0,"attempt_ms":{ms}.0{comma}{more}"#
        );
        self.say(run, "step_end", &fields)
    }

    /// A step runs for `ms` and completes.
    pub(super) fn complete(&mut self, run: &str, step: &str, ms: u64) -> &mut Self {
        self.begin(run, step).wait(ms).end(run, step, "completed", ms, "")
    }

    pub(super) fn over(&mut self, run: &str, status: &str) -> &mut Self {
        self.say(run, "run_end", &format!(r#""status":"{status}""#))
    }

    /// The state of a run.
    pub(super) fn state(&self, run: &str) -> RunState {
        self.runs[run].clone()
    }
}

/// Nearly all that can happen in a run, and in one inside of it.
pub(super) fn rich() -> Script {
    let mut script = Script::default();
    let steps = [
        ("init", "Init"),
        ("check", "Check the 環境"),
        ("scan", "Scan"),
        ("pull", "Pull the image"),
        ("start", "Start"),
        ("open", "Open"),
    ];
    let rules = [
        ("init", r#""undo":true"#),
        ("check", r#""skippable":true"#),
        ("scan", r#""critical":false"#),
        (
            "start",
            r#""retry":{"attempts":3,"delay_ms":1500.0,"factor":2.0,"max_delay_ms":30000.0,"jitter":false},"undo":true"#,
        ),
    ];
    let refused = r#"{"kind":"net\u001b[2Jwork","message":"no answer:","chain":["connection\nrefused"]}"#;
    let s = script.start("web", &steps, &rules).begin("web", "init");
    s.wait(20)
        .message("web", "init", "info", "creating\u{1b}[31m one\u{7} instance")
        .message("web", "init", "debug", "quiet");
    s.output("web", "init", "50 %\r100 %\u{1b}]0;title\u{7}");
    s.message("web", "init", "warning", "the disk is nearly full");
    s.wait(30_000).say("web", "stalled", r#""step":"init","silent_ms":30000.0"#);
    s.end("web", "init", "completed", 30_020, "");
    s.end("web", "check", "skipped", 0, r#""attempt":0,"reason":"requested","message":"not today""#);
    s.begin("web", "scan").wait(7);
    s.end("web", "scan", "skipped", 7, &format!(r#""reason":"failed","error":{refused}"#));
    s.begin("web", "pull");
    s.start_in("web/pull/w", "web", "pull", &[("find", "Find"), ("fetch", "Fetch")]);
    s.complete("web/pull/w", "find", 250).begin("web/pull/w", "fetch");
    s.say("web/pull/w", "task_start", r#""step":"fetch","task":"l1","name":"Layer 1""#);
    s.say("web/pull/w", "task_update", r#""step":"fetch","task":"l1","fraction":0.5,"message":"half""#);
    s.say("web/pull/w", "task_end", r#""step":"fetch","task":"l1","status":"completed""#);
    s.say("web/pull/w", "task_start", r#""step":"fetch","task":"l2","name":"Layer 2""#);
    s.say("web/pull/w", "task_end", r#""step":"fetch","task":"l2","status":"failed","message":"gone""#);
    s.wait(1000).end("web/pull/w", "fetch", "completed", 1000, "").over("web/pull/w", "completed");
    s.end("web", "pull", "completed", 1250, "").begin("web", "start").wait(10);
    s.say("web", "step_retry", &format!(r#""step":"start","attempt":1,"delay_ms":1500.0,"error":{refused}"#));
    s.wait(1500).attempt("web", "start", 2).wait(90_000);
    s.end("web", "start", "failed", 91_510, &format!(r#""attempt":2,"error":{refused}"#));
    s.say("web", "undo_start", r#""step":"start","attempt":1"#).message("web", "start", "info", "stopping").wait(5);
    s.say("web", "undo_end", r#""step":"start","status":"undone","duration_ms":5.0"#);
    s.say("web", "undo_start", r#""step":"init","attempt":1"#);
    s.say("web", "undo_end", &format!(r#""step":"init","status":"undo_failed","duration_ms":0.0,"error":{refused}"#));
    s.over("web", "stuck");
    script
}
