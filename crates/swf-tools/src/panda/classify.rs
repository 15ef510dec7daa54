//! What kind of failure a job had: by its codes, which are the best evidence, then by the texts.

use std::sync::LazyLock;

use regex::Regex;

use super::errors::JobError;

/// Categories by text, in the order in which they are tried.
static TEXTS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let table = [
        ("reassigned_by_jedi", r"reassigned by jedi|toreassign"),
        ("stageout_timeout", r"timed out during stage-out|timeout during stage-out"),
        ("stagein_timeout", r"file transfer timed out|timeout during stage-in|cp_timeout"),
        ("lost_heartbeat", r"lost heartbeat"),
        // `timeout=90` in an option is no time-out.
        (
            "timeout",
            r"timeout(?:[^=\w]|$)|timed out|walltime|wall time|cpu time exceeded|tobekilled|allowed duration",
        ),
        ("segfault", r"segmentation (?:fault|violation)|sigsegv|signal 11\b"),
        ("disk_full", r"no space left|disk quota|disk full|work directory.*too large"),
        ("memory", r"out of memory|oom killer|memory limit|job has exceeded the memory"),
        ("network", r"connection refused|network unreachable|dns failure|socket error"),
        ("input_missing", r"no such file|file not found|input file missing"),
        ("stagein_failed", r"failed to stage-in|stage-in failed"),
        ("stageout_failed", r"failed to stage-out|stage-out failed"),
        (
            "payload_error",
            r"athena|traceback|uncaught exception|\bexception\b|\babort(?:ed)?\b|core dump|command not found",
        ),
    ];
    table.into_iter().filter_map(|(name, text)| Some((name, Regex::new(text).ok()?))).collect()
});

/// The category of a failure. `texts` are diagnostics, substatus and log excerpt.
pub fn classify(errors: &[JobError], substatus: &str, texts: &str) -> &'static str {
    by_code(errors, substatus).unwrap_or_else(|| {
        let texts = texts.to_lowercase();
        let found = TEXTS.iter().find(|(_, r)| r.is_match(&texts)).map(|(name, _)| *name);
        let pilot = errors.iter().any(|e| e.component == "pilot");
        found.unwrap_or(if pilot { "pilot_error" } else { "unknown" })
    })
}

fn by_code(errors: &[JobError], substatus: &str) -> Option<&'static str> {
    let number = |component: &str| errors.iter().find(|e| e.component == component).map(JobError::number);
    let reassigned = errors.iter().any(|e| {
        e.component == "taskbuffer"
            && (matches!(e.number(), 102 | 105 | 130)
                || e.diag.as_deref().is_some_and(|d| d.to_lowercase().contains("reassigned by jedi")))
    });
    if reassigned || substatus == "toreassign" {
        return Some("reassigned_by_jedi");
    }
    let exit = number("executor").or_else(|| number("transformation"));
    match number("pilot") {
        Some(1151) => return Some("stagein_timeout"),
        Some(1152) => return Some("stageout_timeout"),
        Some(1204 | 1213 | 1317) => return Some("timeout"),
        Some(1328) => return Some("segfault"),
        Some(1098 | 1104) => return Some("disk_full"),
        Some(1212 | 1223 | 1235) => return Some("memory"),
        Some(1318 | 1327) => return Some("network"),
        Some(1100 | 1103 | 1326 | 1331) => return Some("input_missing"),
        Some(1099) => return Some("stagein_failed"),
        Some(1137) => return Some("stageout_failed"),
        Some(1305) => match exit {
            Some(139) => return Some("segfault"),
            Some(137) => return Some("memory"),
            Some(152) => return Some("timeout"),
            _ => {}
        },
        _ => {}
    }
    match (number("supervisor"), number("dispatcher")) {
        (Some(4214 | 4215 | 5520 | 6815), _) => Some("timeout"),
        (Some(4211 | 5530 | 5531), _) => Some("memory"),
        (_, Some(100)) => Some("lost_heartbeat"),
        _ => None,
    }
}

/// Who has to look: the payload's people, the site, the storage's, PanDA's, or nobody.
pub fn layer(category: &str) -> &'static str {
    match category {
        "payload_error" | "segfault" => "payload",
        "stagein_timeout" | "stageout_timeout" | "stagein_failed" | "stageout_failed" | "input_missing" => {
            "storage"
        }
        "timeout" | "lost_heartbeat" | "disk_full" | "memory" | "network" => "site or limits",
        "reassigned_by_jedi" => "none: a decision of PanDA",
        _ => "not clear",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(component: &'static str, code: i64, diag: &str) -> JobError {
        JobError { component, code: code.to_string(), diag: Some(diag.into()) }
    }

    #[test]
    fn codes_are_believed_before_texts() {
        let out = [error("pilot", 1152, "File transfer timed out during stage-out")];
        assert_eq!(classify(&out, "", "file transfer timed out during stage-out"), "stageout_timeout");
        let crash = [error("executor", 139, ""), error("pilot", 1305, "")];
        assert_eq!(classify(&crash, "", "timeout"), "segfault");
        let lost = [error("dispatcher", 100, "lost heartbeat")];
        assert_eq!(classify(&lost, "", ""), "lost_heartbeat");
        assert_eq!(classify(&[error("taskbuffer", 100, "reassigned by JEDI")], "", ""), "reassigned_by_jedi");
    }

    #[test]
    fn texts_decide_where_codes_say_nothing() {
        assert_eq!(TEXTS.len(), 13, "every pattern compiles");
        let failed = [error("pilot", 1305, "")];
        let of = |text: &str| classify(&failed, "", text);
        assert_eq!(of("ran with timeout=90 and then: No space left on device"), "disk_full");
        assert_eq!(of("Segmentation fault (core dumped)"), "segfault");
        assert_eq!(of("work directory of job is too large"), "disk_full");
        assert_eq!(of("nothing of note"), "pilot_error");
        assert_eq!(classify(&[], "", "nothing of note"), "unknown");
        assert_eq!(of("eicrecon: command not found"), "payload_error");
    }
}
