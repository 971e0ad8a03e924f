//! A governed table as a provider: pinned scan → row filter → masks → barrier.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result as DfResult, ScalarValue, internal_err};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use meshwork_control::port::data::{GovernedBody, GovernedTable, TableUse};
use meshwork_core::error::{Error, Result};

use super::barrier::{BarrierExec, Disclosure};
use super::filter;
use super::mask::MaskExpr;
use super::snapshot::{Snapshot, SnapshotCache};
use super::view::View;
use crate::native::read_type;

/// Opens the table's pinned version and puts its policy before it. For a query's session and for a run's inputs.
pub async fn provider(table: &GovernedTable, snapshots: &SnapshotCache) -> Result<Arc<SecuredTable>> {
    let rows = match &table.body {
        GovernedBody::Stored => Rows::Files(snapshots.open(&table.location, table.delta_version).await?),
        GovernedBody::External(source) => {
            let source = source.as_deref();
            let snapshot = snapshots.open_external(&table.location, table.delta_version, source).await?;
            snapshot.verify().await?;
            Rows::Files(snapshot)
        }
        GovernedBody::SetAside(files) => Rows::Files(Arc::new(snapshots.of_files(&table.location, files).await?)),
        GovernedBody::View(view) => Rows::View(Arc::new(View::open(table, view, snapshots).await?)),
    };
    SecuredTable::new(table.clone(), rows).map(Arc::new)
}

/// The same over some data files of the table only: what is new in it for a reader that knows the rest.
pub async fn provider_of(
    table: &GovernedTable,
    adds: &[serde_json::Value],
    snapshots: &SnapshotCache,
) -> Result<Arc<SecuredTable>> {
    let snapshot = snapshots.open(&table.location, table.delta_version).await?;
    SecuredTable::new(table.clone(), Rows::Files(Arc::new(snapshot.with_files(adds)?))).map(Arc::new)
}

/// What stands behind the policy.
enum Rows {
    Files(Arc<Snapshot>),
    View(Arc<View>),
}

impl Rows {
    fn schema(&self) -> &SchemaRef {
        match self {
            Self::Files(snapshot) => snapshot.schema(),
            Self::View(view) => view.schema(),
        }
    }

    fn column(&self, id: &str, name: &str) -> Option<usize> {
        match self {
            Self::Files(snapshot) => snapshot.column(id, name),
            Self::View(view) => view.column(id, name),
        }
    }

    /// Whether a reader without obligations may scan it natively: files of ours, which lie in the table's folder.
    fn is_native(&self) -> bool {
        matches!(self, Self::Files(snapshot) if !snapshot.is_external())
    }
}

pub struct SecuredTable {
    governed: GovernedTable,
    behind: Rows,
    schema: SchemaRef,
    /// By governed column: its index in what stands behind; `None` for a column that this version did not have yet.
    stored: Vec<Option<usize>>,
    /// The row filter over stored columns, one expression a predicate.
    rows: Vec<Expr>,
    open: bool,
}

impl fmt::Debug for SecuredTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecuredTable({}.{})", self.governed.domain, self.governed.output)
    }
}

