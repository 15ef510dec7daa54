//! The interpreter: a definition with its parameters becomes a sequence of actions in simulated time.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::definition::{Definition, Field};
use super::steps::{Amount, Op, Repeat};
use super::template::Template;

/// Simulated time is counted in whole microseconds, so that sums of tenths stay exact.
const MICROS: f64 = 1_000_000.0;

/// What the driver of the engine has to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Nothing happens until this simulated time (microseconds since the start).
    WaitUntil(u64),
    /// Send a message.
    Send {
        /// Message type.
        msg_type: String,
        /// Where it goes.
        destination: String,
        /// Body in field order, without `sender`.
        body: Map<String, Value>,
        /// File that gets the body before it is sent.
        file: Option<PathBuf>,
    },
}

/// What a workflow can get wrong while it runs.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EngineError {
    /// A loop that would run for ever at one moment.
    #[error("a loop of workflow {0} does not let time pass; give it a wait or a number of times")]
    Stuck(String),
    /// A parameter without value or not a number.
    #[error("parameter {0} has no number; set it in the configuration")]
    NoNumber(String),
    /// A definition lost a message between check and run.
    #[error("workflow {workflow} has no message {message}")]
    NoMessage {
        /// Workflow name.
        workflow: String,
        /// Message name.
        message: String,
    },
}

/// Who runs what where: the values behind `{namespace}`, `{execution_id}` and `{run_id}`.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// Namespace of the runner.
    pub namespace: String,
    /// Execution id.
    pub execution_id: String,
    /// Run id: the run number as text.
    pub run_id: String,
}

/// A running workflow.
#[derive(Debug)]
pub struct Engine {
    definition: Arc<Definition>,
    identity: Identity,
    parameters: Map<String, Value>,
    counters: Map<String, Value>,
    state: String,
    substate: String,
    tick: u64,
    stack: Vec<Level>,
}

/// A list of steps that is being run, and the loop it belongs to.
#[derive(Debug)]
struct Level {
    ops: Arc<[Op]>,
    next: usize,
    lap: Option<Lap>,
}

#[derive(Debug)]
struct Lap {
    steps: Arc<[Op]>,
    between: Arc<[Op]>,
    rule: Rule,
    done: u64,
    in_between: bool,
    pass_started: u64,
}

#[derive(Debug, Clone, Copy)]
enum Rule {
    Times(u64),
    Until(u64),
    Endless,
}

impl Engine {
    /// Put a workflow on its first step. `parameters` are checked values, one for each declared parameter.
    pub fn new(definition: Arc<Definition>, identity: Identity, parameters: Map<String, Value>) -> Self {
        let ops: Arc<[Op]> = definition.steps.clone().into();
        Self {
            definition,
            identity,
            parameters,
            counters: Map::new(),
            state: String::new(),
            substate: String::new(),
            tick: 0,
            stack: vec![Level { ops, next: 0, lap: None }],
        }
    }

    /// Simulated seconds so far.
    pub fn tick_seconds(&self) -> f64 {
        self.tick as f64 / MICROS
    }

    /// Simulated microseconds so far.
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// Set simulated time back to what really was reached, when a wait was cut short.
    pub fn interrupted_at(&mut self, tick: u64) {
        self.tick = tick.min(self.tick);
    }

    /// State and substate of the machine.
    pub fn state(&self) -> (&str, &str) {
        (&self.state, &self.substate)
    }

    /// Value of a counter.
    pub fn counter(&self, name: &str) -> i64 {
        self.counters.get(name).and_then(Value::as_i64).unwrap_or(0)
    }

