//! What the SQL of an output yields: where the contract's columns stand in it, and where they come from.

use std::collections::BTreeSet;

use datafusion::logical_expr::LogicalPlan;
use meshwork_core::contract::Table;
use meshwork_core::lineage::ColumnLineage;
use meshwork_core::product::Merge;
use meshwork_core::{Error, Result};

use super::convert::convertible;
use super::input::Inputs;
use super::merge::DELETES;
use super::session::Origin;

/// Where each column of the contract stands in what the SQL yields.
pub fn places(plan: &LogicalPlan, table: &Table, merge: &Merge, origin: Origin<'_>) -> Result<Vec<usize>> {
    let schema = plan.schema();
    let yields: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut places = Vec::with_capacity(table.fields.len());
    let mut missing = Vec::new();
    for field in &table.fields {
        match yields.iter().position(|name| *name == field.name) {
            Some(at) => {
                let from = schema.field(at).data_type();
                if !convertible(from, &field.native) {
                    return Err(Error::check(
                        "MW0605",
                        format!(
                            "{}: column `{}` is {from}, which cannot be stored as {}",
                            origin.what, field.name, field.native
                        ),
                    )
                    .hint("cast it in the SQL to the type that the contract declares"));
                }
                places.push(at);
            }
            None => missing.push(field.name.as_str()),
        }
    }
    if !missing.is_empty() {
        let error = Error::check(
            "MW0602",
            format!(
                "the SQL of {} does not yield {}; it yields {}",
                origin.what,
                missing.join(", "),
                yields.join(", ")
            ),
        );
        let near = yields.iter().find(|name| name.eq_ignore_ascii_case(missing[0]));
        return Err(match near {
            Some(near) => error.hint(format!("names are exact: it yields `{near}`; use `AS \"{}\"`", missing[0])),
            None => error.hint("every field of the contract must be a column of the SELECT, by its exact name"),
        });
    }
    let extra: Vec<&str> = yields
        .into_iter()
        .filter(|name| table.field(name).is_none() && *name != DELETES && !merge.uses(name))
        .collect();
    if !extra.is_empty() {
        return Err(Error::check(
            "MW0603",
            format!("the SQL of {} yields {}, which the contract does not declare", origin.what, extra.join(", ")),
        )
        .hint(
            "declare it as a field of the contract, or leave it out of the SELECT (name the columns instead of `*`)",
        ));
    }
    Ok(places)
}

/// Lineage in the order of the contract's fields.
pub fn lineage_of(plan: &LogicalPlan, inputs: &Inputs, table: &Table) -> Vec<ColumnLineage> {
    let mut columns = crate::lineage::lineage(plan, &inputs.bears);
    columns.retain(|column| table.field(&column.column).is_some());
    columns.sort_by_key(|column| table.fields.iter().position(|f| f.name == column.column));
    columns
}

/// Names of all columns that any expression of the plan reads.
pub fn used_columns(plan: &LogicalPlan) -> datafusion::error::Result<BTreeSet<String>> {
    use datafusion::common::tree_node::TreeNodeRecursion;
    let mut used = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            used.extend(expression.column_refs().into_iter().map(|c| c.name.clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    used.extend(plan.schema().fields().iter().map(|f| f.name().clone()));
    Ok(used)
}
