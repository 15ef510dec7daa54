//! Fastmon agent: samples TF files from every STF file that is ready.
//!
//! *Invariant:* the random choice depends only on the name of the STF file, so a redelivered message makes the same
//! files.

use futures_util::future::try_join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use swf_client::{FastmonFile, NewFastmonFile};
use tokio_util::sync::CancellationToken;

use super::by_type;
use crate::agent::{
    Config, Incoming, Kind, Link, Operational, Outgoing, PREFETCH, Work, derived_uid, start, work_loop,
};
use crate::config::{ConfigError, Testbed};

/// How STF files are sampled: `[agents.fastmon]` of the testbed file.
#[derive(Debug, Clone, PartialEq)]
struct Sampling {
    /// TF files from one STF file.
    files: i64,
    /// Share of its part of the STF file that a TF file takes, on average.
    fraction: f64,
    /// Time frames of an STF file whose message does not say.
    frames: i64,
    /// Number of the first TF file.
    first: i64,
}

/// STF files whose TF files go in one call, so that its body stays small.
const AT_ONCE: usize = 32;

struct Fastmon {
    sampling: Sampling,
}

pub(crate) async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let sampling = Sampling::of(&config.testbed)?;
    let topic = config.topic.clone();
    let Some(started) = start(Kind::Fastmon, config, &[topic], PREFETCH, shutdown).await? else {
        return Ok(());
    };
    started
        .live(async |link, subscriptions| work_loop(&link, &mut Fastmon { sampling }, subscriptions).await)
        .await
}

impl Sampling {
    fn of(testbed: &Testbed) -> Result<Self, ConfigError> {
        let settings = testbed.agent_settings("fastmon");
        let wrong =
            |key: &str, why: &str| ConfigError::key(&testbed.origin, &format!("agents.fastmon.{key}"), why);
        let whole = |key: &str, default: i64| match settings.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_i64()
                .filter(|n| *n >= 1)
                .ok_or_else(|| wrong(key, &format!("{value} must be a whole number from 1"))),
        };
        let fraction = settings.get("tf_size_fraction").map_or(Some(0.15), Value::as_f64);
        Ok(Self {
            files: whole("tf_files_per_stf", 7)?,
            fraction: fraction
                .filter(|f| *f > 0.0 && *f <= 1.0)
                .ok_or_else(|| wrong("tf_size_fraction", "must be more than 0 and at most 1"))?,
            frames: whole("tf_count_per_stf", 1000)?,
            first: whole("tf_sequence_start", 1)?,
        })
    }

    /// First and last time frame of each TF file.
    fn ranges(&self, stf_filename: &str, frames: i64) -> Vec<(i64, i64)> {
        let mut random = StdRng::from_seed(Sha256::digest(stf_filename).into());
        let width = (frames / self.files).max(1);
        let mut ranges = Vec::new();
        for index in 0..self.files {
            let first = index * width;
            let last = if index + 1 == self.files { frames - 1 } else { (first + width - 1).min(frames - 1) };
            if first > last {
                break;
            }
            let part = last - first + 1;
            let size = (part as f64 * self.fraction * gauss(&mut random)) as i64;
            let size = size.clamp(1, part);
            let start = random.random_range(first..=last - size + 1);
            ranges.push((start, start + size - 1));
        }
        ranges
    }
}

