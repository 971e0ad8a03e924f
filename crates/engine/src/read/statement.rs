//! A statement before planning: within its limits, one query, and which tables it names.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::common::TableReference;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, SetExpr, Statement as Ast, TableFactor, TableVersion, Value, Visit, Visitor,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Place, Result};

use super::compatible;
use super::relation::Dialect;

/// Bounds on shape, met long before a stack or a planner suffers. A list of values counts little, a chain much.
const OPERATORS: usize = 10_000;
const NESTING: usize = 150;
const EXPRESSION_DEPTH: usize = 800;
const CALLS: usize = 32;
/// The emulation's parser reads arguments twice, so that its time doubles with every level of calls.
const EMULATED_CALLS: usize = 8;
const TABLES: usize = 256;
const SET_OPERATIONS: usize = 256;

#[derive(Clone, Debug)]
pub struct Statement {
    pub ast: Ast,
    pub explain: Option<Explain>,
    /// Every `schema.table` of the catalog that it names, with the moment where it names one.
    pub tables: BTreeSet<TableName>,
    /// It asks about the catalog itself (`pg_catalog`, `information_schema`).
    pub emulated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explain {
    pub analyze: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName {
    pub schema: String,
    pub table: String,
    pub as_of: Option<Timestamp>,
}

/// What a place within a statement's text names as its file.
const TEXT: &str = "sql";

/// The name of the one catalog.
pub const CATALOG: &str = "meshwork";

/// Parses one query (or its EXPLAIN) within limits.
pub fn parse(sql: &str, max_bytes: usize) -> Result<Statement> {
    if sql.len() > max_bytes {
        let message = format!("the statement has {} bytes; {max_bytes} are allowed", sql.len());
        return Err(Error::limit("MW0801", message).hint("send the data as parameters, or split the statement"));
    }
    let tokens = tokens(sql)?;
    guard_shape(&tokens)?;
    let emulated = tokens.iter().any(|token| asks_about_the_catalog(&token.token));
    if emulated && nested_calls(&tokens) > EMULATED_CALLS {
        return Err(too_complex(&format!("function calls are nested more than {EMULATED_CALLS} deep")));
    }
    let mut statements = if emulated {
        PostgresCompatibilityParser::new().parse(sql).map_err(syntax)?
    } else {
        Parser::new(&Dialect).with_tokens_with_locations(tokens).parse_statements().map_err(syntax)?
    };
    let ast = match (statements.pop(), statements.is_empty()) {
        (Some(ast), true) => ast,
        (None, _) => return Err(Error::usage("MW0805", "there is no statement")),
        _ => {
            return Err(Error::usage("MW0805", "several statements in one text")
                .hint("send them one by one: each is checked and recorded on its own"));
        }
    };
    let (mut ast, explain) = unwrapped(ast)?;
    let Ast::Query(_) = &ast else { return Err(not_a_query(&ast)) };
    compatible::rewrite(&mut ast);
    if emulated {
        compatible::rewrite_emulated(&mut ast);
    }
    let mut names = Names::default();
    if let ControlFlow::Break(error) = ast.visit(&mut names) {
        return Err(*error);
    }
    Ok(Statement { ast, explain, tables: names.tables, emulated })
}

fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>> {
    Tokenizer::new(&Dialect, sql).tokenize_with_location().map_err(|error| {
        Error::usage("MW0802", format!("the SQL does not parse: {}", error.message))
            .at(place(error.location.line, error.location.column))
    })
}

/// A place within the statement's text.
pub fn place(line: u64, column: u64) -> Place {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Place { path: TEXT.to_owned(), line: small(line), column: small(column) }
}

/// A parser error with the place that it ends with (`… at Line: 1, Column: 8`).
pub fn syntax(error: ParserError) -> Error {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => return too_complex("it is nested too deeply"),
    };
    let (message, place) = match text.rsplit_once(" at Line: ") {
        Some((message, at)) => (message.to_owned(), located(at)),
        None => (text, None),
    };
    let error = Error::usage("MW0802", format!("the SQL does not parse: {message}"));
    match place {
        Some(place) => error.at(place),
        None => error,
    }
}

fn located(at: &str) -> Option<Place> {
    let (line, column) = at.split_once(", Column: ")?;
    Some(place(line.trim().parse().ok()?, column.trim().parse().ok()?))
}

fn too_complex(why: &str) -> Error {
    Error::limit("MW0806", format!("the statement is too complex: {why}"))
        .hint("use IN (…) or a join with VALUES in place of long chains, and fewer levels of nesting")
}

/// Before parsing: a parser, a planner and the drop of a tree all recurse.
fn guard_shape(tokens: &[TokenWithSpan]) -> Result<()> {
    let (mut operators, mut sets, mut depth) = (0usize, 0usize, 0usize);
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                depth += 1;
                if depth > NESTING {
                    return Err(too_complex("it is nested too deeply"));
                }
            }
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Word(word) => match word.keyword {
                Keyword::AND | Keyword::OR | Keyword::NOT | Keyword::CASE | Keyword::WHEN => operators += 1,
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::JOIN => sets += 1,
                _ => {}
            },
            Token::Whitespace(_)
            | Token::Comma
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Period
            | Token::Placeholder(_)
            | Token::SemiColon => {}
            _ => operators += 1,
        }
    }
    if operators > OPERATORS {
        return Err(too_complex(&format!("it has {operators} operators; {OPERATORS} are allowed")));
    }
    if sets > SET_OPERATIONS {
        return Err(too_complex(&format!("it joins or unites {sets} times; {SET_OPERATIONS} are allowed")));
    }
    Ok(())
}

