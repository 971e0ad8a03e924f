//! Answering a governed query: decide, plan, record, execute, and keep checking while it runs (D16, D17, D23).

mod catalog;
#[cfg(test)]
pub(crate) mod fakes;
mod product;
mod record;
mod set_aside;
mod stream;
mod subject;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, SchemaRef};
use meshwork_core::audit::{Event, TableRead};
use meshwork_core::effect::{Clock, Entropy, Timestamp};
use meshwork_core::error::{Error, Result};
use meshwork_core::id::{AuditId, Ids, OutputId};
use meshwork_core::limits::Limits;
use meshwork_core::mask::Mask;
use meshwork_core::mesh::Mesh;
use meshwork_core::name::Name;
use meshwork_core::policy::{ColumnDecision, Decision, MeshKey, report};
use meshwork_core::principal::Subject;
use meshwork_core::run::{Run, RunReport};

use self::catalog::{Resolved, StatementCatalog};
use self::record::{digest, purposes, reasons, refuses};
use crate::governance::{Epoch, Governance};
use crate::platform::Ports;
use crate::port::audit::AuditSink;
use crate::port::data::{
    BatchStream, CacheUse, Catalog, ListedTable, PlanRequest, PlannedQuery, QueryEngine, QueryLimits, TableUse,
};
use crate::port::state::{CredentialState, PublicationState};
use crate::readers::Readers;

/// How long an execution relies on what its preparation looked up.
const FRESH: Duration = Duration::from_secs(1);

/// Who asks, through which door, and what the session has set.
#[derive(Clone, Debug)]
pub struct QuerySession {
    /// Who is at the keyboard.
    pub actor: Subject,
    /// On whose behalf; differs from the actor under `--as` (D24). Its rights decide.
    pub subject: Subject,
    /// Selects among granted purposes (D16).
    pub purpose: Option<String>,
    /// The moment that tables are read at, where the statement names none.
    pub as_of: Option<Timestamp>,
    /// `cli`, `http`, `data`, `postgres`, `run`: for the audit log.
    pub port: &'static str,
    /// Of the client, for the audit log.
    pub address: Option<String>,
}

impl QuerySession {
    pub fn new(actor: Subject, subject: Subject, port: &'static str) -> Self {
        Self { actor, subject, purpose: None, as_of: None, port, address: None }
    }

    /// The purpose that a token pins wins over what the session says; the two must not differ.
    fn stated_purpose(&self) -> Result<Option<&str>> {
        match (self.subject.purpose.as_deref(), self.purpose.as_deref()) {
            (Some(pinned), Some(stated)) if pinned != stated => {
                let message = format!("this token is for the purpose `{pinned}`, not for `{stated}`");
                Err(Error::forbidden("MW0703", message).hint("leave the purpose away, or use another token"))
            }
            (pinned, stated) => Ok(pinned.or(stated)),
        }
    }
}

/// What a [`QueryService`] is set up with, beside its ports.
#[derive(Clone, Debug)]
pub struct QuerySettings {
    pub mesh_key: MeshKey,
    /// Where neither the operator nor the mesh says otherwise.
    pub limits: QueryLimits,
    /// What whoever serves has set; the mesh's own may only be lower.
    pub operator: Limits,
}

