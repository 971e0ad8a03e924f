//! What a table that is built from part of its inputs has to do with the one that is built from all of them.

use datafusion::common::JoinType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use super::Cut;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// The same: no input was cut.
    Whole,
    /// Its rows are some of the whole table's: what is wrong with them is wrong with it.
    Part,
    /// The whole table may have none of its rows: they may be sums over fewer rows, or lack what was joined to them.
    Other,
}

/// Of a plan that has run: what was cut is known by then.
pub fn likeness(plan: &LogicalPlan, cut: &Cut) -> Result<Likeness> {
    Ok(if is_whole(plan, cut)? {
        Likeness::Whole
    } else if is_part(plan, cut)? {
        Likeness::Part
    } else {
        Likeness::Other
    })
}

/// Whether nothing that it reads was cut. A CTE that bears an input's name counts as the input, which is on the safe side.
fn is_whole(plan: &LogicalPlan, cut: &Cut) -> Result<bool> {
    let mut whole = true;
    plan.apply_with_subqueries(|node| {
        let name = match node {
            LogicalPlan::TableScan(scan) => scan.table_name.table(),
            LogicalPlan::SubqueryAlias(alias) => alias.alias.table(),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        whole &= !cut.has(name);
        Ok(if whole { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(whole)
}

/// Whether each row that it yields stands, as often, among those that it would yield with more rows to read.
fn is_part(plan: &LogicalPlan, cut: &Cut) -> Result<bool> {
    if is_whole(plan, cut)? {
        return Ok(true);
    }
    if asks_elsewhere(plan)? {
        return Ok(false);
    }
    Ok(match plan {
        LogicalPlan::TableScan(scan) => scan.fetch.is_none() && !cut.is_table(scan.table_name.table()),
        LogicalPlan::SubqueryAlias(alias) => !cut.is_table(alias.alias.table()) && is_part(&alias.input, cut)?,
        LogicalPlan::Sort(sort) => sort.fetch.is_none() && is_part(&sort.input, cut)?,
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => {
            for input in plan.inputs() {
                if !is_part(input, cut)? {
                    return Ok(false);
                }
            }
            true
        }
        LogicalPlan::Join(join) => {
            let (left, right) = (&join.left, &join.right);
            match join.join_type {
                JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => {
                    is_part(left, cut)? && is_part(right, cut)?
                }
                // A row without a partner would have one among more rows.
                JoinType::Left | JoinType::LeftAnti => is_part(left, cut)? && is_whole(right, cut)?,
                JoinType::Right | JoinType::RightAnti => is_part(right, cut)? && is_whole(left, cut)?,
                _ => false,
            }
        }
        _ => false,
    })
}

/// Whether an expression of this very node holds a query: its answer may change with more rows.
fn asks_elsewhere(plan: &LogicalPlan) -> Result<bool> {
    for expression in plan.expressions() {
        let asks = expression.exists(|part| {
            Ok(matches!(part, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_)))
        })?;
        if asks {
            return Ok(true);
        }
    }
    Ok(false)
}
