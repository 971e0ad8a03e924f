//! The tables of a PostgreSQL database: what its catalog declares, and what their rows hold.

use meshwork_control::port::data::{DatabaseSpec, SourceSpec};
use meshwork_core::infer::{Catalog, ForeignKey, ProfiledType, ProposedSource};
use meshwork_core::name::quoted;
use meshwork_core::types::ColumnType;
use meshwork_core::{Error, Result};
use tokio_postgres::Client;

use super::{Bounds, Examined, table};
use crate::native::column_type;
use crate::source::{self, Access, PostgresColumn, Reading, postgres_client, postgres_columns};

/// What cannot be read as rows of a table of ours: internals of the server and of its extensions.
const TABLES: &str = "
    SELECT n.nspname, c.relname, obj_description(c.oid, 'pg_class')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
      AND ($1::text IS NULL OR n.nspname = $1)
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
      AND has_table_privilege(c.oid, 'SELECT')
    ORDER BY 1, 2";

const COLUMNS: &str = "
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, col_description(c.oid, a.attnum),
           (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = a.atttypid)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum";

const CONSTRAINTS: &str = "
    SELECT k.contype::text,
           (SELECT array_agg(a.attname::text ORDER BY p.place)
            FROM unnest(k.conkey) WITH ORDINALITY p(num, place) JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.num),
           fn.nspname, f.relname,
           (SELECT array_agg(a.attname::text ORDER BY p.place)
            FROM unnest(k.confkey) WITH ORDINALITY p(num, place) JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = p.num),
           pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_class f ON f.oid = k.confrelid LEFT JOIN pg_namespace fn ON fn.oid = f.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2 AND k.contype IN ('p', 'u', 'f', 'c')
    ORDER BY k.conname";

/// Which tables to look at.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub schema: Option<String>,
    /// `schema.table`; empty for all.
    pub tables: Vec<String>,
}

/// All wanted tables that the connection's user may read.
pub async fn postgres(
    spec: &DatabaseSpec,
    wanted: &Wanted,
    access: &Access,
    bounds: Bounds,
    heard: &(dyn Fn(&str) + Send + Sync),
) -> Result<Vec<Examined>> {
    let client = postgres_client("source", spec, access).await?;
    let found = client.query(TABLES, &[&wanted.schema]).await.map_err(|error| unread(&error))?;
    let mut examined = Vec::new();
    for row in &found {
        let name = Named { schema: row.get(0), table: row.get(1) };
        if !wanted.tables.is_empty() && !wanted.tables.contains(&name.plain()) {
            continue;
        }
        heard(&name.plain());
        let mut one = rows(&client, &name, spec, access, bounds).await?;
        one.profile.description = row.get(2);
        catalog(&client, &name, &mut one).await?;
        examined.push(one);
    }
    if examined.is_empty() {
        return Err(Error::not_found("MW1100", "the database has no table that this user may read")
            .hint("`?schema=NAME` limits the search to a schema; without it all are looked at"));
    }
    Ok(examined)
}

struct Named {
    schema: String,
    table: String,
}

impl Named {
    fn plain(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }
    fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.table))
    }
}

/// All values as texts: their types come from the catalog.
async fn rows(client: &Client, name: &Named, spec: &DatabaseSpec, access: &Access, bounds: Bounds) -> Result<Examined> {
    let columns =
        postgres_columns(client, &format!("SELECT * FROM {}", name.quoted())).await.map_err(|e| unread(&e))?;
    let texts: Vec<String> = columns
        .iter()
        .map(|column| {
            let quoted = quoted(&column.name);
            match &column.arrow {
                // Long values that say nothing are not sent.
                Some(ty) if ty.is_nested() || ty.is_binary() => {
                    format!("CASE WHEN {quoted} IS NULL THEN NULL ELSE 'x' END AS {quoted}")
                }
                _ => format!("{quoted}::text AS {quoted}"),
            }
        })
        .collect();
    let query = format!("SELECT {} FROM {} LIMIT {}", texts.join(", "), name.quoted(), bounds.rows + 1);
    let whole = SourceSpec::Postgres(DatabaseSpec { table: None, query: Some(query), ..spec.clone() });
    let opened = source::open("source", &whole, &[], &Reading::default(), access).await?;
    let source = ProposedSource::Database { kind: "postgres", table: name.plain(), query: cast(name, &columns) };
    let mut one = table::examine(&name.plain(), source, &opened, &table::all(&opened), true, bounds).await?;
    for (profile, column) in one.profile.columns.iter_mut().zip(&columns) {
        profile.ty = typed(column, profile.seen.digits);
    }
    Ok(one)
}

/// The query that reads the table where a plain `table:` cannot: types without a counterpart are cast to text.
fn cast(name: &Named, columns: &[PostgresColumn]) -> Option<String> {
    let dotted = name.schema.contains('.') || name.table.contains('.');
    if columns.iter().all(|column| column.arrow.is_some()) && !dotted {
        return None;
    }
    let list: Vec<String> = columns
        .iter()
        .map(|column| {
            let quoted = quoted(&column.name);
            if column.arrow.is_some() { quoted } else { format!("{quoted}::text AS {quoted}") }
        })
        .collect();
    Some(format!("SELECT {} FROM {}", list.join(", "), name.quoted()))
}

