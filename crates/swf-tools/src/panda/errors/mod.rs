//! What PanDA's error numbers mean and what a person does about them.
//!
//! *Invariant:* an unknown number is said to be unknown, never guessed at.

mod dictionary;
mod pilot;
mod server;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use dictionary::{Dictionary, TABLES};

/// Component names of the tools with the prefix of their columns, in the order of every answer.
pub const COMPONENTS: [(&str, &str); 7] = [
    ("brokerage", "brokerage"),
    ("ddm", "ddm"),
    ("executor", "exe"),
    ("dispatcher", "jobdispatcher"),
    ("pilot", "pilot"),
    ("supervisor", "sup"),
    ("taskbuffer", "taskbuffer"),
];

/// What kind of fault a code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Data or storage.
    Data,
    /// A resource limit.
    Limit,
    /// The payload.
    Payload,
    /// The worker's environment or set-up.
    Environment,
    /// Network or a service.
    Service,
    /// Killed from outside.
    Killed,
    /// PanDA itself.
    Internal,
    /// A decision of a person or of PanDA, not a fault.
    Decision,
    /// Not in the catalogue.
    Unknown,
}

/// A known code.
pub struct Code {
    /// The number.
    pub code: i64,
    /// Its name in the source.
    pub name: &'static str,
    /// Kind of fault.
    pub class: Class,
    /// What happened.
    pub meaning: &'static str,
    /// What a person does; empty where the class says it.
    pub action: &'static str,
}

/// An entry of the catalogue tables.
pub(crate) const fn code(
    code: i64,
    name: &'static str,
    class: Class,
    meaning: &'static str,
    action: &'static str,
) -> Code {
    Code { code, name, class, meaning, action }
}

/// A code in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Name of the code in PanDA's sources.
    pub name: String,
    /// What happened.
    pub meaning: String,
    /// What a person does about it.
    pub action: String,
    /// Kind of fault.
    pub class: Class,
    /// `system` or `user`, where PanDA's own table classifies the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responsible: Option<String>,
    /// True for decisions (kills, reassignments): not a fault.
    pub benign: bool,
}

/// Explains a component's code; `diag` tells kills apart.
pub fn explain(component: &str, number: i64, diag: &str) -> Explanation {
    let known = match component {
        "pilot" => pilot::CODES.iter().find(|c| c.code == number),
        "dispatcher" => server::DISPATCHER.iter().find(|c| c.code == number),
        "taskbuffer" => server::TASKBUFFER.iter().find(|c| c.code == number),
        "ddm" => server::DDM.iter().find(|c| c.code == number),
        "supervisor" => server::SUPERVISOR.iter().find(|c| c.code == number),
        _ => None,
    };
    if component == "taskbuffer" && number == 100 {
        return kill(diag);
    }
    if let Some(known) = known {
        return known.explanation();
    }
    match component {
        "executor" | "transformation" => exit(number),
        "supervisor" => server::range(number),
        _ => unknown(component, number),
    }
}

/// Explains an exit code kept as text (`transexitcode`).
pub fn explain_exit(text: &str) -> Explanation {
    match text.trim().parse::<i64>() {
        Ok(number) => exit(number),
        Err(_) => Explanation {
            name: "exit text".into(),
            meaning: "the payload's wrapper reported words instead of an exit code".into(),
            action: "read the words and the end of payload.stdout".into(),
            class: Class::Payload,
            responsible: None,
            benign: false,
        },
    }
}

impl Code {
    fn explanation(&self) -> Explanation {
        let action = if self.action.is_empty() { self.class.action() } else { self.action };
        Explanation {
            name: self.name.into(),
            meaning: self.meaning.into(),
            action: action.into(),
            class: self.class,
            responsible: None,
            benign: self.class == Class::Decision,
        }
    }
}

impl Class {
    /// What a person does about this kind of fault when the code itself has no better advice.
    pub fn action(self) -> &'static str {
        match self {
            Class::Data => {
                "look at the storage element and at Rucio; compare other jobs with the same destination or input"
            }
            Class::Limit => "compare the job's use with the queue's limits; split the work or ask for more",
            Class::Payload => "read payload.stdout and payload.stderr; try the same input by hand",
            Class::Environment => "look whether only this site or node has it; tell the site",
            Class::Service => "wait and see whether retries succeed; look at the service named in the text",
            Class::Killed => "look at the batch side: wall time, memory, preemption, node drain",
            Class::Internal => "read pilotlog.txt; report it to the PanDA team if it repeats",
            Class::Decision => "nothing: this is a decision, not a fault",
            Class::Unknown => "ask the owner of the component; keep the number and the text",
        }
    }
}

fn unknown(component: &str, number: i64) -> Explanation {
    let owner = match component {
        "pilot" => "the pilot team",
        "supervisor" => "the Harvester team",
        "ddm" => "the PanDA server team (data)",
        _ => "the PanDA server team",
    };
    Explanation {
        name: "not in the catalogue".into(),
        meaning: format!("{component} code {number} is not known here"),
        action: format!("ask {owner}; keep the number and the text"),
        class: Class::Unknown,
        responsible: None,
        benign: false,
    }
}

