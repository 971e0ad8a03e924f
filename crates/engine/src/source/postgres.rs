//! PostgreSQL: a table or query, streamed in the binary format and decoded by us, so that no value passes through text
//! and an unknown type is an error, not a guess.

mod decode;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::StreamExt;
use meshwork_control::port::data::DatabaseSpec;
use meshwork_core::name::quoted;
use meshwork_core::{Error, Result};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};

use super::range::{Condition, plain_moment};
use super::stream::Assembly;
use super::{Access, BATCH_ROWS, Range, Reading, Source, Typing};
use crate::remote::tls::Trust;
use decode::{Column, Misfit, PgType, Raw};
use tls::Rustls;

#[derive(Debug)]
struct PostgresSource {
    shared: Arc<Shared>,
    /// Columns whose type we cannot read, with its name: left out, and named when the SQL wants one.
    unreadable: Vec<(String, String)>,
}

/// How to get there.
#[derive(Clone)]
struct Reach {
    config: Config,
    tls: Rustls,
}

#[derive(Clone)]
struct Shared {
    input: String,
    config: Reach,
    /// What to select from, quoted.
    from: String,
    condition: Condition,
    names: Vec<String>,
    types: Vec<PgType>,
    /// Whether the contract has a column of this name, which then answers for values that do not fit.
    promised: Vec<bool>,
    schema: SchemaRef,
    reading: Reading,
}

impl fmt::Debug for Shared {
    // The configuration holds the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres({}, {})", self.input, self.from)
    }
}

/// The connection's settings, its secrets resolved, to an address that it may have.
async fn settings(input: &str, database: &DatabaseSpec, access: &Access) -> Result<Reach> {
    let to = &database.connection;
    let port = to.port.unwrap_or(5432);
    let address = access.allow(input, &to.host, port, &database.egress).await?;
    let mut config = Config::new();
    if let Some(address) = address {
        // The name is only for certificates: what it resolves to was decided on just now.
        config.hostaddr(address);
    }
    let (mode, trust) = match to.tls.as_deref() {
        Some("disable") => (SslMode::Disable, Trust::Anybody),
        Some("require") => (SslMode::Require, Trust::Anybody),
        Some("verify-full") => (SslMode::Require, Trust::Verified),
        _ => (SslMode::Prefer, Trust::Anybody),
    };
    config
        .host(&to.host)
        .port(port)
        .dbname(&to.database)
        .user(&to.user)
        .ssl_mode(mode)
        .connect_timeout(Duration::from_secs(10))
        .application_name("meshwork")
        // A source is read, never written: not even by a function that a view calls.
        .options("-c default_transaction_read_only=on");
    if let Some(password) = &to.password {
        config.password(access.secret(password)?);
    }
    let ca = to.ca.as_ref().map(|ca| access.secret(ca)).transpose()?;
    Ok(Reach { config, tls: Rustls(Arc::new(crate::remote::tls::config(trust, ca.as_deref())?)) })
}

/// A column of a query, as the source reads it.
#[derive(Debug)]
pub struct PostgresColumn {
    pub name: String,
    /// `None`: a type that is not read.
    pub arrow: Option<arrow::datatypes::DataType>,
    pub word: String,
    /// A `numeric` without precision.
    pub any_precision: bool,
    pub time_of_day: bool,
}

/// For `infer`: a connection that can only read.
pub async fn postgres_client(input: &str, database: &DatabaseSpec, access: &Access) -> Result<Client> {
    connect(input, &settings(input, database, access).await?).await
}

/// The columns that a query yields.
pub async fn postgres_columns(client: &Client, query: &str) -> Result<Vec<PostgresColumn>, tokio_postgres::Error> {
    let statement = client.prepare(query).await?;
    let column = |column: &tokio_postgres::Column| {
        let ty = PgType::of(column.type_(), column.type_modifier(), None);
        PostgresColumn {
            name: column.name().to_owned(),
            word: column.type_().name().to_owned(),
            any_precision: *column.type_() == tokio_postgres::types::Type::NUMERIC && column.type_modifier() < 0,
            time_of_day: ty == Some(PgType::Time),
            arrow: ty.map(|ty| ty.arrow()),
        }
    };
    Ok(statement.columns().iter().map(column).collect())
}

