//! The extended protocol: parse, bind, describe, execute, fetch.
//!
//! A prepared statement is bound to the decision that it was planned under. Execute decides again: the same decision goes on,
//! another one refuses (D17).

use std::fmt::Debug;
use std::sync::Arc;

use arrow_pg::datatypes::arrow_schema_to_pg_fields;
use async_trait::async_trait;
use futures::{Sink, SinkExt};
use meshwork_control::query::{Answer, Prepared};
use pgwire::api::portal::{Format, Portal, PortalExecutionState};
use pgwire::api::query::{ExtendedQueryHandler, send_describe_response, send_query_response};
use pgwire::api::results::{DescribePortalResponse, FieldInfo, QueryResponse, Response};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::{Bind, BindComplete, Describe, Execute, TARGET_TYPE_BYTE_PORTAL};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, blocked, text_fields};
use super::error::{plain, to_pg};
use super::rows::rows;
use super::statement::{self, Command};
use super::value::{declared_type, decode, parameter_type};

/// A statement after Parse.
#[derive(Clone)]
pub enum Statement {
    Session(Command),
    Query(Arc<Prepared>),
    /// A cursor's query, with the command that opens the cursor.
    Declare(Command, Arc<Prepared>),
}

impl Statement {
    fn prepared(&self) -> Option<&Arc<Prepared>> {
        match self {
            Self::Session(_) => None,
            Self::Query(prepared) | Self::Declare(_, prepared) => Some(prepared),
        }
    }
}

#[async_trait]
impl QueryParser for Connection {
    type Statement = Statement;

    async fn parse_sql<C>(&self, client: &C, sql: &str, types: &[Option<Type>]) -> PgWireResult<Option<Statement>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        self.session()?;
        let command = match statement::split(sql).as_slice() {
            [] => return Ok(None),
            [one] => statement::command(one),
            _ => return Err(plain("42601", "cannot insert multiple commands into a prepared statement")),
        };
        blocked(&command, client.transaction_status())?;
        let (Command::Query(sql) | Command::Declare { sql, .. }) = &command else {
            return Ok(Some(Statement::Session(command)));
        };
        let types = types.iter().map(|ty| ty.as_ref().and_then(declared_type)).collect();
        let cancelled = self.running.start();
        tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(PgWireError::QueryCanceled),
            prepared = self.prepare(sql, types) => {
                let prepared = Arc::new(prepared?);
                Ok(Some(match command {
                    Command::Query(_) => Statement::Query(prepared),
                    declare => Statement::Declare(declare, prepared),
                }))
            }
        }
    }

    fn get_parameter_types(&self, statement: &Statement) -> PgWireResult<Vec<Type>> {
        let parameters = statement.prepared().map(|prepared| prepared.parameters()).unwrap_or_default();
        Ok(parameters.iter().map(|inferred| parameter_type(None, inferred.as_ref())).collect())
    }

    fn get_result_schema(&self, statement: &Statement, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        match statement {
            Statement::Session(Command::Show(name)) if name == "all" => Ok(text_fields(&["name", "setting"])),
            Statement::Session(Command::Show(name)) => Ok(text_fields(&[name])),
            Statement::Session(Command::Fetch { cursor, .. }) => {
                let cursor = self.cursors.find(cursor)?;
                arrow_schema_to_pg_fields(&cursor.schema, format.unwrap_or(&Format::UnifiedText), None)
            }
            Statement::Session(_) | Statement::Declare(..) => Ok(Vec::new()),
            Statement::Query(prepared) => {
                arrow_schema_to_pg_fields(&prepared.schema(), format.unwrap_or(&Format::UnifiedText), None)
            }
        }
    }
}

/// The handler; a type of its own because its parser must be shared.
pub struct Extended(pub Arc<Connection>);

#[async_trait]
impl ExtendedQueryHandler for Extended {
    type Statement = Statement;
    type QueryParser = Connection;

    fn query_parser(&self) -> Arc<Connection> {
        Arc::clone(&self.0)
    }

