//! Which tables and columns a statement names.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Select, Spanned, TableFactor, Visitor,
};

/// Table and column names of a statement.
#[derive(Default)]
pub(super) struct Names {
    /// Bare table name → where it stands first.
    pub(super) inputs: HashMap<String, (u32, u32)>,
    pub(super) ctes: BTreeSet<String>,
    pub(super) columns: BTreeSet<String>,
}

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

fn constraint(join: &JoinOperator) -> Option<&JoinConstraint> {
    use JoinOperator as J;
    match join {
        J::Join(on) | J::Inner(on) | J::Left(on) | J::LeftOuter(on) | J::Right(on) | J::RightOuter(on) => Some(on),
        J::FullOuter(on) | J::CrossJoin(on) | J::Semi(on) | J::LeftSemi(on) | J::RightSemi(on) => Some(on),
        J::Anti(on) | J::LeftAnti(on) | J::RightAnti(on) | J::StraightJoin(on) => Some(on),
        J::AsOf { constraint, .. } => Some(constraint),
        _ => None,
    }
}

impl Names {
    fn table(&mut self, name: &ObjectName) {
        let Ok(reference) = object_name_to_table_reference(name.clone(), true) else { return };
        let name_of = match reference {
            TableReference::Bare { table } => table.to_string(),
            other => other.to_string(),
        };
        let start = name.span().start;
        let at = (u32::try_from(start.line).unwrap_or(1), u32::try_from(start.column).unwrap_or(1));
        self.inputs.entry(name_of).or_insert(at);
    }
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &datafusion::sql::sqlparser::ast::Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.ctes.insert(folded(&cte.alias.name));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for join in select.from.iter().flat_map(|from| &from.joins) {
            if let Some(JoinConstraint::Using(columns)) = constraint(&join.join_operator) {
                let names = columns.iter().filter_map(|column| column.0.last()?.as_ident());
                self.columns.extend(names.map(folded));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: None, .. } = factor {
            self.table(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => {
                self.columns.insert(folded(ident));
            }
            Expr::CompoundIdentifier(parts) => {
                self.columns.extend(parts.last().map(folded));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
