//! What PostgreSQL's clients write and the planner does not take, said in its words: the same answer, another text.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, GroupByExpr, Ident, Join, JoinOperator, ObjectName, Query, Select, SelectItem,
    SetExpr, Statement as Ast, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut, visit_expressions,
};
use datafusion::sql::sqlparser::parser::Parser;

use super::relation::Dialect;

/// Tables of `pg_catalog` that have no rows here: there are no keys, indexes, defaults, sequences,
/// collations or triggers. What
/// clients ask of them is often beyond the planner, but the answer is known.
pub const VACANT: [&str; 15] = [
    "pg_attrdef",
    "pg_collation",
    "pg_constraint",
    "pg_db_role_setting",
    "pg_enum",
    "pg_event_trigger",
    "pg_foreign_table",
    "pg_index",
    "pg_inherits",
    "pg_partitioned_table",
    "pg_policy",
    "pg_seclabel",
    "pg_sequence",
    "pg_statistic_ext",
    "pg_trigger",
];

const AGGREGATES: [&str; 11] = [
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "json_agg",
    "json_object_agg",
    "max",
    "min",
    "string_agg",
    "sum",
];

/// For every statement.
pub fn rewrite(ast: &mut Ast) {
    let _ = ast.visit(&mut Everywhere);
}

/// For statements about the catalogs.
pub fn rewrite_emulated(ast: &mut Ast) {
    let _ = ast.visit(&mut OfCatalogs);
}

struct Everywhere;

impl VisitorMut for Everywhere {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        name_repetitions(select);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } = expr
            && let Some(escape) = escape_char.as_ref().and_then(|value| character(&value.value)).filter(|c| *c != '\\')
            && let Some(rewritten) = with_backslash(pattern, escape)
        {
            **pattern = rewritten;
            *escape_char = None;
        }
        ControlFlow::Continue(())
    }
}

/// `SELECT 1, 1`: expressions without a name get one where the same stands before.
fn name_repetitions(select: &mut Select) {
    let mut seen = BTreeSet::new();
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
            continue;
        }
        let text = expr.to_string();
        if seen.insert(text.to_lowercase()) {
            continue;
        }
        let name = (2..).map(|n| format!("{text}_{n}")).find(|name| seen.insert(name.to_lowercase()));
        let alias = Ident::with_quote('"', name.unwrap_or(text));
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
    }
}

