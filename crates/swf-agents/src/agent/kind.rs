//! The kinds of agents and their names in the different places.

use std::fmt;
use std::str::FromStr;

/// A kind of agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Runs workflows: the simulated machine.
    Runner,
    /// Registers runs and STF files.
    Data,
    /// Processes STF files.
    Processing,
    /// Samples TF files from STF files.
    Fastmon,
    /// Cuts TF files into slices and takes the results.
    FastProcessing,
    /// Processes slices.
    Worker,
}

impl Kind {
    /// All kinds, in the order they are started.
    pub const ALL: [Self; 6] =
        [Self::Runner, Self::Data, Self::Processing, Self::Fastmon, Self::FastProcessing, Self::Worker];

    /// Name on the command line and in durable identities.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runner => "runner",
            Self::Data => "data",
            Self::Processing => "processing",
            Self::Fastmon => "fastmon",
            Self::FastProcessing => "fast-processing",
            Self::Worker => "worker",
        }
    }

    /// `agent_type` of heartbeats.
    pub fn agent_type(self) -> &'static str {
        match self {
            Self::Runner => "DAQ_Simulator",
            Self::Data => "DATA",
            Self::Processing => "STF_Processing",
            Self::Fastmon => "fastmon",
            Self::FastProcessing => "Fast_Processing",
            Self::Worker => "Slice_Worker",
        }
    }

    /// Program name in the agent manager.
    pub fn program(self) -> &'static str {
        match self {
            Self::Runner => "workflow-runner",
            Self::Data => "example-data-agent",
            Self::Processing => "example-processing-agent",
            Self::Fastmon => "example-fastmon-agent",
            Self::FastProcessing => "fast-processing-agent",
            Self::Worker => "slice-worker",
        }
    }

    /// Name of the `[agents.<name>]` table of testbed files; the runner has none, it always runs.
    pub fn table(self) -> Option<&'static str> {
        match self {
            Self::Runner => None,
            Self::FastProcessing => Some("fast_processing"),
            other => Some(other.as_str()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = text.replace('_', "-");
        Self::ALL.into_iter().find(|kind| kind.as_str() == wanted).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("agent kind {text:?} is not one of {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_name_and_table() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            if let Some(table) = kind.table() {
                assert_eq!(table.parse(), Ok(kind));
            }
            assert!(kind.agent_type().len() <= 20, "the monitor's column has 20 characters");
        }
        assert!("daq".parse::<Kind>().unwrap_err().contains("runner, data"));
    }
}
