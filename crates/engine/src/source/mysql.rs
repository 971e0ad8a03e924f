//! MySQL and MariaDB: a table or query, streamed by the binary protocol in one read-only snapshot. The session is in UTC.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use meshwork_control::port::data::DatabaseSpec;
use meshwork_core::types::ColumnType;
use meshwork_core::{Error, Result};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode, MySqlValueRef};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions, Decode, Executor, MySql, Row, SqlSafeStr, Statement, TypeInfo};

use super::range::{Condition, plain_moment};
use super::relation::{Cell, Reader, Relation, RelationSource, Rows};
use super::{Access, Range, Reading, Source, Typing};

const CONNECTING: Duration = Duration::from_secs(10);

struct MysqlReader {
    relation: Relation,
    at: String,
    options: MySqlConnectOptions,
    from: String,
    condition: Condition,
    kinds: Vec<Kind>,
}

impl std::fmt::Debug for MysqlReader {
    // The options hold the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mysql({}, {})", self.relation.input, self.from)
    }
}

/// How the values of a column come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Signed,
    Unsigned,
    /// One byte, whether signed or not.
    Tiny,
    Float,
    Double,
    Date,
    Moment {
        utc: bool,
    },
    Time,
    Bits,
    Text,
    Bytes,
}

impl Kind {
    /// By the driver's name of the type; with the column type where the contract gives none. `None` for types that
    /// cannot be read.
    fn of(name: &str) -> Option<(Self, ColumnType)> {
        Some(match name {
            // `tinyint(1)` is what MySQL has for booleans, but it may hold more: the contract says which it is.
            "BOOLEAN" => (Self::Tiny, ColumnType::Int8),
            "TINYINT" => (Self::Signed, ColumnType::Int8),
            "TINYINT UNSIGNED" => (Self::Unsigned, ColumnType::Int16),
            "SMALLINT" => (Self::Signed, ColumnType::Int16),
            "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" => (Self::Unsigned, ColumnType::Int32),
            "MEDIUMINT" | "INT" => (Self::Signed, ColumnType::Int32),
            "YEAR" => (Self::Unsigned, ColumnType::Int16),
            "INT UNSIGNED" => (Self::Unsigned, ColumnType::Int64),
            "BIGINT" => (Self::Signed, ColumnType::Int64),
            "BIGINT UNSIGNED" => (Self::Unsigned, ColumnType::Decimal { precision: 20, scale: 0 }),
            "FLOAT" => (Self::Float, ColumnType::Float32),
            "DOUBLE" => (Self::Double, ColumnType::Float64),
            "DECIMAL" => (Self::Text, ColumnType::Decimal { precision: 38, scale: 10 }),
            "DATE" => (Self::Date, ColumnType::Date),
            "DATETIME" => (Self::Moment { utc: false }, ColumnType::LocalTimestamp),
            "TIMESTAMP" => (Self::Moment { utc: true }, ColumnType::Timestamp),
            "TIME" => (Self::Time, ColumnType::Text),
            "BIT" => (Self::Bits, ColumnType::Int64),
            "CHAR" | "VARCHAR" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM" | "SET" | "JSON" => {
                (Self::Text, ColumnType::Text)
            }
            "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" => {
                (Self::Bytes, ColumnType::Binary)
            }
            _ => return None,
        })
    }
}

/// The connection's settings, its secrets resolved, and where it leads.
async fn settings(input: &str, database: &DatabaseSpec, access: &Access) -> Result<(MySqlConnectOptions, String)> {
    let port = database.connection.port.unwrap_or(3306);
    access.allow(input, &database.connection.host, port, &database.egress).await?;
    let mut options = MySqlConnectOptions::new()
        .host(&database.connection.host)
        .port(port)
        .database(&database.connection.database)
        .username(&database.connection.user)
        .ssl_mode(match database.connection.tls.as_deref() {
            Some("disable") => MySqlSslMode::Disabled,
            Some("require") => MySqlSslMode::Required,
            Some("verify-full") => MySqlSslMode::VerifyIdentity,
            _ => MySqlSslMode::Preferred,
        })
        .charset("utf8mb4")
        .timezone(Some("+00:00".to_owned()))
        .disable_statement_logging();
    if let Some(password) = &database.connection.password {
        options = options.password(&access.secret(password)?);
    }
    if let Some(ca) = &database.connection.ca {
        options = options.ssl_ca_from_pem(access.secret(ca)?.into_bytes());
    }
    let at = format!("{}:{port}", database.connection.host);
    Ok((options, at))
}

