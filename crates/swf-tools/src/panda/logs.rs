//! Where a job's logs are, and what they say.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::Panda;
use super::classify::{classify, layer};
use super::errors::JobError;
use super::excerpt::excerpt;
use crate::links::encode;

/// The NERSC portal either answers at once or not at all.
const PORTAL_LIMIT: Duration = Duration::from_secs(5);

/// What `pilotid` says: `stdout|batch system|tag|version` or `stdout|tag|version`.
pub struct Pilot {
    /// Addresses of the pilot's logs.
    pub urls: Map<String, Value>,
    /// Batch system.
    pub kind: Option<String>,
    /// Version.
    pub version: Option<String>,
}

/// Reads `pilotid`.
pub fn pilot(pilotid: Option<&str>) -> Pilot {
    let parts: Vec<&str> =
        pilotid.filter(|p| p.contains('|')).map(|p| p.split('|').collect()).unwrap_or_default();
    let mut urls = Map::new();
    if let Some(stdout) = parts.first().filter(|s| s.starts_with("http")) {
        urls.insert("pilot_stdout".into(), json!(stdout));
        // Only the ending tells the three apart; `.out` may stand in host or path too.
        if let Some(stem) = stdout.strip_suffix(".out") {
            urls.insert("pilot_stderr".into(), json!(format!("{stem}.err")));
            urls.insert("batch_log".into(), json!(format!("{stem}.log")));
        }
    }
    let owned = |at: usize| parts.get(at).filter(|p| !p.is_empty()).map(|p| (*p).to_owned());
    match parts.len() {
        0..=2 => Pilot { urls, kind: None, version: None },
        3 => Pilot { urls, kind: None, version: owned(2) },
        _ => Pilot { urls, kind: owned(1), version: owned(3) },
    }
}

static SLURM: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"href="?'?(?:[^"'>]*/)?(slurm-\d+-task\d+-panda\d+\.out)"#).ok());

/// Logs that a Perlmutter job copied to the NERSC portal; none when the portal does not have them.
pub async fn portal(panda: &Panda, site: &str, pandaid: i64) -> Option<Map<String, Value>> {
    let base = panda.settings().nersc_url.as_deref()?.trim_end_matches('/');
    if !site.starts_with("NERSC_Perlmutter") {
        return None;
    }
    let folder = format!("{base}/{}/{pandaid}/", encode(site));
    let asked = panda.fetcher().get(&folder, "text/html");
    let answer = tokio::time::timeout(PORTAL_LIMIT, asked).await.ok()?.ok()?;
    if answer.status != 200 {
        return None;
    }
    let mut urls = Map::new();
    urls.insert("nersc_log_dir".into(), json!(folder));
    urls.insert("pilot_stdout".into(), json!(format!("{folder}pilotlog.txt")));
    let page = answer.text();
    if let Some(file) = SLURM.as_ref().and_then(|s| s.captures(&page)).and_then(|c| c.get(1)) {
        urls.insert("slurm_task_stdout".into(), json!(format!("{folder}{}", file.as_str())));
    }
    Some(urls)
}

/// What is known of a job before its log is read.
pub struct Case<'a> {
    /// The job.
    pub pandaid: i64,
    /// Its errors.
    pub errors: &'a [JobError],
    /// Its substatus.
    pub substatus: &'a str,
    /// What the server told the pilot.
    pub command: &'a str,
    /// Addresses of its logs.
    pub urls: &'a Map<String, Value>,
}

/// Finds the log, takes the telling lines, and says what kind of failure it was. Without a log the codes
/// still say the kind.
pub async fn analysis(panda: &Panda, case: Case<'_>) -> Value {
    let pilot = case.errors.iter().find(|e| e.component == "pilot");
    let code = pilot.map_or(0, JobError::number);
    let diag = pilot.and_then(|e| e.diag.clone()).unwrap_or_default();
    let wanted = if code == 1305 { "payload.stdout" } else { "pilotlog.txt" };
    let mut texts: String =
        case.errors.iter().filter_map(|e| e.diag.as_deref()).collect::<Vec<_>>().join("\n");
    texts.push_str(&format!("\n{}\n{}", case.substatus, case.command));
    let found = find(panda, &case, wanted).await;
    let (log, source, name) = match found {
        Ok(found) => found,
        Err(why) => {
            let kind = classify(case.errors, case.substatus, &texts);
            return json!({
                "failure_type": kind, "layer": layer(kind), "log_filename": wanted,
                "log_available": false, "reason": why,
            });
        }
    };
    let lines = excerpt(&log, name == "payload.stdout", code, &diag);
    texts.push('\n');
    texts.push_str(&lines);
    let kind = classify(case.errors, case.substatus, &texts);
    let mut out = json!({
        "failure_type": kind, "log_filename": name, "log_source": source, "log_excerpt": lines,
        "log_available": true, "layer": layer(kind),
    });
    if let Some(out) = out.as_object_mut()
        && name == "payload.stdout"
    {
        out.insert("phases".into(), phases(&log));
    }
    out
}

