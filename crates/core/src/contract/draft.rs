//! What both forms of a contract are read into, before anything is concluded from it. What the two forms mean alike is
//! alike from here on.

use crate::contract::{Dialect, SlaProperty};
use crate::error::Severity;
use crate::quality::{Rule, Scope};
use crate::reader::Spanned;
use crate::types::LogicalType;
use crate::yaml::{Node, Span};

#[derive(Debug)]
pub struct Draft<'n> {
    pub dialect: Dialect,
    pub id: Option<String>,
    pub name: String,
    pub version: Option<Spanned<String>>,
    pub owner: Option<String>,
    pub description: Option<String>,
    pub tables: Vec<TableDraft<'n>>,
    pub sla: Vec<SlaDraft>,
}

#[derive(Debug)]
pub struct TableDraft<'n> {
    pub at: Span,
    /// What references by id name it.
    pub id: Option<String>,
    pub name: String,
    pub physical_name: Option<String>,
    pub description: Option<String>,
    pub fields: Vec<FieldDraft<'n>>,
    pub quality: Vec<Declared>,
    pub references: Vec<ReferenceDraft>,
}

#[derive(Debug, Default)]
pub struct FieldDraft<'n> {
    pub at: Span,
    pub id: Option<String>,
    pub name: Spanned<String>,
    pub logical_type: Option<Spanned<LogicalType>>,
    pub physical_type: Option<Spanned<String>>,
    pub physical_name: Option<String>,
    pub renamed_from: Option<Spanned<String>>,
    pub description: Option<String>,
    pub tags: Vec<String>,
    pub required: bool,
    pub unique: bool,
    pub primary_key: bool,
    pub key_position: Option<Spanned<i64>>,
    pub classifications: Vec<Spanned<String>>,
    pub examples: Vec<&'n Node>,
    pub values: Option<Vec<&'n Node>>,
    pub options: Options<'n>,
    pub references: Vec<ReferenceDraft>,
    pub quality: Vec<Declared>,
    pub items: Option<Box<FieldDraft<'n>>>,
    pub properties: Vec<FieldDraft<'n>>,
    /// ODCS 3.0 had one type for dates, times and timestamps; the pattern or the source's type tells which it is.
    pub is_any_date: bool,
    /// A type was written and refused, which was reported.
    pub type_refused: bool,
    /// Length of a vector.
    pub dimensions: Option<u64>,
}

/// Options of the logical type. Each stands where it was written, for messages.
#[derive(Debug, Default)]
pub struct Options<'n> {
    pub format: Option<Spanned<String>>,
    pub pattern: Option<Spanned<String>>,
    pub min: Option<Bound<'n>>,
    pub max: Option<Bound<'n>>,
    pub multiple_of: Option<&'n Node>,
    pub min_length: Option<Spanned<u64>>,
    pub max_length: Option<Spanned<u64>>,
    pub min_items: Option<Spanned<u64>>,
    pub max_items: Option<Spanned<u64>>,
    pub unique_items: Option<Span>,
    /// Which properties an object has; not evaluated.
    pub properties: Option<Span>,
    pub precision: Option<Spanned<u64>>,
    pub scale: Option<Spanned<u64>>,
    pub timezone: Option<Spanned<bool>>,
    pub default_timezone: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Debug)]
pub struct Bound<'n> {
    pub node: &'n Node,
    pub exclusive: bool,
}

#[derive(Debug)]
pub struct ReferenceDraft {
    pub at: Span,
    /// Empty: the field that holds it.
    pub columns: Vec<String>,
    /// As written: `table.column`, `domain.output.column`, `schema/table/properties/column`.
    pub to: Vec<String>,
}

/// A clause that somebody wrote, as opposed to one that a type or an option implies.
#[derive(Debug)]
pub struct Declared {
    pub at: Span,
    /// Given by its author; else it is made of its place in the list.
    pub id: Option<String>,
    /// 0-based place in its list.
    pub index: usize,
    /// The word that it was declared with: `no_nulls`, `null_values`.
    pub word: &'static str,
    pub severity: Severity,
    pub scope: Scope,
    pub description: Option<String>,
    pub dimension: Option<String>,
    pub rule: Rule,
}

#[derive(Debug)]
pub struct SlaDraft {
    pub at: Span,
    pub property: SlaProperty,
    pub element: Option<Spanned<String>>,
    pub value: Spanned<String>,
    pub unit: Option<Spanned<String>>,
}
