//! What a product reads in a run: through its own agreements, recorded under the run.

use std::sync::Arc;

use meshwork_core::audit::Event;
use meshwork_core::error::Result;
use meshwork_core::id::RunId;
use meshwork_core::name::Name;
use meshwork_core::policy::unknown_table;
use meshwork_core::principal::Subject;
use meshwork_core::product::ProductInput;
use meshwork_core::run::{Run, RunReport};

use super::catalog::Resolved;
use super::record::{digest, governed_read, purposes, reasons, refuses};
use super::{Inner, QueryService, QuerySession};
use crate::port::data::{Catalog, GovernedTable};
use crate::run::ProductRead;

/// A product in a run.
struct Reader<'a> {
    run: &'a RunId,
    domain: &'a Name,
    product: &'a Name,
    purpose: Option<&'a str>,
}

impl QueryService {
    /// An input of `domain.product`, read as that product: through its agreements, with their masks and filters. The read
    /// is recorded under the run. An error names the grant that is missing.
    pub async fn product_input(
        &self,
        run: &RunId,
        domain: &Name,
        product: &Name,
        input: &ProductInput,
    ) -> Result<ProductRead> {
        let table = format!("{}_v{}", input.output, input.version);
        let reader = Reader { run, domain, product, purpose: input.purpose.as_deref() };
        let found = self.inner.read_as_product(&reader, &input.domain, &table).await.and_then(|found| {
            let publication = found.published.publication(found.decision.major).cloned();
            match (publication, found.served().cloned()) {
                (Some(publication), Some(published)) => Ok(ProductRead { table: found.table, publication, published }),
                _ => Err(unknown_table(&input.domain, &table)),
            }
        });
        found.map_err(|error| match &input.place {
            Some(place) if error.place.is_none() => error.at(place.clone()),
            _ => error,
        })
    }

    /// The table that a `references` clause of `domain.product` points at (`domain.output`), read as that product.
    pub async fn product_reference(
        &self,
        run: &RunId,
        domain: &Name,
        product: &Name,
        to: &str,
    ) -> Result<GovernedTable> {
        let reader = Reader { run, domain, product, purpose: None };
        let (to_domain, table) = to.split_once('.').unwrap_or((domain.as_str(), to));
        Ok(self.inner.read_as_product(&reader, to_domain, table).await?.table)
    }
}

impl Inner {
    async fn read_as_product(self: &Arc<Self>, reader: &Reader<'_>, domain: &str, table: &str) -> Result<Resolved> {
        let subject = Subject::product(reader.domain.clone(), reader.product.clone());
        let mut session = QuerySession::new(subject.clone(), subject, "run");
        session.purpose = reader.purpose.map(str::to_owned);
        let catalog = self.statement_catalog(&session).await?;
        let statement = format!("{domain}.{table}");
        let found = match catalog.resolve(domain, table, None).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                let error = unknown_table(domain, table);
                self.refused(&session, &statement, &error, Vec::new()).await?;
                return Err(error);
            }
            Err(error) => {
                if refuses(&error) {
                    self.refused(&session, &statement, &error, catalog.refusals()).await?;
                }
                return Err(error);
            }
        };
        let mut resolved = catalog.resolved();
        let event = Event::QueryIntent {
            query: reader.run.to_string(),
            port: session.port.to_owned(),
            purpose: purposes(&resolved).first().cloned(),
            tables: std::iter::once(&found).chain(found.below()).map(governed_read).collect(),
            reasons: reasons(&resolved),
            digest: digest(&resolved),
        };
        self.record(self.entry(&session, None, event)).await?;
        resolved.pop().ok_or_else(|| unknown_table(domain, table))
    }
}

#[async_trait::async_trait]
impl crate::run::GovernedReads for QueryService {
    async fn input(&self, run: &RunId, domain: &Name, product: &Name, input: &ProductInput) -> Result<ProductRead> {
        self.product_input(run, domain, product, input).await
    }
    async fn reference(&self, run: &RunId, domain: &Name, product: &Name, to: &str) -> Result<GovernedTable> {
        self.product_reference(run, domain, product, to).await
    }
    async fn shown(&self, subject: &Subject, run: &Run, report: RunReport) -> Result<RunReport> {
        self.shown_report(subject, run, report).await
    }
}
