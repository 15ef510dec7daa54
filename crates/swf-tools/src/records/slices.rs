//! Slices in bulk: made in one statement per few hundred, finished in one, and the run's counts moved with them.
//!
//! *Invariant:* the counts of `swf_run_state` change in the same transaction as the slices, and only by what
//! really changed; a slice goes queued, processing, then completed or failed, and never back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value as JsonValue, json};
use swf_db::{Json, Row, Sql, Tx, Value};

use super::batch::{CHUNK, Outcome, number, refuse, stored, text};
use super::fields::{self, NewRow, Written};
use super::resources::tf_slices::RESOURCE;
use super::validate::Input;
use super::{Error, Store, times, validate};

/// What an agent says about a slice.
#[derive(Debug, Clone)]
struct Report {
    run_number: i64,
    tf_filename: String,
    slice_id: i64,
    status: &'static str,
    assigned_worker: String,
    metadata: Option<Map<String, JsonValue>>,
    at: DateTime<Utc>,
}

/// What a batch of results did.
#[derive(Debug, Default, serde::Serialize)]
pub struct Results {
    /// Reports that changed a slice.
    pub updated: u64,
    /// Reports that said nothing new.
    pub unchanged: u64,
    /// Slices that do not exist.
    pub unknown: Vec<JsonValue>,
}

#[derive(Debug, Deserialize)]
struct Slice {
    id: i64,
    tf_filename: String,
    slice_id: i64,
    run_number: i64,
    status: String,
    metadata: Option<Json>,
    #[serde(skip)]
    change: Option<Changed>,
}

#[derive(Debug, Clone)]
struct Changed {
    worker: String,
    at: DateTime<Utc>,
    documented: bool,
}

/// Changes of counts by run and status.
type Moves = BTreeMap<i64, BTreeMap<String, i64>>;

impl Store {
    /// Newer clients name the time frame file (`fastmon_file`) instead of the two file names of a slice.
    pub(super) async fn name_files(&self, input: &mut Input) -> Result<(), Error> {
        let fields = &mut input.fields;
        let Some(name) = fields.get("fastmon_file").and_then(JsonValue::as_str).map(str::to_owned) else {
            return Ok(());
        };
        if !fields.contains_key("stf_filename") {
            let sql = Sql::new("SELECT s.stf_filename FROM swf_fastmon_files AS f").with(
                "JOIN swf_stf_files AS s ON s.file_id = f.stf_file_id WHERE f.tf_filename = ?",
                [name.as_str().into()],
            );
            let Some(stf) = self.db.fetch_optional::<String>(&sql).await? else {
                let why = format!("Object with tf_filename={name} does not exist.");
                return Err(Error::field("fastmon_file", why));
            };
            fields.insert("stf_filename".into(), stf.into());
        }
        fields.entry("tf_filename").or_insert_with(|| name.into());
        Ok(())
    }

    /// Makes slices that do not exist yet. `parent` is the time frame file they were cut from.
    pub async fn add_slices(&self, items: Vec<JsonValue>, parent: Option<&str>) -> Result<Outcome, Error> {
        let (mut good, rejected) = self.read_items(&RESOURCE, items);
        refuse(rejected)?;
        if let Some(parent) = parent {
            good.iter_mut().for_each(|row| name_parent(row, parent));
        }
        // Batches that overlap take their locks in the same order.
        good.sort_by_key(|row| (text(row, "tf_filename"), number(row, "slice_id")));
        let now = self.clock.now();
        let later = self.later().await?;
        let mut tx = self.db.begin().await?;
        lock_runs(&mut tx, &good).await?;
        let mut moves = Moves::new();
        let mut sampled: BTreeMap<(i64, String), i64> = BTreeMap::new();
        let mut created = 0;
        for chunk in good.chunks(CHUNK) {
            let rows: Vec<NewRow> =
                chunk.iter().map(|w| fields::insert_values(&RESOURCE, w, &[], now, later)).collect();
            let sql = fields::insert(RESOURCE.table, &rows, self.db.dialect()).with(
                "ON CONFLICT (tf_filename, slice_id) DO NOTHING RETURNING run_number, status, stf_filename",
                [],
            );
            for (run, status, stf) in tx.fetch_all::<(i64, String, String)>(&sql).await? {
                created += 1;
                *sampled.entry((run, stf)).or_default() += 1;
                *moves.entry(run).or_default().entry(status).or_default() += 1;
            }
        }
        let samples = new_samples(&mut tx, &sampled).await?;
        for (run, by_status) in &moves {
            let new: i64 = by_status.values().sum();
            let samples = samples.get(run).copied().unwrap_or(0);
            let more = [("slices_created", new), ("stf_samples_received", samples)];
            move_counts(&mut tx, *run, &more, by_status, now).await?;
        }
        tx.commit().await?;
        Ok(Outcome { created, existing: (good.len() as u64).saturating_sub(created) })
    }