pub async fn open(
    input: &str,
    database: &DatabaseSpec,
    typing: &Typing,
    reading: Reading,
    access: &Access,
) -> Result<Arc<dyn Source>> {
    let config = settings(input, database, access).await?;
    let from = match (&database.table, &database.query) {
        (Some(table), None) => table.split('.').map(quoted).collect::<Vec<_>>().join("."),
        (None, Some(query)) => format!("({}\n) AS q", query.trim().trim_end_matches(';')),
        _ => return Err(super::either_table_or_query(input)),
    };
    let client = connect(input, &config).await?;
    let statement =
        client.prepare(&format!("SELECT * FROM {from}")).await.map_err(|error| refused(input, &config, &error))?;
    let (mut names, mut types, mut promised, mut unreadable) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for column in statement.columns() {
        let wanted = typing.get(column.name());
        match PgType::of(column.type_(), column.type_modifier(), wanted.map(|ty| &ty.native)) {
            Some(ty) => {
                names.push(column.name().to_owned());
                types.push(ty);
                promised.push(wanted.is_some());
            }
            None => unreadable.push((column.name().to_owned(), column.type_().name().to_owned())),
        }
    }
    if let Some((column, ty)) = unreadable.iter().find(|(column, _)| typing.get(column).is_some()) {
        return Err(Error::check(
            "MW0523",
            format!("input `{input}`: column `{column}` has the type `{ty}`, which cannot be read"),
        )
        .hint(format!("use `query:` and cast it there, for example `SELECT {column}::text …`")));
    }
    let schema = Arc::new(Schema::new(
        names.iter().zip(&types).map(|(name, ty)| ArrowField::new(name, ty.arrow(), true)).collect::<Vec<_>>(),
    ));
    let input = input.to_owned();
    let condition = Condition::default();
    let shared = Arc::new(Shared { input, config, from, condition, names, types, promised, schema, reading });
    Ok(Arc::new(PostgresSource { shared, unreadable }))
}

impl Source for PostgresSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shared.schema)
    }

    /// Rows of a table have no place that somebody could look up.
    fn has_origin(&self) -> bool {
        false
    }

    fn partitions(&self, columns: &[usize]) -> Vec<Arc<dyn PartitionStream>> {
        let assembly = Assembly::new(&self.shared.schema, columns, 0);
        let schema = Arc::clone(assembly.schema());
        vec![Arc::new(Rows { shared: Arc::clone(&self.shared), assembly: Arc::new(assembly), schema })]
    }

    fn within(&self, range: &Range) -> Option<Arc<dyn Source>> {
        let at = self.shared.names.iter().position(|name| *name == range.column)?;
        let (word, range) = match self.shared.types[at] {
            PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid => ("bigint", range.clone()),
            PgType::Numeric { .. } => ("numeric", range.clone()),
            PgType::Date => ("date", range.map(plain_moment)?),
            PgType::Timestamp => ("timestamp", range.map(plain_moment)?),
            PgType::TimestampTz => ("timestamptz", range.map(|text| plain_moment(text).map(|text| text + "+00"))?),
            _ => return None,
        };
        // Bound as texts, so that the server reads them as the type that is compared with.
        let condition = range.condition(&quoted(&range.column), |at| format!("${at}::text::{word}"));
        let shared = Arc::new(Shared { condition, ..(*self.shared).clone() });
        Some(Arc::new(Self { shared, unreadable: self.unreadable.clone() }))
    }

    fn hint(&self) -> Option<String> {
        let (column, ty) = self.unreadable.first()?;
        Some(format!(
            "column `{column}` of input `{}` has the type `{ty}`, which cannot be read: cast it in `query:`",
            self.shared.input
        ))
    }
}

#[derive(Debug)]
struct Rows {
    shared: Arc<Shared>,
    assembly: Arc<Assembly>,
    schema: SchemaRef,
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), 2);
        let sender = builder.tx();
        let (shared, assembly) = (Arc::clone(&self.shared), Arc::clone(&self.assembly));
        builder.spawn(async move {
            let done = read(&shared, &assembly, |batch| sender.send(Ok(batch))).await;
            done.map_err(|error| DataFusionError::External(Box::new(error)))
        });
        builder.build()
    }
}

