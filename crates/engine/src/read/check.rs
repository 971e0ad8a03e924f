//! What `check` can learn of SQL without data: plans it over empty tables of the declared schemas.

mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::common::DataFusionError;
use datafusion::datasource::empty::EmptyTable;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{Statement as Ast, Visit};
use meshwork_control::port::data::{SqlCheck, SqlChecker};
use meshwork_core::contract::Table;
use meshwork_core::error::{Diagnostic, Error, Place, Severity};
use meshwork_core::product::Mode;
use meshwork_core::types::ColumnType;

use self::names::Names;
use super::engine::Engine;
use super::error::{self, Scope};
use super::session::{self, Limits};
use super::statement;
use super::view;
use crate::native::{column_type, holds, read_type};

/// Room for a long transformation, far below what hurts.
const MAX_SQL: usize = 1 << 20;
const STACK: usize = 64 << 20;

impl SqlChecker for Engine {
    fn check_sql(&self, check: &SqlCheck) -> Vec<Diagnostic> {
        check_sql(check)
    }

    fn check_clause_sql(&self, query: &str, place: &Place, table: &Table) -> Vec<Diagnostic> {
        check_clause(query, place, table)
    }
}

/// Without an engine, for `check` alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checker;

impl SqlChecker for Checker {
    fn check_sql(&self, check: &SqlCheck) -> Vec<Diagnostic> {
        check_sql(check)
    }

    fn check_clause_sql(&self, query: &str, place: &Place, table: &Table) -> Vec<Diagnostic> {
        check_clause(query, place, table)
    }
}

fn check_sql(check: &SqlCheck) -> Vec<Diagnostic> {
    let (check, place) = (check.clone(), check.place.clone());
    roomy(&place, move || transformation(&check))
}

fn check_clause(query: &str, place: &Place, table: &Table) -> Vec<Diagnostic> {
    let (query, at, table) = (query.to_owned(), place.clone(), table.clone());
    roomy(place, move || clause(&query, &at, &table))
}

/// On a stack with room to recurse. A planner that gives up with a panic has not found the SQL good.
fn roomy(place: &Place, work: impl FnOnce() -> Vec<Diagnostic> + Send + 'static) -> Vec<Diagnostic> {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work);
    thread.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(|| {
        let error = Error::check("MW0836", "the planner stopped unexpectedly at this SQL")
            .hint("this is a bug: please report it with the SQL; writing it another way may help");
        vec![report(&error, place)]
    })
}

fn transformation(check: &SqlCheck) -> Vec<Diagnostic> {
    let ast = match statement::parse(&check.sql, MAX_SQL) {
        Ok(statement) => statement.ast,
        Err(error) => return vec![report(&error, &check.place)],
    };
    let mut names = Names::default();
    let _ = ast.visit(&mut names);

    let mut found = unknown_inputs(check, &names);
    if check.mode == Mode::View {
        found.extend(sources(check, &names));
    }
    if !found.is_empty() {
        return found;
    }
    // Where an input's columns are unknown, so are its types: only names can be compared.
    let typed = check.inputs.iter().all(|(name, columns)| columns.is_some() || !names.inputs.contains_key(name));
    let plan = match plan(&ast, tables(check, &names)) {
        Ok(plan) => plan,
        Err(error) => {
            let diagnostic = report(&error::planning(&error, &Scope { withheld: &[] }), &check.place);
            // A type that does not fit may be one that we assumed: the run will know the source's own.
            return if diagnostic.code == "MW0836" && !typed { Vec::new() } else { vec![diagnostic] };
        }
    };
    found.extend(produced(check, plan.schema().as_arrow(), typed));
    if check.mode == Mode::View {
        found.extend(of_view(check, &plan));
    }
    found
}

/// What only a view may not: read sources, convert, call what changes from call to call.
fn of_view(check: &SqlCheck, plan: &LogicalPlan) -> Vec<Diagnostic> {
    let said = |code: &str, message: String, hint: &str| report(&Error::check(code, message).hint(hint), &check.place);
    let mut found = Vec::new();
    for field in &check.produces.fields {
        let Some((_, column)) = plan.schema().as_arrow().column_with_name(&field.name) else { continue };
        // What cannot be stored at all has been said.
        if clash(column.data_type(), &field.native).is_none() && !yields(column.data_type(), &field.native) {
            let (from, to) = (arrow_name(column.data_type()), sql_name(&field.native));
            let message = format!("column `{}` of the view is produced as {from} and declared as {to}", field.name);
            found.push(said("MW0852", message, &format!("a view converts nothing: write CAST(… AS {to})")));
        }
    }
    match view::volatile(plan) {
        Ok(called) if called.is_empty() => {}
        Ok(called) => {
            let message = format!("the view calls {}, whose value changes with each call", called.join(", "));
            found.push(said("MW0851", message, "what is checked would not be what is read: use `mode: full`"));
        }
        Err(error) => found.push(report(&error::planning(&error, &Scope { withheld: &[] }), &check.place)),
    }
    found
}

