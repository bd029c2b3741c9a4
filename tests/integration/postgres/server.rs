//! A PostgreSQL server for tests.
//!
//! Most tests share one: that of `tests/run.sh`, or one that this process starts for itself. A test that kills its server
//! has its own.

use std::io::Error;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Where `tests/run.sh` says that a server is.
const VARIABLE: &str = "STEP_MACHINE_TEST_POSTGRES";

/// The URL of the server that tests share.
pub(super) fn shared() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| std::env::var(VARIABLE).unwrap_or_else(|_| start_for_this_process()))
}

/// A server that a test may kill. It goes with it.
pub(super) struct Server {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::with(|_| {})
    }

    /// One whose folder, with its database in `data`, is made ready first.
    pub(super) fn with(prepare: impl FnOnce(&Path)) -> Self {
        let folder = cluster();
        prepare(folder.path());
        give_keys_to_postgres(&folder.path().join("data")).unwrap();
        let port = free_port();
        let mut server = Self { folder, port, process: None };
        server.restart();
        server
    }

    pub(super) fn url(&self) -> String {
        url(self.port)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it as a crash of the machine would, as far as that goes: with its processes, which would go on for a moment.
    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let children = Command::new("pgrep").args(["-P", &process.id().to_string()]).output().unwrap();
            process.kill().unwrap();
            process.wait().unwrap();
            let children = String::from_utf8(children.stdout).unwrap();
            // One that is gone already is as good.
            let _ = Command::new("kill").arg("-9").args(children.split_whitespace()).stderr(Stdio::null()).status();
        }
    }

    /// Starts it again, with what it has.
    pub(super) fn restart(&mut self) {
        self.kill();
        let since = Instant::now();
        loop {
            let mut process = postgres(self.folder.path(), self.port, true).spawn().unwrap();
            let is_ready = is_ready_soon(self.port, &mut process);
            self.process = Some(process);
            if is_ready {
                return;
            }
            // It does not start while processes of the killed one are still there.
            self.kill();
            assert!(since.elapsed() < Duration::from_secs(60), "the server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // Its own processes see that it is gone, and stop to write to the folder.
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A server that goes with this process, however that ends: it is held by a pipe.
fn start_for_this_process() -> String {
    let folder = cluster().keep();
    let port = free_port();
    let server = postgres(&folder, port, false);
    let script =
        r#"folder=$1; shift; "$@" <&- & server=$!; read -r _; kill -INT $server; wait $server; rm -rf "$folder""#;
    let mut keeper = Command::new("sh");
    keeper.args(["-c", script, "sh"]).arg(&folder).arg(server.get_program()).args(server.get_args());
    let mut keeper =
        keeper.current_dir(&folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Open as long as this process lives.
    std::mem::forget(keeper.stdin.take());
    assert!(is_ready_soon(port, &mut keeper), "the server does not start");
    url(port)
}

fn url(port: u16) -> String {
    format!("postgres://step@127.0.0.1:{port}/postgres")
}

/// A folder with an empty database.
fn cluster() -> TempDir {
    let folder = tempfile::Builder::new().prefix("step-machine-postgres-").tempdir().unwrap();
    give_to_postgres(folder.path()).unwrap();
    let data = folder.path().join("data");
    let mut initdb = as_postgres(&tool("initdb"));
    initdb.arg("-D").arg(&data).current_dir(folder.path());
    initdb.args(["-A", "trust", "-U", "step", "--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C"]);
    let made = initdb.output().unwrap();
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    folder
}

/// The server itself, so that its process is our child: what is killed is waited for, and can be started again at once.
fn postgres(folder: &Path, port: u16, is_safe: bool) -> Command {
    let mut postgres = as_postgres(&tool("postgres"));
    postgres.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string()]).current_dir(folder);
    let settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300"];
    let unsafe_settings = ["fsync=off", "synchronous_commit=off"];
    for setting in settings.iter().chain(unsafe_settings.iter().filter(|_| !is_safe)) {
        postgres.args(["-c", setting]);
    }
    postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    postgres
}

/// Whether it can be asked; not where it has ended, or takes all too long.
fn is_ready_soon(port: u16, process: &mut Child) -> bool {
    let since = Instant::now();
    while super::try_sql(&url(port), "SELECT 1").is_err() {
        if process.try_wait().unwrap().is_some() || since.elapsed() > Duration::from_secs(60) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Where Debian has it, or wherever it is installed.
fn tool(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("PostgreSQL's {name} is not on this machine: run tests/run.sh, which installs it, or name a server in {VARIABLE}")
    })
}

/// PostgreSQL does not run as root.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

fn is_root() -> bool {
    id(&["-u"]) == 0
}

fn id(args: &[&str]) -> u32 {
    let said = Command::new("id").args(args).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().parse().unwrap()
}

fn give_to_postgres(folder: &Path) -> Result<(), Error> {
    if !is_root() {
        return Ok(());
    }
    std::os::unix::fs::chown(folder, Some(id(&["-u", "postgres"])), Some(id(&["-g", "postgres"])))
}

/// It reads only a key that is its own.
fn give_keys_to_postgres(data: &Path) -> Result<(), Error> {
    for name in ["server.key", "server.crt"] {
        let file = data.join(name);
        if file.exists() {
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            give_to_postgres(&file)?;
        }
    }
    Ok(())
}
