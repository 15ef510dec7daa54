//! STF files: super time frames, the unit of data taking.

pub mod get;
pub mod list;

use crate::{Error, ToolDef};

/// The group's tools.
pub const TOOLS: &[ToolDef] = &[ToolDef::of::<list::ListStfFiles>(), ToolDef::of::<get::GetStfFile>()];

/// Tables of both tools; `r` is the run.
const FROM: &str = "swf_stf_files f JOIN swf_runs r ON r.run_id = f.run_id";

/// TF files made of an STF file.
const TF_FILE_COUNT: &str =
    "(SELECT count(*) FROM swf_fastmon_files t WHERE t.stf_file_id = f.file_id) AS tf_file_count";

/// Checks a status filter; the answer is lower case.
fn status(given: &str) -> Result<String, Error> {
    let known = crate::tables::swf_stf_files::STATUSES;
    let status = given.to_lowercase();
    if known.contains(&status.as_str()) {
        return Ok(status);
    }
    Err(Error::invalid("status", format!("'{given}' is not a status{}", crate::args::choices(given, known))))
}
