//! The commands and documents that submit a task. What users wrote is quoted for the shell.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

type Object = Map<String, Value>;

/// A task and all that belongs to it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Parts {
    task: Object,
    dataset: Object,
    config: Object,
    tags: [Object; 4],
    /// The configuration with the task's overrides.
    effective: Object,
}

/// What of a task its commands are made from.
const MATTERS: [&str; 4] = ["dataset", "prod_config", "csv_file", "overrides"];

/// Between the parts of a long command.
const NEXT: &str = " \\\n  ";

impl Parts {
    /// `tags`: physics, event generation, simulation, reconstruction.
    pub fn new(task: Object, dataset: Object, config: Object, tags: [Object; 4]) -> Parts {
        let effective = overlaid(&config, task.get("overrides"));
        Parts { task, dataset, config, tags, effective }
    }

    /// These parts with the task's row as it is now; `None` when they belong to another state of the task.
    pub fn for_task(mut self, task: Object) -> Option<Parts> {
        if MATTERS.iter().any(|name| self.task.get(*name) != task.get(*name)) {
            return None;
        }
        self.task = task;
        Some(self)
    }

    fn parameter(&self, tag: usize, name: &str) -> String {
        let parameters = self.tags.get(tag).and_then(|t| t.get("parameters"));
        text(parameters.and_then(|p| p.get(name)))
    }

    fn data(&self, name: &str) -> Option<&Value> {
        self.effective.get("data").and_then(|d| d.get(name)).filter(|v| !v.is_null())
    }

    fn data_or(&self, name: &str, usual: Value) -> Value {
        self.data(name).cloned().unwrap_or(usual)
    }

    fn set(&self, name: &str) -> bool {
        truthy(self.effective.get(name))
    }

    fn config(&self, name: &str) -> String {
        text(self.effective.get(name))
    }

    fn dataset(&self, name: &str) -> String {
        text(self.dataset.get(name))
    }

    /// The environment that both kinds of jobs get.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let flag = |name: &str| self.set(name).to_string();
        vec![
            ("EBEAM", self.parameter(0, "beam_energy_electron")),
            ("PBEAM", self.parameter(0, "beam_energy_hadron")),
            ("DETECTOR_VERSION", self.dataset("detector_version")),
            ("DETECTOR_CONFIG", self.dataset("detector_config")),
            ("JUG_XL_TAG", self.config("jug_xl_tag")),
            ("COPYRECO", flag("copy_reco")),
            ("COPYFULL", flag("copy_full")),
            ("COPYLOG", flag("copy_log")),
        ]
    }
}

/// A configuration under a task's overrides: columns are replaced, `data` key by key.
fn overlaid(config: &Object, overrides: Option<&Value>) -> Object {
    let mut out = config.clone();
    let Some(Value::Object(overrides)) = overrides else { return out };
    for (name, value) in overrides {
        match (out.get_mut(name), value) {
            (Some(Value::Object(stored)), Value::Object(given)) if name == "data" => {
                stored.extend(given.clone())
            }
            (Some(stored), _) => *stored = value.clone(),
            (None, _) => {}
        }
    }
    out
}

fn truthy(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Bool(b)) => *b,
        Some(Value::String(s)) => !s.is_empty(),
        Some(Value::Number(n)) => n.as_f64() != Some(0.0),
        Some(Value::Array(a)) => !a.is_empty(),
        Some(Value::Object(o)) => !o.is_empty(),
    }
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(s)) => s.clone(),
        Some(other) => other.to_string(),
    }
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

/// A text between double quotes that arrives as it is.
fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// The command for HTCondor.
pub fn condor(p: &Parts) -> String {
    let mut pairs = p.environment();
    if p.set("use_rucio") {
        pairs.push(("USERUCIO", "true".into()));
        pairs.push(("X509_USER_PROXY", "secrets/x509_user_proxy".into()));
    }
    pairs.push(("OUT_RSE", p.config("rucio_rse")));
    if p.set("bg_mixing") {
        for (name, parameter) in [("SIGNAL_FREQ", "signal_freq"), ("SIGNAL_STATUS", "signal_status")] {
            let value = p.parameter(1, parameter);
            pairs.push((name, if value.is_empty() { "0".into() } else { value }));
        }
        pairs.push(("TAG_PREFIX", p.parameter(1, "bg_tag_prefix")));
        pairs.push(("CSV_FILE", text(p.task.get("csv_file"))));
        pairs.push(("BG_FILES", p.parameter(1, "bg_files")));
    }
    let file = text(p.task.get("csv_file"));
    let file = if file.is_empty() { "<csv_file>".to_owned() } else { quoted(&file) };
    let hours = p.config("target_hours_per_job");
    let hours = if hours.is_empty() { "2".to_owned() } else { quoted(&hours) };
    let mut words: Vec<String> = pairs
        .into_iter()
        .filter(|(_, v)| !v.is_empty())
        .map(|(name, value)| format!("{name}={}", quoted(&value)))
        .collect();
    words.push(format!("scripts/submit_csv.sh osg_csv hepmc3 {file} {hours}"));
    words.join(NEXT)
}