    /// Takes what workers report about slices.
    pub async fn slice_results(&self, items: Vec<JsonValue>) -> Result<Results, Error> {
        let now = self.clock.now();
        let reports = self.read_reports(items, now)?;
        let mut out = Results::default();
        let mut moves = Moves::new();
        let mut tx = self.db.begin().await?;
        for chunk in reports.chunks(CHUNK) {
            let mut slices = find(&mut tx, chunk).await?;
            for report in chunk {
                let key = (report.tf_filename.clone(), report.slice_id);
                let known = slices.get_mut(&key).filter(|s| s.run_number == report.run_number);
                match known.map(|slice| apply(slice, report, &mut moves)) {
                    Some(true) => out.updated += 1,
                    Some(false) => out.unchanged += 1,
                    None => out.unknown.push(json!({
                        "run_number": report.run_number,
                        "tf_filename": report.tf_filename,
                        "slice_id": report.slice_id,
                    })),
                }
            }
            save(&mut tx, slices.into_values().filter(|s| s.change.is_some()).collect(), now).await?;
        }
        for (run, by_status) in &moves {
            move_counts(&mut tx, *run, &[], by_status, now).await?;
        }
        tx.commit().await?;
        Ok(out)
    }

    fn read_reports(&self, items: Vec<JsonValue>, now: DateTime<Utc>) -> Result<Vec<Report>, Error> {
        let mut reports = Vec::with_capacity(items.len());
        let mut rejected = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            match self.read_report(&item, now) {
                Ok(report) => reports.push(report),
                Err((field, why)) => rejected.push(json!({"index": index, "error": {field: [why]}})),
            }
        }
        refuse(rejected)?;
        // Chunks lock their slices in one order, whoever sends them; the order of one slice's reports stays.
        reports.sort_by(|a, b| (&a.tf_filename, a.slice_id).cmp(&(&b.tf_filename, b.slice_id)));
        Ok(reports)
    }

    fn read_report(&self, item: &JsonValue, now: DateTime<Utc>) -> Result<Report, (&'static str, String)> {
        let field = |name: &'static str| item.get(name).filter(|v| !v.is_null());
        let required = |name| field(name).ok_or((name, "This field is required.".to_owned()));
        let whole = |name| {
            let number = validate::whole(required(name)?).and_then(|n| i64::try_from(n).ok());
            number.ok_or((name, "A valid integer is required.".to_owned()))
        };
        let tf_filename = required("tf_filename")?.as_str().unwrap_or_default().trim().to_owned();
        if tf_filename.is_empty() {
            return Err(("tf_filename", "This field may not be blank.".into()));
        }
        let status = match required("status")?.as_str() {
            Some("processing") => "processing",
            Some("completed" | "done") => "completed",
            Some("failed") => "failed",
            _ => return Err(("status", "must be processing, completed or failed".into())),
        };
        let worker =
            field("assigned_worker").and_then(JsonValue::as_str).unwrap_or_default().trim().to_owned();
        if worker.chars().count() > 255 {
            return Err(("assigned_worker", "Ensure this field has no more than 255 characters.".into()));
        }
        let metadata = match field("metadata") {
            None => None,
            Some(JsonValue::Object(object)) => Some(object.clone()),
            Some(_) => return Err(("metadata", "must be an object".into())),
        };
        let at = match field("timestamp") {
            None => now,
            Some(given) => times::read(given.as_str().unwrap_or_default(), self.zone)
                .map_err(|why| ("timestamp", why))?,
        };
        let (run_number, slice_id) = (whole("run_number")?, whole("slice_id")?);
        Ok(Report { run_number, tf_filename, slice_id, status, assigned_worker: worker, metadata, at })
    }
}