/// Taskbuffer 100: the text says who decided.
fn kill(diag: &str) -> Explanation {
    let text = diag.to_lowercase();
    let (meaning, action) = if text.contains("reassign") {
        (
            "PanDA took the job back to run its work elsewhere; a new job replaces it",
            "nothing: look at the replacing job",
        )
    } else if text.contains("almost") && text.contains("done") {
        ("the task was nearly done and this job was no longer needed", "nothing")
    } else if text.contains("by the pilot") {
        ("the pilot gave the job back", "nothing, unless one site does it often")
    } else if text.contains("killed by") || text.contains("kill by") {
        ("a person or a service killed it on purpose; the text says who", "ask the person named in the text")
    } else {
        ("it was killed on command; the text says by what", "read the text; nothing needs repair")
    };
    Explanation {
        name: "EC_Kill".into(),
        meaning: meaning.into(),
        action: action.into(),
        class: Class::Decision,
        responsible: None,
        benign: true,
    }
}

/// Shell exit codes of payload and wrapper.
fn exit(number: i64) -> Explanation {
    let found = server::EXITS.iter().find(|c| c.code == number);
    if let Some(found) = found {
        return found.explanation();
    }
    let (name, meaning) = match number {
        129..=192 => ("signal", format!("the payload was ended by signal {}", number - 128)),
        _ => (
            "exit code",
            format!("the payload ended with exit code {number}; its own documentation says what that is"),
        ),
    };
    Explanation {
        name: name.into(),
        meaning,
        action: Class::Payload.action().into(),
        class: Class::Payload,
        responsible: None,
        benign: false,
    }
}

/// One error of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobError {
    /// Component.
    pub component: &'static str,
    /// Code; text for `transformation`.
    pub code: String,
    /// Diagnostic.
    pub diag: Option<String>,
}

impl JobError {
    /// The code as a number, when it is one.
    pub fn number(&self) -> i64 {
        self.code.trim().parse().unwrap_or(0)
    }

    /// The code in words.
    pub fn explanation(&self) -> Explanation {
        if self.component == "transformation" {
            return explain_exit(&self.code);
        }
        explain(self.component, self.number(), self.diag.as_deref().unwrap_or_default())
    }
}

/// The error that says most about why a job ended: decisions first for jobs that were closed or cancelled,
/// then what the worker saw, then the batch slot, then the server, then the payload.
pub fn cause<'a>(errors: &'a [JobError], status: &str) -> Option<&'a JobError> {
    let find = |component: &str| errors.iter().find(|e| e.component == component);
    let others = errors.len() > 1;
    let decided = matches!(status, "closed" | "cancelled");
    if decided && let Some(e) = find("taskbuffer").filter(|e| e.explanation().benign) {
        return Some(e);
    }
    let strong = find("pilot").filter(|e| matches!(e.number(), 1305 | 1235));
    let supervisor = find("supervisor").filter(|e| e.number() >= 1000 && !(others && e.number() == 8970));
    let ddm = find("ddm").filter(|e| !(others && e.number() == 200));
    let taskbuffer = find("taskbuffer").filter(|e| supervisor.is_none() && !(others && e.number() == 300));
    strong
        .or_else(|| find("pilot"))
        .or(supervisor)
        .or_else(|| find("dispatcher"))
        .or(ddm)
        .or_else(|| find("executor"))
        .or_else(|| find("transformation"))
        .or(taskbuffer)
        .or_else(|| errors.first())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(component: &'static str, code: i64, diag: &str) -> JobError {
        JobError { component, code: code.to_string(), diag: Some(diag.into()) }
    }

    #[test]
    fn codes_have_names_meanings_and_actions() {
        let e = explain("pilot", 1305, "");
        assert_eq!(e.name, "PAYLOADEXECUTIONFAILURE");
        assert!(e.action.contains("payload.stdout") && !e.benign);
        assert_eq!(explain("dispatcher", 100, "").name, "EC_Watcher");
        assert!(explain("executor", 139, "").meaning.contains("segmentation"));
        assert!(explain("executor", 140, "").meaning.contains("signal 12"));
        assert_eq!(explain("supervisor", 4215, "").class, Class::Limit);
    }

    #[test]
    fn an_unknown_number_is_said_to_be_unknown() {
        let e = explain("pilot", 99_999, "");
        assert_eq!((e.class, e.meaning.as_str()), (Class::Unknown, "pilot code 99999 is not known here"));
        assert!(e.action.contains("the pilot team"));
    }

    #[test]
    fn kills_are_decisions_and_faults_are_not() {
        assert!(explain("taskbuffer", 100, "reassigned by JEDI").benign);
        assert!(explain("taskbuffer", 105, "").benign);
        assert!(!explain("pilot", 1137, "").benign);
        assert!(!explain("taskbuffer", 300, "").benign);
    }

    #[test]
    fn the_cause_is_what_says_most() {
        let both = [error("dispatcher", 100, "lost heartbeat"), error("supervisor", 5520, "too long")];
        assert_eq!(cause(&both, "failed").map(|e| e.component), Some("supervisor"));
        let swept = [error("dispatcher", 100, "lost heartbeat"), error("supervisor", 8970, "removed")];
        assert_eq!(cause(&swept, "failed").map(|e| e.component), Some("dispatcher"));
        let killed = [error("pilot", 1144, "killed"), error("taskbuffer", 100, "killed by x")];
        assert_eq!(cause(&killed, "cancelled").map(|e| e.component), Some("taskbuffer"));
        assert_eq!(cause(&killed, "failed").map(|e| e.component), Some("pilot"));
        assert_eq!(cause(&[], "failed"), None);
    }
}
