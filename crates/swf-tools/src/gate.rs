//! The one door to the tools: checks the scope, times and counts the call, writes the audit row.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde_json::Value;
use swf_db::{Db, Sql};
use tracing::{Instrument, info, warn};

use crate::{Caller, Clock, Error, Settings, Tool, registry};

/// What all calls share.
pub struct Service {
    /// The database of record.
    pub db: Db,
    /// The PanDA database, when one is configured.
    pub panda: Option<crate::panda::Panda>,
    /// The broker, when one is configured.
    pub bus: Option<crate::Bus>,
    /// The time.
    pub clock: Clock,
    /// What the installation has set.
    pub settings: Settings,
    /// How fresh the sources were at the last look.
    pub sources: crate::sources::Cache,
}

/// By which way a call came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// MCP over HTTP or stdio.
    Mcp,
    /// The derived REST call.
    Rest,
    /// A web page.
    Page,
    /// A message from the broker.
    Broker,
    /// A task of the server itself.
    Internal,
}

impl Surface {
    /// Name in metrics and audit rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Surface::Mcp => "mcp",
            Surface::Rest => "rest",
            Surface::Page => "page",
            Surface::Broker => "broker",
            Surface::Internal => "internal",
        }
    }
}

/// A caller in front of the tools.
#[derive(Clone)]
pub struct Gate {
    /// What all calls share.
    pub service: Arc<Service>,
    /// Who calls.
    pub caller: Caller,
    /// By which way.
    pub surface: Surface,
}

/// What a running tool has: made only by [`Gate::call`], after the scope check.
#[derive(Clone)]
pub struct Cx {
    /// The database of record.
    pub db: Db,
    /// The moment of the call; every window and age of one answer counts from it.
    pub now: DateTime<Utc>,
    /// Who calls.
    pub caller: Caller,
    gate: Gate,
}

impl Cx {
    /// What all calls share.
    pub fn service(&self) -> &Service {
        &self.gate.service
    }

    /// What the installation has set.
    pub fn settings(&self) -> &Settings {
        &self.gate.service.settings
    }

    /// The answer of another tool, as the same caller.
    pub async fn call<T: Tool>(&self, tool: T) -> Result<T::Output, Error> {
        self.gate.check(T::SCOPE)?;
        tool.run(self).await
    }
}

impl Gate {
    /// Runs a tool by name.
    pub async fn call(&self, name: &str, arguments: Value) -> Result<Value, Error> {
        let Some(tool) = registry::find(name) else {
            let names = registry::names();
            let why = format!("there is no such tool{}", crate::args::choices(name, &names));
            return Err(Error::invalid(name, why));
        };
        let started = Instant::now();
        let span = tracing::info_span!(
            "tool",
            tool = tool.name,
            surface = self.surface.as_str(),
            caller = self.caller.name()
        );
        let audited = (!tool.hints.read_only).then(|| arguments.clone());
        let result = async {
            self.check(tool.scope)?;
            let answer = tool.run(arguments, self.cx()).await?;
            Ok(crate::ceiling::fit(answer, self.service.settings.answer_ceiling))
        }
        .instrument(span)
        .await;
        self.record(tool.name, audited, &result, started).await;
        result
    }

    fn check(&self, scope: crate::Scope) -> Result<(), Error> {
        if self.caller.may(scope) { Ok(()) } else { Err(Error::Forbidden(scope)) }
    }

    /// For tests and the server's own tasks inside this crate.
    pub(crate) fn cx(&self) -> Cx {
        Cx {
            db: self.service.db.clone(),
            now: self.service.clock.now(),
            caller: self.caller.clone(),
            gate: self.clone(),
        }
    }

    async fn record(
        &self,
        tool: &'static str,
        audited: Option<Value>,
        result: &Result<Value, Error>,
        started: Instant,
    ) {
        let seconds = started.elapsed().as_secs_f64();
        let outcome = match result {
            Ok(_) => "ok",
            Err(e) => e.kind(),
        };
        metrics::counter!("swf_tool_calls_total", "tool" => tool, "outcome" => outcome).increment(1);
        metrics::histogram!("swf_tool_seconds", "tool" => tool).record(seconds);
        if let Err(Error::Internal(cause)) = result {
            warn!(tool, caller = self.caller.name(), "tool {tool} failed: {cause:#}");
        }
        let Some(arguments) = audited else { return };
        info!(tool, caller = self.caller.name(), outcome, "{} called {tool}: {outcome}", self.caller.name());
        let row = self.audit_row(tool, arguments, outcome, seconds);
        if let Err(e) = self.service.db.execute(&row).await {
            warn!(tool, "the audit row of a {tool} call could not be written: {e}");
        }
    }

    fn audit_row(&self, tool: &str, arguments: Value, outcome: &str, seconds: f64) -> Sql {
        Sql::new("INSERT INTO swfx_audit (at, caller, surface, tool, arguments, outcome, seconds) VALUES")
            .with(
                "(?, ?, ?, ?, ?, ?, ?)",
                [
                    self.service.clock.now().into(),
                    self.caller.name().into(),
                    self.surface.as_str().into(),
                    tool.into(),
                    arguments.into(),
                    outcome.into(),
                    seconds.into(),
                ],
            )
    }
}