/// The `prun` command for PanDA.
pub fn panda(p: &Parts) -> String {
    let mut words = vec!["prun".to_owned()];
    let exec = text(p.data("exec_command"));
    if !exec.is_empty() {
        words.push(format!("--exec {}", double_quoted(&exec)));
    }
    let data = |name: &str, usual: &str| text(Some(&p.data_or(name, usual.into())));
    for (option, value) in [
        ("--outDS", p.dataset("did")),
        ("--containerImage", p.config("container_image")),
        ("--site", p.config("panda_site")),
        ("--workingGroup", p.config("panda_working_group")),
        ("--resourceType", p.config("panda_resource_type")),
        ("--prodSourceLabel", data("prod_source_label", "test")),
        ("--vo", data("vo", "wlcg")),
        ("--processingType", data("processing_type", "")),
        ("--nJobs", data("n_jobs", "")),
        ("--nEventsPerJob", data("events_per_job", "")),
        ("--nCore", data("corecount", "")),
    ] {
        if !value.is_empty() {
            words.push(format!("{option} {}", quoted(&value)));
        }
    }
    for (option, name) in [("--noBuild", "no_build"), ("--expertOnly_skipScout", "skip_scout")] {
        if truthy(p.data(name)) {
            words.push(option.to_owned());
        }
    }
    words.join(NEXT)
}

/// The document for JEDI.
pub fn jedi(p: &Parts) -> Value {
    let name = p.dataset("dataset_name");
    let scope = p.dataset("scope");
    let group = match p.config("panda_working_group") {
        group if group.is_empty() => "EIC".to_owned(),
        group => group,
    };
    let fixed = json!({
        "taskName": name,
        "userName": text(p.task.get("created_by")),
        "vo": p.data_or("vo", "eic".into()),
        "workingGroup": group,
        "campaign": p.dataset("detector_version"),
        "prodSourceLabel": p.data_or("prod_source_label", "test".into()),
        "taskType": p.data_or("task_type", "production".into()),
        "processingType": p.data_or("processing_type", "epicproduction".into()),
        "taskPriority": p.data_or("task_priority", 900.into()),
        "transPath": p.data_or("transformation", "https://pandaserver-doma.cern.ch/trf/user/runGen-00-00-02".into()),
        "transUses": "",
        "transHome": "",
        "architecture": "",
        "container_name": p.config("container_image"),
        "noInput": true,
        "nFilesPerJob": p.data_or("files_per_job", 1.into()),
        "coreCount": p.data_or("corecount", 1.into()),
        "ramCount": p.data_or("ram_count", 2000.into()),
        "ramUnit": "MBPerCore",
        "site": p.config("panda_site"),
        "cloud": p.data_or("cloud", group.as_str().into()),
    });
    let log = json!({
        "dataset": format!("{scope}:{name}.log"),
        "type": "template",
        "param_type": "log",
        "token": "local",
        "destination": "local",
        "value": format!("{name}.log.${{SN}}.log.tgz"),
    });
    let parameters = json!([
        {"type": "constant", "value": job_command(p)},
        {
            "type": "template",
            "param_type": "output",
            "token": "local",
            "destination": "local",
            "dataset": format!("{scope}:{name}"),
            "value": format!("{name}.${{SN}}.root"),
            "offset": p.data_or("output_offset", 1000.into()),
        },
    ]);
    let mut out = fixed.as_object().cloned().unwrap_or_default();
    out.extend(limits(p));
    out.insert("log".into(), log);
    out.insert("jobParameters".into(), parameters);
    Value::Object(out)
}

