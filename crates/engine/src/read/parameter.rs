//! The parameters of a statement: which type each has.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::{Expr, LogicalPlan};
use meshwork_core::error::{Error, Result};

use super::error::{self, Scope};
use super::output::plain;

/// Gives each parameter whose type does not follow from its place one: the type that it has elsewhere in the statement, or
/// is cast to, else the one that the client declared, else text, as PostgreSQL does.
pub fn typed(plan: LogicalPlan, declared: &[Option<DataType>]) -> Result<LogicalPlan> {
    let failed = |error: DataFusionError| error::planning(&error, &Scope { withheld: &[] });
    let inferred = plan.get_parameter_types().map_err(failed)?;
    if inferred.values().all(Option::is_some) {
        return Ok(plan);
    }
    let cast = cast_types(&plan).map_err(failed)?;
    let ty = |id: &str| {
        let inferred = inferred.get(id).cloned().flatten();
        let said = || declared.get(number(id)? - 1)?.clone();
        inferred.or_else(|| cast.get(id).cloned()).or_else(said).unwrap_or(DataType::Utf8)
    };
    let fill = |expr: Expr| match expr {
        Expr::Placeholder(mut placeholder) if placeholder.field.is_none() => {
            placeholder.field = Some(Arc::new(Field::new("", ty(&placeholder.id), true)));
            Transformed::yes(Expr::Placeholder(placeholder))
        }
        other => Transformed::no(other),
    };
    let filled = plan.transform_up_with_subqueries(|plan| {
        let filled = plan.map_expressions(|expr| expr.transform_up(|expr| Ok(fill(expr))))?;
        if filled.transformed { filled.map_data(LogicalPlan::recompute_schema) } else { Ok(filled) }
    });
    filled.map(|filled| filled.data).map_err(failed)
}

/// By parameter: what `$1::int` says of it.
fn cast_types(plan: &LogicalPlan) -> DfResult<HashMap<String, DataType>> {
    let mut types = HashMap::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Cast(cast) = expr
                    && let Expr::Placeholder(placeholder) = cast.expr.as_ref()
                {
                    types.entry(placeholder.id.clone()).or_insert_with(|| cast.field.data_type().clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(types)
}

/// Types of `$1`, `$2`, … in order.
pub fn parameters(plan: &LogicalPlan) -> Result<Vec<Option<DataType>>> {
    let types = plan.get_parameter_types().map_err(|error| error::planning(&error, &Scope { withheld: &[] }))?;
    let mut numbered = BTreeMap::new();
    for (name, ty) in types {
        match number(&name) {
            Some(number) => numbered.insert(number, ty),
            None => return Err(Error::usage("MW0817", format!("parameter `{name}` is not $1, $2, …"))),
        };
    }
    let count = numbered.keys().last().copied().unwrap_or(0);
    Ok((1..=count).map(|number| numbered.get(&number).cloned().flatten().map(|ty| plain(&ty))).collect())
}

/// `$1` → 1, within reason.
fn number(name: &str) -> Option<usize> {
    name.strip_prefix('$').and_then(|digits| digits.parse().ok()).filter(|number| (1..=1000).contains(number))
}
