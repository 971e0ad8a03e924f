//! What auditors hear of a query.

use std::collections::BTreeSet;

use meshwork_core::audit::{Entry, Event, TableRead};
use meshwork_core::error::{Error, Kind, Result};
use sha2::{Digest, Sha256};

use super::catalog::Resolved;
use super::{Inner, QuerySession};
use crate::port::data::GovernedTable;

impl Inner {
    pub(super) fn entry(&self, session: &QuerySession, sql: Option<&str>, event: Event) -> Entry {
        let entry = Entry::new(self.now(), session.actor.principal.clone(), event)
            .on_behalf_of(session.subject.principal.clone())
            .from_address(session.address.clone());
        match sql {
            Some(sql) => entry.with_statement(sql),
            None => entry,
        }
    }

    pub(super) async fn record(&self, entry: Entry) -> Result<()> {
        self.audit.record(entry).await.map_err(|error| {
            tracing::error!(%error, "the audit log could not be written");
            Error::environment("MW0714", "the request could not be recorded in the audit log, so it is refused")
                .hint(error.message)
        })
    }

    /// A refusal that cannot be recorded is still a refusal, but of the graver kind.
    pub(super) async fn refused(
        &self,
        session: &QuerySession,
        sql: &str,
        error: &Error,
        reasons: Vec<String>,
    ) -> Result<()> {
        let event = Event::QueryRefused {
            query: self.new_id(),
            port: session.port.to_owned(),
            error: error.code.clone(),
            reasons,
        };
        self.record(self.entry(session, Some(sql), event)).await
    }
}

/// Whether an error is about access, and so of interest to auditors.
pub(super) fn refuses(error: &Error) -> bool {
    matches!(error.kind, Kind::Forbidden | Kind::Unauthenticated) || error.code.starts_with("MW07")
}

pub(super) fn purposes(tables: &[Resolved]) -> Vec<String> {
    let all: BTreeSet<&String> = tables.iter().filter_map(|t| t.decision.purpose.as_ref()).collect();
    all.into_iter().cloned().collect()
}

pub(super) fn reasons(tables: &[Resolved]) -> Vec<String> {
    let all: BTreeSet<&String> = tables.iter().flat_map(|t| &t.decision.because).collect();
    all.into_iter().cloned().collect()
}

pub(super) fn digest(tables: &[Resolved]) -> String {
    let mut all: Vec<String> =
        tables.iter().map(|t| format!("{}/{}/{}", t.table.output_id, t.decision.major, t.decision.digest)).collect();
    all.sort();
    all.dedup();
    Sha256::digest(all.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn governed_read(table: &GovernedTable) -> TableRead {
    TableRead {
        domain: table.domain.clone(),
        output: table.output.clone(),
        output_id: table.output_id.clone(),
        major: table.major,
        delta_version: table.delta_version,
        columns: table.columns.iter().map(|c| c.name.clone()).collect(),
        masked: table.columns.iter().filter(|c| c.mask.is_some()).map(|c| c.name.clone()).collect(),
        filtered: !table.rows.is_empty(),
        decision_digest: table.decision_digest.clone(),
    }
}
