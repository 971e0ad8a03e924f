//! The tables of one reader for one statement: names become governed tables, or refusals.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Kind, Result};
use meshwork_core::id::{OutputId, PublicationId};
use meshwork_core::mask::Mask;
use meshwork_core::mesh::Mesh;
use meshwork_core::name::split_major;
use meshwork_core::policy::{ColumnAccess, Decision, Request, unknown_table};
use meshwork_core::principal::{Principal, Subject};
use meshwork_core::product::{Output, Product};
use meshwork_core::publication::{Publication, PublishedOutput};
use meshwork_core::quality::Rule;

use super::Inner;
use crate::governance::Epoch;
use crate::port::data::{
    Catalog, ColumnMask, GovernedBody, GovernedColumn, GovernedTable, ListedColumn, ListedTable, TableUse,
};

/// What each major of one output serves, and by which publication.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    outputs: BTreeMap<u32, PublishedOutput>,
    publications: BTreeMap<u32, PublicationId>,
}

impl Published {
    fn add(&mut self, publication: &PublicationId, output: PublishedOutput) {
        self.publications.insert(output.major, publication.clone());
        self.outputs.insert(output.major, output);
    }

    pub fn of(publication: &PublicationId, output: PublishedOutput) -> Self {
        let mut published = Self::default();
        published.add(publication, output);
        published
    }

    pub fn publication(&self, major: u32) -> Option<&PublicationId> {
        self.publications.get(&major)
    }
}

impl Deref for Published {
    type Target = BTreeMap<u32, PublishedOutput>;
    fn deref(&self) -> &Self::Target {
        &self.outputs
    }
}

/// A table as a statement names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub domain: String,
    pub output: String,
    pub major: Option<u32>,
}

/// A table of a statement with the decision that it is read under.
#[derive(Clone)]
pub(super) struct Resolved {
    pub named: Named,
    pub as_of: Option<Timestamp>,
    pub published: Arc<Published>,
    pub decision: Arc<Decision>,
    pub table: GovernedTable,
}

impl Resolved {
    /// The published version that it reads.
    pub fn served(&self) -> Option<&PublishedOutput> {
        self.published.get(&self.decision.major)
    }

    /// Whether its values depend on the query's own salt.
    pub fn is_salted(&self) -> bool {
        self.decision.columns.iter().any(|c| c.access == ColumnAccess::Masked(Mask::Sha256QueryLocal))
    }
}

pub(super) struct StatementCatalog {
    pub(super) inner: Arc<Inner>,
    pub(super) epoch: Arc<Epoch>,
    subject: Subject,
    purpose: Option<String>,
    /// Of the query-local hash: new for every statement.
    salt: [u8; 32],
    resolved: Mutex<Vec<Resolved>>,
    refusals: Mutex<Vec<String>>,
}

impl StatementCatalog {
    pub fn new(inner: Arc<Inner>, epoch: Arc<Epoch>, subject: Subject, purpose: Option<String>) -> Self {
        let mut salt = [0; 32];
        inner.ports.entropy.fill(&mut salt);
        Self { inner, epoch, subject, purpose, salt, resolved: Mutex::default(), refusals: Mutex::default() }
    }

    pub fn epoch(&self) -> u64 {
        self.epoch.number
    }

    pub fn mesh(&self) -> Option<&Mesh> {
        self.epoch.mesh.as_ref()
    }