/// How deep calls stand within calls, by `name (`.
fn nested_calls(tokens: &[TokenWithSpan]) -> usize {
    let (mut open, mut deepest) = (Vec::new(), 0);
    let mut after_name = false;
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen => {
                open.push(after_name);
                deepest = deepest.max(open.iter().filter(|call| **call).count());
            }
            Token::RParen => {
                open.pop();
            }
            _ => {}
        }
        after_name = matches!(&token.token, Token::Word(word) if word.keyword == Keyword::NoKeyword);
    }
    deepest
}

fn asks_about_the_catalog(token: &Token) -> bool {
    const NAMES: [&str; 10] = [
        "information_schema",
        "current_user",
        "session_user",
        "current_role",
        "current_catalog",
        "current_schema",
        "regclass",
        "regtype",
        "regproc",
        "regnamespace",
    ];
    let Token::Word(word) = token else { return false };
    let name = word.value.to_ascii_lowercase();
    name.starts_with("pg_")
        || name.starts_with("has_") && name.ends_with("_privilege")
        || NAMES.contains(&name.as_str())
}

fn unwrapped(ast: Ast) -> Result<(Ast, Option<Explain>)> {
    match ast {
        Ast::Explain { analyze, statement, options, query_plan: false, estimate: false, format: None, .. } => {
            let analyze = analyze
                || options.iter().flatten().any(|option| {
                    option.name.value.eq_ignore_ascii_case("analyze")
                        && option.arg.as_ref().is_none_or(|arg| !arg.to_string().eq_ignore_ascii_case("false"))
                });
            if !matches!(*statement, Ast::Query(_)) {
                return Err(not_a_query(&statement));
            }
            Ok((*statement, Some(Explain { analyze })))
        }
        Ast::Explain { .. } => Err(unsupported("this form of EXPLAIN")),
        other => Ok((other, None)),
    }
}

fn not_a_query(ast: &Ast) -> Error {
    let text = ast.to_string();
    let verb = text.split_whitespace().next().unwrap_or("this").to_uppercase();
    Error::usage("MW0805", format!("{verb} is not allowed: only queries and EXPLAIN are"))
        .hint("data changes through a product's runs, access through agreements")
}

pub fn unsupported(what: &str) -> Error {
    Error::usage("MW0808", format!("{what} is not supported"))
}

/// The catalog's tables in a statement, and every clause that the planner would drop without a word.
#[derive(Default)]
struct Names {
    tables: BTreeSet<TableName>,
    relations: usize,
    depth: usize,
    calls: usize,
    statements: usize,
}

type Found = ControlFlow<Box<Error>>;

fn refuse(error: Error) -> Found {
    ControlFlow::Break(Box::new(error))
}

impl Names {
    fn name(&mut self, name: &ObjectName, as_of: Option<Timestamp>) -> Result<()> {
        self.relations += 1;
        if self.relations > TABLES {
            return Err(too_complex(&format!("it names more than {TABLES} tables")));
        }
        let reference = object_name_to_table_reference(name.clone(), true)
            .map_err(|_| Error::not_found("MW0804", format!("table `{name}` does not exist")))?;
        match reference {
            TableReference::Bare { table } if as_of.is_some() => {
                Err(Error::not_found("MW0804", format!("table `{table}` does not exist"))
                    .hint("name it with its domain: `domain.output FOR SYSTEM_TIME AS OF …`"))
            }
            TableReference::Bare { .. } => Ok(()),
            TableReference::Full { catalog, schema, table } if &*catalog == CATALOG => {
                self.tables.insert(TableName { schema: schema.to_string(), table: table.to_string(), as_of });
                Ok(())
            }
            TableReference::Partial { schema, table } => {
                self.tables.insert(TableName { schema: schema.to_string(), table: table.to_string(), as_of });
                Ok(())
            }
            TableReference::Full { .. } => Err(Error::not_found("MW0804", format!("table `{name}` does not exist"))),
        }
    }
}