fn typed(column: &PostgresColumn, digits: (u32, u32)) -> ProfiledType {
    let native = column.arrow.as_ref().and_then(column_type).unwrap_or(ColumnType::Text);
    let native = match native {
        // `numeric` alone: as wide as its values, with room to grow.
        ColumnType::Decimal { .. } if column.any_precision => {
            let scale = digits.1.clamp(2, 18);
            let precision = (digits.0 + 6 + scale).clamp(18, 38);
            ColumnType::Decimal { precision: precision as u8, scale: scale as i8 }
        }
        other => other,
    };
    ProfiledType {
        native,
        time_of_day: column.time_of_day,
        declared: true,
        because: column.word.clone(),
        ..ProfiledType::default()
    }
}

async fn catalog(client: &Client, name: &Named, one: &mut Examined) -> Result<()> {
    let profile = &mut one.profile;
    let described = client.query(COLUMNS, &[&name.schema, &name.table]).await.map_err(|error| unread(&error))?;
    for row in &described {
        let column: String = row.get(0);
        let Some(found) = profile.columns.iter_mut().find(|c| c.name == column) else { continue };
        let written: String = row.get(1);
        found.ty.max_length = written
            .strip_prefix("character varying(")
            .or_else(|| written.strip_prefix("character("))
            .and_then(|rest| rest.trim_end_matches(')').parse().ok());
        found.ty.because = written;
        found.not_null = row.get(2);
        found.description = row.get(3);
        found.accepted = row.get::<_, Option<Vec<String>>>(4).unwrap_or_default();
    }
    let mut catalog = Catalog { said_by: "the catalog", ..Catalog::default() };
    let declared = client.query(CONSTRAINTS, &[&name.schema, &name.table]).await.map_err(|error| unread(&error))?;
    for row in &declared {
        let columns: Vec<String> = row.get::<_, Option<Vec<String>>>(1).unwrap_or_default();
        match row.get::<_, String>(0).as_str() {
            "p" => catalog.primary_key = columns,
            "u" => catalog.unique.push(columns),
            "f" => {
                let (schema, table): (String, String) = (row.get(2), row.get(3));
                let to_columns = row.get::<_, Option<Vec<String>>>(4).unwrap_or_default();
                catalog.foreign_keys.push(ForeignKey { columns, table: format!("{schema}.{table}"), to_columns });
            }
            _ => {
                let [column] = columns.as_slice() else { continue };
                let definition: String = row.get(5);
                let found = profile.columns.iter_mut().find(|c| c.name == *column);
                if let (Some(found), Some(values)) = (found, listed(&definition)) {
                    found.accepted = values;
                }
            }
        }
    }
    profile.catalog = catalog;
    Ok(())
}

/// The values of `CHECK ((status = ANY (ARRAY['open'::text, 'paid'::text])))`, as the server writes `status IN (…)`.
fn listed(definition: &str) -> Option<Vec<String>> {
    let inside = definition.split_once("= ANY (")?.1.split_once("ARRAY[")?.1.split_once(']')?.0;
    // One comparison and nothing else.
    if definition.contains(" OR ") || definition.contains(" AND ") {
        return None;
    }
    let mut values = Vec::new();
    let mut rest = inside.trim_start();
    while let Some(text) = rest.strip_prefix('\'') {
        let mut value = String::new();
        let mut chars = text.char_indices().peekable();
        let end = loop {
            match chars.next()? {
                (_, '\'') if chars.peek().is_some_and(|(_, c)| *c == '\'') => {
                    chars.next();
                    value.push('\'');
                }
                (at, '\'') => break at + 1,
                (_, c) => value.push(c),
            }
        };
        values.push(value);
        let after = &text[end..];
        rest = after.split_once(',').map_or("", |(_, more)| more.trim_start());
    }
    (!values.is_empty() && rest.is_empty()).then_some(values)
}

fn unread(error: &tokio_postgres::Error) -> Error {
    let why = error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned());
    Error::environment("MW1103", format!("the catalog of the database cannot be read: {why}"))
        .hint("the connection's user must be allowed to read the tables that are to be taken over")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_check_constraints() {
        for (definition, expected) in [
            ("CHECK ((status = ANY (ARRAY['open'::text, 'it''s, paid'::text])))", Some(vec!["open", "it's, paid"])),
            (
                "CHECK (((a)::text = ANY ((ARRAY['x'::character varying, 'y'::character varying])::text[])))",
                Some(vec!["x", "y"]),
            ),
            ("CHECK ((price > (0)::numeric))", None),
            ("CHECK (((a = ANY (ARRAY['x'::text])) OR (b = 'z'::text)))", None),
            ("CHECK ((n = ANY (ARRAY[1, 2])))", None),
        ] {
            let expected = expected.map(|values| values.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(listed(definition), expected, "{definition}");
        }
    }
}