impl SecuredTable {
    fn new(governed: GovernedTable, behind: Rows) -> Result<Self> {
        let stored: Vec<Option<usize>> =
            governed.columns.iter().map(|column| behind.column(column.id.as_str(), &column.name)).collect();
        let fields = governed.columns.iter().zip(&stored).map(|(column, stored)| {
            let kept = stored.map(|at| behind.schema().field(at));
            // As stored: a wider declaration would only stand between an open table and its native scan.
            let nullable = column.mask.is_some() || kept.is_none_or(Field::is_nullable);
            Field::new(&column.name, read_type(&column.native), nullable)
        });
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        for (column, stored) in governed.columns.iter().zip(&stored) {
            if let Some(mask) = &column.mask
                && !mask.mask.applies_to(&column.native)
            {
                return Err(refused(&governed, &format!("a mask does not apply to column `{}`", column.name)));
            }
            let castable = |at: &usize| {
                datafusion::arrow::compute::can_cast_types(
                    behind.schema().field(*at).data_type(),
                    &read_type(&column.native),
                )
            };
            if !stored.as_ref().is_none_or(castable) {
                return Err(refused(&governed, &format!("column `{}` was stored as another type", column.name)));
            }
        }
        let rows = governed.rows.0.iter().map(|predicate| {
            // By the identity of the governed column of that name; a withheld one has only its name.
            let known = governed.columns.iter().position(|column| column.name == predicate.column);
            let at = match known {
                Some(at) => stored[at],
                None => behind.schema().index_of(&predicate.column).ok(),
            };
            let name = at
                .map(|at| behind.schema().field(at).name().as_str())
                .ok_or_else(|| refused(&governed, "its row filter names a column that this version does not have"))?;
            filter::policy(predicate, name, behind.schema()).map_err(|error| {
                tracing::error!(%error, "a row filter cannot be applied");
                refused(&governed, "its row filter cannot be applied to this version")
            })
        });
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let plain = stored.iter().zip(schema.fields()).all(|(stored, field)| {
            stored.is_some_and(|at| {
                let kept = behind.schema().field(at);
                kept.name() == field.name()
                    && kept.data_type() == field.data_type()
                    && kept.is_nullable() == field.is_nullable()
            })
        });
        let open = plain
            && behind.is_native()
            && rows.is_empty()
            && governed.withheld.is_empty()
            && governed.columns.iter().all(|column| column.mask.is_none());
        Ok(Self { governed, behind, schema, stored, rows, open })
    }

    pub fn governed(&self) -> &GovernedTable {
        &self.governed
    }

    /// Nothing is masked, filtered or withheld: native scan, no barrier.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Where a table without obligations lies: every file of it is below.
    pub fn open_folder(&self) -> Option<&object_store::path::Path> {
        match &self.behind {
            Rows::Files(snapshot) if self.open => Some(snapshot.folder()),
            _ => None,
        }
    }

    /// Of a view: what its product reads for it.
    pub fn below(&self) -> &[TableUse] {
        match &self.behind {
            Rows::Files(_) => &[],
            Rows::View(view) => &view.uses,
        }
    }

    pub fn name(&self) -> String {
        format!("{}.{}", self.governed.domain, self.governed.output)
    }

    /// The type of a column that a predicate may be pushed on: unmasked, and stored as it is read.
    fn transparent(&self, name: &str) -> Option<DataType> {
        let at = self.schema.index_of(name).ok()?;
        let kept = self.behind.schema().field(self.stored[at]?);
        let ty = self.schema.field(at).data_type();
        (self.governed.columns[at].mask.is_none() && kept.data_type() == ty).then(|| ty.clone())
    }

    fn stored_name(&self, name: &str) -> Option<String> {
        let at = self.stored[self.schema.index_of(name).ok()?]?;
        Some(self.behind.schema().field(at).name().clone())
    }

    async fn guarded(
        &self,
        session: &dyn Session,
        projection: &[usize],
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        if !filters.iter().all(|expr| filter::leak_proof(expr, &|name| self.transparent(name))) {
            return internal_err!("a predicate that is not leak-proof reached a barrier");
        }
        let asked = filters.iter().map(|expr| filter::renamed(expr.clone(), &|name| self.stored_name(name)));
        let asked = asked.collect::<DfResult<Vec<_>>>()?;

        let kept = self.behind.schema();
        let mut needed: BTreeSet<usize> = projection.iter().filter_map(|at| self.stored[*at]).collect();
        for expr in self.rows.iter().chain(&asked) {
            for column in expr.column_refs() {
                needed.insert(kept.index_of(&column.name)?);
            }
        }
        let needed: Vec<usize> = needed.into_iter().collect();
        // A limit below a filter would cut before the filter chose.
        let limit = limit.filter(|_| self.rows.is_empty() && asked.is_empty());
        let filter = filter::all(self.rows.iter().cloned().chain(asked));
        let plan = match &self.behind {
            Rows::View(view) => view.scan(session, &needed, filter, limit).await?,
            Rows::Files(snapshot) => filtered(session, snapshot, &needed, filter, limit)?,
        };
        let columns = projection.iter().map(|at| self.served(*at, &plan.schema()));
        let columns = columns.collect::<DfResult<Vec<_>>>()?;
        let plan = Arc::new(ProjectionExec::try_new(columns, plan)?);
        let disclosure = Disclosure {
            // What the plan of a view thinks of its rows is a guess.
            statistics: self.rows.is_empty() && matches!(self.behind, Rows::Files(_)),
            masked: projection.iter().map(|at| self.governed.columns[*at].mask.is_some()).collect(),
        };
        Ok(Arc::new(BarrierExec::new(
            self.name().into(),
            self.governed.decision_digest.as_str().into(),
            disclosure,
            Arc::new(self.schema.project(projection)?),
            plan,
        )))
    }

