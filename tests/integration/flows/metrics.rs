//! What a flow counts, as the tools of Prometheus read it: its linter, and a server that fetches it while the flow runs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::user::User;

/// Where `tests/run.sh` says that the programs are.
const VARIABLE: &str = "STEP_MACHINE_TEST_PROMETHEUS";

/// How long anything may take to show.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program of Prometheus; without it there is no test that could pass.
fn program(name: &str) -> PathBuf {
    let folders = std::env::var_os(VARIABLE).or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "no `{name}` in {VARIABLE} or the PATH; install it: apt-get install -y --no-install-recommends prometheus"
        )
    })
}

/// What the linter says of a text.
fn checked(text: &str) -> (Option<i32>, String) {
    let mut promtool = Command::new(program("promtool"));
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = promtool.spawn().unwrap();
    process.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn the_linter_of_prometheus_finds_nothing_in_what_a_flow_leaves_in_a_file() {
    let user = User::new();
    for (arguments, code, expected) in [
        (&[][..], 0, r#"step_machine_runs_total{workflow="provision",status="completed"} 1"#),
        (
            &["--fail-at", "wait-ssh-connectivity"],
            1,
            r#"step_machine_undos_total{workflow="provision",step="open-tofu-apply",status="undone"} 1"#,
        ),
    ] {
        let screen = user.provision(&[arguments, &["--metrics", "metrics.prom"]].concat());
        assert_eq!(screen.code, Some(code), "{screen}");
        let text = user.read("../metrics.prom");
        assert!(text.lines().any(|line| line == expected), "{text}");
        assert!(text.lines().any(|line| line == r#"step_machine_runs_in_progress{workflow="provision"} 0"#), "{text}");
        assert_eq!(checked(&text), (Some(0), String::new()), "{text}");
        // It has something to look at, and does look.
        let without_help: String = text.split_inclusive('\n').filter(|line| !line.starts_with("# HELP")).collect();
        let (code, said) = checked(&without_help);
        assert_eq!(code, Some(3), "{said}");
        for metric in ["step_machine_runs_total", "step_machine_step_duration_seconds", "step_machine_progress_ratio"] {
            assert!(said.contains(&format!("{metric} no help text")), "{said}");
        }
    }
}

#[test]
fn an_address_that_is_taken_is_told_before_anything_runs() {
    let user = User::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let screen = user.provision(&["--metrics", &address]);
    assert_eq!(screen.code, Some(1), "{screen}");
    screen.complains(&format!("error: metrics cannot be shown at {address}: "));
    assert_eq!(screen.stdout, "");
}

/// A server of Prometheus that fetches from one address all the time. It goes with this.
struct Prometheus {
    process: Child,
    port: u16,
    _folder: TempDir,
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Prometheus {
    /// One that has looked once already, and found nobody.
    fn looking_at(target: u16) -> Self {
        // Below `target`, where `tests/run.sh` looks for what is left.
        let folder = tempfile::Builder::new().prefix("prometheus.").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let settings = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs: [{{job_name: flow, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
        );
        std::fs::write(&settings, text).unwrap();
        let port = free_port();
        let process = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", settings.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut prometheus = Self { process, port, _folder: folder };
        prometheus.await_value("up", 0.0);
        prometheus
    }

    /// The values that a query gives now; none too where the server does not answer yet.
    fn values(&self, query: &str) -> Vec<f64> {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else { return Vec::new() };
        let query: Vec<_> = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let query = query.concat();
        let request = format!("GET /api/v1/query?query={query} HTTP/1.0\r\n\r\n");
        let mut answer = String::new();
        if stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).is_err() {
            return Vec::new();
        }
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        if !head.starts_with("HTTP/1.0 200") {
            return Vec::new();
        }
        let body: Value = serde_json::from_str(body).unwrap();
        let series = body["data"]["result"].as_array().unwrap();
        series.iter().map(|series| series["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }

    /// Waits until a query gives one series of this value.
    fn await_value(&mut self, query: &str, value: f64) {
        let since = Instant::now();
        loop {
            let values = self.values(query);
            if values == [value] {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{query} is {values:?} and not {value}");
            assert!(self.process.try_wait().unwrap().is_none(), "the server has ended");
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A flow under way, which is ended where the test does not see its end.
struct Flow(Option<Child>);

impl Flow {
    fn end(mut self) -> Option<i32> {
        self.0.take().unwrap().wait().unwrap().code()
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if let Some(process) = &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

#[test]
fn a_server_of_prometheus_follows_a_flow_that_runs_and_knows_how_it_ended() {
    let user = User::new();
    let target = free_port();
    let mut prometheus = Prometheus::looking_at(target);
    let address = format!("127.0.0.1:{target}");
    let mut command = user.command("provision", &["--boot-seconds", "3", "--metrics", &address]);
    let flow = Flow(Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()));

    // It waits for the first boot of the instance.
    prometheus.await_value(r#"step_machine_runs_in_progress{workflow="provision"}"#, 1.0);
    prometheus.await_value(r#"step_machine_current_step{workflow="provision"}"#, 9.0);
    let progress = prometheus.values(r#"step_machine_progress_ratio{workflow="provision"}"#);
    assert!(matches!(progress[..], [ratio] if 0.0 < ratio && ratio < 1.0), "{progress:?}");
    prometheus.await_value(r#"step_machine_steps_total{step="open-tofu-apply",status="completed"}"#, 1.0);

    assert_eq!(flow.end(), Some(0));
    // The process is gone, and what it said last is not.
    let last = |series: &str| format!("last_over_time({series}[5m])");
    prometheus.await_value("up", 0.0);
    prometheus.await_value(&last(r#"step_machine_runs_total{workflow="provision",status="completed"}"#), 1.0);
    prometheus.await_value(&last(r#"step_machine_runs_in_progress{workflow="provision"}"#), 0.0);
    prometheus.await_value(&last(r#"step_machine_progress_ratio{workflow="provision"}"#), 1.0);
    prometheus.await_value(&last(r#"step_machine_run_duration_seconds_count{workflow="provision"}"#), 1.0);
    let steps = prometheus.values("sum(last_over_time(step_machine_steps_total[5m]))");
    assert_eq!(steps, [9.0]);
    // A histogram, as a server that can compute with it sees it: the wait for the boot took seconds.
    let buckets = r#"last_over_time(step_machine_step_duration_seconds_bucket{step="cloud-init-wait"}[5m])"#;
    let [median] = prometheus.values(&format!("histogram_quantile(0.5, {buckets})"))[..] else {
        panic!("no median of the step's duration")
    };
    assert!((1.0..=10.0).contains(&median), "{median}");
}