/// For `infer`: a connection that can only read.
pub(crate) async fn reading(input: &str, database: &DatabaseSpec, access: &Access) -> Result<MySqlConnection> {
    let (options, at) = settings(input, database, access).await?;
    let mut connection = connect(input, &at, &options).await?;
    let sql = "SET SESSION TRANSACTION READ ONLY";
    connection.execute(sqlx::raw_sql(sql)).await.map_err(|error| refused(input, &at, &error))?;
    Ok(connection)
}

pub async fn open(
    input: &str,
    database: &DatabaseSpec,
    typing: &Typing,
    reading: Reading,
    access: &Access,
) -> Result<Arc<dyn Source>> {
    let from = match (&database.table, &database.query) {
        (Some(table), None) => table.split('.').map(quoted).collect::<Vec<_>>().join("."),
        (None, Some(query)) => format!("({}\n) AS q", query.trim().trim_end_matches(';')),
        _ => return Err(super::either_table_or_query(input)),
    };
    let (options, at) = settings(input, database, access).await?;
    let mut connection = connect(input, &at, &options).await?;
    let sql = AssertSqlSafe(format!("SELECT * FROM {from}")).into_sql_str();
    let statement = connection.prepare(sql).await.map_err(|error| refused(input, &at, &error))?;
    let decimals = match &database.table {
        Some(table) => decimals(input, &at, &mut connection, table).await?,
        None => Vec::new(),
    };
    let (mut columns, mut kinds) = (Vec::new(), Vec::new());
    for column in statement.columns() {
        let name = column.name();
        match Kind::of(column.type_info().name()) {
            Some((mut kind, mut ty)) => {
                // Text whose collation compares bytes is called binary, too; only its character set tells them apart.
                if kind == Kind::Bytes && <str as sqlx::Type<MySql>>::compatible(column.type_info()) {
                    (kind, ty) = (Kind::Text, ColumnType::Text);
                }
                if let Some((_, found)) = decimals.iter().find(|(column, _)| column == name) {
                    ty = found.clone();
                }
                columns.push((name.to_owned(), ty));
                kinds.push(kind);
            }
            None if typing.get(name).is_some() => {
                let message = format!(
                    "input `{input}`: column `{name}` has the type `{}`, which cannot be read",
                    column.type_info().name()
                );
                return Err(Error::check("MW0523", message)
                    .hint(format!("use `query:` and cast it there, for example `SELECT ST_AsText({name}) …`")));
            }
            None => {}
        }
    }
    let relation = Relation::new(input, columns, typing, reading);
    Ok(Arc::new(RelationSource(Arc::new(MysqlReader {
        relation,
        at,
        options,
        from,
        condition: Condition::default(),
        kinds,
    }))))
}

/// Precision and scale of decimals, which the driver does not tell.
async fn decimals(
    input: &str,
    at: &str,
    connection: &mut MySqlConnection,
    table: &str,
) -> Result<Vec<(String, ColumnType)>> {
    let (schema, table) = match table.split_once('.') {
        Some((schema, table)) => (Some(schema), table),
        None => (None, table),
    };
    // Casts, because the types of these columns differ between MySQL and MariaDB.
    let sql = "SELECT CAST(column_name AS CHAR), CAST(numeric_precision AS SIGNED), CAST(numeric_scale AS SIGNED) \
               FROM information_schema.columns \
               WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? AND data_type = 'decimal'";
    let found: Vec<(String, i64, i64)> = sqlx::query_as(sql)
        .bind(schema)
        .bind(table)
        .fetch_all(connection)
        .await
        .map_err(|error| refused(input, at, &error))?;
    let ty = |(name, precision, scale): (String, i64, i64)| {
        let precision = u8::try_from(precision).ok().filter(|p| (1..=38).contains(p))?;
        Some((name, ColumnType::Decimal { precision, scale: i8::try_from(scale).ok()? }))
    };
    Ok(found.into_iter().filter_map(ty).collect())
}

#[async_trait]
impl Reader for MysqlReader {
    fn relation(&self) -> &Relation {
        &self.relation
    }