    /// One column as it leaves: stored → cast to today's type → mask.
    fn served(&self, at: usize, input: &SchemaRef) -> DfResult<(Arc<dyn PhysicalExpr>, String)> {
        let field = self.schema.field(at);
        let ty = field.data_type();
        let stored = match self.stored[at] {
            // The version is older than the column.
            None => Arc::new(Literal::new(ScalarValue::try_new_null(ty)?)) as Arc<dyn PhysicalExpr>,
            Some(kept) => {
                let name = self.behind.schema().field(kept).name();
                let index = input.index_of(name)?;
                let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, index));
                if input.field(index).data_type() == ty {
                    column
                } else {
                    Arc::new(CastExpr::new(column, ty.clone(), None))
                }
            }
        };
        let served = match &self.governed.columns[at].mask {
            Some(mask) => Arc::new(MaskExpr::new(stored, mask.clone(), ty.clone())) as Arc<dyn PhysicalExpr>,
            None => stored,
        };
        Ok((served, field.name().clone()))
    }
}

/// The rows of a version for which a filter holds.
fn filtered(
    session: &dyn Session,
    snapshot: &Snapshot,
    columns: &[usize],
    filter: Option<Expr>,
    limit: Option<usize>,
) -> DfResult<Arc<dyn ExecutionPlan>> {
    let scan = snapshot.scan(session, columns, limit)?;
    let partitions = session.config().target_partitions();
    let plan = scan.repartitioned(partitions, session.config_options())?.unwrap_or(scan);
    let Some(filter) = filter else { return Ok(plan) };
    let schema = DFSchema::try_from(plan.schema().as_ref().clone())?;
    let filter = session.create_physical_expr(filter, &schema)?;
    let plan: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(filter, plan)?);
    if snapshot.is_external() {
        // What others' footers say of their rows is not believed.
        return Ok(plan);
    }
    // On its own, before it is wrapped: row groups are pruned by the filter.
    FilterPushdown::new().optimize(plan, session.config_options())
}

fn refused(table: &GovernedTable, why: &str) -> Error {
    let message = format!("`{}.{}` cannot be read under its policy: {why}", table.domain, table.output);
    Error::forbidden("MW0821", message).hint("the owner of the product can correct the policy or publish again")
}

#[async_trait]
impl TableProvider for SecuredTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    // No constraints, defaults, definition, logical plan or statistics: each would tell of what is hidden.

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|expr| {
                if self.open {
                    TableProviderFilterPushDown::Inexact
                } else if filter::leak_proof(expr, &|name| self.transparent(name)) {
                    TableProviderFilterPushDown::Exact
                } else {
                    TableProviderFilterPushDown::Unsupported
                }
            })
            .collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize>;
        let projection = match projection {
            Some(projection) => projection,
            None => {
                all = (0..self.schema.fields().len()).collect();
                &all
            }
        };
        if !self.open {
            return self.guarded(session, projection, filters, limit).await;
        }
        let columns = projection.iter().map(|at| self.stored[*at]).collect::<Option<Vec<_>>>();
        let columns = columns.ok_or_else(|| DataFusionError::Internal("an open table lacks a column".to_owned()))?;
        match &self.behind {
            Rows::Files(snapshot) => snapshot.scan(session, &columns, limit),
            Rows::View(_) => internal_err!("a view was taken for an open table"),
        }
    }
}
