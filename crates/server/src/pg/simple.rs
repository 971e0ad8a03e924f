//! The simple protocol: one string, possibly several statements, text results.

use std::fmt::Debug;
use std::sync::Arc;

use arrow_pg::datatypes::arrow_schema_to_pg_fields;
use async_trait::async_trait;
use futures::Sink;
use pgwire::api::portal::Format;
use pgwire::api::query::SimpleQueryHandler;
use pgwire::api::results::{QueryResponse, Response};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::TransactionStatus;
use pgwire::messages::simplequery::Query;

use super::connection::{Connection, blocked};
use super::error::to_pg;
use super::rows::rows;
use super::statement::{self, Command};

#[async_trait]
impl SimpleQueryHandler for Connection {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if let Some(first) = statement::split(&query.query).first() {
            self.before(client, &statement::command(first));
        }
        self._on_query(client, query).await
    }

    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.session()?;
        let mut status = client.transaction_status();
        let mut answers = Vec::new();
        for text in statement::split(query) {
            match self.one(&statement::command(text), status).await {
                Ok(answer) => {
                    match &answer {
                        Response::TransactionStart(_) => status = TransactionStatus::Transaction,
                        Response::TransactionEnd(_) => status = TransactionStatus::Idle,
                        _ => {}
                    }
                    answers.push(answer);
                }
                // What came before is answered; what comes after is not looked at.
                Err(error) => {
                    answers.push(Response::Error(Box::new(error.into())));
                    break;
                }
            }
        }
        if answers.is_empty() {
            answers.push(Response::EmptyQuery);
        }
        Ok(answers)
    }
}

impl Connection {
    async fn one(&self, command: &Command, status: TransactionStatus) -> PgWireResult<Response> {
        blocked(command, status)?;
        Self::may_declare(command, status)?;
        let sql = match command {
            Command::Query(sql) | Command::Declare { sql, .. } => sql,
            Command::Fetch { cursor, count } => return self.fetch(cursor, *count, &Format::UnifiedText).await,
            _ => return self.answer(command, status),
        };
        let cancelled = self.running.start();
        let answer = async {
            let prepared = Arc::new(self.prepare(sql, Vec::new()).await?);
            let answer = self.services.query.execute(&prepared, Vec::new()).await.map_err(|error| to_pg(&error))?;
            PgWireResult::Ok((prepared, answer))
        };
        let (prepared, answer) = tokio::select! {
            biased;
            () = cancelled.cancelled() => return Err(PgWireError::QueryCanceled),
            answer = answer => answer?,
        };
        if matches!(command, Command::Declare { .. }) {
            return self.declare(command, prepared, answer);
        }
        let fields = Arc::new(arrow_schema_to_pg_fields(&answer.schema, &Format::UnifiedText, None)?);
        Ok(Response::Query(QueryResponse::new(Arc::clone(&fields), rows(answer.stream, fields, cancelled))))
    }
}