/// What answering needs of the world.
struct QueryPorts {
    publications: Arc<dyn PublicationState>,
    credentials: Arc<dyn CredentialState>,
    query: Arc<dyn QueryEngine>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// The one way to data, for every port and for products that read products.
#[derive(Clone)]
pub struct QueryService {
    inner: Arc<Inner>,
}

struct Inner {
    ports: QueryPorts,
    readers: Readers,
    governance: Arc<Governance>,
    audit: Arc<dyn AuditSink>,
    settings: QuerySettings,
}

/// A planned statement, bound to its reader and to the decisions it was planned under.
pub struct Prepared {
    session: QuerySession,
    sql: String,
    /// Of the parameters, as the client declared them.
    types: Vec<Option<DataType>>,
    plan: Plan,
    /// Made again since, over newer publications: what the next execution starts from.
    newer: Mutex<Option<Plan>>,
    executed: AtomicBool,
}

/// One planning of a statement.
#[derive(Clone)]
struct Plan {
    query: Arc<dyn PlannedQuery>,
    tables: Vec<Resolved>,
    epoch: u64,
    at: Timestamp,
    digest: String,
    valid_until: Option<Timestamp>,
}

impl Prepared {
    pub fn schema(&self) -> SchemaRef {
        self.plan.query.schema()
    }
    /// `$1`, `$2`, …; `None` where no type could be inferred.
    pub fn parameters(&self) -> Vec<Option<DataType>> {
        self.plan.query.parameters()
    }
    pub fn tables(&self) -> &[TableUse] {
        self.plan.query.tables()
    }
    /// Over the decisions on all its tables: what cursors and tickets bind to.
    pub fn digest(&self) -> &str {
        &self.plan.digest
    }
    pub fn sql(&self) -> &str {
        &self.sql
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("tables", &self.tables()).field("digest", &self.digest()).finish()
    }
}

/// A running answer. Dropping the stream cancels the query.
pub struct Answer {
    /// Names this execution in the audit log, in errors and to whoever wants to cancel it.
    pub query_id: String,
    pub schema: SchemaRef,
    pub stream: BatchStream,
    pub tables: Vec<TableUse>,
    /// The purpose in force, where an agreement was used.
    pub purpose: Option<String>,
    /// Over the decisions on all tables; with the tables' versions, what an ETag covers.
    pub digest: String,
    /// To be shown with the answer: deprecated tables, versions with a sunset.
    pub warnings: Vec<String>,
}

impl QueryService {
    pub fn new(ports: Ports, governance: Arc<Governance>, audit: Arc<dyn AuditSink>, settings: QuerySettings) -> Self {
        let Ports { publications, credentials, query, clock, entropy, .. } = ports;
        let ports = QueryPorts { publications, credentials, query, clock, entropy };
        Self::over(ports, governance, audit, settings)
    }

    fn over(
        ports: QueryPorts,
        governance: Arc<Governance>,
        audit: Arc<dyn AuditSink>,
        settings: QuerySettings,
    ) -> Self {
        Self { inner: Arc::new(Inner { ports, readers: Readers::default(), governance, audit, settings }) }
    }

    /// What the statements that run now read.
    pub fn readers(&self) -> &Readers {
        &self.inner.readers
    }

    /// How the engine's caches are used.
    pub fn caches(&self) -> Vec<CacheUse> {
        self.inner.ports.query.caches()
    }

    /// Plans a statement for this reader. Refusals are recorded.
    pub async fn prepare(&self, session: &QuerySession, sql: &str) -> Result<Prepared> {
        self.prepare_typed(session, sql, Vec::new()).await
    }

    /// The same for a client that declares the types of `$1`, `$2`, …
    pub async fn prepare_typed(
        &self,
        session: &QuerySession,
        sql: &str,
        types: Vec<Option<DataType>>,
    ) -> Result<Prepared> {
        let plan = self.inner.plan(session, sql, &types).await?;
        let (session, sql) = (session.clone(), sql.to_owned());
        Ok(Prepared { session, sql, types, plan, newer: Mutex::default(), executed: AtomicBool::new(false) })
    }

    /// Runs a prepared statement, if what the reader may see is still what it was prepared under (MW0711). Values bind to
    /// `$1`, `$2`, …, each a one-row array.
    pub async fn execute(&self, prepared: &Prepared, values: Vec<ArrayRef>) -> Result<Answer> {
        let inner = &self.inner;
        let plan = inner.current(prepared).await?;
        let reading = inner.readers.hold_tables(plan.tables.iter().map(|table| &table.table))?;
        prepared.executed.store(true, Ordering::Relaxed);
        let query_id = inner.new_id();
        let session = &prepared.session;
        let purposes = purposes(&plan.tables);
        let event = Event::QueryIntent {
            query: query_id.clone(),
            port: session.port.to_owned(),
            purpose: purposes.first().cloned(),
            tables: plan.query.tables().iter().flat_map(TableUse::whole).map(TableRead::from).collect(),
            reasons: reasons(&plan.tables),
            digest: plan.digest.clone(),
        };
        inner.record(inner.entry(session, Some(&prepared.sql), event)).await?;
        let mut watch = stream::Watch::new(inner.clone(), session.clone(), plan.clone(), query_id.clone(), reading);
        let stream = match plan.query.execute(values).await {
            Ok(stream) => stream,
            Err(error) => {
                watch.ended(Some(&error)).await;
                return Err(error);
            }
        };
        Ok(Answer {
            query_id,
            schema: plan.query.schema(),
            stream: watch.over(stream),
            tables: plan.query.tables().to_vec(),
            purpose: purposes.first().cloned(),
            warnings: plan
                .tables
                .iter()
                .flat_map(|t| t.decision.warnings.clone())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            digest: plan.digest,
        })
    }

    /// Whether rows that were released under a statement's decision may still be handed out: a fetch from a cursor (D17).
    pub async fn recheck(&self, prepared: &Prepared) -> Result<()> {
        self.inner.still_allowed(&prepared.session, &prepared.plan).await
    }

