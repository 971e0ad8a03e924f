//! Agreements: granting, revoking and listing them. The approval is the grant: the next execution of any statement reads
//! the policy epoch, which rises with every change here.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use meshwork_core::agreement::Agreement;
use meshwork_core::audit::{Entry, Event};
use meshwork_core::contract::Table;
use meshwork_core::effect::{Clock, Entropy, Timestamp};
use meshwork_core::error::{Error, Result};
use meshwork_core::filter::{Comparison, Predicate, RowFilter};
use meshwork_core::id::{AgreementId, Ids, OutputId};
use meshwork_core::mesh::Mesh;
use meshwork_core::name::{Name, split_major};
use meshwork_core::permission::{self, ApiAction, Resource, may};
use meshwork_core::policy::unknown_table;
use meshwork_core::principal::{Grantee, Subject};
use meshwork_core::product::{Output, Product, Status};
use meshwork_core::suggestion::closest;
use meshwork_core::types::{ColumnType, Literal};
use serde::{Deserialize, Serialize};

use crate::governance::{Epoch, Governance};
use crate::platform::Ports;
use crate::port::audit::AuditSink;
use crate::port::state::AgreementState;

/// What an owner promises to whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    pub grantee: Grantee,
    /// `domain.output`
    pub table: String,
    pub purpose: String,
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// Absent: every column.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// Classifications that the grantee reads in the clear.
    #[serde(default)]
    pub clear: Vec<Name>,
    #[serde(default)]
    pub rows: RowFilter,
    /// The contract major to pin; absent: the newest.
    #[serde(default)]
    pub major: Option<u32>,
    #[serde(default)]
    pub reason: Option<String>,
}

/// A purpose is a short label: it is chosen again in headers and settings.
const PURPOSE_CHARS: usize = 100;

#[derive(Clone)]
pub struct AccessService {
    agreements: Arc<dyn AgreementState>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    governance: Arc<Governance>,
    audit: Arc<dyn AuditSink>,
}

impl AccessService {
    pub fn new(ports: Ports, governance: Arc<Governance>, audit: Arc<dyn AuditSink>) -> Self {
        let Ports { agreements, clock, entropy, .. } = ports;
        Self { agreements, clock, entropy, governance, audit }
    }

    /// Grants. Asking for what is already granted returns the agreement that grants it.
    pub async fn grant(&self, actor: &Subject, subject: &Subject, request: GrantRequest) -> Result<Agreement> {
        let epoch = self.governance.now().await?;
        let found = find(&epoch, subject, &request.table)?;
        let resource = Resource::Product { domain: found.domain, called: &request.table, discoverable: true };
        may(Some(subject), ApiAction::Grant, resource)?;
        let agreement = self.agreement(subject, &found, request)?;
        let now = self.clock.now();
        if let Some(same) =
            epoch.agreements_of(&agreement.output).iter().find(|a| a.is_live(now) && says_the_same(a, &agreement))
        {
            return Ok(same.clone());
        }
        self.record(actor, subject, "grant", &agreement).await?;
        self.agreements.grant(&agreement).await?;
        Ok(agreement)
    }

    /// Revokes, with effect on every port within a second, also on what is running. Idempotent.
    pub async fn revoke(&self, actor: &Subject, subject: &Subject, id: &AgreementId) -> Result<Agreement> {
        let agreement = self.agreement_of(subject, id, ApiAction::Revoke).await?;
        if agreement.revoked_at.is_some() {
            return Ok(agreement);
        }
        self.record(actor, subject, "revoke", &agreement).await?;
        self.agreements.revoke(id, self.clock.now(), &subject.principal).await
    }

    pub async fn get(&self, subject: &Subject, id: &AgreementId) -> Result<Agreement> {
        self.agreement_of(subject, id, ApiAction::ReadAgreement).await
    }

    /// Live and past agreements that the subject may see: on its own outputs, with itself or its teams; an administrator
    /// sees all. Newest first.
    pub async fn list(&self, subject: &Subject) -> Result<Vec<Agreement>> {
        may(Some(subject), ApiAction::ListAgreements, Resource::Mesh)?;
        let epoch = self.governance.now().await?;
        let all = self.agreements.agreements().await?;
        Ok(all.into_iter().filter(|a| permitted(&epoch, subject, a, ApiAction::ReadAgreement).is_ok()).collect())
    }