    /// As the protocol's default, but format codes and parameters are counted first: indexing by them must not fail later.
    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.0.session()?;
        let statement_name = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        match client.portal_store().get_statement(statement_name) {
            None => return Err(PgWireError::StatementNotFound(statement_name.to_owned())),
            Some(Entry::Empty) if message.parameters.is_empty() => {
                client.portal_store().put_empty_portal(message.portal_name.as_deref().unwrap_or(DEFAULT_NAME));
            }
            Some(Entry::Empty) => return Err(count_mismatch(message.parameters.len(), 0)),
            Some(Entry::Value(statement)) => {
                let parameters = statement.statement.prepared().map_or(0, |prepared| prepared.parameters().len());
                let columns = self.0.get_result_schema(&statement.statement, None)?.len();
                if message.parameters.len() != parameters {
                    return Err(count_mismatch(message.parameters.len(), parameters));
                }
                let formats = |codes: &[i16], of: usize| codes.len() <= 1 || codes.len() == of;
                if !formats(&message.parameter_format_codes, parameters)
                    || !formats(&message.result_column_format_codes, columns)
                {
                    return Err(plain("08P01", "bind message has a wrong number of format codes"));
                }
                client.portal_store().put_portal(Arc::new(Portal::try_new(&message, statement)?));
            }
        }
        client.send(PgWireBackendMessage::BindComplete(BindComplete::new())).await?;
        Ok(())
    }

    /// Without a row limit the answer is streamed; the protocol's default would collect it first.
    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.0.session()?;
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let Some(Entry::Value(portal)) = client.portal_store().get_portal(name) else {
            return self._on_execute(client, message).await;
        };
        let Statement::Query(prepared) = &portal.statement.statement else {
            if let Statement::Session(command) = &portal.statement.statement {
                self.0.before(client, command);
            }
            return self._on_execute(client, message).await;
        };
        let state = portal.state();
        let mut state = state.lock().await;
        match &*state {
            PortalExecutionState::Initial if message.max_rows <= 0 => {
                blocked(&Command::Query(String::new()), client.transaction_status())?;
                let answer = self.0.start(prepared, &portal).await?;
                *state = PortalExecutionState::Finished;
                drop(state);
                send_query_response(client, answer, false).await
            }
            PortalExecutionState::Suspended(_) => {
                // A fetch: the rows at hand were released under a decision that may have changed since.
                drop(state);
                self.0.services.query.recheck(prepared).await.map_err(|error| to_pg(&error))?;
                self._on_execute(client, message).await
            }
            _ => {
                drop(state);
                self._on_execute(client, message).await
            }
        }
    }

    /// A cursor may be described by its name, as if it were a portal.
    async fn on_describe<C>(&self, client: &mut C, message: Describe) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.0.session()?;
        if message.target_type == TARGET_TYPE_BYTE_PORTAL
            && let Some(name) = message.name.as_deref()
            && client.portal_store().get_portal(name).is_none()
            && let Ok(cursor) = self.0.cursors.find(name)
        {
            let fields = arrow_schema_to_pg_fields(&cursor.schema, &Format::UnifiedText, None)?;
            return send_describe_response(client, &DescribePortalResponse::new(fields)).await;
        }
        self._on_describe(client, message).await
    }

    async fn do_query<C>(&self, client: &mut C, portal: &Portal<Statement>, _max_rows: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let status = client.transaction_status();
        match &portal.statement.statement {
            Statement::Session(command) => {
                blocked(command, status)?;
                match command {
                    Command::Fetch { cursor, count } => {
                        self.0.fetch(cursor, *count, &portal.result_column_format).await
                    }
                    _ => self.0.answer(command, status),
                }
            }
            Statement::Query(prepared) => {
                blocked(&Command::Query(String::new()), status)?;
                Ok(Response::Query(self.0.start(prepared, portal).await?))
            }
            Statement::Declare(command, prepared) => {
                blocked(command, status)?;
                Connection::may_declare(command, status)?;
                let (answer, _) = self.0.execute(prepared, portal).await?;
                self.0.declare(command, Arc::clone(prepared), answer)
            }
        }
    }
}

impl Connection {
    async fn start(&self, prepared: &Prepared, portal: &Portal<Statement>) -> PgWireResult<QueryResponse> {
        let (answer, cancelled) = self.execute(prepared, portal).await?;
        let fields = Arc::new(arrow_schema_to_pg_fields(&answer.schema, &portal.result_column_format, None)?);
        Ok(QueryResponse::new(Arc::clone(&fields), rows(answer.stream, fields, cancelled)))
    }

    /// Binds the portal's values and starts the statement.
    async fn execute(
        &self,
        prepared: &Prepared,
        portal: &Portal<Statement>,
    ) -> PgWireResult<(Answer, CancellationToken)> {
        let parameters = prepared.parameters();
        let values = parameters.iter().enumerate().map(|(at, inferred)| {
            let declared = portal.statement.parameter_types.get(at).and_then(Option::as_ref);
            let ty = parameter_type(declared, inferred.as_ref());
            let value = portal.parameters.get(at).and_then(Option::as_ref);
            decode(value, &ty, portal.parameter_format.is_binary(at), inferred.as_ref(), at)
        });
        let values = values.collect::<PgWireResult<Vec<_>>>()?;
        let cancelled = self.running.start();
        let answer = tokio::select! {
            biased;
            () = cancelled.cancelled() => return Err(PgWireError::QueryCanceled),
            answer = self.services.query.execute(prepared, values) => answer.map_err(|error| to_pg(&error))?,
        };
        Ok((answer, cancelled))
    }
}

fn count_mismatch(given: usize, wanted: usize) -> PgWireError {
    plain("08P01", format!("bind message supplies {given} parameters, but the prepared statement requires {wanted}"))
}