async fn read<F, E>(
    shared: &Shared,
    assembly: &Assembly,
    mut send: impl FnMut(arrow::record_batch::RecordBatch) -> F,
) -> Result<()>
where
    F: Future<Output = Result<(), E>>,
{
    let client = connect(&shared.input, &shared.config).await?;
    // One snapshot for whatever views and functions look at.
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .await
        .map_err(|error| refused(&shared.input, &shared.config, &error))?;
    let wanted = assembly.data_columns();
    let list: Vec<String> = wanted.iter().map(|at| quoted(&shared.names[*at])).collect();
    // Counting needs rows without columns.
    let list = if list.is_empty() { "1".to_owned() } else { list.join(", ") };
    let sql = format!("SELECT {list} FROM {}{}", shared.from, shared.condition.sql);
    let rows = client
        .query_raw(sql.as_str(), &shared.condition.values)
        .await
        .map_err(|error| refused(&shared.input, &shared.config, &error))?;
    let mut rows = std::pin::pin!(rows);
    let mut columns: Vec<Column> = wanted.iter().map(|at| Column::new(&shared.types[*at])).collect();
    let (mut count, mut bytes, mut total) = (0usize, 0u64, 0u64);
    while let Some(row) = rows.next().await {
        let row = row.map_err(|error| broken(&shared.input, &error))?;
        total += 1;
        for (place, (column, at)) in columns.iter_mut().zip(&wanted).enumerate() {
            let Raw(value) = row.try_get(place).map_err(|error| broken(&shared.input, &error))?;
            bytes += value.map_or(0, |v| v.len() as u64);
            match column.append(value) {
                Ok(()) => {}
                Err(Misfit::Value) if shared.promised[*at] => {
                    shared.reading.unfit.record(
                        &shared.names[*at],
                        &format!("input {}", shared.input),
                        total,
                        None,
                        Vec::new,
                    );
                }
                Err(_) => return Err(misfit(shared, *at, total)),
            }
        }
        count += 1;
        if count == BATCH_ROWS {
            shared.reading.meter.add(count as u64, std::mem::take(&mut bytes));
            let batch = batch(&mut columns, std::mem::take(&mut count), assembly)?;
            if send(batch).await.is_err() {
                return Ok(());
            }
        }
    }
    shared.reading.meter.add(count as u64, bytes);
    if count > 0 {
        let batch = batch(&mut columns, count, assembly)?;
        // Nobody listening any more is no fault.
        let _ = send(batch).await;
    }
    Ok(())
}

fn batch(columns: &mut [Column], rows: usize, assembly: &Assembly) -> Result<arrow::record_batch::RecordBatch> {
    let arrays: Vec<ArrayRef> = columns.iter_mut().map(Column::finish).collect();
    assembly.batch(&arrays, vec![0; rows])
}

fn misfit(shared: &Shared, column: usize, row: u64) -> Error {
    let (name, ty) = (&shared.names[column], shared.types[column].arrow());
    Error::check(
        "MW0523",
        format!("input `{}`: row {row} has a value in `{name}` that does not fit {ty}", shared.input),
    )
    .hint(format!("use `query:` and cast it there, for example `SELECT {name}::numeric(38, 6) …` or `{name}::text`"))
}

async fn connect(input: &str, to: &Reach) -> Result<Client> {
    let connecting = to.config.connect(to.tls.clone());
    let (client, connection) = connecting.await.map_err(|error| refused(input, to, &error))?;
    tokio::spawn(async move {
        // Its error reaches the client's calls as well.
        let _ = connection.await;
    });
    Ok(client)
}

fn server(to: &Reach) -> String {
    let config = &to.config;
    let host = config.get_hosts().first().map_or_else(String::new, |host| match host {
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    });
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("{host}:{port}")
}

/// The server's answer to connecting or preparing. No data has been read, so its own words quote only names and SQL.
fn refused(input: &str, to: &Reach, error: &tokio_postgres::Error) -> Error {
    let at = server(to);
    let Some(db) = error.as_db_error() else {
        if error.to_string().contains("TLS") {
            let why = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
            return Error::environment("MW0525", format!("input `{input}`: TLS with the database at {at} failed{why}"))
                .hint("check `tls` and `ca` of the connection: `verify-full` wants a certificate of a known authority for this host");
        }
        if error.to_string().contains("password") {
            return Error::environment("MW0521", format!("input `{input}`: the database at {at} wants a password"))
                .hint("add `password: ${secret:name}` to the connection");
        }
        let why = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        return Error::environment("MW0520", format!("input `{input}`: the database at {at} cannot be reached{why}"))
            .hint("check that it is running and that host and port of the connection are right");
    };
    let message = db.message();
    match db.code() {
        code if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            let user = to.config.get_user().unwrap_or_default();
            Error::environment("MW0521", format!("input `{input}`: the database at {at} refused the login of `{user}`"))
                .hint("check the connection's user, and the secret that its password names")
        }
        code if *code == SqlState::UNDEFINED_TABLE => Error::check("MW0522", format!("input `{input}`: {message}"))
            .hint("check `table` of the source: `schema.table`, exact in its capitals"),
        _ => Error::environment("MW0522", format!("input `{input}`: the database at {at} refused: {message}"))
            .hint("check the source's table or query with psql, as the connection's user"),
    }
}

/// While rows came: the server's words may quote a value.
fn broken(input: &str, error: &tokio_postgres::Error) -> Error {
    let why = error.code().map(|code| format!(" (SQLSTATE {})", code.code())).unwrap_or_default();
    Error::environment("MW0524", format!("input `{input}`: the database broke off while rows were read{why}"))
        .hint("run again; if it comes back, the database's own log says why")
}

#[cfg(test)]
mod tests;