/// Writes the parent's name into the metadata, unless something stands there.
fn name_parent(row: &mut Vec<Written>, parent: &str) {
    let named = || json!({"tf_file": parent});
    match row.iter_mut().find(|w| w.field.name == "metadata") {
        Some(w) => match &mut w.value {
            Value::Json(JsonValue::Object(object)) => {
                object.entry("tf_file").or_insert_with(|| parent.into());
            }
            Value::Null => w.value = Value::Json(named()),
            _ => {}
        },
        None => {
            if let Some(field) = RESOURCE.field("metadata") {
                let value = Value::Json(named());
                row.push(Written { field, kind: swf_db::schema::Kind::Json, value });
            }
        }
    }
}

/// Batches of one run follow each other, so that one of them is the first to cut a super time frame file.
async fn lock_runs(tx: &mut Tx<'_>, rows: &[Vec<Written>]) -> Result<(), Error> {
    let runs: BTreeSet<i64> = rows.iter().map(|row| number(row, "run_number")).collect();
    let mut sql = Sql::new("SELECT run_number FROM swf_run_state");
    sql.and_in("run_number", runs.into_iter().map(Value::from))
        .push("ORDER BY run_number", [])
        .push(tx.dialect().for_update(), []);
    tx.rows(&sql).await?;
    Ok(())
}

/// By run: super time frame files whose first slices are those that were made now.
async fn new_samples(
    tx: &mut Tx<'_>,
    made: &BTreeMap<(i64, String), i64>,
) -> Result<BTreeMap<i64, i64>, Error> {
    let mut out = BTreeMap::new();
    let all: Vec<(&(i64, String), &i64)> = made.iter().collect();
    for chunk in all.chunks(CHUNK) {
        let marks = vec!["(?, ?)"; chunk.len()].join(", ");
        let values = chunk.iter().flat_map(|((run, stf), _)| [Value::from(*run), stf.into()]);
        let sql = Sql::new("SELECT run_number, stf_filename, count(*) FROM swf_tf_slices").with(
            &format!(
                "WHERE (run_number, stf_filename) IN (VALUES {marks}) GROUP BY run_number, stf_filename"
            ),
            values,
        );
        for (run, stf, slices) in tx.fetch_all::<(i64, String, i64)>(&sql).await? {
            if made.get(&(run, stf)) == Some(&slices) {
                *out.entry(run).or_default() += 1;
            }
        }
    }
    Ok(out)
}

/// The slices that reports speak of, locked.
/// The slice that a change is meant for. Agents of the Python testbed look slices up by run and `slice_id`, take the
/// first of those that all TF files have, and send along the worker's result, which names file and slice.
pub(super) async fn meant(tx: &mut Tx<'_>, addressed: Row, input: &Input) -> Result<Row, Error> {
    let result = input.fields.get("metadata").and_then(|m| m.pointer("/result/result"));
    let named = result.and_then(|r| Some((r.get("tf_filename")?.as_str()?, r.get("slice_id")?.as_i64()?)));
    let Some((file, slice)) = named else { return Ok(addressed) };
    let run = addressed.get("run_number").cloned().unwrap_or(Value::Null);
    let sql = Sql::new("SELECT * FROM swf_tf_slices")
        .with("WHERE tf_filename = ? AND slice_id = ? AND run_number = ?", [file.into(), slice.into(), run])
        .with(tx.dialect().for_update(), []);
    Ok(tx.rows(&sql).await?.into_iter().next().unwrap_or(addressed))
}

async fn find(tx: &mut Tx<'_>, reports: &[Report]) -> Result<HashMap<(String, i64), Slice>, Error> {
    let marks = vec!["(?, ?)"; reports.len()].join(", ");
    let values = reports.iter().flat_map(|r| [Value::from(&r.tf_filename), r.slice_id.into()]);
    let sql = Sql::new("SELECT id, tf_filename, slice_id, run_number, status, metadata FROM swf_tf_slices")
        .with(
            &format!("WHERE (tf_filename, slice_id) IN (VALUES {marks}) ORDER BY tf_filename, slice_id"),
            values,
        )
        .with(tx.dialect().for_update(), []);
    let slices: Vec<Slice> = tx.fetch_all(&sql).await?;
    Ok(slices.into_iter().map(|s| ((s.tf_filename.clone(), s.slice_id), s)).collect())
}