    /// Why tables were refused, for the audit log.
    pub fn refusals(&self) -> Vec<String> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn resolved(&self) -> Vec<Resolved> {
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The resolved tables that a plan reads. A plan that reads anything else was not planned over this catalog.
    pub fn used(&self, tables: &[TableUse]) -> Result<Vec<Resolved>> {
        let resolved = self.resolved();
        let find = |used: &TableUse| {
            let is_it = |r: &&Resolved| {
                r.table.output_id == used.output_id
                    && r.table.major == used.major
                    && r.table.delta_version == used.delta_version
                    && r.decision.digest == used.decision_digest
            };
            resolved.iter().find(is_it).cloned().ok_or_else(|| {
                let message = format!("the plan reads {}.{} outside its decision", used.domain, used.output);
                Error::internal("MW0790", message)
            })
        };
        tables.iter().map(find).collect()
    }

    pub(super) fn find(&self, domain: &str, table: &str) -> Option<(Named, &Product, &Output)> {
        let mesh = self.epoch.mesh.as_ref()?;
        let named = |output: &str, major| Named { domain: domain.to_owned(), output: output.to_owned(), major };
        if let Some((product, output)) = mesh.output(domain, table) {
            return Some((named(table, None), product, output));
        }
        let (stem, major) = split_major(table)?;
        let (product, output) = mesh.output(domain, stem)?;
        output.versions.contains_key(&major).then(|| (named(stem, Some(major)), product, output))
    }

    /// The decision about a table as written; `None` when nothing has this name.
    pub async fn decide(
        &self,
        domain: &str,
        table: &str,
        as_of: Option<Timestamp>,
    ) -> Result<Option<(Arc<Published>, Arc<Decision>)>> {
        let Some((named, _, output)) = self.find(domain, table) else { return Ok(None) };
        let published = Arc::new(self.published(output, as_of).await?);
        let decision = self.decide_named(&named, &published)?;
        Ok(Some((published, decision)))
    }

    /// Whether a clause of this output is a query. A clause that the applied contracts do not know may have been one.
    pub fn is_sql_clause(&self, output: &OutputId, clause: &str) -> bool {
        let products = self.epoch.mesh.iter().flat_map(|mesh| mesh.products());
        let outputs = products.flat_map(|(_, product)| product.outputs.values());
        let versions = outputs.filter(|o| o.id.as_ref() == Some(output)).flat_map(|o| o.versions.values());
        let mut clauses = versions.flat_map(|v| &v.schema().clauses).filter(|known| known.id == clause).peekable();
        clauses.peek().is_none() || clauses.any(|known| matches!(known.rule, Rule::Sql { .. }))
    }

    pub async fn serves_the_same(&self, table: &Resolved) -> Result<bool> {
        let Some((_, _, output)) = self.find(&table.named.domain, &table.named.output) else { return Ok(false) };
        Ok(*self.published(output, table.as_of).await? == **table.published)
    }

    async fn published(&self, output: &Output, as_of: Option<Timestamp>) -> Result<Published> {
        let mut published = Published::default();
        let Some(id) = &output.id else { return Ok(published) };
        for major in output.versions.keys() {
            if self.is_given_up(id, *major, as_of).await? {
                continue;
            }
            let publication = self.inner.ports.publications.resolve(id, *major, as_of).await?;
            let Some(Publication { id: publication, outputs, .. }) = publication else { continue };
            let served = outputs.into_iter().filter(|o| o.output == *id && o.major == *major);
            served.for_each(|output| published.add(&publication, output));
        }
        Ok(published)
    }

    /// Whether what was published then is no longer kept.
    async fn is_given_up(&self, output: &OutputId, major: u32, as_of: Option<Timestamp>) -> Result<bool> {
        let Some(at) = as_of else { return Ok(false) };
        let horizon = self.inner.ports.publications.horizon(output, major).await?;
        Ok(horizon.is_some_and(|oldest| at < oldest))
    }

    /// Why a table has nothing to show at a moment.
    async fn absent(
        &self,
        domain: &str,
        table: &str,
        output: &Output,
        major: u32,
        as_of: Option<Timestamp>,
    ) -> Result<Error> {
        if let (Some(at), Some(id)) = (as_of, &output.id)
            && let Some(oldest) = self.inner.ports.publications.horizon(id, major).await?
            && at < oldest
        {
            let message = format!("what {domain}.{table} was as of {} is no longer kept", at.to_rfc3339());
            return Ok(Error::not_found("MW0698", message)
                .hint(format!("the earliest moment that works is {}", oldest.to_rfc3339()))
                .hint(
                    "`retention` of its product.yaml, domain.yaml or mesh.yaml says how long publications are kept",
                ));
        }
        Ok(unpublished(domain, table, as_of))
    }

    /// Decides, or takes the decision that was made in this epoch on the same grounds.
    pub fn decide_named(&self, named: &Named, published: &Published) -> Result<Arc<Decision>> {
        let table = named.major.map_or_else(|| named.output.clone(), |m| format!("{}_v{m}", named.output));
        let Some((_, product, output)) = self.find(&named.domain, &table) else {
            return Err(unknown_table(&named.domain, &table));
        };
        let Some(policies) = self.epoch.policies()? else { return Err(unknown_table(&named.domain, &table)) };
        let now = self.inner.now();
        let versions: Vec<_> = published.iter().map(|(major, p)| (major, &p.location.path, p.delta_version)).collect();
        let key = serde_json::json!([self.subject, self.purpose, named.domain, table, versions]).to_string();
        if let Some(kept) = self.epoch.kept(&key, now) {
            return Ok(kept);
        }
        let mesh = self.epoch.mesh.as_ref();
        let Some(domain) = mesh.and_then(|mesh| mesh.domain(&named.domain)) else {
            return Err(unknown_table(&named.domain, &table));
        };
        let decision = Arc::new(policies.decide(&Request {
            subject: &self.subject,
            purpose: self.purpose.as_deref(),
            domain: &domain.name,
            product,
            output,
            major: named.major,
            agreements: output.id.as_ref().map_or(&[][..], |id| self.epoch.agreements_of(id)),
            classifications: mesh.map_or(&[][..], |mesh| &mesh.classifications),
            published,
            now,
        }));
        self.epoch.keep(key, &decision);
        Ok(decision)
    }

    /// The table as the reader gets it. `depth`: how many views it stands below.
    pub(super) fn governed(
        &self,
        named: &Named,
        output: &Output,
        decision: &Decision,
        served: &PublishedOutput,
        depth: usize,
    ) -> Result<GovernedTable> {
        let domain = self.epoch.mesh.as_ref().and_then(|mesh| mesh.domain(&named.domain));
        let domain = domain.ok_or_else(|| unknown_table(&named.domain, &named.output))?;
        let columns = decision.visible().map(|column| {
            let mask = match column.access {
                ColumnAccess::Masked(mask) => {
                    Some(ColumnMask { mask, key: self.inner.mask_key(column, mask, &self.salt) })
                }
                _ => None,
            };
            GovernedColumn {
                id: column.id.clone(),
                name: column.name.clone(),
                native: column.native.clone(),
                nullable: !column.required || mask.is_some(),
                mask,
                bears: column.bears.clone(),
            }
        });
        let body = self.body(named, served, depth)?;
        let below = match &body {
            GovernedBody::View(view) => view.inputs.values().filter_map(|table| table.valid_until).min(),
            GovernedBody::Stored | GovernedBody::External(_) | GovernedBody::SetAside(_) => None,
        };
        let valid_until = below.into_iter().chain(decision.valid_until).min();
        Ok(GovernedTable {
            domain: domain.name.clone(),
            output: output.name.clone(),
            output_id: served.output.clone(),
            major: decision.major,
            location: served.location.clone(),
            delta_version: served.delta_version,
            columns: columns.collect(),
            withheld: decision.withheld().map(|c| c.name.clone()).collect(),
            rows: decision.rows.clone(),
            decision_digest: decision.digest.clone(),
            valid_until,
            body,
        })
    }

    fn refuse(&self, domain: &str, table: &str, decision: &Decision) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let code = decision.refusal.as_ref().map_or("", |error| error.code.as_str());
        refusals.push(format!("{domain}.{table}: {code}"));
        refusals.extend(decision.because.iter().cloned());
    }
}

