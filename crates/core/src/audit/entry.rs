//! What is recorded.

use serde::{Deserialize, Serialize};

use crate::effect::Timestamp;
use crate::id::{OutputId, RunId};
use crate::name::Name;
use crate::principal::Principal;

/// One thing that somebody did, before it is sealed into a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    /// Who was at the keyboard. Name, address and statement are personal: sealed with this principal's key.
    pub actor: Principal,
    /// On whose behalf; differs from the actor under `--as`. Its name is sealed with its own key.
    pub subject: Principal,
    /// Where the request came from, such as `127.0.0.1:50432`; personal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What the actor wrote (SQL); personal, as literals in it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    pub event: Event,
}

impl Entry {
    pub fn new(at: Timestamp, actor: Principal, event: Event) -> Self {
        Self { at, subject: actor.clone(), actor, address: None, statement: None, event }
    }

    #[must_use]
    pub fn on_behalf_of(mut self, subject: Principal) -> Self {
        self.subject = subject;
        self
    }

    #[must_use]
    pub fn from_address(mut self, address: Option<String>) -> Self {
        self.address = address;
        self
    }

    #[must_use]
    pub fn with_statement(mut self, statement: impl Into<String>) -> Self {
        self.statement = Some(statement.into());
        self
    }
}

/// Stored in clear: nothing in here names a person or shows a value of the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Recorded before a query runs; if it cannot be recorded, the query is refused (promise 4).
    QueryIntent {
        query: String,
        /// `http`, `postgres`, `cli`, `data`, `run`.
        port: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        purpose: Option<String>,
        /// From the plan's providers, not from names in the SQL.
        tables: Vec<TableRead>,
        /// Why it was allowed: policies and agreements by id.
        reasons: Vec<String>,
        /// Over all decisions (D17).
        digest: String,
    },
    QueryOutcome {
        query: String,
        rows: u64,
        /// Stable error code, or absent on success.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A refusal is as telling as an answer.
    QueryRefused {
        query: String,
        port: String,
        error: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reasons: Vec<String>,
    },
    /// A grant or a revocation; also changes of users and tokens.
    Access {
        /// `grant`, `revoke`, `user.put`, `user.remove`, `token.create`, `token.remove`.
        action: String,
        /// Id of the agreement, user or token.
        object: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        table: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        purpose: Option<String>,
    },
    Apply {
        revision: u64,
        changes: u64,
    },
    Run {
        run: RunId,
        /// `domain.product`.
        product: String,
        /// `started`, or the state in which it ended.
        state: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    SignInFailed {
        /// `http`, `postgres`; absent where the port does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<String>,
        error: String,
    },
}

/// The kinds of event, for filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    QueryIntent,
    QueryOutcome,
    QueryRefused,
    Access,
    Apply,
    Run,
    SignInFailed,
}

impl Event {
    pub fn kind(&self) -> Kind {
        match self {
            Self::QueryIntent { .. } => Kind::QueryIntent,
            Self::QueryOutcome { .. } => Kind::QueryOutcome,
            Self::QueryRefused { .. } => Kind::QueryRefused,
            Self::Access { .. } => Kind::Access,
            Self::Apply { .. } => Kind::Apply,
            Self::Run { .. } => Kind::Run,
            Self::SignInFailed { .. } => Kind::SignInFailed,
        }
    }

    /// The tables it is about, as `domain.output`.
    pub fn tables(&self) -> Vec<String> {
        match self {
            Self::QueryIntent { tables, .. } => tables.iter().map(|t| format!("{}.{}", t.domain, t.output)).collect(),
            Self::Access { table, .. } => table.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }
}

/// One table that a query reads, and how governed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRead {
    pub domain: Name,
    pub output: Name,
    pub output_id: OutputId,
    pub major: u32,
    pub delta_version: u64,
    pub columns: Vec<String>,
    pub masked: Vec<String>,
    pub filtered: bool,
    pub decision_digest: String,
}
