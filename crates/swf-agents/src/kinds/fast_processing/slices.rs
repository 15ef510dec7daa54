//! Cutting a TF file into slices, and the slice message.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use swf_client::Slice;
use tokio::sync::OnceCell;

use super::Params;
use crate::agent::{Incoming, Link, Outgoing, derived_uid};

/// A slice that nobody took for half a day is of no use.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Where slices come from.
pub(super) struct Origin {
    pub run_number: i64,
    /// As messages carry it.
    pub run_id: Value,
    pub execution_id: Option<String>,
}

/// What became of a TF file.
pub(super) struct Cut {
    /// Slices registered now.
    pub created: i64,
    /// Slices sent now, by file name and number.
    pub sent: Vec<(String, i64)>,
}

/// First and last time frame of each slice. Slices have `num_tf_per_slice` frames, more when the file would else
/// give more than `slices_per_sample` slices; the last may be shorter.
fn ranges(first: i64, last: i64, params: &Params) -> Vec<(i64, i64)> {
    let count = last - first + 1;
    if count <= 0 {
        return Vec::new();
    }
    let mut size = params.frames_per_slice;
    if let Some(limit) = params.slices_per_sample {
        size = size.max((count + limit - 1) / limit);
    }
    let starts = (first..=last).step_by(usize::try_from(size).unwrap_or(1).max(1));
    starts.map(|start| (start, (start + size - 1).min(last))).collect()
}

/// Whether this STF file is among the share that is processed. Depends on the name only, so that all TF files of
/// one STF file, and every repetition, get the same answer.
fn is_sampled(stf_filename: &str, rate: f64) -> bool {
    let mut number = [0_u8; 8];
    for (to, from) in number.iter_mut().zip(Sha256::digest(stf_filename)) {
        *to = from;
    }
    (u64::from_be_bytes(number) as f64) < rate * u64::MAX as f64
}

/// Register the slices of a TF file and send those that are not under way. None when the file is not sampled.
pub(super) async fn cut(
    link: &Link,
    message: &Incoming,
    origin: &Origin,
    params: &Params,
    waiting: &Waiting,
) -> anyhow::Result<Option<Cut>> {
    let tf_filename = message.required("tf_filename")?;
    let stf_filename = message.required("stf_filename")?;
    let (Some(first), Some(last)) = (message.number("tf_first"), message.number("tf_last")) else {
        anyhow::bail!(
            "TF file {tf_filename} has no tf_first and tf_last; the fastmon agent or the monitor dropped them"
        );
    };
    if !is_sampled(stf_filename, params.sampling_rate) {
        return Ok(None);
    }
    let base = tf_filename.rsplit_once('.').map_or(tf_filename, |(base, _)| base);
    let slices: Vec<Slice> = (0..)
        .zip(ranges(first, last, params))
        .map(|(number, (first, last))| Slice {
            slice_id: number,
            tf_first: first,
            tf_last: last,
            tf_count: last - first + 1,
            tf_filename: format!("{base}_slice_{number:03}.tf"),
            stf_filename: stf_filename.to_owned(),
            run_number: origin.run_number,
            status: "queued".into(),
            retries: 0,
            metadata: json!({ "execution_id": origin.execution_id, "created_by": link.name }),
        })
        .collect();
    if slices.is_empty() {
        anyhow::bail!("TF file {tf_filename} has no time frames: {first} to {last}");
    }
    let answer = link.monitor.register_slices(tf_filename, &slices).await?;
    let waiting = match answer.existing {
        0 => None,
        _ => Some(waiting.slices(link, stf_filename, origin.run_number).await?),
    };
    let to_send: Vec<&Slice> = slices
        .iter()
        .filter(|slice| {
            waiting.as_ref().is_none_or(|w| w.contains(&(slice.tf_filename.clone(), slice.slice_id)))
        })
        .collect();
    try_join_all(to_send.iter().map(|slice| send(link, origin, slice, params))).await?;
    let sent = to_send.iter().map(|slice| (slice.tf_filename.clone(), slice.slice_id)).collect();
    Ok(Some(Cut { created: answer.created, sent }))
}

