//! The client against the embedded broker, a real ActiveMQ and a real RabbitMQ.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use swf_stomp::{Client, ClientConfig, Flavour};

use crate::{
    scenario::{self, Target},
    support::*,
};

/// These need a minute on a busy machine.
const START: Duration = Duration::from_secs(240);

/// A broker process, ended with its children when dropped.
struct Real {
    child: Child,
    folder: tempfile::TempDir,
    /// Run at the end, for what leaves the process group.
    last: Option<Command>,
}

impl Drop for Real {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        // Both fail only when the processes are gone already.
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
        if let Some(mut last) = self.last.take() {
            let _ = last.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

impl Real {
    fn start(mut command: Command, folder: tempfile::TempDir, last: Option<Command>) -> Self {
        let log = std::fs::File::create(folder.path().join("output")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        Self { child: command.spawn().unwrap(), folder, last }
    }

    async fn ready(&mut self, config: &ClientConfig) {
        let client = Client::start(config.clone());
        if client.connected(START).await.is_err() {
            let output = std::fs::read_to_string(self.folder.path().join("output")).unwrap_or_default();
            panic!("not ready: {:?}\n{output}", client.status().borrow().last_error);
        }
        client.shutdown().await;
    }
}

fn make_folders(base: &Path, names: &[&str]) {
    for name in names {
        std::fs::create_dir_all(base.join(name)).unwrap();
    }
}

#[tokio::test]
async fn the_embedded_broker_does_what_the_client_needs() {
    let broker = broker().await;
    let target = Target { addr: broker.addr(), base: client_config(broker.addr()) };
    scenario::run(&target).await;
    broker.shutdown().await;
}

#[tokio::test]
async fn activemq_does_what_the_client_needs() {
    let jar = "/usr/share/activemq/bin/activemq.jar";
    if !Path::new(jar).exists() {
        return skip("ActiveMQ is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    make_folders(base, &["conf", "data", "tmp"]);
    let port = free_port();
    let configuration = include_str!("activemq.xml")
        .replace("@PORT@", &port.to_string())
        .replace("@DATA@", &base.join("data").display().to_string());
    std::fs::write(base.join("conf/activemq.xml"), configuration).unwrap();
    let mut java = Command::new("java");
    java.args(["-Xms64M", "-Xmx256M", "-Djava.awt.headless=true", "-Dactivemq.home=/usr/share/activemq"]);
    for (key, name) in [
        ("java.io.tmpdir", "tmp"),
        ("activemq.base", ""),
        ("activemq.conf", "conf"),
        ("activemq.data", "data"),
        ("activemq.classpath", "conf"),
    ] {
        java.arg(format!("-D{key}={}", base.join(name).display()));
    }
    java.args(["-jar", jar, "start"]).arg(format!("xbean:file:{}", base.join("conf/activemq.xml").display()));
    let addr = ([127, 0, 0, 1], port).into();
    let base = ClientConfig { flavour: Flavour::ActiveMq, ..client_config(addr) };
    let mut real = Real::start(java, folder, None);
    real.ready(&base).await;
    scenario::run(&Target { addr, base }).await;
}

#[tokio::test]
async fn rabbitmq_does_what_the_client_needs() {
    let server = "/usr/lib/rabbitmq/bin/rabbitmq-server";
    if !Path::new(server).exists() {
        return skip("RabbitMQ is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let base: PathBuf = folder.path().to_owned();
    make_folders(&base, &["home", "mnesia", "log"]);
    let (port, epmd) = (free_port(), free_port());
    std::fs::write(base.join("enabled_plugins"), "[rabbitmq_stomp].").unwrap();
    let configuration = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\nstomp.listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\n\
         default_user = admin\ndefault_pass = admin\ndisk_free_limit.absolute = 1MB\n",
        free_port()
    );
    std::fs::write(base.join("rabbitmq.conf"), configuration).unwrap();
    let mut rabbit = Command::new(server);
    rabbit
        .env("HOME", base.join("home"))
        .env("RABBITMQ_NODENAME", format!("swf{port}@localhost"))
        .env("RABBITMQ_MNESIA_BASE", base.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", base.join("log"))
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_CONFIG_FILE", base.join("rabbitmq"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", base.join("enabled_plugins"))
        .env("RABBITMQ_DIST_PORT", free_port().to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_PORT", epmd.to_string())
        .env("ERL_EPMD_RELAXED_COMMAND_CHECK", "1")
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        .env("RABBITMQ_PID_FILE", base.join("pid"));
    // The port mapper puts itself into the background.
    let mut last = Command::new("epmd");
    last.args(["-port", &epmd.to_string(), "-kill"]);
    let addr = ([127, 0, 0, 1], port).into();
    let base = ClientConfig { flavour: Flavour::RabbitMq, ..client_config(addr) };
    let mut real = Real::start(rabbit, folder, Some(last));
    real.ready(&base).await;
    scenario::run(&Target { addr, base }).await;
}