    fn within(&self, range: &Range) -> Option<Self> {
        let (at, ty) = self.relation.column(&range.column)?;
        // Only where the column's values are what the contract makes of them: a `datetime` may mean another zone.
        let (cast, range) = match (self.kinds[at], &ty.native) {
            (Kind::Signed | Kind::Tiny, ty) if is_whole(ty) => ("SIGNED".to_owned(), range.clone()),
            (Kind::Unsigned, ty) if is_whole(ty) => ("UNSIGNED".to_owned(), range.clone()),
            (Kind::Unsigned, ColumnType::Decimal { scale: 0, .. }) => ("UNSIGNED".to_owned(), range.clone()),
            (Kind::Text, ColumnType::Decimal { precision, scale: scale @ 0..=30 }) => {
                (format!("DECIMAL({precision},{scale})"), range.clone())
            }
            (Kind::Date, ColumnType::Date) => ("DATE".to_owned(), range.map(plain_moment)?),
            (Kind::Moment { utc: true }, ColumnType::Timestamp)
            | (Kind::Moment { utc: false }, ColumnType::LocalTimestamp) => {
                ("DATETIME(6)".to_owned(), range.map(plain_moment)?)
            }
            _ => return None,
        };
        let (relation, kinds) = (self.relation.clone(), self.kinds.clone());
        let condition = range.condition(&quoted(&range.column), |_| format!("CAST(? AS {cast})"));
        let (at, options, from) = (self.at.clone(), self.options.clone(), self.from.clone());
        Some(Self { relation, at, options, from, condition, kinds })
    }

    async fn read(&self, rows: &mut Rows<'_>) -> Result<()> {
        let (input, names) = (&self.relation.input, self.relation.names());
        let mut connection = connect(input, &self.at, &self.options).await?;
        // A source is read, never written: not even by a function that a view calls.
        for sql in [
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ] {
            connection.execute(sqlx::raw_sql(sql)).await.map_err(|error| refused(input, &self.at, &error))?;
        }
        let wanted = rows.wanted().to_vec();
        let list: Vec<String> = wanted.iter().map(|at| quoted(&names[*at])).collect();
        // Counting needs rows without columns.
        let list = if list.is_empty() { "1".to_owned() } else { list.join(", ") };
        let sql = AssertSqlSafe(format!("SELECT {list} FROM {}{}", self.from, self.condition.sql));
        let query = self.condition.values.iter().fold(sqlx::query(sql), |query, value| query.bind(value));
        let mut stream = query.fetch(&mut connection);
        while let Some(row) = stream.next().await {
            let row = row.map_err(|error| broken(input, &error))?;
            let cells = self.cells(&row, &wanted).map_err(|error| broken(input, &error))?;
            if !rows.add(&cells).await? {
                break;
            }
        }
        Ok(())
    }
}

impl MysqlReader {
    fn cells<'r>(&self, row: &'r MySqlRow, wanted: &[usize]) -> Result<Vec<Cell<'r>>, sqlx::Error> {
        wanted.iter().enumerate().map(|(place, at)| cell(self.kinds[*at], row.try_get_raw(place)?)).collect()
    }
}

fn is_whole(ty: &ColumnType) -> bool {
    matches!(ty, ColumnType::Int8 | ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64)
}

fn cell(kind: Kind, value: MySqlValueRef<'_>) -> Result<Cell<'_>, sqlx::Error> {
    // The driver takes a zero date for null; its bytes tell them apart.
    let Ok(raw) = <&[u8] as Decode<MySql>>::decode(value.clone()) else { return Ok(Cell::Null) };
    let owned = |text: Option<String>| text.map_or(Cell::Impossible, |text| Cell::Text(Cow::Owned(text)));
    Ok(match kind {
        Kind::Signed => owned(Some(decoded::<i64>(value)?.to_string())),
        // The driver does not say whether it has a sign: beyond 127 it could be either.
        Kind::Tiny => owned(Some(decoded::<i64>(value)?).filter(|byte| *byte >= 0).map(|byte| byte.to_string())),
        Kind::Unsigned => owned(Some(decoded::<u64>(value)?.to_string())),
        Kind::Float => owned(Some(decoded::<f32>(value)?.to_string())),
        Kind::Double => owned(Some(decoded::<f64>(value)?.to_string())),
        Kind::Date => owned(date(raw)),
        Kind::Moment { utc } => owned(moment(raw, utc)),
        Kind::Time => owned(time(raw)),
        Kind::Bits if raw.len() <= 8 => {
            owned(Some(raw.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte)).to_string()))
        }
        Kind::Bits => Cell::Impossible,
        Kind::Text => match std::str::from_utf8(raw) {
            Ok(text) => Cell::Text(Cow::Borrowed(text)),
            Err(_) => Cell::Impossible,
        },
        Kind::Bytes => Cell::Bytes(raw),
    })
}