/// What a JEDI document says only when the configuration does.
fn limits(p: &Parts) -> Object {
    let hours = p.config("target_hours_per_job").parse::<f64>().ok();
    let flag = |name: &str| p.data(name).filter(|v| truthy(Some(v))).map(|_| true.into());
    [
        ("nFiles", p.data("n_jobs").cloned()),
        ("nEventsPerJob", p.data("events_per_job").cloned()),
        ("nEvents", p.effective.get("events_per_task").filter(|v| truthy(Some(v))).cloned()),
        ("walltime", hours.filter(|h| *h > 0.0).map(|h| json!((h * 3600.0) as i64))),
        ("skipScout", flag("skip_scout")),
        ("disableAutoRetry", flag("disable_auto_retry")),
        ("useRucio", p.set("use_rucio").then(|| true.into())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}

/// What a JEDI job runs: the environment, then the command.
fn job_command(p: &Parts) -> String {
    let mut pairs = p.environment();
    if p.set("bg_mixing") {
        let background = [
            ("SIGNAL_FREQ", "signal_freq"),
            ("SIGNAL_STATUS", "signal_status"),
            ("TAG_PREFIX", "bg_tag_prefix"),
            ("BG_FILES", "bg_files"),
        ];
        pairs.extend(background.map(|(name, parameter)| (name, p.parameter(1, parameter))));
    }
    let words = pairs
        .into_iter()
        .filter(|(_, v)| !v.is_empty())
        .map(|(name, value)| format!("{name}={}", quoted(&value)));
    let exec = text(Some(&p.data_or("exec_command", "./run.sh".into())));
    words.chain([exec]).collect::<Vec<_>>().join(" ")
}

/// Everything about a task in one document.
pub fn dump(p: &Parts) -> Value {
    let some = |row: &Object, names: &[&str]| -> Value {
        names.iter().map(|n| ((*n).to_owned(), shown(n, row.get(*n)))).collect::<Object>().into()
    };
    let task = [
        "id",
        "name",
        "description",
        "status",
        "csv_file",
        "overrides",
        "created_by",
        "created_at",
        "updated_at",
    ];
    let dataset = [
        "id",
        "dataset_name",
        "did",
        "scope",
        "detector_version",
        "detector_config",
        "blocks",
        "description",
        "created_by",
        "created_at",
    ];
    let tag = ["tag_label", "tag_number", "status", "description", "parameters", "created_by", "created_at"];
    let stored: Object =
        p.config.iter().filter(|(n, _)| *n != "id").map(|(n, v)| (n.clone(), utc(Some(v)))).collect();
    let effective: Object = p
        .effective
        .iter()
        .filter(|(n, _)| !["id", "created_at", "updated_at"].contains(&n.as_str()))
        .map(|(n, v)| (n.clone(), shown(n, Some(v))))
        .collect();
    let tags: Object = ["physics", "evgen", "simu", "reco"]
        .iter()
        .zip(&p.tags)
        .map(|(name, row)| ((*name).to_owned(), some(row, &tag)))
        .collect();
    json!({
        "task": some(&p.task, &task),
        "dataset": some(&p.dataset, &dataset),
        "tags": tags,
        "prod_config": stored,
        "effective_config": effective,
    })
}

/// A value of the dump; documents that are absent are shown as empty ones.
fn shown(name: &str, value: Option<&Value>) -> Value {
    match utc(value) {
        Value::Null if matches!(name, "overrides" | "data") => json!({}),
        value => value,
    }
}

/// Moments of such documents are in UTC with `+00:00`.
fn utc(value: Option<&Value>) -> Value {
    let value = value.cloned().unwrap_or_default();
    let Some(text) = value.as_str().filter(|t| t.len() >= 20 && t.as_bytes().get(10) == Some(&b'T')) else {
        return value;
    };
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) => crate::time::iso(time.to_utc()).into(),
        Err(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_wrote_stays_one_word() {
        assert_eq!(quoted("epic_craterlake"), "epic_craterlake");
        assert_eq!(quoted("a; rm -rf 'x'"), "'a; rm -rf '\"'\"'x'\"'\"''");
        assert_eq!(double_quoted("echo \"$HOME\""), "\"echo \\\"\\$HOME\\\"\"");
    }

    #[test]
    fn overrides_replace_columns_and_extend_data() {
        let object = |v: Value| v.as_object().cloned().unwrap();
        let config = object(json!({"panda_site": "A", "data": {"vo": "x", "n_jobs": 1}}));
        let overrides = json!({"panda_site": "B", "data": {"n_jobs": 2}, "unknown": 1});
        let out = overlaid(&config, Some(&overrides));
        assert_eq!(Value::Object(out), json!({"panda_site": "B", "data": {"vo": "x", "n_jobs": 2}}));
    }
}