impl Visitor for Names {
    type Break = Box<Error>;

    fn pre_visit_statement(&mut self, statement: &Ast) -> Found {
        self.statements += 1;
        // A statement inside a query changes data: WITH x AS (DELETE …).
        if self.statements > 1 { refuse(not_a_query(statement)) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_query(&mut self, query: &Query) -> Found {
        if !query.locks.is_empty() {
            return refuse(unsupported("FOR UPDATE or FOR SHARE"));
        }
        if query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() {
            return refuse(unsupported("a FOR, SETTINGS or FORMAT clause"));
        }
        if !query.pipe_operators.is_empty() {
            return refuse(unsupported("a pipe operator"));
        }
        if let SetExpr::Table(table) = query.body.as_ref() {
            let schema = table.schema_name.as_deref().unwrap_or_default();
            return refuse(unsupported(&format!("TABLE {schema}")));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> Found {
        if select.into.is_some() {
            return refuse(
                Error::usage("MW0805", "SELECT INTO is not allowed: only queries and EXPLAIN are")
                    .hint("data changes through a product's runs"),
            );
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Found {
        let named = match factor {
            TableFactor::Table {
                name,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
                ..
            } => {
                if sample.is_some() {
                    return refuse(unsupported("TABLESAMPLE"));
                }
                if !with_hints.is_empty() || !index_hints.is_empty() || !partitions.is_empty() || json_path.is_some() {
                    return refuse(unsupported("a hint, partition or path on a table"));
                }
                if *with_ordinality {
                    return refuse(unsupported("WITH ORDINALITY"));
                }
                match (version, args) {
                    (None, Some(_)) => return ControlFlow::Continue(()),
                    (Some(_), Some(_)) => Err(unsupported("FOR SYSTEM_TIME on a function")),
                    (None, None) => self.name(name, None),
                    (Some(version), None) => moment(version).and_then(|at| self.name(name, Some(at))),
                }
            }
            TableFactor::Derived { sample: Some(_), .. } => Err(unsupported("TABLESAMPLE")),
            TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::Function { .. } => Ok(()),
            _ => Err(unsupported("this kind of table expression")),
        };
        match named {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => refuse(error),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Found {
        if matches!(expr, Expr::Function(_)) {
            self.calls += 1;
            if self.calls > CALLS {
                return refuse(too_complex(&format!("function calls are nested more than {CALLS} deep")));
            }
        }
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH {
            return refuse(too_complex(&format!("an expression is more than {EXPRESSION_DEPTH} terms deep")));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> Found {
        self.calls -= usize::from(matches!(expr, Expr::Function(_)));
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// The moment of `FOR SYSTEM_TIME AS OF`: a literal, so that what a statement reads can be known before it runs.
pub fn moment(version: &TableVersion) -> Result<Timestamp> {
    let TableVersion::ForSystemTimeAsOf(expr) = version else {
        return Err(
            unsupported("this form of table version").hint("write FOR SYSTEM_TIME AS OF '2026-01-31T12:00:00Z'")
        );
    };
    let text = literal_text(expr).ok_or_else(|| {
        Error::usage("MW0820", "FOR SYSTEM_TIME AS OF takes a literal")
            .hint("write a timestamp such as '2026-01-31T12:00:00Z' or '2026-01-31'")
    })?;
    parse_moment(&text)
}

/// RFC 3339, or a date with or without a time, in UTC.
pub fn parse_moment(text: &str) -> Result<Timestamp> {
    let text = text.trim();
    let zoned = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"))
        .map(|at| at.to_utc());
    let plain = || {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f"))
            .map(|at| at.and_utc())
    };
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc());
    zoned.or_else(|_| plain()).or_else(|_| day()).map_err(|_| {
        Error::usage("MW0820", "the moment of FOR SYSTEM_TIME AS OF is not a timestamp")
            .hint("write a timestamp such as '2026-01-31T12:00:00Z' or '2026-01-31'")
    })
}

fn literal_text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        Expr::TypedString(typed) => match &typed.value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        Expr::Cast { expr, .. } | Expr::Nested(expr) => literal_text(expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a stack like the engine's: a tree is dropped where it was made.
    fn code(sql: &str) -> String {
        let sql = sql.to_owned();
        let parsed = move || parse(&sql, 1_000_000).map_or_else(|error| error.code, |_| "ok".to_owned());
        std::thread::Builder::new().stack_size(64 << 20).spawn(parsed).unwrap().join().unwrap()
    }

    #[test]
    fn only_one_query_is_a_statement() {
        assert_eq!(code("SELECT 1"), "ok");
        assert_eq!(code("SELECT 1;"), "ok");
        assert_eq!(code("EXPLAIN ANALYZE SELECT 1"), "ok");
        for sql in [
            "SELECT 1; SELECT 2",
            "",
            "INSERT INTO a.b VALUES (1)",
            "WITH x AS (DELETE FROM a.b RETURNING *) SELECT * FROM x",
            "CREATE TABLE t AS SELECT 1",
            "COPY (SELECT 1) TO '/tmp/x'",
            "SET x = 1",
            "SELECT * INTO t FROM a.b",
            "EXPLAIN DELETE FROM a.b",
            "TRUNCATE a.b",
        ] {
            assert_eq!(code(sql), "MW0805", "{sql}");
        }
    }

    #[test]
    fn what_the_planner_would_drop_is_refused() {
        for sql in [
            "SELECT * FROM a.b TABLESAMPLE BERNOULLI (10)",
            "SELECT * FROM a.b FOR UPDATE",
            "SELECT * FROM generate_series(1, 2) WITH ORDINALITY",
        ] {
            assert_eq!(code(sql), "MW0808", "{sql}");
        }
    }

    #[test]
    fn size_and_shape_are_bounded() {
        assert_eq!(parse("SELECT 1", 3).unwrap_err().code, "MW0801");
        let chain = |n: usize, op: &str| format!("SELECT {}", vec!["1"; n].join(op));
        assert_eq!(code(&chain(20_000, "+")), "MW0806");
        assert_eq!(code(&chain(5_000, " OR ")), "MW0806");
        assert_eq!(code(&chain(500, "+")), "ok");
        assert_eq!(code(&format!("SELECT {}1{}", "(".repeat(200), ")".repeat(200))), "MW0806");
        assert_eq!(code(&format!("SELECT 1 WHERE 1 IN ({})", vec!["1"; 20_000].join(","))), "ok");
        assert_eq!(code(&format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1_000))), "MW0806");
        let calls = |n: usize, of: &str| format!("SELECT {}{of}{}", "f(".repeat(n), ")".repeat(n));
        assert_eq!(code(&calls(30, "1")), "ok");
        assert_eq!(code(&calls(40, "1")), "MW0806");
        assert_eq!(code(&calls(30, "pg_class")), "MW0806");
    }

    #[test]
    fn names_fold_as_in_postgres() {
        let names = |sql: &str| {
            let tables = parse(sql, 1_000).unwrap().tables;
            tables.into_iter().map(|t| format!("{}.{}", t.schema, t.table)).collect::<Vec<_>>()
        };
        assert_eq!(names("SELECT * FROM Sales.ORDERS"), ["sales.orders"]);
        assert_eq!(names("SELECT * FROM \"Sales\".orders"), ["Sales.orders"]);
        assert_eq!(names("SELECT * FROM meshwork.sales.orders, local"), ["sales.orders"]);
        assert_eq!(code("SELECT * FROM other.sales.orders"), "MW0804");
    }

    #[test]
    fn moments_are_literals() {
        let at = |sql: &str| parse(sql, 1_000).map(|s| s.tables.first().unwrap().as_of.unwrap().to_rfc3339());
        let day = "2026-01-31T00:00:00+00:00";
        assert_eq!(at("SELECT * FROM a.b FOR SYSTEM_TIME AS OF '2026-01-31'").unwrap(), day);
        assert_eq!(at("SELECT * FROM a.b FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-31 00:00:00' x").unwrap(), day);
        assert_eq!(at("SELECT * FROM a.b FOR SYSTEM_TIME AS OF '2026-01-31T01:00:00+01:00'").unwrap(), day);
        assert_eq!(at("SELECT * FROM a.b FOR SYSTEM_TIME AS OF now()").unwrap_err().code, "MW0820");
        assert_eq!(at("SELECT * FROM a.b FOR SYSTEM_TIME AS OF 'soon'").unwrap_err().code, "MW0820");
    }
}
