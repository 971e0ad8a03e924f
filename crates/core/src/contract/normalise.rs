//! From a draft to the contract that everything else works on: types, implied clauses, keys, references, SLAs. Notes
//! what does not fit together on the way.

use std::collections::{HashMap, HashSet};

use crate::contract::clause::{self, Columns};
use crate::contract::draft::{Declared, Draft, FieldDraft, SlaDraft, TableDraft};
use crate::contract::native::{self, Typed};
use crate::contract::value::Expected;
use crate::contract::{Contract, Field, Sla, SlaProperty, Table, digest, duration, key, reference, short};
use crate::error::{Diagnostic, Severity};
use crate::id::ContractId;
use crate::name::Name;
use crate::quality::{Clause, Rule, Scope};
use crate::reader::{Findings, Spanned, proposed_name, shown};
use crate::types::{Literal, LogicalType};
use crate::yaml::{Node, NodeKind, Span};

pub fn normalise(findings: &Findings<'_>, text: &str, draft: Draft<'_>, at: Span) -> Contract {
    let version = version(findings, draft.version.as_ref());
    let mut seen = HashSet::new();
    for table in &draft.tables {
        if !table.name.is_empty() && !seen.insert(table.name.as_str()) {
            findings.error("MW0203", table.at, format!("two tables are called `{}`", shown(&table.name)));
        }
        if table.fields.is_empty() {
            let message = format!("the table `{}` has no columns", shown(&table.name));
            findings.error_hinting("MW0202", table.at, message, "Declare at least one.");
        }
    }
    if draft.tables.is_empty() {
        findings.error_hinting("MW0202", at, "the contract describes no table", "Declare one under `schema`.");
    }
    let tables: Vec<Table> = draft.tables.iter().map(|t| table(findings, t, &draft.tables)).collect();
    let sla = draft.sla.iter().filter_map(|sla| promise(findings, sla, &tables)).collect();
    let mut contract = Contract {
        id: draft.id.map(ContractId::new),
        name: draft.name,
        version,
        dialect: draft.dialect,
        owner: draft.owner,
        description: draft.description,
        tables,
        sla,
        digest: String::new(),
        path: findings.path().to_owned(),
        text: text.to_owned(),
    };
    contract.digest = digest::digest(&contract);
    contract
}

fn version(findings: &Findings<'_>, written: Option<&Spanned<String>>) -> semver::Version {
    let none = semver::Version::new(0, 0, 0);
    let Some(written) = written else { return none };
    match semver::Version::parse(&written.value) {
        Ok(version) => version,
        Err(error) => {
            let message = format!("`{}` is not a semantic version: {error}", shown(&written.value));
            findings.error_hinting("MW0116", written.span, message, "Write major, minor and patch, such as `1.0.0`.");
            none
        }
    }
}