    /// Prepares and executes at once.
    pub async fn query(&self, session: &QuerySession, sql: &str, values: Vec<ArrayRef>) -> Result<Answer> {
        let prepared = self.prepare(session, sql).await?;
        self.execute(&prepared, values).await
    }

    /// The applied mesh and what governs it now, for whoever lists or describes.
    pub async fn epoch(&self) -> Result<Arc<Epoch>> {
        self.inner.governance.now().await
    }

    /// The catalog of one reader, as its statements see it now.
    pub async fn catalog(&self, session: &QuerySession) -> Result<Arc<dyn Catalog>> {
        Ok(self.inner.statement_catalog(session).await?)
    }

    /// Tables that the subject may query, as `information_schema` lists them.
    pub async fn listed(&self, subject: &Subject) -> Result<Vec<ListedTable>> {
        let session = QuerySession::new(subject.clone(), subject.clone(), "catalog");
        self.inner.statement_catalog(&session).await?.list().await
    }

    /// Products that the subject may know of, as (domain, product).
    pub async fn discoverable(&self, subject: &Subject) -> Result<BTreeSet<(Name, Name)>> {
        let epoch = self.inner.governance.now().await?;
        epoch.policies()?;
        let products = epoch.mesh.iter().flat_map(|mesh| mesh.products());
        let seen = products.filter(|(domain, product)| epoch.discovers(subject, &domain.name, product));
        Ok(seen.map(|(domain, product)| (domain.name.clone(), product.name.clone())).collect())
    }

    /// What the subject may see of one table now: columns, masks, filter, reasons. `None`: unknown, or not discoverable.
    /// A decision that refuses carries why.
    pub async fn describe(&self, session: &QuerySession, domain: &str, table: &str) -> Result<Option<Decision>> {
        let catalog = self.inner.statement_catalog(session).await?;
        let decided = catalog.decide(domain, table, None).await?;
        Ok(decided.map(|(_, decision)| (*decision).clone()).filter(|decision| decision.discoverable))
    }

    /// A run's report as this reader may see it (D20).
    pub async fn shown_report(&self, subject: &Subject, run: &Run, report: RunReport) -> Result<RunReport> {
        let session = QuerySession::new(subject.clone(), subject.clone(), "catalog");
        let catalog = self.inner.statement_catalog(&session).await?;
        let domain = run.name.split_once('.').map_or("", |(domain, _)| domain);
        let mut decisions: BTreeMap<OutputId, Decision> = BTreeMap::new();
        for output in &report.outputs {
            if let Some((_, decision)) = catalog.decide(domain, &output.name, None).await? {
                decisions.insert(output.output.clone(), (*decision).clone());
            }
        }
        let owner = subject.domains.iter().any(|own| own == domain && subject.is_home(own));
        Ok(report::shown(report, owner, &decisions, &|output, clause| catalog.is_sql_clause(output, clause)))
    }

    /// What every statement may use under this mesh.
    pub fn limits(&self, mesh: Option<&Mesh>) -> QueryLimits {
        self.inner.limits(mesh)
    }
}

impl Inner {
    fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    fn limits(&self, mesh: Option<&Mesh>) -> QueryLimits {
        let declared = mesh.map(|mesh| mesh.limits.query).unwrap_or_default();
        self.settings.limits.under(self.settings.operator.and(declared))
    }

    fn new_id(&self) -> String {
        AuditId::generate(Ids { clock: &*self.ports.clock, entropy: &*self.ports.entropy }).to_string()
    }

    async fn statement_catalog(self: &Arc<Self>, session: &QuerySession) -> Result<Arc<StatementCatalog>> {
        let epoch = self.governance.now().await?;
        let subject = subject::refreshed(&self.ports, &epoch, session).await?;
        let purpose = session.stated_purpose()?.map(str::to_owned);
        Ok(Arc::new(StatementCatalog::new(self.clone(), epoch, subject, purpose)))
    }

    async fn plan(self: &Arc<Self>, session: &QuerySession, sql: &str, types: &[Option<DataType>]) -> Result<Plan> {
        match self.try_plan(session, sql, types).await {
            Ok(plan) => Ok(plan),
            Err((error, reasons)) => {
                if refuses(&error) {
                    self.refused(session, sql, &error, reasons).await?;
                }
                Err(error)
            }
        }
    }