/// Normal distribution with mean 1 and deviation 0.1 (Box-Muller).
fn gauss(random: &mut StdRng) -> f64 {
    let (u, v): (f64, f64) = (random.random(), random.random());
    // 1 - u is never 0, whose logarithm is not finite.
    1.0 + 0.1 * (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

impl Work for Fastmon {
    async fn handle(&mut self, link: &Link, batch: &[Incoming]) -> anyhow::Result<()> {
        for group in by_type(batch) {
            let Some(first) = group.first() else { continue };
            match first.msg_type.as_str() {
                "stf_ready" => {
                    for part in group.chunks(AT_ONCE) {
                        self.sample(link, part).await?;
                    }
                }
                "start_run" => link.pulse.set(
                    Operational::Processing,
                    format!("samples run {}", first.run_id.as_deref().unwrap_or_default()),
                ),
                "end_run" => link.pulse.set(Operational::Ready, ""),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Fastmon {
    async fn sample(&self, link: &Link, group: &[Incoming]) -> anyhow::Result<()> {
        let mut files = Vec::new();
        for message in group {
            let stf = message.required("filename")?;
            let base = stf.rsplit_once('.').map_or(stf, |(base, _)| base);
            let frames = message.number("tf_count").filter(|n| *n > 0).unwrap_or(self.sampling.frames);
            for ((first, last), sequence) in
                self.sampling.ranges(stf, frames).into_iter().zip(self.sampling.first..)
            {
                let tf_filename = format!("{base}_tf_{sequence:03}.tf");
                files.push((message, self.file(link, message, tf_filename, (first, last))));
            }
        }
        let new: Vec<NewFastmonFile> = files.iter().map(|(_, file)| file.clone()).collect();
        let answer = link.monitor.register_fastmon_files(&new).await?;
        let rows: std::collections::HashMap<&str, &FastmonFile> =
            answer.items.iter().map(|row| (row.tf_filename.as_str(), row)).collect();
        let sends = files.iter().map(|(message, file)| {
            let row = rows.get(file.tf_filename.as_str()).copied();
            let uid = derived_uid(&message.uid, "tf_file_registered", &file.tf_filename);
            link.send(Outgoing::new(&link.config.topic, uid, registered(link, message, file, row)))
        });
        try_join_all(sends).await?;
        tracing::debug!(stf_files = group.len(), tf_files = files.len(), "TF files are registered");
        link.pulse.change(|health| health.done += group.len() as i64);
        Ok(())
    }

    fn file(
        &self,
        link: &Link,
        message: &Incoming,
        tf_filename: String,
        range: (i64, i64),
    ) -> NewFastmonFile {
        let (first, last) = range;
        let stf = message.text("filename").unwrap_or_default();
        let count = last - first + 1;
        NewFastmonFile {
            stf_file: stf.to_owned(),
            tf_filename,
            tf_first: first,
            tf_last: last,
            tf_count: count,
            file_size_bytes: count,
            status: "registered".into(),
            metadata: json!({
                "simulation": true, "created_from": stf, "tf_size_fraction": self.sampling.fraction,
                "agent_name": link.name, "state": message.value("state"), "substate": message.value("substate"),
                "start": message.value("start"), "end": message.value("end"),
            }),
        }
    }
}

/// Values of the row where the monitor gave them, else our own: older monitors drop the frame numbers.
fn registered(link: &Link, message: &Incoming, file: &NewFastmonFile, row: Option<&FastmonFile>) -> Value {
    let row = row.cloned().unwrap_or_default();
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("msg_type", "tf_file_registered".into());
    put("namespace", link.config.namespace.clone().into());
    put("run_id", message.value("run_id"));
    put("execution_id", message.value("execution_id"));
    put("processed_by", link.name.clone().into());
    put("tf_file_id", if row.tf_file_id.is_empty() { Value::Null } else { row.tf_file_id.into() });
    put("tf_filename", file.tf_filename.clone().into());
    put("tf_first", row.tf_first.unwrap_or(file.tf_first).into());
    put("tf_last", row.tf_last.unwrap_or(file.tf_last).into());
    put("tf_count", row.tf_count.unwrap_or(file.tf_count).into());
    put("file_size_bytes", row.file_size_bytes.unwrap_or(file.file_size_bytes).into());
    put("stf_filename", file.stf_file.clone().into());
    put("status", if row.status.is_empty() { "registered".into() } else { row.status.into() });
    put("timestamp", crate::now().into());
    Value::Object(body)
}

#[cfg(test)]
mod tests {
    use super::Sampling;

    fn sampling() -> Sampling {
        Sampling { files: 7, fraction: 0.15, frames: 1000, first: 1 }
    }

    #[test]
    fn the_same_stf_file_gives_the_same_ranges_and_another_gives_others() {
        let sampling = sampling();
        assert_eq!(sampling.ranges("swf.1.000001.stf", 1000), sampling.ranges("swf.1.000001.stf", 1000));
        assert_ne!(sampling.ranges("swf.1.000001.stf", 1000), sampling.ranges("swf.1.000002.stf", 1000));
    }

    #[test]
    fn ranges_stay_inside_their_part_and_have_about_the_asked_size() {
        for n in 0..200 {
            let ranges = sampling().ranges(&format!("swf.7.{n:06}.stf"), 1000);
            assert_eq!(ranges.len(), 7);
            for (index, (first, last)) in ranges.iter().enumerate() {
                let start = index as i64 * 142;
                let end = if index == 6 { 999 } else { start + 141 };
                assert!(start <= *first && first <= last && *last <= end, "{index}: {first}-{last}");
                assert!((8..=40).contains(&(last - first + 1)), "{index}: {first}-{last}");
            }
        }
    }

    #[test]
    fn fewer_frames_than_files_give_as_many_files_as_frames() {
        assert_eq!(sampling().ranges("x", 3), [(0, 0), (1, 1), (2, 2)]);
    }
}
