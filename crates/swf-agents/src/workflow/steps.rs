//! The steps of a workflow: their text and their compiled form.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

/// Seconds: a number or the value of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Amount {
    /// As written.
    Number(f64),
    /// Name of a parameter.
    Parameter(String),
}

/// One step of the program.
#[derive(Debug, Clone)]
pub enum Op {
    /// The machine is in this state and substate from now on.
    State(String, String),
    /// Count one up.
    Count(String),
    /// Send the message of that name.
    Send(String),
    /// Let simulated time pass.
    Wait(Vec<Amount>),
    /// Run steps again and again.
    Repeat(Box<Repeat>),
}

/// A loop. With `times` other than 0 exactly so many passes, `between` only between them. Else, with `seconds`,
/// passes while less time than that has passed, `between` after each. Else endless, `between` after each.
#[derive(Debug, Clone)]
pub struct Repeat {
    /// Number of passes.
    pub times: Option<Amount>,
    /// Time the loop may start passes.
    pub seconds: Option<Amount>,
    /// The pass.
    pub steps: Vec<Op>,
    /// What comes between passes.
    pub between: Vec<Op>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepText {
    state: Option<String>,
    count: Option<String>,
    send: Option<String>,
    #[serde(default, deserialize_with = "any_value")]
    wait: Option<Value>,
    repeat: Option<RepeatText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RepeatText {
    #[serde(default, deserialize_with = "any_value")]
    times: Option<Value>,
    #[serde(default, deserialize_with = "any_value")]
    seconds: Option<Value>,
    steps: Vec<StepText>,
    #[serde(default)]
    between: Vec<StepText>,
}

pub(super) fn any_value<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Names of all counters.
pub(super) fn collect_counters(ops: &[Op], counters: &mut BTreeSet<String>) {
    for op in ops {
        match op {
            Op::Count(name) => {
                counters.insert(name.clone());
            }
            Op::Repeat(repeat) => {
                collect_counters(&repeat.steps, counters);
                collect_counters(&repeat.between, counters);
            }
            _ => {}
        }
    }
}

/// A step does what it holds in this order: state, count, send, wait, repeat.
pub(super) fn compile(steps: Vec<StepText>, key: &str) -> Result<Vec<Op>, (String, String)> {
    let mut ops = Vec::new();
    for (index, step) in steps.into_iter().enumerate() {
        let key = format!("{key}[{index}]");
        let before = ops.len();
        if let Some(state) = step.state {
            let (state, substate) = state
                .split_once('/')
                .ok_or_else(|| (format!("{key}.state"), format!("{state:?} must be state/substate")))?;
            ops.push(Op::State(state.to_owned(), substate.to_owned()));
        }
        ops.extend(step.count.map(Op::Count));
        ops.extend(step.send.map(Op::Send));
        if let Some(wait) = step.wait {
            ops.push(Op::Wait(amounts(wait).map_err(|why| (format!("{key}.wait"), why))?));
        }
        if let Some(repeat) = step.repeat {
            let one = |value: Option<Value>, name: &str| {
                value.map(amount).transpose().map_err(|why| (format!("{key}.repeat.{name}"), why))
            };
            ops.push(Op::Repeat(Box::new(Repeat {
                times: one(repeat.times, "times")?,
                seconds: one(repeat.seconds, "seconds")?,
                steps: compile(repeat.steps, &format!("{key}.repeat.steps"))?,
                between: compile(repeat.between, &format!("{key}.repeat.between"))?,
            })));
        }
        if ops.len() == before {
            return Err((key, "an empty step; give state, count, send, wait or repeat".into()));
        }
    }
    Ok(ops)
}

fn amounts(value: Value) -> Result<Vec<Amount>, String> {
    match value {
        Value::Array(items) => items.into_iter().map(amount).collect(),
        other => Ok(vec![amount(other)?]),
    }
}

fn amount(value: Value) -> Result<Amount, String> {
    match value {
        Value::String(name) => Ok(Amount::Parameter(name)),
        Value::Number(number) => match number.as_f64() {
            Some(number) if number >= 0.0 => Ok(Amount::Number(number)),
            _ => Err(format!("{number} must not be negative")),
        },
        other => Err(format!("{other} must be a number or the name of a parameter")),
    }
}