fn unknown_inputs(check: &SqlCheck, names: &Names) -> Vec<Diagnostic> {
    let unknown =
        names.inputs.iter().filter(|(name, _)| !check.inputs.contains_key(*name) && !names.ctes.contains(*name));
    unknown
        .map(|(name, (line, column))| {
            let message = format!("`{name}` is not an input of this product");
            let mut error =
                Error::check("MW0832", message).at(Place { path: String::new(), line: *line, column: *column });
            error = match nearest(name, check.inputs.keys().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("declare it under `inputs:` in product.yaml"),
            };
            let mut diagnostic = report(&error, &check.place);
            diagnostic.length = u32::try_from(name.chars().count()).unwrap_or(0);
            diagnostic
        })
        .collect()
}

/// Sources that a view names.
fn sources(check: &SqlCheck, names: &Names) -> Vec<Diagnostic> {
    let named = check.inputs.iter().filter(|(_, columns)| columns.is_none());
    let named = named.filter_map(|(name, _)| Some((name, names.inputs.get(name)?)));
    named
        .filter(|(name, _)| !names.ctes.contains(*name))
        .map(|(name, (line, column))| {
            let error = Error::check("MW0853", format!("the view reads `{name}`, which is a source"))
                .at(Place { path: String::new(), line: *line, column: *column })
                .hint("a view reads other products' outputs; take the source in with `mode: full`");
            report(&error, &check.place)
        })
        .collect()
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

fn tables(check: &SqlCheck, names: &Names) -> BTreeMap<String, Arc<Schema>> {
    let inputs = check.inputs.iter();
    inputs
        .map(|(name, columns)| {
            let fields: Vec<Field> = match columns {
                Some(columns) => columns.iter().map(|(name, ty)| Field::new(name, read_type(ty), true)).collect(),
                // A column that some input of unknown columns may have.
                None => names.columns.iter().map(|name| Field::new(name, source_type(check, name), true)).collect(),
            };
            (name.clone(), Arc::new(Schema::new(fields)))
        })
        .collect()
}

/// What a source's column is read as: the type of the contract's field by that name, as runs do it; else text.
fn source_type(check: &SqlCheck, column: &str) -> DataType {
    let is_it = |field: &&meshwork_core::contract::Field| {
        field.physical_name.as_deref() == Some(column) || field.name == column
    };
    check.produces.fields.iter().find(is_it).map_or(DataType::Utf8View, |field| read_type(&field.native))
}

fn produced(check: &SqlCheck, schema: &Schema, typed: bool) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let start =
        Place { path: check.place.path.clone(), line: check.place.line.max(1), column: check.place.column.max(1) };
    let mut say = |code: &str, severity, message: String, hint: Option<String>| {
        found.push(Diagnostic {
            code: code.to_owned(),
            severity,
            message,
            place: start.clone(),
            length: 0,
            hints: hint.into_iter().collect(),
        });
    };
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    for field in &check.produces.fields {
        let Some((_, column)) = schema.column_with_name(&field.name) else {
            let hint = match nearest(&field.name, names.iter().copied()) {
                Some(near) => format!("the SQL produces `{near}`: write `{near} AS {}`", field.name),
                None => {
                    format!("add an expression `… AS {}` to the SELECT, or take it out of the contract", field.name)
                }
            };
            let message = format!("the contract's column `{}` is not produced by the SQL", field.name);
            say("MW0834", Severity::Error, message, Some(hint));
            continue;
        };
        if typed && let Some(clash) = clash(column.data_type(), &field.native) {
            let message = format!("column `{}` {clash}", field.name);
            let hint = format!("cast it in the SQL: CAST(… AS {}), or correct the contract", sql_name(&field.native));
            say("MW0835", Severity::Error, message, Some(hint));
        }
    }
    let stored = |name: &str| check.produces.field(name).is_some() || check.merge.uses(name);
    for name in names.iter().filter(|name| !stored(name)) {
        let message = format!("the SQL produces column `{name}`, which the contract does not have");
        say(
            "MW0837",
            Severity::Warning,
            message,
            Some("it will not be stored: take it out, or add it to the contract".to_owned()),
        );
    }
    found
}

/// Whether a view may yield this for a column of the contract. It converts nothing; but nanoseconds, which is what SQL's
/// own moments have, are served as the microseconds of the contract.
pub fn yields(from: &DataType, to: &ColumnType) -> bool {
    match (from, to) {
        (DataType::Timestamp(_, Some(_)), ColumnType::Timestamp)
        | (DataType::Timestamp(_, None), ColumnType::LocalTimestamp) => true,
        _ => holds(from, to),
    }
}

