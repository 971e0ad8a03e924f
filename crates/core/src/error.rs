//! One error type for people: a stable code, what is wrong, where, and what to do next.

use std::fmt;

use serde::{Deserialize, Serialize};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an error. Maps to an exit code (`meshwork`) and an HTTP status (`server`), each in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A check, policy or test did not hold: change the declaration or the data. Exit 1, HTTP 422.
    Check,
    /// The request makes no sense as written. Exit 2, HTTP 400.
    Usage,
    /// The environment failed: disk, network, a source, a port. Exit 3, HTTP 503.
    Environment,
    /// Nobody known is asking. Exit 4, HTTP 401.
    Unauthenticated,
    /// Known, but not allowed. Exit 4, HTTP 403.
    Forbidden,
    /// It does not exist, or its existence is not the caller's to know. Exit 5, HTTP 404.
    NotFound,
    /// Somebody else changed it first, or holds it. Exit 5, HTTP 409.
    Conflict,
    /// A limit of time, memory, rows or size was met. Exit 3, HTTP 413/429/503.
    Limit,
    /// Some of it succeeded. Exit 6.
    Partial,
    /// The user stopped it. Exit 130.
    Interrupted,
    /// A bug of ours. Exit 3, HTTP 500.
    Internal,
}

/// Where in a file: 1-based line and column (in characters); `path` is relative to the mesh folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub path: String,
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}", self.path),
            (line, 0) => write!(f, "{}:{line}", self.path),
            (line, column) => write!(f, "{}:{line}:{column}", self.path),
        }
    }
}

/// An error with a stable code. `Display` prints `MW0123: message`; hints and place are printed by whoever shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Error {
    pub code: String,
    pub kind: Kind,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What to do next, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// When one operation found many things wrong (`check`, `apply`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
}

impl Error {
    pub fn new(kind: Kind, code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            kind,
            message: message.into(),
            place: None,
            hints: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    pub fn check(code: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::Check, code, message)
    }
    pub fn usage(code: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, code, message)
    }
    pub fn environment(code: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::Environment, code, message)
    }
    pub fn unauthenticated(code: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::Unauthenticated, code, message)
    }
    pub fn forbidden(code: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, code, message)
    }
    pub fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, code, message)
    }
    pub fn conflict(code: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, code, message)
    }
    pub fn limit(code: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::Limit, code, message)
    }
    pub fn internal(code: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, code, message)
    }

    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
    #[must_use]
    pub fn with_diagnostics(mut self, diagnostics: Vec<Diagnostic>) -> Self {
        self.diagnostics = diagnostics;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
    Info,
}

/// One finding of `check`. The snippet is cut out of the source when it is shown, not stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub code: String,
    pub severity: Severity,
    pub message: String,
    pub place: Place,
    /// Length of the marked text in characters; 0 marks a point.
    #[serde(default)]
    pub length: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl Diagnostic {
    pub fn new(severity: Severity, code: &str, place: Place, length: u32, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), severity, message: message.into(), place, length, hints: Vec::new() }
    }

    pub fn error(code: &str, place: Place, length: u32, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, place, length, message)
    }

    pub fn warning(code: &str, place: Place, length: u32, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, place, length, message)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}
