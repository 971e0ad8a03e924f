//! Quarantined rows: what there is, what is in it, and taking rows out of it (D8). For members of the owning domain only;
//! whoever calls this has made sure of that.

use std::sync::Arc;

use meshwork_core::audit::{Entry, Event};
use meshwork_core::effect::Clock;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::{ProductId, RunId};
use meshwork_core::name::Name;
use meshwork_core::quarantine::QuarantineEntry;

use crate::port::audit::AuditSink;
use crate::port::data::{Repaired, RepairedFormat};
use crate::port::state::QuarantineState;
use crate::query::{Answer, QueryService, QuerySession};
use crate::run::{ReleaseRequest, RunService, RunStream};

#[derive(Clone)]
pub struct QuarantineService {
    pub state: Arc<dyn QuarantineState>,
    pub query: Arc<QueryService>,
    pub runs: Arc<RunService>,
    pub audit: Arc<dyn AuditSink>,
    pub clock: Arc<dyn Clock>,
}

impl QuarantineService {
    /// What runs have set aside, newest first.
    pub async fn entries(&self, product: Option<&ProductId>, run: Option<&RunId>) -> Result<Vec<QuarantineEntry>> {
        self.state.quarantine(product, run).await
    }

    /// The open rows of entries of one major of one output, as this reader may see them.
    pub async fn show(
        &self,
        session: &QuerySession,
        domain: &Name,
        output: &Name,
        entries: &[QuarantineEntry],
    ) -> Result<Answer> {
        if entries.is_empty() {
            return Err(nothing());
        }
        self.query.set_aside(session, domain.as_str(), output.as_str(), entries).await
    }

    /// Starts a run that takes rows out of quarantine: those that `repaired` holds, or all as they are. Recorded before.
    pub async fn release(
        &self,
        session: &QuerySession,
        (domain, product, output): (&Name, &Name, &Name),
        entry: &QuarantineEntry,
        repaired: Option<(RepairedFormat, String)>,
    ) -> Result<RunStream> {
        let repaired = match repaired {
            Some((format, text)) => {
                let unseen = self.query.unseen_columns(session, domain.as_str(), output.as_str(), entry.major).await?;
                Some(Repaired { format, text, unseen })
            }
            None => None,
        };
        let event = Event::Access {
            action: "quarantine.release".to_owned(),
            object: entry.run.to_string(),
            table: Some(format!("{domain}.{output}")),
            purpose: None,
        };
        let entry_of_log = Entry::new(self.clock.now(), session.actor.principal.clone(), event)
            .on_behalf_of(session.subject.principal.clone())
            .from_address(session.address.clone());
        self.audit.record(entry_of_log).await?;
        let (output, major) = (entry.output.clone(), entry.major);
        let request = ReleaseRequest { of: entry.run.clone(), output, major, repaired };
        self.runs.release(&session.subject, domain, product, request).await
    }
}

fn nothing() -> Error {
    Error::not_found("MW0681", "no rows are in quarantine there").hint("`meshwork quarantine list` shows what there is")
}