    /// Folders to make before the first step.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.definition
            .folders
            .iter()
            .map(|folder| PathBuf::from(folder.text(&|name| self.value(name))))
            .collect()
    }

    /// Whether some loop of the program never ends by itself with these parameters.
    ///
    /// # Errors
    /// A loop bound that is not a number.
    pub fn is_endless(&self) -> Result<bool, EngineError> {
        self.any_endless(&self.definition.steps)
    }

    fn any_endless(&self, ops: &[Op]) -> Result<bool, EngineError> {
        for op in ops {
            if let Op::Repeat(repeat) = op
                && (matches!(self.rule(repeat)?, Rule::Endless) || self.any_endless(&repeat.steps)?)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The closing message of the workflow, with the time reached and, unless the ending is normal, the reason.
    ///
    /// # Errors
    /// Never for a checked definition.
    pub fn closing(&self, reason: Option<&str>) -> Result<Option<Action>, EngineError> {
        let Some(closing) = &self.definition.closing else { return Ok(None) };
        let mut action = self.message(closing)?;
        if let (Action::Send { body, .. }, Some(reason)) = (&mut action, reason) {
            body.insert("reason".into(), reason.into());
        }
        Ok(Some(action))
    }

    /// The next action; none when the workflow is through.
    ///
    /// # Errors
    /// A loop that lets no time pass, a parameter that is not a number.
    pub fn next_action(&mut self) -> Result<Option<Action>, EngineError> {
        loop {
            let Some(level) = self.stack.last_mut() else { return Ok(None) };
            let Some(op) = level.ops.get(level.next).cloned() else {
                self.end_of_level()?;
                continue;
            };
            level.next += 1;
            match op {
                Op::State(state, substate) => (self.state, self.substate) = (state, substate),
                Op::Count(name) => {
                    let value = self.counter(&name) + 1;
                    self.counters.insert(name, value.into());
                }
                Op::Send(name) => return self.message(&name).map(Some),
                Op::Wait(amounts) => {
                    let mut micros = 0;
                    for amount in &amounts {
                        micros += self.micros(amount)?;
                    }
                    self.tick += micros;
                    return Ok(Some(Action::WaitUntil(self.tick)));
                }
                Op::Repeat(repeat) => self.enter(&repeat)?,
            }
        }
    }

    fn enter(&mut self, repeat: &Repeat) -> Result<(), EngineError> {
        let rule = match self.rule(repeat)? {
            // A loop bounded by time that has none does not even start.
            Rule::Until(end) if end <= self.tick => return Ok(()),
            rule => rule,
        };
        let steps: Arc<[Op]> = repeat.steps.clone().into();
        let lap = Lap {
            steps: Arc::clone(&steps),
            between: repeat.between.clone().into(),
            rule,
            done: 0,
            in_between: false,
            pass_started: self.tick,
        };
        self.stack.push(Level { ops: steps, next: 0, lap: Some(lap) });
        Ok(())
    }

    fn end_of_level(&mut self) -> Result<(), EngineError> {
        let tick = self.tick;
        let Some(level) = self.stack.last_mut() else { return Ok(()) };
        let Some(lap) = &mut level.lap else {
            self.stack.pop();
            return Ok(());
        };
        level.next = 0;
        if !lap.in_between {
            lap.done += 1;
            if matches!(lap.rule, Rule::Times(times) if lap.done >= times) {
                self.stack.pop();
                return Ok(());
            }
            lap.in_between = true;
            level.ops = Arc::clone(&lap.between);
            return Ok(());
        }
        match lap.rule {
            Rule::Until(end) if tick >= end => {
                self.stack.pop();
                return Ok(());
            }
            Rule::Until(_) | Rule::Endless if tick == lap.pass_started => {
                return Err(EngineError::Stuck(self.definition.name.clone()));
            }
            _ => {}
        }
        lap.in_between = false;
        lap.pass_started = tick;
        level.ops = Arc::clone(&lap.steps);
        Ok(())
    }

    fn rule(&self, repeat: &Repeat) -> Result<Rule, EngineError> {
        if let Some(times) = &repeat.times {
            let times = self.number(times)?;
            if times > 0.0 {
                return Ok(Rule::Times(times as u64));
            }
        }
        match &repeat.seconds {
            Some(seconds) => Ok(Rule::Until(self.tick + self.micros(seconds)?)),
            None => Ok(Rule::Endless),
        }
    }

    fn micros(&self, amount: &Amount) -> Result<u64, EngineError> {
        Ok((self.number(amount)? * MICROS).round() as u64)
    }

    fn number(&self, amount: &Amount) -> Result<f64, EngineError> {
        match amount {
            Amount::Number(number) => Ok(*number),
            Amount::Parameter(name) => self
                .parameters
                .get(name)
                .and_then(Value::as_f64)
                .filter(|number| *number >= 0.0)
                .ok_or_else(|| EngineError::NoNumber(name.clone())),
        }
    }

    fn message(&self, name: &str) -> Result<Action, EngineError> {
        let plan = self.definition.messages.get(name).ok_or_else(|| EngineError::NoMessage {
            workflow: self.definition.name.clone(),
            message: name.to_owned(),
        })?;
        let mut body = Map::new();
        body.insert("msg_type".into(), name.into());
        for (field, value) in &plan.fields {
            let value = match value {
                Field::Constant(value) => value.clone(),
                Field::Text(template) => template.render(&|name| self.value(name)),
            };
            body.insert(field.clone(), value);
        }
        let file = plan.file.as_ref().map(|file: &Template| {
            PathBuf::from(file.text(&|name| body.get(name).cloned().or_else(|| self.value(name))))
        });
        Ok(Action::Send { msg_type: name.to_owned(), destination: plan.destination.clone(), body, file })
    }

    fn value(&self, name: &str) -> Option<Value> {
        Some(match name {
            "namespace" => self.identity.namespace.clone().into(),
            "execution_id" => self.identity.execution_id.clone().into(),
            "run_id" => self.identity.run_id.clone().into(),
            "now" => crate::now().into(),
            "tick" => self.tick_value(),
            "state" => self.state.clone().into(),
            "substate" => self.substate.clone().into(),
            _ => {
                if let Some((_, template)) = self.definition.values.iter().find(|(known, _)| known == name) {
                    return Some(template.render(&|inner| self.value(inner)));
                }
                if let Some(value) = self.parameters.get(name) {
                    return Some(value.clone());
                }
                // A counter that no step has touched yet stands at 0.
                self.counters.get(name).cloned().unwrap_or_else(|| 0.into())
            }
        })
    }

    /// Whole seconds are whole numbers in messages, as the original sends them.
    fn tick_value(&self) -> Value {
        if self.tick.is_multiple_of(1_000_000) {
            (self.tick / 1_000_000).into()
        } else {
            self.tick_seconds().into()
        }
    }
}