    async fn agreement_of(&self, subject: &Subject, id: &AgreementId, action: ApiAction) -> Result<Agreement> {
        let epoch = self.governance.now().await?;
        let unknown = || permission::unknown(&format!("agreement {id}"));
        let agreement = self.agreements.agreement(id).await?.ok_or_else(unknown)?;
        permitted(&epoch, subject, &agreement, action)?;
        Ok(agreement)
    }

    fn agreement(&self, subject: &Subject, found: &Found<'_>, request: GrantRequest) -> Result<Agreement> {
        let table = format!("{}.{}", found.domain, found.output.name);
        let now = self.clock.now();
        let purpose = request.purpose.trim();
        if purpose.is_empty() || purpose.chars().count() > PURPOSE_CHARS || purpose.chars().any(char::is_control) {
            let message = format!("an agreement needs a purpose of 1 to {PURPOSE_CHARS} characters");
            return Err(Error::usage("MW0721", message).hint("for example `--purpose churn-analysis`"));
        }
        if request.expires_at.is_some_and(|at| at <= now) {
            return Err(Error::usage(
                "MW0721",
                "the agreement would expire in the past, so it would never be in force",
            )
            .hint("leave the expiry away, or give a later one"));
        }
        let newest = found.output.newest().map_or(0, |(major, _)| major);
        let major = request.major.or(found.major).unwrap_or(newest);
        let Some(version) = found.output.versions.get(&major) else {
            let served: Vec<String> = found.output.versions.keys().map(u32::to_string).collect();
            return Err(Error::usage("MW0721", format!("{table} has no version {major}"))
                .hint(format!("its versions are: {}", served.join(", "))));
        };
        let schema = version.schema();
        let columns = request.columns.filter(|columns| !columns.is_empty());
        for column in columns.iter().flatten() {
            known_column(&table, schema, column)?;
        }
        for predicate in &request.rows.0 {
            fits(&table, schema, predicate)?;
        }
        for classification in &request.clear {
            if !found.mesh.classifications.iter().any(|known| known.name == *classification) {
                let known = found.mesh.classifications.iter().map(|known| known.name.as_str());
                let message = format!("the mesh has no classification `{classification}`");
                return Err(suggest(Error::usage("MW0720", message), classification, known));
            }
        }
        if let Grantee::Product { domain, product } = &request.grantee
            && let Some(home) = found.mesh.domain(domain)
            && !home.products.contains_key(product)
        {
            let message = format!("domain `{domain}` has no product `{product}`");
            let known = home.products.keys().map(Name::as_str);
            return Err(suggest(Error::usage("MW0720", message), product, known));
        }
        let mut clear = request.clear;
        clear.sort();
        clear.dedup();
        Ok(Agreement {
            id: AgreementId::generate(Ids { clock: &*self.clock, entropy: &*self.entropy }),
            grantee: request.grantee,
            output: found.id.clone(),
            table,
            major,
            purpose: purpose.to_owned(),
            columns,
            clear,
            rows: request.rows.and(RowFilter::default()),
            granted_by: subject.principal.clone(),
            granted_at: now,
            expires_at: request.expires_at,
            revoked_at: None,
            reason: request.reason,
        })
    }

    async fn record(&self, actor: &Subject, subject: &Subject, action: &str, agreement: &Agreement) -> Result<()> {
        let event = Event::Access {
            action: action.to_owned(),
            object: agreement.id.to_string(),
            table: Some(agreement.table.clone()),
            purpose: Some(agreement.purpose.clone()),
        };
        let entry = Entry::new(self.clock.now(), actor.principal.clone(), event);
        self.audit.record(entry.on_behalf_of(subject.principal.clone())).await.map_err(|error| {
            Error::environment("MW0714", "the change could not be recorded in the audit log, so it was not made")
                .hint(error.message)
        })
    }
}

struct Found<'a> {
    mesh: &'a Mesh,
    domain: &'a Name,
    output: &'a Output,
    id: OutputId,
    /// Of `domain.output_vN`.
    major: Option<u32>,
}