    async fn try_plan(
        self: &Arc<Self>,
        session: &QuerySession,
        sql: &str,
        types: &[Option<DataType>],
    ) -> std::result::Result<Plan, (Error, Vec<String>)> {
        let plainly = |error| (error, Vec::new());
        let catalog = self.statement_catalog(session).await.map_err(plainly)?;
        let now = self.now();
        let request = PlanRequest {
            sql: sql.to_owned(),
            catalog: catalog.clone(),
            as_of: session.as_of,
            parameter_types: types.to_vec(),
            limits: self.limits(catalog.mesh()),
            now,
        };
        let query = self.ports.query.plan(request).await.map_err(|error| (error, catalog.refusals()))?;
        let tables = catalog.used(query.tables()).map_err(plainly)?;
        let purposes = purposes(&tables);
        if purposes.len() > 1 {
            let list: Vec<String> = purposes.iter().map(|p| format!("`{p}`")).collect();
            let message = "the tables of this statement are granted for different purposes";
            let error = Error::forbidden("MW0713", message)
                .hint(format!("the purposes are: {}", list.join(", ")))
                .hint("read them in separate statements, or ask their owners for agreements with one purpose");
            return Err((error, reasons(&tables)));
        }
        let valid_until = tables.iter().filter_map(|t| t.table.valid_until).min();
        Ok(Plan { digest: digest(&tables), query, tables, epoch: catalog.epoch(), at: now, valid_until })
    }

    /// The plan to execute: the prepared one, or one made again because newer data has been published or something about
    /// access has changed since. Refuses when the decision is no longer the one that was prepared under.
    async fn current(self: &Arc<Self>, prepared: &Prepared) -> Result<Plan> {
        let session = &prepared.session;
        let plan = prepared.newer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let plan = plan.unwrap_or_else(|| prepared.plan.clone());
        let epoch = self.governance.now().await?;
        let now = self.now();
        let aged = (now - plan.at).to_std().map_or(true, |age| age >= FRESH);
        let expired = plan.valid_until.is_some_and(|until| until <= now);
        let salted = plan.tables.iter().any(Resolved::is_salted) && prepared.executed.load(Ordering::Relaxed);
        if epoch.number == plan.epoch && !aged && !expired && !salted {
            return Ok(plan);
        }
        if let Err(error) = self.still_allowed(session, &plan).await {
            self.refused(session, &prepared.sql, &error, Vec::new()).await?;
            return Err(error);
        }
        // What a statement reads of information_schema also follows from the epoch.
        if !salted && epoch.number == plan.epoch && self.is_newest(session, &plan).await? {
            return Ok(plan);
        }
        let again = self.plan(session, &prepared.sql, &prepared.types).await?;
        if again.digest != prepared.plan.digest || again.query.schema() != prepared.plan.query.schema() {
            let error = changed();
            self.refused(session, &prepared.sql, &error, reasons(&again.tables)).await?;
            return Err(error);
        }
        *prepared.newer.lock().unwrap_or_else(PoisonError::into_inner) = Some(again.clone());
        Ok(again)
    }

    /// Whether every table of the plan still serves the publication that was planned over.
    async fn is_newest(self: &Arc<Self>, session: &QuerySession, plan: &Plan) -> Result<bool> {
        let catalog = self.statement_catalog(session).await?;
        for table in &plan.tables {
            if !catalog.serves_the_same(table).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Decides again on every table of a plan, with today's subject, agreements, policies and time.
    async fn still_allowed(self: &Arc<Self>, session: &QuerySession, plan: &Plan) -> Result<()> {
        let epoch = self.governance.now().await?;
        let now = self.now();
        if epoch.number == plan.epoch && plan.valid_until.is_none_or(|until| now < until) {
            return Ok(());
        }
        let subject = subject::refreshed(&self.ports, &epoch, session).await?;
        let purpose = session.stated_purpose()?.map(str::to_owned);
        let catalog = StatementCatalog::new(self.clone(), epoch, subject, purpose);
        for table in &plan.tables {
            let decision = catalog.decide_named(&table.named, &table.published)?;
            if decision.digest != table.decision.digest {
                return Err(changed());
            }
            if let Some(served) = table.served() {
                catalog.body(&table.named, served, 0).map_err(|_| changed())?;
            }
        }
        Ok(())
    }

    fn mask_key(&self, decision: &ColumnDecision, mask: Mask, salt: &[u8; 32]) -> Vec<u8> {
        match (mask, &decision.key) {
            (Mask::HmacSha256, key) => {
                self.settings.mesh_key.derive(key.as_ref().map_or("", |name| name.as_str())).to_vec()
            }
            (Mask::Sha256QueryLocal, _) => salt.to_vec(),
            _ => Vec::new(),
        }
    }
}

fn changed() -> Error {
    Error::forbidden("MW0711", "what you may read has changed since this statement was prepared")
        .hint("run it again: it is then answered under what holds now")
}