/// Why a value of type `from` cannot be stored as `to`; widening and text of anything printable are fine.
fn clash(from: &DataType, to: &ColumnType) -> Option<String> {
    use ColumnType as T;
    if matches!(from, DataType::Null) {
        return None;
    }
    let said = || Some(format!("is produced as {} and declared as {}", arrow_name(from), sql_name(to)));
    let Some(found) = column_type(from) else {
        // Nanoseconds are cut on purpose only; other types have no place in a table.
        return if matches!(from, DataType::Timestamp(..)) && matches!(to, T::Timestamp | T::LocalTimestamp) {
            None
        } else {
            said()
        };
    };
    let number =
        |ty: &T| matches!(ty, T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64 | T::Decimal { .. });
    let fits = match (&found, to) {
        (a, b) if a == b => true,
        // Values that do not fit are found when they are checked; the kinds agree.
        (a, b) if number(a) && number(b) => true,
        (T::Date, T::Timestamp | T::LocalTimestamp)
        | (T::Timestamp | T::LocalTimestamp, T::Timestamp | T::LocalTimestamp) => true,
        // Text may hold a declared type: sources give text.
        (T::Text, T::List(_) | T::Struct(_)) => false,
        (T::Text, T::Binary) => true,
        (T::List(a), T::List(b)) => return clash(&crate::native::arrow_type(a), b),
        (T::Struct(_), T::Struct(_)) => true,
        _ => false,
    };
    if fits { None } else { said() }
}

fn sql_name(ty: &ColumnType) -> String {
    match ty {
        ColumnType::Boolean => "BOOLEAN".into(),
        ColumnType::Int8 | ColumnType::Int16 => "SMALLINT".into(),
        ColumnType::Int32 => "INTEGER".into(),
        ColumnType::Int64 => "BIGINT".into(),
        ColumnType::Float32 => "REAL".into(),
        ColumnType::Float64 => "DOUBLE PRECISION".into(),
        ColumnType::Decimal { precision, scale } => format!("DECIMAL({precision}, {scale})"),
        ColumnType::Text => "TEXT".into(),
        ColumnType::Binary => "BYTEA".into(),
        ColumnType::Date => "DATE".into(),
        ColumnType::Timestamp => "TIMESTAMPTZ".into(),
        ColumnType::LocalTimestamp => "TIMESTAMP".into(),
        ColumnType::List(item) => format!("{}[]", sql_name(item)),
        ColumnType::Struct(_) => "STRUCT".into(),
    }
}

fn arrow_name(ty: &DataType) -> String {
    column_type(ty).map_or_else(|| ty.to_string(), |ty| sql_name(&ty))
}

fn clause(query: &str, place: &Place, table: &Table) -> Vec<Diagnostic> {
    let sql = query.replace("{table}", "\"{table}\"").replace("{batch}", "\"{batch}\"");
    let fail = |error: &Error| {
        let mut diagnostic = report(error, place);
        // The query stands inside YAML: only its start is a place there.
        diagnostic.place = place.clone();
        if diagnostic.code == "MW0809" {
            diagnostic.code = "MW0836".to_owned();
        }
        vec![diagnostic]
    };
    let ast = match statement::parse(&sql, MAX_SQL) {
        Ok(statement) => statement.ast,
        Err(error) => return fail(&error),
    };
    let fields = table.fields.iter().map(|field| Field::new(&field.name, read_type(&field.native), !field.required));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut tables = BTreeMap::new();
    for name in ["{table}", "{batch}", table.name.as_str()] {
        tables.insert(name.to_owned(), Arc::clone(&schema));
    }
    match plan(&ast, tables) {
        Ok(_) => Vec::new(),
        Err(error) => fail(&error::planning(&error, &Scope { withheld: &[] })),
    }
}

/// Plans over empty tables; nothing is read and nothing is run.
fn plan(ast: &Ast, tables: BTreeMap<String, Arc<Schema>>) -> Result<LogicalPlan, DataFusionError> {
    let limits = Limits { memory_bytes: 64 << 20, spill_bytes: 0, spill_dir: std::env::temp_dir(), cores: 1 };
    let context: SessionContext = session::base_context(&limits, None, None)?;
    let schema = MemorySchemaProvider::new();
    for (name, columns) in tables {
        schema.register_table(name, Arc::new(EmptyTable::new(columns)))?;
    }
    session::catalog(&context)?.register_schema("public", Arc::new(schema))?;
    let state = session::state(&context);
    let plan = futures::executor::block_on(state.statement_to_plan(DfStatement::Statement(Box::new(ast.clone()))))?;
    // The analyzer finds what types do not allow.
    state.optimize(&plan)?;
    Ok(plan)
}

/// An error of the SQL at its place in the file, which starts at `at`.
fn report(error: &Error, at: &Place) -> Diagnostic {
    let (first, shift) = (at.line.max(1), at.column.max(1));
    let place = match &error.place {
        Some(inner) if inner.line > 0 => Place {
            path: at.path.clone(),
            line: first + inner.line - 1,
            column: if inner.line == 1 { shift + inner.column.max(1) - 1 } else { inner.column },
        },
        _ => Place { path: at.path.clone(), line: first, column: shift },
    };
    let code = match error.code.as_str() {
        "MW0802" => "MW0830",
        "MW0805" => "MW0831",
        "MW0804" => "MW0832",
        "MW0803" => "MW0833",
        "MW0809" | "MW0807" | "MW0808" | "MW0814" => "MW0836",
        other => other,
    };
    Diagnostic {
        code: code.to_owned(),
        severity: Severity::Error,
        message: error.message.clone(),
        place,
        length: 0,
        hints: error.hints.clone(),
    }
}