fn character(value: &Value) -> Option<char> {
    let Value::SingleQuotedString(text) = value else { return None };
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

/// The pattern with `\` for `escape`: what was a backslash is one, and a doubled `escape` is itself.
fn with_backslash(pattern: &Expr, escape: char) -> Option<Expr> {
    const APART: char = '\u{1}';
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let (one, two) = (quoted(&escape.to_string()), quoted(&format!("{escape}{escape}")));
    let text = format!(
        r"replace(replace(replace(replace({pattern}, '\', '\\'), {two}, '{APART}'), {one}, '\'), '{APART}', {one})"
    );
    Parser::new(&Dialect).try_with_sql(&text).ok()?.parse_expr().ok()
}

struct OfCatalogs;

impl VisitorMut for OfCatalogs {
    type Break = ();

    /// From the outside in: within what is empty nothing is left to look at.
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if query.with.is_none()
            && let SetExpr::Select(select) = query.body.as_ref()
            && is_empty(select)
            && let Some(nothing) = nothing_like(select)
        {
            *query = nothing;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && let Some(name) = absent_column(expr)
            {
                *item = SelectItem::ExprWithAlias { expr: Expr::value(Value::Null), alias: Ident::new(name) };
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if absent_column(expr).is_some() {
            *expr = Expr::value(Value::Null);
        }
        if let Expr::Subquery(query) = expr
            && let Some(value) = function_name(query).or_else(|| no_value(query))
        {
            *expr = value;
        }
        match expr {
            // One row at most, as it must be: an aggregate lets the planner know.
            Expr::Subquery(query) => {
                let _ = aggregated(query, "max");
            }
            Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("array") => {
                if let FunctionArguments::Subquery(query) = &mut function.args
                    && aggregated(query, "array_agg")
                {
                    *expr = Expr::Subquery(query.clone());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `'pg_catalog.array_in'::regproc`, which the emulation's parser has made a lookup of, is `'array_in'` again: functions are
/// known by name here.
fn function_name(query: &Query) -> Option<Expr> {
    let text = query.to_string();
    let name = text.strip_prefix("SELECT oid FROM pg_catalog.pg_proc WHERE proname = '")?.strip_suffix('\'')?;
    let name = name.rsplit('.').next().unwrap_or(name);
    Some(Expr::value(Value::SingleQuotedString(name.to_owned())))
}

/// The value of a subquery without rows. Its parameters stay, as the client will send them.
fn no_value(query: &Query) -> Option<Expr> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    if query.with.is_some() || !is_empty(select) {
        return None;
    }
    let parameters: Vec<String> = parameters(select).into_iter().map(|name| format!("{name} IS NULL")).collect();
    let text = match parameters.as_slice() {
        [] => "CAST(NULL AS TEXT)".to_owned(),
        some => format!("CASE WHEN {} THEN CAST(NULL AS TEXT) END", some.join(" AND ")),
    };
    Parser::new(&Dialect).try_with_sql(&text).ok()?.parse_expr().ok()
}

fn parameters(select: &Select) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let _ = visit_expressions(select, |expr| {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
        {
            found.insert(name.clone());
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

/// Columns of `pg_class` that the emulation lacks: options and privileges, which are null here.
fn absent_column(expr: &Expr) -> Option<&'static str> {
    let Expr::CompoundIdentifier(parts) = expr else { return None };
    let [.., table, column] = parts.as_slice() else { return None };
    let of_class = ["c", "pg_class"].contains(&table.value.to_lowercase().as_str());
    ["relacl", "reloptions"].into_iter().find(|name| of_class && column.value.eq_ignore_ascii_case(name))
}

/// Wraps the one column of a plain SELECT into an aggregate; says whether it did.
fn aggregated(query: &mut Query, aggregate: &str) -> bool {
    if query.with.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
        return false;
    }
    let SetExpr::Select(select) = query.body.as_mut() else { return false };
    if select.from.is_empty() || select.distinct.is_some() || is_grouped(select) || has_aggregate(select) {
        return false;
    }
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_mut_slice()
    else {
        return false;
    };
    let wrapped = Parser::new(&Dialect).try_with_sql(&format!("{aggregate}({expr})")).and_then(|mut p| p.parse_expr());
    let Ok(wrapped) = wrapped else { return false };
    *expr = wrapped;
    query.order_by = None;
    true
}

fn is_grouped(select: &Select) -> bool {
    !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty())
}

fn has_aggregate(select: &Select) -> bool {
    let found = visit_expressions(&select.projection, |expr| match expr {
        Expr::Function(Function { name, over: None, .. }) if AGGREGATES.contains(&last(name).as_str()) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Whether a SELECT has no rows because a table that has none is joined into it.
fn is_empty(select: &Select) -> bool {
    (is_grouped(select) || !has_aggregate(select)) && select.from.iter().any(joins_nothing)
}

fn joins_nothing(from: &TableWithJoins) -> bool {
    let mut empty = is_vacant(&from.relation);
    for Join { relation, join_operator, .. } in &from.joins {
        empty = match join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => empty || is_vacant(relation),
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => empty,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => is_vacant(relation),
            JoinOperator::FullOuter(_) => empty && is_vacant(relation),
            _ => return false,
        };
    }
    empty
}

fn is_vacant(relation: &TableFactor) -> bool {
    match relation {
        TableFactor::Table { name, args: None, .. } => {
            let of_pg = name.0.len() == 1 || name.to_string().to_lowercase().starts_with("pg_catalog.");
            of_pg && VACANT.contains(&last(name).as_str())
        }
        TableFactor::Derived { subquery, .. } if subquery.with.is_none() => {
            matches!(subquery.body.as_ref(), SetExpr::Select(select) if is_empty(select))
        }
        TableFactor::NestedJoin { table_with_joins, .. } => joins_nothing(table_with_joins),
        _ => false,
    }
}

fn last(name: &ObjectName) -> String {
    let part = name.0.last().and_then(|part| part.as_ident());
    part.map(|ident| ident.value.to_lowercase()).unwrap_or_default()
}

/// No rows of the same columns. The parameters stay, as the client will send them.
fn nothing_like(select: &Select) -> Option<Query> {
    let names = select.projection.iter().map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.value.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(|part| part.value.clone()),
        SelectItem::UnnamedExpr(Expr::Function(function)) => Some(last(&function.name)),
        SelectItem::UnnamedExpr(expr) => Some(expr.to_string()),
        _ => None,
    });
    let columns: Option<Vec<String>> =
        names.map(|name| Some(format!("CAST(NULL AS TEXT) AS \"{}\"", name?.replace('"', "\"\"")))).collect();
    let parameters: String = parameters(select).into_iter().map(|name| format!(" AND {name} IS NULL")).collect();
    let text = format!("SELECT {} WHERE false{parameters}", columns?.join(", "));
    Parser::new(&Dialect).try_with_sql(&text).ok()?.parse_query().ok().map(|query| *query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulated(sql: &str) -> String {
        let mut ast = Parser::parse_sql(&Dialect, sql).unwrap().remove(0);
        rewrite_emulated(&mut ast);
        ast.to_string()
    }

    fn every(sql: &str) -> String {
        let mut ast = Parser::parse_sql(&Dialect, sql).unwrap().remove(0);
        rewrite(&mut ast);
        ast.to_string()
    }

    #[test]
    fn what_is_joined_with_nothing_is_nothing() {
        let nothing = "SELECT CAST(NULL AS TEXT) AS \"relname\", CAST(NULL AS TEXT) AS \"k\" WHERE false";
        for sql in [
            "SELECT c.relname, f(i.x).n AS k FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON true",
            "SELECT relname, 1 AS k FROM pg_class, pg_constraint ORDER BY 1",
            "SELECT relname, count(*) AS k FROM (SELECT relname FROM pg_index) x LEFT JOIN pg_class ON true GROUP BY 1",
        ] {
            assert_eq!(emulated(sql), nothing, "{sql}");
        }
        assert_eq!(
            emulated("SELECT x FROM pg_index WHERE y = $1 AND z IN ($2, $1)"),
            "SELECT CAST(NULL AS TEXT) AS \"x\" WHERE false AND $1 IS NULL AND $2 IS NULL"
        );
        for kept in [
            "SELECT count(*) FROM pg_index",
            "SELECT relname FROM pg_class LEFT JOIN pg_index ON true",
            "SELECT * FROM pg_index",
            "SELECT x FROM sales.pg_index",
        ] {
            assert_eq!(emulated(kept), kept);
        }
    }

    #[test]
    fn subqueries_of_one_value_are_aggregated() {
        assert_eq!(
            emulated("SELECT (SELECT c.relkind = 'c' FROM pg_class AS c WHERE c.oid = t.oid) FROM pg_type AS t"),
            "SELECT (SELECT max(c.relkind = 'c') FROM pg_class AS c WHERE c.oid = t.oid) FROM pg_type AS t"
        );
        let kept = "SELECT (SELECT count(*) FROM pg_class) FROM pg_type";
        assert_eq!(emulated(kept), kept);
    }

    #[test]
    fn functions_are_known_by_name() {
        let sql =
            "SELECT typinput = (SELECT oid FROM pg_catalog.pg_proc WHERE proname = 'pg_catalog.array_in') FROM pg_type";
        assert_eq!(emulated(sql), "SELECT typinput = 'array_in' FROM pg_type");
    }

    #[test]
    fn columns_that_the_emulation_lacks_are_null() {
        assert_eq!(
            emulated("SELECT c.relname, pg_catalog.pg_class.reloptions FROM pg_class AS c WHERE c.relacl IS NULL"),
            "SELECT c.relname, NULL AS reloptions FROM pg_class AS c WHERE NULL IS NULL"
        );
    }

    #[test]
    fn a_subquery_without_rows_is_null() {
        assert_eq!(emulated("SELECT (SELECT adbin FROM pg_attrdef)"), "SELECT CAST(NULL AS TEXT)");
        assert_eq!(
            emulated("SELECT (SELECT f(s, $2) FROM pg_catalog.pg_sequence WHERE t = $1)"),
            "SELECT CASE WHEN $1 IS NULL AND $2 IS NULL THEN CAST(NULL AS TEXT) END"
        );
    }

    #[test]
    fn repeated_expressions_get_names_of_their_own() {
        assert_eq!(every("SELECT NULL, a, a, NULL, null AS x"), "SELECT NULL, a, a, NULL AS \"NULL_2\", NULL AS x");
    }

    #[test]
    fn another_escape_character() {
        assert_eq!(
            every("SELECT x LIKE 'a/_b' ESCAPE '/'"),
            "SELECT x LIKE replace(replace(replace(replace('a/_b', '\\', '\\\\'), '//', '\u{1}'), '/', '\\'), '\u{1}', '/')"
        );
        let kept = "SELECT x LIKE 'a'";
        assert_eq!(every(kept), kept);
    }
}
