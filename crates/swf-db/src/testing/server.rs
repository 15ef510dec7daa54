//! A PostgreSQL server of this test process.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, geteuid, kill_process};

/// A server that ends with the last test that holds it, or one that others look after.
#[derive(Debug)]
pub struct Server {
    url: String,
    /// Held for its end only.
    _own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    pid: Pid,
    watcher: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// The server of this process; started when there is none. `None` when the machine has no PostgreSQL.
    pub fn get() -> Option<Arc<Server>> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = running.upgrade() {
            return Some(server);
        }
        let given = std::env::var("SWF_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty());
        let server = match given {
            Some(url) => Some(Server { url, _own: None }),
            None => binaries().map(|folder| start(&folder)),
        };
        let Some(server) = server else {
            let all = std::env::var("SWF_REQUIRE_ALL").is_ok_and(|v| v == "1");
            assert!(!all, "no PostgreSQL server found, but SWF_REQUIRE_ALL=1");
            println!("skipped: no PostgreSQL server found (set SWF_TEST_POSTGRES_URL or install one)");
            return None;
        };
        let server = Arc::new(server);
        *running = Arc::downgrade(&server);
        Some(server)
    }

    /// URL of a database to connect to first; its role may create databases.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown.
        let _ = kill_process(self.pid, Signal::INT);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

/// The folder with `initdb` and `postgres`.
fn binaries() -> Option<PathBuf> {
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    let asked = asked.map(|o| PathBuf::from(String::from_utf8_lossy(&o.stdout).trim()));
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|folders| folders.flatten().map(|f| f.path().join("bin")).collect())
        .unwrap_or_default();
    found.sort();
    asked
        .into_iter()
        .chain(found.into_iter().rev())
        .find(|f| f.join("postgres").exists() && f.join("initdb").exists())
}

fn start(binaries: &Path) -> Server {
    let folder = tempfile::Builder::new().prefix("swf-pg").tempdir_in("/tmp").expect("a temporary folder");
    if geteuid().is_root() {
        // PostgreSQL refuses to run as root.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("permissions");
        let done = Command::new("chown").arg("postgres").arg(folder.path()).status().expect("chown runs");
        assert!(done.success(), "there is no user `postgres` to run the server as");
    }
    let data = folder.path().join("data");
    let initdb = as_postgres(&binaries.join("initdb"))
        .arg("-D")
        .arg(&data)
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
        .current_dir("/")
        .output()
        .expect("initdb runs");
    assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
    let mut postgres = as_postgres(&binaries.join("postgres"));
    postgres.arg("-D").arg(&data).arg("-k").arg(folder.path()).current_dir("/");
    for setting in [
        "listen_addresses=",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "max_connections=200",
        "shared_buffers=32MB",
    ] {
        postgres.arg("-c").arg(setting);
    }
    let (pid, watcher) = watch(postgres);
    let url = format!("postgres://postgres@localhost/postgres?host={}", folder.path().display());
    Server { url, _own: Some(Own { pid, watcher: Some(watcher), _folder: folder }) }
}

/// Starts the server from a thread that lives as long as it: when this process dies, so does the thread,
/// and with it (`--pdeathsig`) the server. Returns when it accepts connections.
fn watch(mut postgres: Command) -> (Pid, JoinHandle<()>) {
    let (ready, wait) = mpsc::channel();
    let watcher = std::thread::spawn(move || {
        let mut child = postgres
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the PostgreSQL server starts");
        let mut said = String::new();
        for line in
            child.stderr.take().into_iter().flat_map(|e| BufReader::new(e).lines()).map_while(Result::ok)
        {
            if line.contains("ready to accept connections") {
                let _ = ready.send(Ok(Pid::from_child(&child)));
            }
            said.push_str(&line);
            said.push('\n');
        }
        let _ = child.wait();
        let _ = ready.send(Err(said));
    });
    match wait.recv() {
        Ok(Ok(pid)) => (pid, watcher),
        Ok(Err(said)) => panic!("the PostgreSQL server did not start: {said}"),
        Err(_) => panic!("the PostgreSQL server did not start"),
    }
}

/// A command that runs as a user PostgreSQL accepts and ends with the thread that starts it.
fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.args(["--pdeathsig=INT", "--"]).arg(program).env_remove("PGDATA").env("LC_ALL", "C");
    command
}