fn table(findings: &Findings<'_>, draft: &TableDraft<'_>, tables: &[TableDraft<'_>]) -> Table {
    let typed: Vec<Typed> = draft.fields.iter().map(|field| native::typed(findings, field)).collect();
    names(findings, &draft.fields);
    let positions = key::positions(findings, &draft.fields);
    let mut fields = Vec::new();
    let mut clauses = Clauses { findings, list: Vec::new() };
    for ((field, typed), position) in draft.fields.iter().zip(&typed).zip(&positions) {
        implied(&mut clauses, field, typed, position.is_some());
        fields.push(finished(findings, field, typed, *position));
    }
    key_clause(&mut clauses, draft, &fields);
    references(&mut clauses, draft, tables);
    for field in &draft.fields {
        for declared in &field.quality {
            clauses.state(declared, Some(&field.name.value));
        }
    }
    for declared in &draft.quality {
        clauses.state(declared, None);
    }
    let columns = Columns::new(&fields);
    clauses.list.iter_mut().for_each(|(clause, at)| clause::check(findings, &columns, clause, *at));
    let clauses = clauses.finished();
    let mut by_column: HashMap<&str, Vec<&Rule>> = HashMap::new();
    for clause in clauses.iter().filter(|clause| clause.severity == Severity::Error) {
        if let [column] = clause.rule.columns().as_slice() {
            by_column.entry(column).or_default().push(&clause.rule);
        }
    }
    for (field, draft) in fields.iter_mut().zip(&draft.fields) {
        let rules = by_column.get(field.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        examples(findings, draft, field, rules);
    }
    Table {
        name: draft.name.clone(),
        physical_name: draft.physical_name.clone(),
        description: draft.description.clone(),
        fields,
        clauses,
    }
}

/// Delta refuses these in column names (D1).
const NOT_IN_NAMES: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];

fn names(findings: &Findings<'_>, fields: &[FieldDraft<'_>]) {
    let mut seen: HashSet<String> = HashSet::new();
    for field in fields {
        let name = &field.name;
        if name.value.is_empty() {
            let at = if name.span == Span::default() { field.at } else { name.span };
            findings.error_hinting("MW0112", at, "the field has no `name`", "Add `name: …`.");
            continue;
        }
        let illegal = name.value.chars().find(|c| NOT_IN_NAMES.contains(c) || c.is_control());
        if let Some(illegal) = illegal {
            let message = format!(
                "the column name `{}` holds `{}`, which a table cannot store",
                shown(&name.value),
                illegal.escape_debug()
            );
            let hint = proposed_name(&name.value).map_or_else(
                || "Give it another name, and keep this one as its physical name.".to_owned(),
                |name| format!("Call it `{name}`, and keep this one as its physical name."),
            );
            findings.error_hinting("MW0205", name.span, message, hint);
        } else if name.value.len() > 255 {
            findings.error("MW0205", name.span, "the column name is longer than 255 bytes");
        }
        // Tables do not tell columns apart by case alone.
        if !seen.insert(name.value.to_lowercase()) {
            let message =
                format!("two columns are called `{}` (upper and lower case count as one)", shown(&name.value));
            findings.error("MW0204", name.span, message);
        }
        if !field.properties.is_empty() {
            names(findings, &field.properties);
        }
        if let Some(item) = &field.items {
            names(findings, &item.properties);
        }
        if let Some(from) = field.renamed_from.as_ref().filter(|from| from.value == name.value) {
            findings.error("MW0204", from.span, "the column is renamed from its own name");
        }
    }
    let standing: HashSet<&str> = fields.iter().map(|field| field.name.value.as_str()).collect();
    for field in fields {
        if let Some(from) = &field.renamed_from
            && from.value != field.name.value
            && standing.contains(from.value.as_str())
        {
            let message =
                format!("`{}` is renamed from `{}`, which still stands", shown(&field.name.value), shown(&from.value));
            findings.error("MW0204", from.span, message);
        }
    }
}

/// The clauses of one table as they come, each with the place that messages mark.
struct Clauses<'f> {
    findings: &'f Findings<'f>,
    list: Vec<(Clause, Span)>,
}

impl Clauses<'_> {
    /// A clause that a type, an option, a key or a reference implies.
    fn imply(&mut self, at: Span, id: String, rule: Rule) {
        if let Rule::NotEvaluated { because } = &rule {
            self.not_evaluated(at, because);
        }
        let clause = Clause {
            id,
            severity: Severity::Error,
            scope: Scope::Table,
            rule,
            description: None,
            dimension: None,
            place: Some(self.findings.place(at)),
        };
        self.list.push((clause, at));
    }

    /// A clause that somebody wrote. Its id is the one that was given, or made of its place and what it says.
    fn state(&mut self, declared: &Declared, field: Option<&str>) {
        let about = declared.rule.columns().join(",");
        let suffix =
            if about.is_empty() || field == Some(about.as_str()) { String::new() } else { format!("({about})") };
        let prefix = field.map_or_else(String::new, |field| format!("{field}."));
        let id = match &declared.id {
            Some(id) => format!("{prefix}quality.{id}"),
            None => format!("{prefix}quality[{}].{}{suffix}", declared.index, declared.word),
        };
        if let Rule::NotEvaluated { because } = &declared.rule {
            self.not_evaluated(declared.at, because);
        }
        let clause = Clause {
            id,
            severity: declared.severity,
            scope: declared.scope,
            rule: declared.rule.clone(),
            description: declared.description.clone(),
            dimension: declared.dimension.clone(),
            place: Some(self.findings.place(declared.at)),
        };
        self.list.push((clause, declared.at));
    }

    /// Decided here and listed, so that it is no surprise in a run (D5).
    fn not_evaluated(&self, at: Span, because: &str) {
        let message = format!("this clause is not evaluated: {because}");
        self.findings.push(Diagnostic::new(Severity::Info, "MW0238", self.findings.place(at), at.length, message));
    }

    /// With ids made unique: the second `x` is `x#2`.
    fn finished(self) -> Vec<Clause> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let number = |(mut clause, _): (Clause, Span)| {
            let count = seen.entry(clause.id.clone()).or_default();
            *count += 1;
            if *count > 1 {
                clause.id = format!("{}#{count}", clause.id);
            }
            clause
        };
        self.list.into_iter().map(number).collect()
    }
}