/// The log's text, its source and its name; or why there is none.
async fn find(
    panda: &Panda,
    case: &Case<'_>,
    wanted: &str,
) -> Result<(String, &'static str, String), String> {
    if !panda.fetcher().has_hosts() {
        return Err("no log host is configured (PanDA monitor API, NERSC portal or log hosts)".into());
    }
    let mut reasons = Vec::new();
    match browse(panda, case.pandaid, wanted).await {
        Ok(text) => return Ok((text, "filebrowser", wanted.to_owned())),
        Err(why) => reasons.push(why),
    }
    match case.urls.get("pilot_stdout").and_then(Value::as_str) {
        None => reasons.push("the job has no log address".into()),
        Some(url) => match panda.fetcher().get(url, "text/plain").await {
            Ok(answer) if answer.status == 200 && !answer.body.is_empty() && !is_page(&answer) => {
                let portal = case.urls.contains_key("nersc_log_dir");
                let source = if portal { "nersc_portal" } else { "harvester" };
                // From here comes the pilot's log, whatever was wanted.
                return Ok((answer.text(), source, "pilotlog.txt".into()));
            }
            Ok(answer) => reasons.push(format!("{url} gave status {} and no log", answer.status)),
            Err(why) => reasons.push(why),
        },
    }
    Err(reasons.join("; "))
}

/// A log page instead of a log: a login form, mostly.
fn is_page(answer: &super::fetch::Fetched) -> bool {
    let start: String = answer.text().trim_start().chars().take(15).collect::<String>().to_lowercase();
    answer.content_type.contains("html") || start.starts_with("<!doctype html") || start.starts_with("<html")
}

async fn browse(panda: &Panda, pandaid: i64, wanted: &str) -> Result<String, String> {
    let Some(base) = panda.settings().api_url.as_deref() else {
        return Err("no PanDA monitor API is configured".into());
    };
    let url = format!("{}/filebrowser/?pandaid={pandaid}&json&filename={wanted}", base.trim_end_matches('/'));
    let answer = panda.fetcher().get(&url, "text/plain, application/json").await?;
    if answer.content_type.contains("json") {
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let error = said.get("error").and_then(Value::as_str).unwrap_or("no log");
        return Err(format!("the log browser says: {error}"));
    }
    match (answer.status, is_page(&answer)) {
        (200, false) if !answer.body.is_empty() => Ok(answer.text()),
        (200, true) => Err("the log browser asks for a login".into()),
        (status, _) => Err(format!("the log browser answered {status}")),
    }
}

/// How far a reconstruction job came, by what its payload prints.
fn phases(log: &str) -> Value {
    let lower = log.to_lowercase();
    let has = |marks: &[&str]| marks.iter().any(|m| lower.contains(m));
    json!({
        "reconstruction_complete": has(&["finished processing."]),
        "reco_validation_passed": lower.lines().any(|l| l.starts_with("valid:") && l.contains(".edm4eic.root")),
        "output_registration_attempted": has(&["trying upload with"]),
        "output_registration_failed": has(&["nofilesuploaded", "rse checksum unavailable"]),
        "already_registered_by_an_earlier_attempt": has(&["dataidentifieralreadyexists"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pilot_id_gives_addresses_and_versions() {
        let p = pilot(Some("https://h.out.org/x.out/a.out|HTCONDOR|PR|3.10.1.20"));
        assert_eq!(p.urls.get("pilot_stderr"), Some(&json!("https://h.out.org/x.out/a.err")));
        assert_eq!((p.kind.as_deref(), p.version.as_deref()), (Some("HTCONDOR"), Some("3.10.1.20")));
        let p = pilot(Some("unknown|PR|3.9"));
        assert_eq!((p.urls.len(), p.version.as_deref()), (0, Some("3.9")));
        let p = pilot(Some("https://h/logs/None|slurm|PR|3.1"));
        assert_eq!(p.urls.len(), 1);
        assert!(pilot(None).urls.is_empty());
    }

    #[test]
    fn the_payload_tells_how_far_it_came() {
        let log =
            "Finished processing.\nVALID: 120 a.eicrecon.edm4eic.root\nTrying upload with root to BNL\n";
        let p = phases(log);
        assert_eq!(p.get("reco_validation_passed"), Some(&json!(true)));
        assert_eq!(p.get("output_registration_failed"), Some(&json!(false)));
    }
}
