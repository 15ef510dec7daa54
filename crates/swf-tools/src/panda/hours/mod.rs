//! What is remembered of the archive's closed hours, so that a question about weeks reads minutes of jobs.
//!
//! An hour that has been over for [`LAG`] hardly changes: its jobs are kept as cells (see [`cell`]), grouped by
//! what the tools ask by. Live tables, open hours and the partial hours at a window's edges are asked each time.
//!
//! *Invariant:* remembered or not, the answer is the same up to corrections younger than the stated age; what is
//! not remembered is asked of the database in the same statement as the rest.

pub mod cell;
mod pick;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, DurationRound, NaiveDateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use tracing::{debug, info, warn};

use super::answer::{moment, naive};
use super::filter::{JobFilter, Window};
use super::{Catalog, Panda};
use crate::Error;
pub use cell::{Cell, Fault, Hour, Work};
pub use pick::Picks;

/// An hour is closed when it has been over for this long: rows written late have arrived by then.
const LAG: TimeDelta = TimeDelta::hours(1);
/// Hours that ended within the last day are trusted for this long.
const YOUNG_TRUSTED: TimeDelta = TimeDelta::minutes(20);
/// Older hours are trusted for this long: late corrections (the batch slot's fate) reach back for weeks.
const OLD_TRUSTED: TimeDelta = TimeDelta::hours(12);
/// A call reads at most so many missing hours itself; more are left to the upkeep, and asked directly until then.
const AT_ONCE: usize = 26;
/// It spends no more than this on it, so that a slow PanDA costs a call one time limit and not two.
const FILL: Duration = Duration::from_secs(3);
/// After a failure calls ask directly for this long.
const REST: Duration = Duration::from_secs(60);
/// Hours read by one statement of the upkeep.
const RUN: usize = 24;
/// Cells of one statement at most: hours with more are not remembered.
const CELLS_OF_RUN: usize = 150_000;
/// Cells of one kind at most, about 100 bytes each besides their texts; the oldest hours go first.
const CELLS: usize = 1_000_000;
/// Separate stretches of a window that are asked directly; with more of them it is asked as a whole.
const STRETCHES: usize = 6;

/// So few jobs are found through their hours, not by walking along the ids.
const FEW: i64 = 400;
/// Provided that no more of the window than this is unknown.
const FEW_HOURS: TimeDelta = TimeDelta::hours(6);
/// In so many separate stretches at most.
const MATCHING_STRETCHES: usize = 24;

/// What an answer says about its remembered part.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ClosedHours {
    /// Ended jobs of full hours before this time were remembered, UTC.
    pub until: String,
    /// The oldest of them was read at this time, UTC.
    pub as_of: String,
}

/// What the statements of one answer took from memory; shared by the clones of its filter.
#[derive(Debug, Clone, Default)]
pub struct Used(Arc<Mutex<Option<Until>>>);

/// End of the remembered part, and when its oldest hour was read.
type Until = (NaiveDateTime, DateTime<Utc>);

impl Used {
    fn note(&self, until: NaiveDateTime, made_at: DateTime<Utc>) {
        let mut used = lock(&self.0);
        *used = Some(match *used {
            Some((u, m)) => (u.max(until), m.min(made_at)),
            None => (until, made_at),
        });
    }

    /// In words for the answer.
    pub fn closed_hours(&self) -> Option<ClosedHours> {
        let (until, made_at) = (*lock(&self.0))?;
        Some(ClosedHours { until: naive(until), as_of: naive(made_at.naive_utc()) })
    }
}

/// A window in two parts: hours out of memory, and stretches to be asked for.
pub struct Covered<C> {
    /// Closed hours.
    pub hours: Vec<Arc<Hour<C>>>,
    /// What is left of the window.
    pub live: Vec<Option<Window>>,
}

impl<C> Covered<C> {
    /// Nothing is remembered.
    pub fn direct(window: Option<Window>) -> Covered<C> {
        Covered { hours: Vec::new(), live: vec![window] }
    }
}

/// Everything remembered.
#[derive(Default)]
pub struct Hours {
    /// Counts and core-hours.
    pub work: Memory<Work>,
    /// Errors.
    pub faults: Memory<Fault>,
}

/// The hours of one kind.
pub struct Memory<C> {
    kept: Mutex<Kept<C>>,
    loading: tokio::sync::Mutex<()>,
    filling: tokio::sync::Mutex<()>,
    /// When a call could not read what it missed.
    failed: Mutex<Option<Instant>>,
}

struct Kept<C> {
    hours: BTreeMap<NaiveDateTime, Arc<Hour<C>>>,
    cells: usize,
    /// Hours before this one did not fit.
    floor: Option<NaiveDateTime>,
    /// Hours with too many cells, and when that was seen.
    refused: BTreeMap<NaiveDateTime, DateTime<Utc>>,
}