#[async_trait]
impl Catalog for StatementCatalog {
    async fn resolve(&self, domain: &str, table: &str, as_of: Option<Timestamp>) -> Result<Option<GovernedTable>> {
        let Some((named, _, output)) = self.find(domain, table) else { return Ok(None) };
        let Some((published, decision)) = self.decide(domain, table, as_of).await? else { return Ok(None) };
        if let Some(error) = &decision.refusal {
            self.refuse(domain, table, &decision);
            // Unknown and undiscoverable are one answer; a failure to decide is neither.
            let hidden = !decision.discoverable && error.kind == Kind::NotFound;
            return if hidden { Ok(None) } else { Err(error.clone()) };
        }
        let Some(served) = published.get(&decision.major) else {
            return Err(self.absent(domain, table, output, decision.major, as_of).await?);
        };
        let governed = self.governed(&named, output, &decision, served, 0).inspect_err(|error| {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            refusals.push(format!("{domain}.{table}: {}", error.code));
        })?;
        let resolved = Resolved { named, as_of, published, decision, table: governed.clone() };
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner).push(resolved);
        Ok(Some(governed))
    }

    async fn list(&self) -> Result<Vec<ListedTable>> {
        let Some(mesh) = &self.epoch.mesh else { return Ok(Vec::new()) };
        let mut served: BTreeMap<_, Published> = BTreeMap::new();
        for publication in self.inner.ports.publications.current().await? {
            for output in publication.outputs {
                let served = served.entry(output.output.clone()).or_default();
                // The newest come first, and each tells of all outputs of its product.
                if !served.contains_key(&output.major) {
                    served.add(&publication.id, output);
                }
            }
        }
        let nothing = Published::default();
        let mut listed = Vec::new();
        for (domain, product) in mesh.products() {
            for output in product.outputs.values() {
                let published = output.id.as_ref().and_then(|id| served.get(id)).unwrap_or(&nothing);
                for major in std::iter::once(None).chain(published.keys().map(|major| Some(*major))) {
                    let named = Named { domain: domain.name.to_string(), output: output.name.to_string(), major };
                    if major.is_some_and(|major| !output.versions.contains_key(&major)) {
                        continue;
                    }
                    let decision = self.decide_named(&named, published)?;
                    let served = published.get(&decision.major).filter(|_| decision.allowed);
                    if served.is_some_and(|served| self.body(&named, served, 0).is_ok()) {
                        listed.push(listing(&named, domain.name.clone(), output, &decision));
                    }
                }
            }
        }
        Ok(listed)
    }

    fn user(&self) -> String {
        match &self.subject.principal {
            Principal::User(name) => name.clone(),
            product @ Principal::Product { .. } => product.to_string(),
        }
    }
}

fn listing(named: &Named, domain: meshwork_core::name::Name, output: &Output, decision: &Decision) -> ListedTable {
    let schema = output.versions.get(&decision.major).map(|version| version.schema());
    let described = |name: &str| schema.and_then(|s| s.field(name)).and_then(|field| field.description.clone());
    ListedTable {
        domain,
        table: named.major.map_or_else(|| named.output.clone(), |major| format!("{}_v{major}", named.output)),
        description: schema.and_then(|schema| schema.description.clone()),
        columns: decision
            .visible()
            .map(|column| ListedColumn {
                name: column.name.clone(),
                native: column.native.clone(),
                nullable: !column.required || column.access != ColumnAccess::Clear,
                description: described(&column.name),
            })
            .collect(),
    }
}

fn unpublished(domain: &str, table: &str, as_of: Option<Timestamp>) -> Error {
    let when = as_of.map_or_else(|| "yet".to_owned(), |at| format!("as of {}", at.to_rfc3339()));
    Error::not_found("MW0712", format!("nothing of {domain}.{table} was published {when}"))
        .hint("its owner publishes it with `meshwork run`; `meshwork runs` shows whether a run was blocked")
}