/// Applies a report to a slice in memory; false when it says nothing new.
fn apply(slice: &mut Slice, report: &Report, moves: &mut Moves) -> bool {
    let rank = |status: &str| match status {
        "completed" | "failed" => 2,
        "processing" => 1,
        _ => 0,
    };
    if rank(report.status) <= rank(&slice.status) {
        return false;
    }
    let counts = moves.entry(slice.run_number).or_default();
    *counts.entry(slice.status.clone()).or_default() -= 1;
    *counts.entry(report.status.to_owned()).or_default() += 1;
    slice.status = report.status.to_owned();
    let mut documented = slice.change.as_ref().is_some_and(|c| c.documented);
    if let Some(given) = &report.metadata {
        let old = stored(slice.metadata.take());
        let mut document =
            old.and_then(|o| if let JsonValue::Object(o) = o { Some(o) } else { None }).unwrap_or_default();
        document.extend(given.clone());
        slice.metadata = Some(Json(JsonValue::Object(document)));
        documented = true;
    }
    let earlier = slice.change.take().map(|c| c.worker).unwrap_or_default();
    let worker = if report.assigned_worker.is_empty() { earlier } else { report.assigned_worker.clone() };
    slice.change = Some(Changed { worker, at: report.at, documented });
    true
}

/// Writes changed slices: one statement for each kind of change.
async fn save(tx: &mut Tx<'_>, slices: Vec<Slice>, now: DateTime<Utc>) -> Result<(), Error> {
    for (ends, documented) in [(false, false), (false, true), (true, false), (true, true)] {
        let part: Vec<(&Slice, &Changed)> = slices
            .iter()
            .filter_map(|s| s.change.as_ref().map(|c| (s, c)))
            .filter(|(s, c)| (s.status != "processing") == ends && c.documented == documented)
            .collect();
        if part.is_empty() {
            continue;
        }
        let mark = if documented { "(?, ?, ?, ?, ?)" } else { "(?, ?, ?, ?)" };
        let marks = vec![mark; part.len()].join(", ");
        let values = part.iter().flat_map(|(s, c)| {
            let mut row: Vec<Value> =
                vec![s.id.into(), s.status.as_str().into(), c.worker.as_str().into(), c.at.into()];
            if documented {
                row.push(s.metadata.clone().map_or(Value::Null, Value::from));
            }
            row
        });
        let mut sets =
            "status = v.column2, assigned_worker = COALESCE(NULLIF(v.column3, ''), assigned_worker), \
                        assigned_at = COALESCE(assigned_at, v.column4)"
                .to_owned();
        if ends {
            sets.push_str(", completed_at = v.column4");
        }
        if documented {
            sets.push_str(", metadata = v.column5");
        }
        let sql = Sql::new("UPDATE swf_tf_slices SET updated_at = ?,")
            .with(&sets, [now.into()])
            .with(&format!("FROM (VALUES {marks}) AS v WHERE swf_tf_slices.id = v.column1"), values);
        tx.execute(&sql).await?;
    }
    Ok(())
}

/// Moves the counts of a run; a run without state has none. A count that others have written wrong never
/// goes below zero.
async fn move_counts(
    tx: &mut Tx<'_>,
    run: i64,
    more: &[(&str, i64)],
    by_status: &BTreeMap<String, i64>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut sql = Sql::new("UPDATE swf_run_state SET updated_at = ?").with("", [now.into()]);
    let statuses = [
        ("queued", "slices_queued"),
        ("processing", "slices_processing"),
        ("completed", "slices_completed"),
        ("failed", "slices_failed"),
    ];
    let moved = statuses.iter().filter_map(|(status, column)| Some((*column, *by_status.get(*status)?)));
    for (column, by) in more.iter().copied().chain(moved).filter(|(_, by)| *by != 0) {
        let set = format!(", {column} = CASE WHEN {column} + ? < 0 THEN 0 ELSE {column} + ? END");
        sql.push(&set, [by.into(), by.into()]);
    }
    sql.push("WHERE run_number = ?", [run.into()]);
    tx.execute(&sql).await?;
    Ok(())
}
