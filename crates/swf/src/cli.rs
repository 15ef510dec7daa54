//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use swf_agents::Kind;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Loaded, Source};
use crate::logging::{self, LogFormat};
use crate::once::Once;
use crate::roles::Role;
use crate::up::{Ports, Up};
use crate::{demo, run, tools};

/// Monitors and steers the ePIC streaming-workflow testbed and watches PanDA production.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    /// Folder for database, broker store, logs and token [default: $SWF_DATA_DIR, else $XDG_DATA_HOME/swf]
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
    /// Configuration file [default: swf.toml in the data folder]
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Configuration as a supervising swf settled it: nothing else is read
    #[arg(long, global = true, hide = true, conflicts_with = "config")]
    effective: Option<PathBuf>,
    /// Form of log lines on standard error
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Log filter, e.g. debug, or info,swf_stomp=debug
    #[arg(long, global = true, env = "SWF_LOG_LEVEL", default_value = "info")]
    log_level: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Do the main job before your eyes: start everything, run a workflow through MCP, print what was made
    Demo {
        /// STF files to generate
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        stf_count: u32,
        /// As fast as possible, in discrete time (the default)
        #[arg(long, conflicts_with = "realtime")]
        fast: bool,
        /// One simulated second takes a second
        #[arg(long)]
        realtime: bool,
        /// Stay up afterwards
        #[arg(long)]
        keep: bool,
        /// Print only a JSON summary
        #[arg(long)]
        json: bool,
    },
    /// Start broker, monitor and agent manager and stay; Ctrl-C ends all of them
    #[command(visible_alias = "start", alias = "start-local")]
    Up,
    /// End what `swf up` started from this data folder
    #[command(visible_alias = "stop", alias = "stop-local")]
    Down,
    /// Make the data folder with its logs folder and a first testbed.toml; what is there stays
    Init,
    /// Run the monitor alone (MCP, REST, pages, capture)
    Serve,
    /// Run the embedded STOMP broker alone
    Broker,
    /// Run one agent of the testbed
    Agent {
        /// runner, data, processing, fastmon, fast-processing or worker
        kind: Kind,
        /// Testbed file: a name in the workflows folder, or a path
        #[arg(long)]
        testbed_config: Option<String>,
        /// Number of this process among several of one kind
        #[arg(long)]
        instance: Option<u32>,
        #[command(flatten)]
        once: Once,
    },
    /// Run your agent manager: it starts and stops your agents on command
    AgentManager,
    /// Start the testbed if it is down, run its workflow (or the named configuration), follow it to the end
    Run {
        /// Configuration, e.g. fast_processing
        config: Option<String>,
    },
    /// Stop your agents through the agent manager
    StopAgents,
    /// Show testbed, agents and running workflows
    Status,
    /// Call a tool on the running server, e.g. `swf call swf_list_agents namespace=torre1`
    Call {
        /// Tool name, see `swf tools`
        tool: String,
        /// name=value …, or one JSON object
        arguments: Vec<String>,
    },
    /// List the tools
    Tools {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Serve MCP on standard input and output, for clients that start their servers
    Mcp {
        /// Hide every tool that changes something
        #[arg(long)]
        read_only: bool,
    },
    /// Run the chat bot in Mattermost (see docs/BOT.md)
    Bot,
    /// Ask the bot one question here, e.g. `swf ask "Which sites failed most this week?"`
    Ask {
        /// The question
        question: String,
    },
    /// Look after the database
    #[command(subcommand)]
    Db(DbCommand),
    /// Accounts and their API tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Measure, with ratios in one run
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Check configuration, database, broker and monitor, and say what to do
    #[command(alias = "status-local")]
    Doctor,
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print completions for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum DbCommand {
    /// Create or complete the tables (in a Django-made database only swf's own)
    Migrate,
    /// Compare the database with what swf needs
    Check,
    /// Delete rows that were kept long enough, as [retention] says; a running monitor does so by itself
    Prune {
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
    },
    /// Fill an empty database with made-up rows to try things on
    Seed {
        /// panda: a synthetic production for the panda_* tools; demo: a small testbed with a past
        what: Seed,
        /// Ended jobs, about
        #[arg(long, default_value_t = 6000, value_parser = clap::value_parser!(u32).range(100..=5_000_000))]
        jobs: u32,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Seed {
    Panda,
    Demo,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Print the token of an account; makes account and token when they are missing
    Create {
        /// Account name
        user: String,
        /// read, write, control or admin
        #[arg(long, default_value = "write")]
        scope: swf_tools::Scope,
    },
    /// List the accounts
    List,
    /// Take the token of an account away
    Revoke {
        /// Account name
        user: String,
    },
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Every PanDA tool cold and warm, its SQL alone, and the original's queries
    Panda {
        /// Ended jobs, about
        #[arg(long, default_value_t = 400_000)]
        jobs: u32,
        /// Empty database to fill, or one filled by an earlier run: postgres://… or sqlite:PATH
        #[arg(long)]
        url: String,
        /// Leave the original's queries out
        #[arg(long)]
        quick: bool,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every value in force and where it came from
    Show,
}

/// Parses, runs, and turns an error into one line and an exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // A default provider can only be missing, never wrong: ring is the only one in this program.
    drop(rustls::crypto::ring::default_provider().install_default());
    let result = runtime(&cli.command).and_then(|runtime| runtime.block_on(execute(cli)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("swf: {}", one_line(&e));
            ExitCode::FAILURE
        }
    }
}

/// Context and causes on one line.
fn one_line(e: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in e.chain() {
        let text = cause.to_string().replace('\n', " ");
        if !parts.iter().any(|p| p.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

/// Agents and small commands need one thread; the monitor and the broker use the machine.
fn runtime(command: &Command) -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = match command {
        Command::Serve | Command::Broker | Command::Mcp { .. } => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    Ok(builder.enable_all().build()?)
}

async fn execute(cli: Cli) -> anyhow::Result<()> {
    if let Command::Completions { shell } = cli.command {
        clap_complete::generate(shell, &mut Cli::command(), "swf", &mut std::io::stdout());
        return Ok(());
    }
    if let Command::Tools { json } = cli.command {
        print!("{}", tools::list(json));
        return Ok(());
    }
    let file = match (&cli.effective, &cli.config) {
        (Some(file), _) => Source::Only(file),
        (None, Some(file)) => Source::Named(file),
        (None, None) => Source::Usual,
    };
    let loaded = config::load(cli.data_dir.as_deref(), &file)?;
    match cli.command {
        Command::Demo { .. } | Command::Up => hosted(cli, loaded).await,
        Command::Config(ConfigCommand::Show) => {
            print!("{}", loaded.show()?);
            Ok(())
        }
        _ => daemon_or_command(cli, loaded).await,
    }
}

/// `demo` and `up`: everything on this machine.
async fn hosted(cli: Cli, loaded: Loaded) -> anyhow::Result<()> {
    logging::start(cli.log_format, "warn", false);
    let shutdown = swf_agents::shutdown_on_signals()?;
    match cli.command {
        Command::Demo { stf_count, realtime, keep, json, .. } => {
            let up = Up::start(loaded, Ports::FreeIfTaken).await?;
            let options = demo::Options { stf_count, realtime, json };
            let result = tokio::select! {
                result = demo::run(&up, &options) => result,
                () = shutdown.cancelled() => Err(anyhow::anyhow!("interrupted")),
            };
            if keep && result.is_ok() {
                eprintln!("staying up; Ctrl-C ends everything");
                shutdown.cancelled().await;
            }
            up.down().await;
            result
        }
        _ => {
            let up = Up::start(loaded, Ports::AsConfigured).await?;
            let url = up.role.url()?;
            println!(
                "monitor   {url}/\nMCP       {url}/mcp/\ndata      {}\nCtrl-C ends everything",
                up.role.files.root().display()
            );
            shutdown.cancelled().await;
            up.down().await;
            Ok(())
        }
    }
}

async fn daemon_or_command(cli: Cli, loaded: Loaded) -> anyhow::Result<()> {
    let ship = matches!(cli.command, Command::Agent { .. });
    let daemon = matches!(
        cli.command,
        Command::Agent { .. }
            | Command::AgentManager
            | Command::Serve
            | Command::Broker
            | Command::Mcp { .. }
            | Command::Bot
    );
    let logs = logging::start(cli.log_format, if daemon { &cli.log_level } else { "warn" }, ship);
    let role = Role::new(loaded)?;
    let shutdown = if daemon {
        let token = swf_agents::shutdown_on_signals()?;
        with_parent()?;
        token
    } else {
        CancellationToken::new()
    };
    match cli.command {
        Command::Serve => role.serve(shutdown).await,
        Command::Broker => role.broker_role(shutdown).await,
        Command::AgentManager => role.manager(shutdown).await,
        Command::Agent { kind, testbed_config, instance, once } => {
            let config = role.agent_config(testbed_config.as_deref(), instance, logs)?;
            match (once.command(), kind) {
                (None, kind) => swf_agents::run_agent(kind, config, shutdown).await,
                (Some(workflow), Kind::Runner) => swf_agents::run_once(config, workflow, shutdown).await,
                (Some(_), kind) => anyhow::bail!("--run-once is for the runner, not for {kind}"),
            }
        }
        Command::Mcp { read_only } => role.stdio(read_only).await,
        Command::Bot => role.bot(shutdown).await,
        other => command(&role, other).await,
    }
}

/// A child of a supervisor ends with it.
fn with_parent() -> anyhow::Result<()> {
    match std::env::var(swf_agents::supervise::PARENT_VARIABLE) {
        Ok(pid) => Ok(swf_agents::supervise::die_with_parent(pid.parse()?)?),
        Err(_) => Ok(()),
    }
}

async fn command(role: &Role, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Down => role.down().await,
        Command::Init => role.init(),
        Command::Run { config } => run::run(role, config.as_deref()).await,
        Command::StopAgents => {
            let arguments = serde_json::json!({"username": role.user()});
            let answer = tools::call(role, "swf_stop_user_testbed", arguments).await?;
            println!("{}", answer.get("message").and_then(|m| m.as_str()).unwrap_or("done"));
            Ok(())
        }
        Command::Ask { question } => role.ask(&question).await,
        Command::Status => {
            print!("{}", tools::status(role).await?);
            Ok(())
        }
        Command::Call { tool, arguments } => {
            let answer = tools::call(role, &tool, tools::arguments(&arguments)?).await?;
            println!("{}", serde_json::to_string_pretty(&answer)?);
            Ok(())
        }
        Command::Db(DbCommand::Migrate) => {
            let report = swf_db::migrate(&role.database().await?, &swf_tools::tables::SCHEMA).await?;
            println!("{report}");
            Ok(())
        }
        Command::Db(DbCommand::Check) => {
            let check = swf_db::check(&role.database().await?, &swf_tools::tables::SCHEMA).await?;
            println!("{check}");
            if check.can_run() { Ok(()) } else { anyhow::bail!("{}", check.verdict()) }
        }
        Command::Db(DbCommand::Seed { what: Seed::Demo, .. }) => {
            let db = role.database().await?;
            swf_db::migrate(&db, &swf_tools::tables::SCHEMA).await?;
            swf_tools::sample::fill(&db, swf_tools::Clock::System.now()).await?;
            println!("{}: filled with a sample testbed", db.url());
            Ok(())
        }
        Command::Db(DbCommand::Seed { what: Seed::Panda, jobs }) => role.seed_panda(jobs).await,
        Command::Db(DbCommand::Prune { dry_run }) => crate::prune::run(role, dry_run).await,
        Command::Token(command) => token(role, command).await,
        Command::Bench(BenchCommand::Panda { jobs, url, quick }) => {
            let plans = swf_tools::panda::bench::Plans { url, jobs, naive: !quick };
            swf_tools::panda::bench::run(&plans, |line| println!("{line}")).await?;
            Ok(())
        }
        Command::Doctor => role.doctor().await,
        _ => Ok(()),
    }
}

async fn token(role: &Role, command: TokenCommand) -> anyhow::Result<()> {
    let db = role.database().await?;
    match command {
        TokenCommand::Create { user, scope } => {
            let now = swf_tools::Clock::System.now();
            println!("{}", swf_tools::accounts::create_token(&db, now, &user, scope).await?);
        }
        TokenCommand::List => {
            for account in swf_tools::accounts::list(&db).await? {
                let rights = match (account.is_superuser, account.is_staff) {
                    (true, _) => "admin",
                    (false, true) => "control",
                    (false, false) => "write",
                };
                let state = if account.is_active { "active" } else { "closed" };
                println!(
                    "{:<30} {rights:<8} {state:<7} {}",
                    account.username,
                    account.token.unwrap_or_default()
                );
            }
        }
        TokenCommand::Revoke { user } => {
            swf_tools::accounts::revoke_token(&db, &user).await?;
            println!("{user} has no token any more; servers forget it within half a minute");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