fn decoded<'v, T: Decode<'v, MySql>>(value: MySqlValueRef<'v>) -> Result<T, sqlx::Error> {
    T::decode(value).map_err(sqlx::Error::Decode)
}

/// The protocol's dates: a length, then year (two bytes), month, day. Without them, or with a zero among them, it is no
/// day of any calendar.
fn date(raw: &[u8]) -> Option<String> {
    let (year, month, day) = match raw {
        [(4..), low, high, month, day, ..] => (u16::from_le_bytes([*low, *high]), *month, *day),
        _ => return None,
    };
    chrono::NaiveDate::from_ymd_opt(year.into(), month.into(), day.into())?;
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// A date; hour, minute and second where they are not zero; microseconds where these are not.
fn moment(raw: &[u8], utc: bool) -> Option<String> {
    let (hour, minute, second) = match raw {
        [4, ..] => (0, 0, 0),
        [(7..), _, _, _, _, hour, minute, second, ..] => (*hour, *minute, *second),
        _ => return None,
    };
    let micros = raw.get(8..12).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let zone = if utc { "Z" } else { "" };
    Some(format!("{}T{hour:02}:{minute:02}:{second:02}.{micros:06}{zone}", date(raw)?))
}

/// A sign, days (four bytes), hour, minute, second, microseconds: durations of up to 838 hours, too.
fn time(raw: &[u8]) -> Option<String> {
    let (sign, days, hour, minute, second) = match raw {
        [0, ..] => return Some("00:00:00".to_owned()),
        [(8..), sign, a, b, c, d, hour, minute, second, ..] => {
            (*sign, u32::from_le_bytes([*a, *b, *c, *d]), *hour, *minute, *second)
        }
        _ => return None,
    };
    let micros = raw.get(9..13).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let hours = days * 24 + u32::from(hour);
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    Some(format!("{}{hours:02}:{minute:02}:{second:02}{fraction}", if sign == 0 { "" } else { "-" }))
}

async fn connect(input: &str, at: &str, options: &MySqlConnectOptions) -> Result<MySqlConnection> {
    match tokio::time::timeout(CONNECTING, options.connect()).await {
        Ok(connected) => connected.map_err(|error| refused(input, at, &error)),
        Err(_) => Err(Error::environment("MW0520", format!("input `{input}`: the database at {at} does not answer"))
            .hint("check that it is running and that host and port of the connection are right")),
    }
}

pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The server's answer to connecting or preparing. No data has been read, so its own words quote only names and SQL.
fn refused(input: &str, at: &str, error: &sqlx::Error) -> Error {
    let Some(db) = error.as_database_error() else {
        return match error {
            sqlx::Error::Tls(why) => {
                Error::environment("MW0525", format!("input `{input}`: TLS with the database at {at} failed: {why}"))
                    .hint("check `tls` and `ca` of the connection: `verify-full` wants a certificate of a known authority for this host")
            }
            _ => Error::environment("MW0520", format!("input `{input}`: the database at {at} cannot be reached: {error}"))
                .hint("check that it is running and that host and port of the connection are right"),
        };
    };
    let number = db.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(sqlx::mysql::MySqlDatabaseError::number);
    match number {
        // ER_ACCESS_DENIED_ERROR, ER_DBACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR
        Some(1044 | 1045 | 1698) => {
            Error::environment("MW0521", format!("input `{input}`: the database at {at} refused the login"))
                .hint("check the connection's user, and the secret that its password names")
        }
        // ER_NO_SUCH_TABLE, ER_BAD_DB_ERROR
        Some(1146 | 1049) => Error::check("MW0522", format!("input `{input}`: {}", db.message()))
            .hint("check `table` of the source: `table` or `database.table`"),
        _ => Error::environment("MW0522", format!("input `{input}`: the database at {at} refused: {}", db.message()))
            .hint("check the source's table or query with the mysql client, as the connection's user"),
    }
}

/// While rows came: the server's words may quote a value.
fn broken(input: &str, error: &sqlx::Error) -> Error {
    let why = error
        .as_database_error()
        .and_then(|db| db.code())
        .map(|code| format!(" (SQLSTATE {code})"))
        .unwrap_or_default();
    Error::environment("MW0524", format!("input `{input}`: the database broke off while rows were read{why}"))
        .hint("run again; if it comes back, the database's own log says why")
}

#[cfg(test)]
mod tests;
