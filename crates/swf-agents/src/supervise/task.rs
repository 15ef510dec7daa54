//! The task that looks after one program.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::Error;
use super::board::Board;
use super::child::Running;
use super::guard::Guard;
use super::log::LogFile;
use super::program::{Program, State};

/// Log lines told with the reason of a failed start.
const REASON_LINES: usize = 5;
/// Later than any program runs.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// Where the answer to an order goes.
pub(super) type Reply = oneshot::Sender<Result<(), Error>>;

/// What a program can be asked.
pub(super) enum Order {
    /// Start it; refused when it is up.
    Start(Reply),
    /// End it in order; fine when it is not up.
    Stop(Reply),
    /// End it with `SIGKILL` at once and leave it down; fine when it is not up.
    Kill(Reply),
}

/// Keeper of one program.
pub(super) struct Task {
    pub(super) program: Program,
    pub(super) log: LogFile,
    pub(super) guard: Guard,
    pub(super) board: Arc<Board>,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    /// Exits before `start_secs` in a row.
    pub(super) quick_exits: u32,
    /// Restarts since the last stable time; decides the back-off.
    pub(super) attempts: u32,
    /// Restarts since the last start on request.
    pub(super) restarts: u32,
}

enum Phase {
    /// No process and none wanted.
    Idle,
    /// Waits for its restart.
    Waiting(Instant),
    Up {
        running: Box<Running>,
        /// RUNNING was reached.
        settled: bool,
    },
    /// The supervisor let go of this program.
    Over,
}

impl Task {
    /// Serves orders until the supervisor drops its side; then the program is stopped.
    pub(super) async fn run(mut self) {
        let mut phase = Phase::Idle;
        loop {
            phase = match phase {
                Phase::Idle => self.idle().await,
                Phase::Waiting(until) => self.waiting(until).await,
                Phase::Up { running, settled } => self.up(running, settled).await,
                Phase::Over => return,
            };
        }
    }

    async fn idle(&mut self) -> Phase {
        match self.orders.recv().await {
            None => Phase::Over,
            Some(Order::Start(reply)) => self.start_on_request(reply).await,
            Some(Order::Stop(reply) | Order::Kill(reply)) => {
                answer(reply, Ok(()));
                Phase::Idle
            }
        }
    }

    async fn waiting(&mut self, until: Instant) -> Phase {
        tokio::select! {
            order = self.orders.recv() => match order {
                None => Phase::Over,
                Some(Order::Start(reply)) => self.start_on_request(reply).await,
                Some(Order::Stop(reply)) => self.settle_down(reply, "stopped while waiting for its restart"),
                Some(Order::Kill(reply)) => self.settle_down(reply, "killed while waiting for its restart"),
            },
            () = sleep_until(until) => {
                self.restarts += 1;
                match self.start().await {
                    Ok(phase) => phase,
                    Err(error) => self.failed(error.to_string(), Vec::new()),
                }
            }
        }
    }

    async fn up(&mut self, mut running: Box<Running>, settled: bool) -> Phase {
        let pid = running.pid();
        let next = match (settled, self.attempts) {
            (false, _) => self.program.start_secs,
            (true, 0) => NEVER,
            (true, _) => self.program.stable_after,
        };
        let change = running.started + next;
        tokio::select! {
            how = running.ended() => {
                running.clear(&self.guard).await;
                let lines = self.log.tail(running.log_from, REASON_LINES);
                self.ended(how, settled, running.started.elapsed(), lines)
            }
            order = self.orders.recv() => match order {
                None => {
                    self.stop(running).await;
                    Phase::Over
                }
                Some(Order::Start(reply)) => {
                    let state = if settled { State::Running } else { State::Starting };
                    answer(reply, Err(Error::AlreadyRunning { name: self.program.name.clone(), state, pid }));
                    Phase::Up { running, settled }
                }
                Some(Order::Stop(reply)) => {
                    self.stop(running).await;
                    answer(reply, Ok(()));
                    Phase::Idle
                }
                Some(Order::Kill(reply)) => {
                    running.clear(&self.guard).await;
                    self.settle_down(reply, "killed on request")
                }
            },
            () = sleep_until(change) => {
                if settled {
                    self.attempts = 0;
                } else {
                    self.quick_exits = 0;
                    self.show(State::Running, Some(pid), None);
                }
                Phase::Up { running, settled: true }
            }
        }
    }

    async fn start_on_request(&mut self, reply: Reply) -> Phase {
        (self.quick_exits, self.attempts, self.restarts) = (0, 0, 0);
        match self.start().await {
            Ok(phase) => {
                answer(reply, Ok(()));
                phase
            }
            Err(error) => {
                self.show(State::Fatal, None, Some(error.to_string()));
                answer(reply, Err(error));
                Phase::Idle
            }
        }
    }

    async fn start(&mut self) -> Result<Phase, Error> {
        let running = Box::new(Running::start(&self.program, &self.log, &self.guard).await?);
        self.show(State::Starting, Some(running.pid()), None);
        Ok(Phase::Up { running, settled: false })
    }

    async fn stop(&mut self, mut running: Box<Running>) {
        self.show(State::Stopping, Some(running.pid()), None);
        let how = running.stop(self.program.stop_signal, self.program.stop_wait, &self.guard).await;
        self.show(State::Stopped, None, Some(format!("stopped on request; {how}")));
    }

    fn settle_down(&mut self, reply: Reply, why: &str) -> Phase {
        self.show(State::Stopped, None, Some(why.to_owned()));
        answer(reply, Ok(()));
        Phase::Idle
    }

    /// The program ended by itself after `ran`.
    fn ended(&mut self, how: String, settled: bool, ran: Duration, lines: Vec<String>) -> Phase {
        let how = format!("{how} after {:.1} s", ran.as_secs_f64());
        if !self.program.autorestart {
            self.show(State::Exited, None, Some(with_lines(&how, &lines)));
            return Phase::Idle;
        }
        if settled { self.back_off(how) } else { self.failed(how, lines) }
    }

    /// A start that did not last.
    fn failed(&mut self, how: String, lines: Vec<String>) -> Phase {
        self.quick_exits += 1;
        if self.quick_exits > self.program.start_retries {
            let how = format!("{how}; gave up after {} starts", self.quick_exits);
            self.show(State::Fatal, None, Some(with_lines(&how, &lines)));
            return Phase::Idle;
        }
        self.back_off(with_lines(&how, &lines))
    }

    fn back_off(&mut self, reason: String) -> Phase {
        let wait = self.program.backoff(self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        self.show(State::Backoff, None, Some(reason));
        Phase::Waiting(Instant::now() + wait)
    }

    fn show(&self, state: State, pid: Option<u32>, reason: Option<String>) {
        // A program that is up again keeps saying why it was restarted.
        let reason = reason.or_else(|| {
            let before = (self.restarts > 0).then(|| self.board.get(&self.program.name)).flatten()?;
            if before.state.is_wanted() { before.reason } else { None }
        });
        self.board.set(&self.program.name, state, pid, self.restarts, reason);
    }
}

fn with_lines(how: &str, lines: &[String]) -> String {
    if lines.is_empty() { how.to_owned() } else { format!("{how}; last log lines: {}", lines.join(" | ")) }
}

fn answer(reply: Reply, result: Result<(), Error>) {
    // Whoever asked may have stopped waiting; the state tells the outcome too.
    drop(reply.send(result));
}
