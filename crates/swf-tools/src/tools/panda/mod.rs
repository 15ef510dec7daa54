//! PanDA production: what runs, what fails and why, and what it costs. Read-only.

pub mod activity;
pub mod compare;
pub mod diagnose;
pub mod error_summary;
pub mod get_queue;
pub mod harvester_workers;
pub mod list_jobs;
pub mod list_queues;
pub mod list_tasks;
pub mod resource_usage;
pub mod site_health;
pub mod study_job;
pub mod trend;

use crate::ToolDef;

/// The tools of this group.
pub const TOOLS: &[ToolDef] = &[
    ToolDef::of::<activity::GetActivity>(),
    ToolDef::of::<list_jobs::ListJobs>(),
    ToolDef::of::<diagnose::DiagnoseJobs>(),
    ToolDef::of::<list_tasks::ListTasks>(),
    ToolDef::of::<error_summary::ErrorSummary>(),
    ToolDef::of::<study_job::StudyJob>(),
    ToolDef::of::<list_queues::ListQueues>(),
    ToolDef::of::<get_queue::GetQueue>(),
    ToolDef::of::<resource_usage::ResourceUsage>(),
    ToolDef::of::<harvester_workers::HarvesterWorkers>(),
    ToolDef::of::<compare::Compare>(),
    ToolDef::of::<site_health::SiteHealth>(),
    ToolDef::of::<trend::Trend>(),
];
