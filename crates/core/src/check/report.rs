//! Where the rules note what they find.

use crate::error::{Diagnostic, Place, Severity};
use crate::suggestion;
use crate::yaml::Span;

#[derive(Debug, Default)]
pub(super) struct Report {
    found: Vec<Diagnostic>,
}

impl Report {
    pub fn error(&mut self, code: &str, path: &str, span: Span, message: impl Into<String>) -> Noted<'_> {
        self.note(Diagnostic::error(code, span.place(path), span.length, message))
    }

    pub fn warning(&mut self, code: &str, path: &str, span: Span, message: impl Into<String>) -> Noted<'_> {
        self.note(Diagnostic::warning(code, span.place(path), span.length, message))
    }

    pub fn error_at(&mut self, code: &str, place: Place, message: impl Into<String>) -> Noted<'_> {
        self.note(Diagnostic::error(code, place, 0, message))
    }

    pub fn note(&mut self, diagnostic: Diagnostic) -> Noted<'_> {
        let at = self.found.len();
        self.found.push(diagnostic);
        Noted(&mut self.found[at])
    }

    pub fn extend(&mut self, found: impl IntoIterator<Item = Diagnostic>) {
        self.found.extend(found);
    }

    pub fn has(&self, code: &str, place: &Place) -> bool {
        self.found.iter().any(|d| d.code == code && d.place == *place)
    }

    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|d| d.severity == Severity::Error)
    }

    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        super::sort(&mut self.found);
        self.found
    }
}

/// A finding that was just noted, to add hints to.
pub(super) struct Noted<'r>(&'r mut Diagnostic);

impl Noted<'_> {
    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// "Did you mean" out of `known`.
    pub fn meant<'k>(self, written: &str, known: impl IntoIterator<Item = &'k str>) -> Self {
        self.0.hints.extend(suggestion::hint(written, known));
        self
    }
}

/// The first character of a file, for findings about the file as a whole.
pub(super) const START: Span = Span { line: 1, column: 1, length: 0 };