impl<C> Default for Memory<C> {
    fn default() -> Memory<C> {
        let kept = Kept { hours: BTreeMap::new(), cells: 0, floor: None, refused: BTreeMap::new() };
        Memory {
            kept: Mutex::new(kept),
            loading: Default::default(),
            filling: Default::default(),
            failed: Mutex::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hour_of(time: NaiveDateTime) -> NaiveDateTime {
    time.duration_trunc(TimeDelta::hours(1)).unwrap_or(time)
}

/// How long an hour is trusted after it was read.
fn trusted(hour: NaiveDateTime, now: DateTime<Utc>) -> TimeDelta {
    if now.naive_utc() - hour < TimeDelta::hours(25) { YOUNG_TRUSTED } else { OLD_TRUSTED }
}

/// The closed hours of a window, as first and end; none when there are none.
fn closed(window: Window, now: DateTime<Utc>, days: u32) -> Option<(NaiveDateTime, NaiveDateTime)> {
    let earliest = hour_of(now.naive_utc() - TimeDelta::days(i64::from(days)));
    let start = hour_of(window.start);
    let start = if start < window.start { start + TimeDelta::hours(1) } else { start };
    let last = hour_of(now.naive_utc() - LAG);
    let (from, to) = (start.max(earliest), hour_of(window.end.map_or(last, |e| e.min(last))));
    (from < to).then_some((from, to))
}

fn each_hour(from: NaiveDateTime, to: NaiveDateTime) -> impl DoubleEndedIterator<Item = NaiveDateTime> {
    let hours = (to - from).num_hours().max(0);
    (0..hours).map(move |n| from + TimeDelta::hours(n))
}

impl<C: Cell> Memory<C> {
    /// Splits a window. Reads what is missing when that is little; a failure to do so is not one of the
    /// question, which is then asked directly.
    pub async fn cover(&self, panda: &Panda, catalog: &Catalog, window: Window, used: &Used) -> Covered<C> {
        let (now, days) = (panda.now(), panda.settings().remembered_days);
        let Some((from, to)) = closed(window, now, days).filter(|_| C::possible(catalog)) else {
            return Covered::direct(Some(window));
        };
        if !self.missing(from, to, now, 1).is_empty() {
            // Seldom taken and large: kept out of the futures of all callers.
            Box::pin(self.complete(panda, catalog, from, to)).await;
        }
        self.assemble(window, from, to, now, used)
    }

    /// Reads the missing hours of a stretch, unless they are many or somebody does so already.
    async fn complete(&self, panda: &Panda, catalog: &Catalog, from: NaiveDateTime, to: NaiveDateTime) {
        self.load(panda, from, to, 1).await;
        let missing = self.missing(from, to, panda.now(), 1);
        if missing.is_empty() || missing.len() > AT_ONCE {
            return;
        }
        let resting = lock(&self.failed).is_some_and(|at| at.elapsed() < REST);
        if let (false, Ok(_filling)) = (resting, self.filling.try_lock()) {
            let filled = tokio::time::timeout(FILL, self.fill(panda, catalog, &missing)).await;
            if !matches!(filled, Ok(Ok(()))) {
                debug!("closed hours could not be read for a call: it asks directly");
                *lock(&self.failed) = Some(Instant::now());
            }
        }
    }

    fn assemble(
        &self,
        window: Window,
        from: NaiveDateTime,
        to: NaiveDateTime,
        now: DateTime<Utc>,
        used: &Used,
    ) -> Covered<C> {
        let (mut hours, mut live, mut at) = (Vec::new(), Vec::new(), window.start);
        {
            let kept = lock(&self.kept);
            for (start, hour) in kept.hours.range(from..to) {
                if now - hour.made_at >= trusted(*start, now) {
                    continue;
                }
                if at < *start {
                    live.push(Some(Window { start: at, end: Some(*start), ..window }));
                }
                at = *start + TimeDelta::hours(1);
                hours.push(hour.clone());
            }
        }
        let until = at;
        if window.end.is_none_or(|end| at < end) {
            live.push(Some(Window { start: at, ..window }));
        }
        let oldest = hours.iter().map(|h| h.made_at).min();
        match oldest {
            Some(made_at) if live.len() <= STRETCHES => {
                used.note(until, made_at);
                Covered { hours, live }
            }
            _ => Covered::direct(Some(window)),
        }
    }

    /// Hours that are not there, or older than a part of the trusted time, newest first.
    fn missing(
        &self,
        from: NaiveDateTime,
        to: NaiveDateTime,
        now: DateTime<Utc>,
        part: i32,
    ) -> Vec<NaiveDateTime> {
        let kept = lock(&self.kept);
        let wanted = |hour: &NaiveDateTime| {
            let limit = trusted(*hour, now) / part;
            let known = kept.hours.get(hour).is_some_and(|h| now - h.made_at < limit);
            let refused = kept.refused.get(hour).is_some_and(|at| now - *at < OLD_TRUSTED);
            !known && !refused && kept.floor.is_none_or(|floor| *hour >= floor)
        };
        each_hour(from, to).rev().filter(wanted).collect()
    }

    /// Takes what this or another process has written down.
    async fn load(&self, panda: &Panda, from: NaiveDateTime, to: NaiveDateTime, part: i32) {
        let Some(record) = panda.record() else { return };
        let _loading = self.loading.lock().await;
        let now = panda.now();
        let missing = self.missing(from, to, now, part);
        let (Some(last), Some(first)) = (missing.first(), missing.last()) else { return };
        match store::load::<C>(record, panda.db().url(), *first, *last).await {
            Ok(hours) => {
                let missing: std::collections::BTreeSet<_> = missing.into_iter().collect();
                self.keep(hours.into_iter().filter(|h| missing.contains(&h.start)));
            }
            Err(e) => debug!("closed hours written down could not be read: {e}"),
        }
    }

    /// Reads hours from PanDA (newest first, a day at a time), keeps them and writes them down.
    async fn fill(&self, panda: &Panda, catalog: &Catalog, missing: &[NaiveDateTime]) -> Result<(), Error> {
        for run in runs(missing) {
            self.fill_run(panda, catalog, &run).await?;
        }
        Ok(())
    }

    async fn fill_run(&self, panda: &Panda, catalog: &Catalog, run: &[NaiveDateTime]) -> Result<(), Error> {
        let (Some(last), Some(first)) = (run.first(), run.last()) else { return Ok(()) };
        let window = Window { start: *first, end: Some(*last + TimeDelta::hours(1)), given: true };
        let made_at = panda.now();
        let rows = panda.rows(&C::statement(panda, catalog, window, CELLS_OF_RUN + 1)?).await?;
        if rows.len() > CELLS_OF_RUN {
            warn!("the hours from {first} to {last} have too many kinds of {}: asked directly", C::KIND);
            lock(&self.kept).refused.extend(run.iter().map(|hour| (*hour, made_at)));
            return Ok(());
        }
        let mut hours: BTreeMap<NaiveDateTime, cell::Builder<C>> =
            run.iter().map(|start| (*start, cell::Builder::default())).collect();
        for row in &rows {
            let hour = row.get("hour").and_then(|v| match v {
                // SQLite gives `YYYY-MM-DDTHH`.
                swf_db::Value::Text(t) => moment(&format!("{t}:00:00").into()),
                other => moment(other),
            });
            if let Some(builder) = hour.and_then(|h| hours.get_mut(&h)) {
                builder.add(row);
            }
        }
        let hours: Vec<Hour<C>> = hours.into_iter().map(|(start, b)| b.hour(start, made_at)).collect();
        if let Some(record) = panda.record() {
            let written = store::save(record, panda.db().url(), &hours).await;
            written.unwrap_or_else(|e| debug!("closed hours could not be written down: {e}"));
        }
        self.keep(hours);
        Ok(())
    }

    fn keep(&self, hours: impl IntoIterator<Item = Hour<C>>) {
        let mut kept = lock(&self.kept);
        for hour in hours {
            kept.cells += hour.cells.len();
            if let Some(old) = kept.hours.insert(hour.start, Arc::new(hour)) {
                kept.cells -= old.cells.len();
            }
        }
        while kept.cells > CELLS {
            let Some((start, oldest)) = kept.hours.pop_first() else { break };
            kept.cells -= oldest.cells.len();
            kept.floor = Some(start + TimeDelta::hours(1));
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *lock(&self.kept) = Memory::<C>::default().kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    }

    /// Brings all hours to half their trusted age, newest first; returns how many were read from PanDA.
    async fn renew(&self, panda: &Panda, catalog: &Catalog) -> Result<usize, Error> {
        let (now, days) = (panda.now(), panda.settings().remembered_days);
        let whole =
            Window { start: now.naive_utc() - TimeDelta::days(i64::from(days)), end: None, given: true };
        let Some((from, to)) = closed(whole, now, days).filter(|_| C::possible(catalog)) else {
            return Ok(0);
        };
        {
            let mut kept = lock(&self.kept);
            let gone = kept.hours.split_off(&from);
            let gone = std::mem::replace(&mut kept.hours, gone);
            kept.cells -= gone.values().map(|h| h.cells.len()).sum::<usize>();
            kept.refused.retain(|hour, _| *hour >= from);
        }
        if self.missing(from, to, now, 2).is_empty() {
            return Ok(0);
        }
        self.load(panda, from, to, 2).await;
        let missing = self.missing(from, to, now, 2);
        if missing.is_empty() {
            return Ok(0);
        }
        // Of several replicas one reads; the others find it written down.
        let question = format!("closed hours: {}", C::KIND);
        let lease = match panda.record() {
            Some(record) => match record.lease(&question, Duration::from_secs(60)).await {
                Some(lease) => Some(lease),
                None => return Ok(0),
            },
            None => None,
        };
        let _filling = self.filling.lock().await;
        for run in runs(&missing) {
            self.fill_run(panda, catalog, &run).await?;
            if let (Some(record), Some(lease)) = (panda.record(), &lease) {
                record.renew(&question, lease, Duration::from_secs(60)).await;
            }
        }
        if let (Some(record), Some(lease)) = (panda.record(), &lease) {
            record.free(&question, lease).await;
        }
        Ok(missing.len())
    }
}

/// Stretches that touch, as one; in the order of time.
fn joined(mut stretches: Vec<Option<Window>>) -> Vec<Option<Window>> {
    stretches.sort_by_key(|w| w.map(|w| w.start));
    let mut out: Vec<Option<Window>> = Vec::new();
    for stretch in stretches {
        match (out.last_mut(), stretch) {
            (Some(Some(last)), Some(next)) if last.end == Some(next.start) => last.end = next.end,
            _ => out.push(stretch),
        }
    }
    out
}

impl Memory<Work> {
    /// The parts of a filter's window that may hold jobs it selects, when few of the archive's do and that is
    /// known from memory alone.
    pub fn matching(&self, panda: &Panda, filter: &JobFilter) -> Option<Vec<Option<Window>>> {
        let window = filter.remembered()?;
        let (now, days) = (panda.now(), panda.settings().remembered_days);
        let (from, to) = closed(window, now, days)?;
        let covered = self.assemble(window, from, to, now, &Used::default());
        let until = |w: &Window| w.end.unwrap_or(now.naive_utc());
        let asked: TimeDelta = covered.live.iter().flatten().map(|w| until(w) - w.start).sum();
        if covered.hours.is_empty() || asked > FEW_HOURS {
            return None;
        }
        let picks = Picks::new(filter);
        let (mut live, mut jobs) = (covered.live, 0);
        for hour in covered.hours {
            let mut places = picks.of(&hour);
            let found: i64 = hour.cells.iter().filter(|c| places.wants(&c.place)).map(|c| c.jobs).sum();
            if found > 0 {
                jobs += found;
                let end = Some(hour.start + TimeDelta::hours(1));
                live.push(Some(Window { start: hour.start, end, ..window }));
            }
        }
        if jobs > FEW {
            return None;
        }
        let stretches = joined(live);
        (stretches.len() <= MATCHING_STRETCHES).then_some(stretches)
    }
}

/// Neighbouring hours together, at most a day of them; hours come and go newest first.
fn runs(hours: &[NaiveDateTime]) -> Vec<Vec<NaiveDateTime>> {
    let mut out: Vec<Vec<NaiveDateTime>> = Vec::new();
    for hour in hours {
        match out.last_mut() {
            Some(run) if run.len() < RUN && run.last().is_some_and(|l| *l - *hour == TimeDelta::hours(1)) => {
                run.push(*hour);
            }
            _ => out.push(vec![*hour]),
        }
    }
    out
}

impl Panda {
    /// Keeps the closed hours at hand: called every minute or so, returns at once when all is fresh.
    pub async fn renew_closed_hours(&self) -> Result<(), Error> {
        if self.settings().remembered_days == 0 {
            return Ok(());
        }
        let catalog = self.catalog().await?;
        let work = self.hours().work.renew(self, &catalog).await?;
        let faults = self.hours().faults.renew(self, &catalog).await?;
        if work + faults > 0 {
            info!("read {work} closed hours of jobs and {faults} of errors from PanDA");
        }
        if let Some(record) = self.record() {
            let before = self.now() - TimeDelta::days(i64::from(self.settings().remembered_days) + 2);
            store::purge(record, before).await;
        }
        Ok(())
    }

    /// Forgets the answers that were given, here and in the database of record.
    pub async fn forget_answers(&self) {
        self.once().clear();
        if let Some(record) = self.record() {
            record.forget_answers().await;
        }
    }

    /// Forgets answers and closed hours, also those written down: the next question is asked of PanDA alone.
    pub async fn forget(&self) {
        self.forget_answers().await;
        self.hours().work.clear();
        self.hours().faults.clear();
        if let Some(record) = self.record() {
            store::forget(record, self.db().url()).await;
        }
    }
}