/// ISO 8601 time of day: columns of this type are text.
const TIME_PATTERN: &str = r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?$";

/// What a field's type, options and flags promise, in an order that never changes.
fn implied(clauses: &mut Clauses<'_>, field: &FieldDraft<'_>, typed: &Typed, key: bool) {
    let column = || field.name.value.clone();
    let id = |what: &str| format!("{}.{what}", field.name.value);
    let options = &field.options;
    let name_at = field.name.span;
    clauses.imply(name_at, id("type"), Rule::Type { column: column() });
    if field.required || key {
        clauses.imply(name_at, id("required"), Rule::Required { column: column() });
    }
    if let Some(values) = &field.values {
        let at = values.first().map_or(name_at, |node| node.span);
        let values = values.iter().filter_map(|node| literal(clauses.findings, node)).collect();
        clauses.imply(at, id("enum"), Rule::Enum { column: column(), values });
    }
    if let Some((format, max)) = &typed.unsigned {
        let (min, max) = (Some(Literal::Integer(0)), Some(max.clone()));
        let rule = Rule::Range { column: column(), min, max, exclusive_min: false, exclusive_max: false };
        clauses.imply(name_at, id(format), rule);
    }
    if options.min.is_some() || options.max.is_some() {
        let at = options.min.or(options.max).map_or(name_at, |bound| bound.node.span);
        let rule = Rule::Range {
            column: column(),
            min: options.min.and_then(|bound| literal(clauses.findings, bound.node)),
            max: options.max.and_then(|bound| literal(clauses.findings, bound.node)),
            exclusive_min: options.min.is_some_and(|bound| bound.exclusive),
            exclusive_max: options.max.is_some_and(|bound| bound.exclusive),
        };
        clauses.imply(at, id("range"), rule);
    }
    if typed.logical == LogicalType::Time {
        clauses.imply(name_at, id("time"), Rule::Pattern { column: column(), pattern: TIME_PATTERN.to_owned() });
    }
    if let Some(pattern) = &options.pattern {
        clauses.imply(pattern.span, id("pattern"), Rule::Pattern { column: column(), pattern: pattern.value.clone() });
    }
    let length = |spanned: Option<Spanned<u64>>| spanned.map(|found| found.value);
    let (min, max) = match typed.logical {
        LogicalType::Array if field.dimensions.is_some() => (field.dimensions, field.dimensions),
        LogicalType::Array => (length(options.min_items), length(options.max_items)),
        _ => (length(options.min_length), length(options.max_length)),
    };
    if min.is_some() || max.is_some() {
        let spanned = [options.min_length, options.max_length, options.min_items, options.max_items];
        let at = spanned.into_iter().flatten().next().map_or(name_at, |found| found.span);
        clauses.imply(at, id("length"), Rule::Length { column: column(), min, max });
    }
    if let Some(factor) = options.multiple_of
        && let Some(value) = literal(clauses.findings, factor)
    {
        clauses.imply(factor.span, id("multiple_of"), Rule::MultipleOf { column: column(), factor: value });
    }
    if let Some(format) = &typed.text_format {
        clauses.imply(name_at, id("format"), Rule::Format { column: column(), format: format.clone() });
    }
    if let Some(at) = options.properties {
        let because = "which properties an object has is not evaluated yet".to_owned();
        clauses.imply(at, id("properties"), Rule::NotEvaluated { because });
    }
    if let Some(at) = options.unique_items {
        let because = "unique items of an array are not evaluated yet".to_owned();
        clauses.imply(at, id("unique_items"), Rule::NotEvaluated { because });
    }
    if field.unique {
        clauses.imply(name_at, id("unique"), Rule::Unique { columns: vec![column()] });
    }
    nested(clauses, field, &field.name.value);
}