/// The output that an owner names. Names that the caller may not know of are unknown to it.
fn find<'a>(epoch: &'a Epoch, subject: &Subject, table: &str) -> Result<Found<'a>> {
    let (domain, output) = table.split_once('.').ok_or_else(|| {
        Error::usage("MW0720", format!("`{table}` does not name a table")).hint("a table is `domain.output`")
    })?;
    let unknown = || {
        let mesh = epoch.mesh.iter().flat_map(Mesh::products);
        let seen = mesh.filter(|(domain, product)| epoch.discovers(subject, &domain.name, product));
        let names: Vec<String> =
            seen.flat_map(|(d, p)| p.outputs.keys().map(move |output| format!("{}.{output}", d.name))).collect();
        suggest(unknown_table(domain, output), table, names.iter().map(String::as_str))
    };
    let mesh = epoch.mesh.as_ref().ok_or_else(unknown)?;
    let home = mesh.domain(domain).ok_or_else(unknown)?;
    let versioned = || split_major(output).and_then(|(stem, major)| Some((mesh.output(domain, stem)?, Some(major))));
    let found = mesh.output(domain, output).map(|found| (found, None)).or_else(versioned);
    let ((product, output), major): ((&Product, &Output), _) = found.ok_or_else(unknown)?;
    if product.status == Status::Retired || !epoch.discovers(subject, &home.name, product) {
        return Err(unknown());
    }
    let id = output.id.clone().ok_or_else(unknown)?;
    Ok(Found { mesh, domain: &home.name, output, id, major })
}

/// Agreements outlive renames: the id of the output says whose they are.
fn permitted(epoch: &Epoch, subject: &Subject, agreement: &Agreement, action: ApiAction) -> Result<()> {
    let products = epoch.mesh.iter().flat_map(Mesh::products);
    let has_it = |p: &Product| p.outputs.values().any(|output| output.id.as_ref() == Some(&agreement.output));
    let home = products.filter(|(_, product)| has_it(product)).map(|(domain, _)| domain.name.clone()).next();
    let granted_in = agreement.table.split_once('.').and_then(|(domain, _)| Name::new(domain).ok());
    let called = format!("agreement {}", agreement.id);
    let domain = home.or(granted_in).ok_or_else(|| permission::unknown(&called))?;
    may(Some(subject), action, Resource::Agreement { domain: &domain, grantee: &agreement.grantee, called: &called })
}

fn says_the_same(a: &Agreement, b: &Agreement) -> bool {
    (&a.grantee, &a.output, a.major, &a.purpose, &a.columns, &a.clear, &a.rows, a.expires_at)
        == (&b.grantee, &b.output, b.major, &b.purpose, &b.columns, &b.clear, &b.rows, b.expires_at)
}

fn known_column(table: &str, schema: &Table, column: &str) -> Result<()> {
    if schema.field(column).is_some() {
        return Ok(());
    }
    let error = Error::usage("MW0720", format!("{table} has no column `{column}`"));
    Err(suggest(error, column, schema.fields.iter().map(|f| f.name.as_str())))
}

/// Whether a condition can be evaluated: its column is there, and its values are of the column's type.
fn fits(table: &str, schema: &Table, predicate: &Predicate) -> Result<()> {
    known_column(table, schema, &predicate.column)?;
    let takes = match predicate.op {
        Comparison::IsNull | Comparison::IsNotNull => predicate.values.is_empty(),
        Comparison::In | Comparison::NotIn => !predicate.values.is_empty(),
        _ => predicate.values.len() == 1,
    };
    let column = &predicate.column;
    if !takes {
        return Err(Error::usage("MW0723", format!("the condition on `{column}` has the wrong number of values"))
            .hint("IN takes one or more, IS NULL none, every other comparison one"));
    }
    let native = &schema.field(column).expect("known_column found it").native;
    if predicate.values.iter().all(|value| is_of(value, native)) {
        return Ok(());
    }
    Err(Error::usage("MW0723", format!("a value of the condition on `{column}` is not of that column's type"))
        .hint("texts, dates and times stand in quotes, numbers do not"))
}

fn is_of(value: &Literal, native: &ColumnType) -> bool {
    use ColumnType as T;
    match (native, value) {
        (T::Boolean, Literal::Boolean(_)) | (T::Text, Literal::Text(_)) => true,
        (T::Int8 | T::Int16 | T::Int32 | T::Int64, Literal::Integer(_)) => true,
        (T::Float32 | T::Float64 | T::Decimal { .. }, Literal::Integer(_) | Literal::Number(_)) => true,
        (T::Date, Literal::Text(text)) => text.parse::<chrono::NaiveDate>().is_ok(),
        (T::Timestamp, Literal::Text(text)) => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        (T::LocalTimestamp, Literal::Text(text)) => text.parse::<chrono::NaiveDateTime>().is_ok(),
        _ => false,
    }
}

fn suggest<'a>(error: Error, wrong: &str, known: impl Iterator<Item = &'a str>) -> Error {
    match closest(wrong, known) {
        Some(name) => error.hint(format!("Did you mean `{name}`?")),
        None => error,
    }
}
