//! Carrying the origin of rows through a transformation, as far as each output row is one input row.
//!
//! Scans of sources are replaced by their other face, which has the two hidden columns, and these are added to every
//! projection above. A plan that merges rows (an aggregate, a distinct, INTERSECT, EXCEPT) loses them: then failing rows
//! are shown by their values alone. Through a join the origin of the left side is carried, through UNION ALL that of each.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::catalog::TableProvider;
use datafusion::catalog::default_table_source::{provider_as_source, source_as_provider};
use datafusion::common::{Column, DFSchema, JoinType};
use datafusion::error::Result;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Union};

use crate::source::{Face, ORIGIN, ROW, SourceTable};

/// The plan with `ORIGIN` and `ROW` behind its other columns; `None` when its rows have no single origin.
pub fn carry(plan: &LogicalPlan) -> Option<LogicalPlan> {
    let carried = through(plan).ok().flatten()?;
    // Whatever the way up did to their order: the columns of the original, then the two.
    let mut exprs: Vec<Expr> = Vec::new();
    for (at, (qualifier, field)) in plan.schema().iter().enumerate() {
        let (found, same) = carried.schema().qualified_field(position(carried.schema(), qualifier, field.name(), at)?);
        exprs.push(Expr::Column(Column::new(found.cloned(), same.name())));
    }
    exprs.push(hidden(carried.schema(), ORIGIN)?);
    exprs.push(hidden(carried.schema(), ROW)?);
    Projection::try_new(exprs, Arc::new(carried)).ok().map(LogicalPlan::Projection)
}

fn position(
    schema: &DFSchema,
    qualifier: Option<&datafusion::common::TableReference>,
    name: &str,
    _: usize,
) -> Option<usize> {
    schema.iter().position(|(q, f)| q == qualifier && f.name() == name)
}

fn hidden(schema: &DFSchema, name: &str) -> Option<Expr> {
    let (qualifier, field) = schema.iter().find(|(_, field)| field.name() == name)?;
    Some(Expr::Column(Column::new(qualifier.cloned(), field.name())))
}

fn through(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    Ok(match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source)?;
            let Some(table) = provider.as_ref().downcast_ref::<SourceTable>() else { return Ok(None) };
            if !table.source().has_origin() || scan.projection.is_some() {
                return Ok(None);
            }
            let face = SourceTable::new(Arc::clone(table.source()), Face::WithOrigin);
            let scan = TableScanBuilder::new(scan.table_name.clone(), provider_as_source(Arc::new(face)))
                .with_filters(scan.filters.clone())
                .with_fetch(scan.fetch)
                .build()?;
            Some(LogicalPlan::TableScan(scan))
        }
        LogicalPlan::Projection(projection) => {
            let Some(input) = through(&projection.input)? else { return Ok(None) };
            let (Some(origin), Some(row)) = (hidden(input.schema(), ORIGIN), hidden(input.schema(), ROW)) else {
                return Ok(None);
            };
            let mut exprs = projection.expr.clone();
            exprs.extend([origin, row]);
            Some(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?))
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Window(_) => {
            let inputs = plan.inputs();
            let [input] = inputs.as_slice() else { return Ok(None) };
            match through(input)? {
                Some(input) => Some(plan.with_new_exprs(plan.expressions(), vec![input])?),
                None => None,
            }
        }
        LogicalPlan::Join(join)
            if matches!(join.join_type, JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti) =>
        {
            match through(&join.left)? {
                Some(left) => {
                    let mut join = join.clone();
                    join.left = Arc::new(left);
                    let join = datafusion::logical_expr::Join::try_new(
                        join.left,
                        join.right,
                        join.on,
                        join.filter,
                        join.join_type,
                        join.join_constraint,
                        join.null_equality,
                        join.null_aware,
                    )?;
                    Some(LogicalPlan::Join(join))
                }
                None => None,
            }
        }
        LogicalPlan::Union(union) => {
            // By position: in each the two come last.
            let inputs: Option<Vec<_>> = union.inputs.iter().map(|input| carry(input).map(Arc::new)).collect();
            match inputs {
                Some(inputs) => Some(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)),
                None => None,
            }
        }
        _ => None,
    })
}

/// Whether the types of the plan's hidden columns are those of a source: a guard against columns of the same name.
pub fn is_carried(schema: &Schema) -> bool {
    let n = schema.fields().len();
    n >= 2
        && *schema.field(n - 2).data_type() == DataType::Int32
        && schema.field(n - 2).name() == ORIGIN
        && *schema.field(n - 1).data_type() == DataType::Int64
        && schema.field(n - 1).name() == ROW
}

/// The provider that SQL sees for a source.
pub fn face(source: &Arc<dyn crate::source::Source>) -> Arc<dyn TableProvider> {
    Arc::new(SourceTable::new(Arc::clone(source), Face::Plain))
}