/// What is declared inside a nested column is not checked yet, and says so.
fn nested(clauses: &mut Clauses<'_>, field: &FieldDraft<'_>, path: &str) {
    let item = field.items.as_deref().into_iter().map(|item| (item, format!("{path}[]")));
    let parts = field.properties.iter().map(|part| (part, format!("{path}.{}", part.name.value)));
    for (part, path) in item.chain(parts) {
        let options = &part.options;
        let constrained = part.required
            || part.unique
            || part.primary_key
            || part.values.is_some()
            || options.pattern.is_some()
            || options.min.is_some()
            || options.max.is_some()
            || options.multiple_of.is_some()
            || [options.min_length, options.max_length, options.min_items, options.max_items]
                .iter()
                .any(Option::is_some)
            || !part.quality.is_empty()
            || !part.references.is_empty();
        if constrained {
            let because = format!("what is declared of {path}, inside a nested column, is not evaluated yet");
            clauses.imply(part.at, format!("{path}.nested"), Rule::NotEvaluated { because });
        }
        nested(clauses, part, &path);
    }
}

fn literal(findings: &Findings<'_>, node: &Node) -> Option<Literal> {
    let found = short::literal(node);
    if found.is_none() {
        let message = format!(
            "a value must be a text, a decimal number, or true or false, not {}",
            match &node.kind {
                NodeKind::Number(text) => text.as_str(),
                _ => node.kind_name(),
            }
        );
        findings.error("MW0212", node.span, message);
    }
    found
}

fn key_clause(clauses: &mut Clauses<'_>, draft: &TableDraft<'_>, fields: &[Field]) {
    let mut key: Vec<(u32, &str)> = fields.iter().filter_map(|f| Some((f.primary_key?, f.name.as_str()))).collect();
    key.sort_unstable();
    if key.is_empty() {
        return;
    }
    let at = draft.fields.iter().find(|field| field.primary_key).map_or(draft.at, |field| field.name.span);
    let columns = key.into_iter().map(|(_, name)| name.to_owned()).collect();
    clauses.imply(at, "primary_key".to_owned(), Rule::Unique { columns });
}

fn references(clauses: &mut Clauses<'_>, draft: &TableDraft<'_>, tables: &[TableDraft<'_>]) {
    for field in &draft.fields {
        for to in &field.references {
            let column = std::slice::from_ref(&field.name.value);
            if let Some(rule) = reference::resolve(clauses.findings, tables, to, column) {
                clauses.imply(to.at, format!("{}.references", field.name.value), rule);
            }
        }
    }
    for to in &draft.references {
        if let Some(rule) = reference::resolve(clauses.findings, tables, to, &to.columns) {
            clauses.imply(to.at, format!("references({})", to.columns.join(",")), rule);
        }
    }
}

fn finished(findings: &Findings<'_>, draft: &FieldDraft<'_>, typed: &Typed, key: Option<u32>) -> Field {
    if draft.logical_type.is_none() && !draft.name.value.is_empty() {
        untyped(findings, draft);
    }
    Field {
        id: None,
        name: draft.name.value.clone(),
        physical_name: draft.physical_name.clone(),
        renamed_from: draft.renamed_from.as_ref().map(|from| from.value.clone()),
        logical_type: typed.logical,
        physical_type: draft.physical_type.as_ref().map(|ty| ty.value.clone()),
        native: typed.native.clone(),
        required: draft.required || key.is_some(),
        unique: draft.unique,
        primary_key: key,
        classifications: classifications(findings, &draft.classifications),
        description: draft.description.clone(),
        tags: draft.tags.clone(),
        examples: Vec::new(),
        default_timezone: typed.default_timezone.clone(),
        format: typed.format.clone(),
        place: Some(findings.place(draft.name.span)),
    }
}

fn untyped(findings: &Findings<'_>, draft: &FieldDraft<'_>) {
    let physical = draft.physical_type.as_ref();
    if physical.is_none_or(|ty| native::physical(&ty.value).is_none()) && !draft.type_refused {
        let message = format!("the column `{}` has no type", shown(&draft.name.value));
        findings.error_hinting("MW0207", draft.name.span, message, "Add one, such as `string` or `integer`.");
    }
}

/// Names as `classifications.yaml` has them; `PII` and `Special Category` are read as `pii` and `special_category`.
fn classifications(findings: &Findings<'_>, written: &[Spanned<String>]) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    for word in written {
        match proposed_name(&word.value) {
            Some(name) if !names.contains(&name) => names.push(name),
            Some(_) => {}
            None => {
                let message = format!("`{}` cannot be the name of a classification", shown(&word.value));
                findings.error_hinting("MW0115", word.span, message, "Name one of governance/classifications.yaml.");
            }
        }
    }
    names
}