/// What the monitor says of slices that wait, asked once for each STF file of a group of messages: after a restart
/// hundreds of messages come again.
pub(super) struct Waiting {
    by_stf: HashMap<String, OnceCell<HashSet<(String, i64)>>>,
}

impl Waiting {
    /// For a group of messages.
    pub fn of(group: &[Incoming]) -> Self {
        let names = group.iter().filter_map(|message| message.text("stf_filename"));
        Self { by_stf: names.map(|name| (name.to_owned(), OnceCell::new())).collect() }
    }

    async fn slices(
        &self,
        link: &Link,
        stf: &str,
        run_number: i64,
    ) -> anyhow::Result<&HashSet<(String, i64)>> {
        let cell =
            self.by_stf.get(stf).ok_or_else(|| anyhow::anyhow!("STF file {stf} is not of this group"))?;
        cell.get_or_try_init(|| still_queued(link, stf, run_number)).await
    }
}

/// A repeated message: only slices without result are sent again.
async fn still_queued(link: &Link, stf: &str, run_number: i64) -> anyhow::Result<HashSet<(String, i64)>> {
    let run_number = run_number.to_string();
    let filters = [("run_number", run_number.as_str()), ("status", "queued"), ("stf_filename", stf)];
    let rows = link.monitor.slices(&filters).await?;
    Ok(rows.into_iter().map(|row| (row.tf_filename, row.slice_id)).collect())
}

/// Send a slice to the workers. Its uid follows from its name, so a slice sent again can be told.
pub(super) async fn send(link: &Link, origin: &Origin, slice: &Slice, params: &Params) -> anyhow::Result<()> {
    let cause = origin.execution_id.clone().unwrap_or_default();
    let uid = derived_uid(&cause, "slice", &format!("{}/{}", slice.tf_filename, slice.slice_id));
    let body = json!({
        "msg_type": "slice",
        "run_id": origin.run_id,
        "created_at": crate::now(),
        "content": {
            "run_id": origin.run_id,
            "execution_id": origin.execution_id,
            "req_id": uid,
            "filename": slice.stf_filename,
            "tf_filename": slice.tf_filename,
            "slice_id": slice.slice_id,
            "start": slice.tf_first,
            "end": slice.tf_last,
            "tf_count": slice.tf_count,
            "state": "queued",
            "substate": "new",
        },
    });
    let destination = link.config.place(&link.config.slices_destination);
    let outgoing = Outgoing::new(destination, uid, body)
        .for_at_most(LIFETIME)
        .with("vo", "eic")
        .with("ttl", LIFETIME.as_millis().to_string())
        .with("execution_id", cause)
        .with("slice-seconds", params.slice_seconds().to_string());
    Ok(link.send(outgoing).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    fn params(frames_per_slice: i64, slices_per_sample: Option<i64>) -> Params {
        Params { frames_per_slice, slices_per_sample, sampling_rate: 1.0, realtime: false, flat: Map::new() }
    }

    #[test]
    fn slices_cover_the_file_without_gap_or_overlap() {
        for (first, count, per, limit) in
            [(10, 21, 2, Some(15)), (0, 40, 2, Some(15)), (5, 1, 2, None), (0, 7, 7, Some(1))]
        {
            let last = first + count - 1;
            let ranges = ranges(first, last, &params(per, limit));
            assert_eq!(ranges.first().unwrap().0, first);
            assert_eq!(ranges.last().unwrap().1, last);
            assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
            assert!(limit.is_none_or(|limit| ranges.len() as i64 <= limit));
        }
    }

    #[test]
    fn twenty_one_frames_by_two_are_eleven_slices() {
        assert_eq!(ranges(100, 120, &params(2, Some(15))).len(), 11);
    }

    #[test]
    fn the_sampling_rate_decides_by_the_name_of_the_stf_file() {
        let share = (0..2000).filter(|n| is_sampled(&format!("swf.1.{n:06}.stf"), 0.3)).count();
        assert!((500..700).contains(&share), "{share}");
        assert!(is_sampled("any", 1.0));
        assert!(!is_sampled("any", 0.0));
    }
}