/// Examples must satisfy what the contract says of their column: else one of the two is wrong.
fn examples(findings: &Findings<'_>, draft: &FieldDraft<'_>, field: &mut Field, rules: &[&Rule]) {
    let expected = Expected { logical: field.logical_type, native: &field.native, format: field.format.as_deref() };
    let mut examples = Vec::new();
    for node in &draft.examples {
        if matches!(field.logical_type, LogicalType::Array | LogicalType::Object) || node.is_null() && !field.required {
            continue;
        }
        let Some(found) = literal(findings, node) else { continue };
        match expected.value(found) {
            Err(why) => {
                let message = format!("the example does not fit the column `{}`: {why}", shown(&field.name));
                findings.error("MW0214", node.span, message);
            }
            Ok(value) => {
                if let Some(broken) = rules.iter().find_map(|rule| clause::breaks(rule, &value)) {
                    let message =
                        format!("the example of `{}` is against the contract itself: {broken}", shown(&field.name));
                    findings.error("MW0214", node.span, message);
                }
                examples.push(value);
            }
        }
    }
    field.examples = examples;
}

fn promise(findings: &Findings<'_>, draft: &SlaDraft, tables: &[Table]) -> Option<Sla> {
    let unit = draft.unit.as_ref().map(|unit| unit.value.as_str());
    let value = match &draft.property {
        SlaProperty::Availability => duration::share(&draft.value.value, unit),
        SlaProperty::Other(_) => {
            let head = draft.value.value.split_whitespace().next().unwrap_or_default();
            head.parse().ok().filter(|n: &f64| n.is_finite()).or(Some(0.0))
        }
        _ => duration::seconds(&draft.value.value, unit),
    };
    let Some(value) = value else {
        let (what, hint) = match draft.property {
            SlaProperty::Availability => ("a share", "Write it as `99.5%`."),
            _ => ("a duration", "Write it as `15 minutes`, `2 days` or `PT15M`."),
        };
        let unit = unit.map_or_else(String::new, |unit| format!(" {}", shown(unit)));
        let message = format!("`{}{unit}` is not {what}", shown(&draft.value.value));
        findings.error_hinting("MW0228", draft.value.span, message, hint);
        return None;
    };
    let text = matches!(draft.property, SlaProperty::Other(_)).then(|| match unit {
        Some(unit) => format!("{} {unit}", draft.value.value),
        None => draft.value.value.clone(),
    });
    let element = match &draft.element {
        Some(element) => Some(self::element(findings, draft, element, tables)?),
        None => None,
    };
    Some(Sla { property: draft.property.clone(), element, value, text, place: Some(findings.place(draft.at)) })
}

/// `column`, `table.column`, or `/schema/…` reduced to the column; with its table where there are several.
fn element(findings: &Findings<'_>, draft: &SlaDraft, element: &Spanned<String>, tables: &[Table]) -> Option<String> {
    let (table, column) = match element.value.rsplit_once(['.', '/']) {
        Some((table, column)) => {
            (Some(table.trim_end_matches("/properties").rsplit(['/', '.']).next().unwrap_or(table)), column)
        }
        None => (None, element.value.as_str()),
    };
    let named = |t: &&Table| table.is_none_or(|table| t.name == table || t.physical_name.as_deref() == Some(table));
    let by_source = |t: &'_ Table| t.fields.iter().position(|f| f.physical_name.as_deref() == Some(column));
    let found = tables
        .iter()
        .filter(named)
        .find_map(|t| Some((t, t.field(column).or_else(|| by_source(t).and_then(|at| t.fields.get(at)))?)));
    let Some((table, field)) = found else {
        // An SLA on a whole table names it alone.
        if table.is_none() && tables.iter().any(|t| t.name == column) {
            return Some(column.to_owned());
        }
        let message = format!("the SLA stands on `{}`, which is not a column", shown(&element.value));
        let known: Vec<&str> = tables.iter().flat_map(|t| t.fields.iter().map(|f| f.name.as_str())).collect();
        findings.unknown("MW0227", element.span, message, column, known);
        return None;
    };
    let timed = matches!(draft.property, SlaProperty::Freshness | SlaProperty::Latency);
    if timed && !matches!(field.logical_type, LogicalType::Date | LogicalType::Timestamp) {
        let message =
            format!("`{}` is {}; an SLA in time needs a date or a timestamp", shown(column), field.logical_type);
        findings.error("MW0227", element.span, message);
        return None;
    }
    Some(if tables.len() > 1 { format!("{}.{}", table.name, field.name) } else { field.name.clone() })
}
