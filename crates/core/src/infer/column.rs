//! What a contract says of one column, each line with its evidence.

use super::key::{Reference, counted};
use super::name::words;
use super::pick::{note, pick};
use super::{ColumnProfile, Personal, TableProfile};
use crate::contract::scalar;
use crate::types::ColumnType;

/// A line of YAML and what stands behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub key: String,
    pub value: String,
    pub comment: String,
}

/// A field of the proposal.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldProposal {
    pub name: String,
    native: ColumnType,
    pub lines: Vec<Line>,
    /// Comments of their own.
    pub notes: Vec<String>,
    /// Clauses of the table that only warn, each with its evidence.
    pub warnings: Vec<(String, String)>,
}

/// What the rest of the proposal knows about the column.
pub struct Around<'a> {
    pub table: &'a TableProfile,
    /// Its place in the primary key, how sure that is and why; `None` in the position for a key of one column.
    pub key: Option<(Option<usize>, f64, String)>,
    pub unique: bool,
    /// Written as `output.column`.
    pub references: Vec<(String, Reference)>,
    /// Classifications that the mesh has.
    pub classifications: &'a [String],
}

/// Fewer rows without a null promise nothing.
const FEW_ROWS: u64 = 20;

pub fn field(column: &ColumnProfile, name: &str, around: &Around<'_>) -> FieldProposal {
    let mut field = FieldProposal {
        name: name.to_owned(),
        native: column.ty.native.clone(),
        lines: Vec::new(),
        notes: Vec::new(),
        warnings: Vec::new(),
    };
    if column.name != name {
        field.line("physical_name", scalar(&column.name), "");
    }
    let sure = if column.ty.declared { 1.0 } else { succession(column.seen.present()) };
    let sure = format!("{}; {sure:.2}", column.ty.because);
    for (at, (key, value)) in pick(column).into_iter().enumerate() {
        field.line(key, value, if at == 0 { &sure } else { "" });
    }
    field.notes.extend(note(column).map(str::to_owned));
    if let Some(description) = &column.description {
        field.line("description", scalar(&one_line(description)), "");
    }
    nulls(column, around, &mut field);
    if let Some((position, confidence, because)) = &around.key {
        let value = position.map_or("true".to_owned(), |at| (at + 1).to_string());
        field.line("primary_key", value, &format!("{because}; {confidence:.2}"));
    } else if around.unique {
        field.line("unique", "true".to_owned(), &format!("{} declares it; 1.00", around.table.catalog.said_by));
    }
    let mut personal = personal(column, &column.ty.native, &around.table.name);
    if personal.as_ref().is_some_and(|(kind, ..)| *kind == Personal::PersonName) && is_credit(column, around.table) {
        personal = None;
        let note = "names of people who are known for these works; `classification: pii` masks them all the same";
        field.notes.push(note.to_owned());
    }
    classified(column, personal.as_ref(), around, &mut field);
    // What would quote values of personal data is left out.
    if personal.is_none() {
        values(column, around, &mut field);
    }
    formats(column, around, personal.is_some(), &mut field);
    let to: Vec<String> = around.references.iter().map(|(to, _)| scalar(to)).collect();
    let because: Vec<String> =
        around.references.iter().map(|(_, r)| format!("{}; {:.2}", r.because, r.confidence)).collect();
    match to.as_slice() {
        [] => {}
        [one] => field.line("references", one.clone(), &because[0]),
        several => field.line("references", format!("[{}]", several.join(", ")), &because.join(", ")),
    }
    field
}

fn classified(
    column: &ColumnProfile,
    personal: Option<&(Personal, f64, String)>,
    around: &Around<'_>,
    field: &mut FieldProposal,
) {
    let known = |name: &str| around.classifications.iter().any(|known| known == name);
    let (mut names, mut because) = (Vec::new(), Vec::new());
    if let Some((kind, confidence, why)) = personal {
        let comment = format!("likely {}: {why}; {confidence:.2}", kind.words());
        if known("pii") {
            names.push("pii".to_owned());
            because.push(comment);
        } else {
            field.notes.push(format!("{comment}; the mesh has no classification `pii`"));
        }
    }
    for tag in column.tags.iter().filter(|tag| known(tag)) {
        if !names.contains(tag) {
            names.push(tag.clone());
            because.push("the source's own notes; 1.00".to_owned());
        }
    }
    let names: Vec<String> = names.iter().map(|name| scalar(name)).collect();
    match names.as_slice() {
        [] => {}
        [one] => field.line("classification", one.clone(), &because[0]),
        several => field.line("classification", format!("[{}]", several.join(", ")), &because.join(", ")),
    }
}

/// Whether names stand with works because these people made them: public, unlike the names of customers.
fn is_credit(column: &ColumnProfile, table: &TableProfile) -> bool {
    let last = |name: &str| words(name).last().map(|word| super::name::singular(word)).unwrap_or_default();
    let titled = table.columns.iter().any(|other| TITLES.contains(&last(&other.name).as_str()));
    let of_works = words(&table.name).iter().any(|word| WORKS.contains(&super::name::singular(word).as_str()));
    MAKERS.contains(&last(&column.name).as_str()) && (titled || of_works)
}

const MAKERS: &[&str] = &[
    "director",
    "author",
    "writer",
    "artist",
    "composer",
    "performer",
    "singer",
    "actor",
    "actress",
    "producer",
    "creator",
    "photographer",
    "painter",
    "editor",
    "illustrator",
    "screenwriter",
    "star",
    "cast",
    "band",
];
const TITLES: &[&str] = &["title", "film", "movie", "book", "album", "track", "song"];
const WORKS: &[&str] =
    &["film", "movie", "book", "album", "track", "song", "painting", "game", "episode", "show", "article", "artwork"];

impl FieldProposal {
    fn line(&mut self, key: &str, value: String, comment: &str) {
        self.lines.push(Line { key: key.to_owned(), value, comment: comment.to_owned() });
    }

    fn has(&self, key: &str) -> bool {
        self.lines.iter().any(|line| line.key == key)
    }
}

/// Laplace's rule of succession: how likely the next one is as all before.
pub fn succession(count: u64) -> f64 {
    let count = count as f64;
    // Rounded down: nothing that was merely seen is certain.
    (((count + 1.0) / (count + 2.0)) * 100.0).floor() / 100.0
}

fn nulls(column: &ColumnProfile, around: &Around<'_>, field: &mut FieldProposal) {
    let seen = &column.seen;
    let rows = counted(seen.rows);
    if column.not_null || around.key.is_some() {
        let why =
            if column.not_null { format!("{} says so; 1.00", said_by(around)) } else { "part of the key".to_owned() };
        field.line("required", "true".to_owned(), &why);
    } else if seen.nulls > 0 {
        let share = percent(seen.nulls, seen.rows);
        field.line(
            "required",
            "false".to_owned(),
            &format!("{} of {rows} rows are null ({share})", counted(seen.nulls)),
        );
    } else if seen.rows >= FEW_ROWS && around.table.complete {
        let why = format!("no null in {rows} rows; {:.2}", succession(seen.rows));
        field.line("required", "true".to_owned(), &why);
    } else if seen.rows > 0 {
        let part = if around.table.complete { "too few to promise it" } else { "not all were read" };
        field.line("required", "false".to_owned(), &format!("no null in {rows} rows: {part}"));
    }
}

fn said_by(around: &Around<'_>) -> &'static str {
    match around.table.catalog.said_by {
        "" => "the source",
        said_by => said_by,
    }
}

pub fn percent(part: u64, of: u64) -> String {
    match part as f64 * 100.0 / (of.max(1) as f64) {
        share if share > 0.0 && share < 0.1 => "below 0.1 %".to_owned(),
        share if share > 99.9 && part < of => "above 99.9 %".to_owned(),
        share => format!("{share:.1} %"),
    }
}

fn values(column: &ColumnProfile, around: &Around<'_>, field: &mut FieldProposal) {
    let seen = &column.seen;
    let is_key = around.key.is_some() || around.unique || !around.references.is_empty();
    let text = field.native == ColumnType::Text && !field.lines.iter().any(|l| l.key == "type" && l.value == "time");
    if !column.accepted.is_empty() {
        let list: Vec<String> = column.accepted.iter().map(|value| literal(value, &field.native)).collect();
        field.line("enum", format!("[{}]", list.join(", ")), &format!("{} says so; 1.00", said_by(around)));
    } else if let (Some(values), true, false) = (&seen.values, text, is_key) {
        one_of(values, around, field);
    }
    let numeric = matches!(
        field.native,
        ColumnType::Int8
            | ColumnType::Int16
            | ColumnType::Int32
            | ColumnType::Int64
            | ColumnType::Float32
            | ColumnType::Float64
            | ColumnType::Decimal { .. }
    );
    if let (Some(bounds), true, false) = (&seen.numbers, numeric && column.accepted.is_empty(), is_key) {
        range(column, bounds, around, field);
    }
}

/// A few values that come again and again are an enum: one that blocks where every value has come often.
fn one_of(values: &[(String, u64)], around: &Around<'_>, field: &mut FieldProposal) {
    let present: u64 = values.iter().map(|(_, count)| count).sum();
    let kinds = values.len() as u64;
    let short = values.iter().all(|(value, _)| value.chars().count() <= 40 && !value.is_empty());
    if !(2..=24).contains(&kinds) || present < kinds * 5 || present < FEW_ROWS || !short {
        return;
    }
    let list: Vec<String> = values.iter().map(|(value, _)| scalar(value)).collect();
    let list = format!("[{}]", list.join(", "));
    let seldom = values.iter().filter(|(_, count)| *count < 5).count();
    // How likely the next row brings a value that was never seen: Good and Turing's estimate.
    let once = values.iter().filter(|(_, count)| *count == 1).count() as f64;
    let confidence = (1.0 - (once + 1.0) / present as f64).clamp(0.0, 0.99);
    let why = format!("{kinds} values in {} rows; {confidence:.2}", counted(present));
    if around.table.complete && seldom == 0 && kinds <= 12 && present >= kinds * 15 {
        field.line("enum", list, &why);
    } else {
        let name = scalar(&field.name);
        field.warnings.push((format!("enum: {{ field: {name}, values: {list} }}"), why));
    }
}

/// Bounds that follow from what the column is, and hold; what was merely observed warns.
fn range(column: &ColumnProfile, (least, most): &(String, String), around: &Around<'_>, field: &mut FieldProposal) {
    let (Ok(low), Ok(high)) = (least.parse::<f64>(), most.parse::<f64>()) else { return };
    let names = words(&column.name);
    let known = NATURAL.iter().find(|(words, min, max)| {
        words.iter().any(|word| names.iter().any(|name| name == word)) && low >= *min && high <= *max
    });
    let observed = format!("between {least} and {most} in {} rows", counted(column.seen.present()));
    let code = names.iter().any(|name| matches!(name.as_str(), "id" | "code" | "key" | "year" | "number" | "no"));
    match known {
        Some((_, min, max)) if around.table.complete && column.seen.present() >= FEW_ROWS => {
            field.line("min", min.to_string(), &observed);
            field.line("max", max.to_string(), "by what it is called; 0.90");
        }
        _ if never_negative(&names, low, high, &field.native)
            && around.table.complete
            && column.seen.present() >= FEW_ROWS
            && !code =>
        {
            let why = format!("{observed}; {:.2}", succession(column.seen.present()).min(0.95));
            field.line("min", "0".to_owned(), &why);
        }
        _ => {}
    }
    let width = high - low;
    // Moments only rise: tomorrow's lie beyond all that were seen.
    let moments = note(column).is_some_and(|note| note.contains("since 1970"));
    if known.is_none() && !code && !moments && width > 0.0 && column.seen.present() >= FEW_ROWS {
        let (ends, present) = (&column.seen.ends, column.seen.present());
        let (above, most) = apart(&ends.greatest, ends.median, present).unwrap_or((&[], most));
        let (below, least) = apart(&ends.least, ends.median, present).unwrap_or((&[], least));
        let name = scalar(&field.name);
        let clause = format!("range: {{ field: {name}, min: {least}, max: {most} }}");
        let strange: Vec<&str> = below.iter().chain(above).map(|(value, _)| value.as_str()).collect();
        let why = match strange.as_slice() {
            [] => format!("observed in {} values", counted(present)),
            far => format!("observed in {} values; far from all others: {}", counted(present), far.join(", ")),
        };
        field.warnings.push((clause, why));
    }
}

/// Fewer values have no usual range.
const ENOUGH: u64 = 100;
/// How many times as wide as the values on their side of the median the gap before outliers is.
const APART: f64 = 3.0;

/// The outermost values that lie apart from all others, and the first one that does not: seldom, and behind a gap that is
/// wider than all there is between the others and the median.
fn apart(end: &[(String, u64)], median: Option<f64>, present: u64) -> Option<(&[(String, u64)], &String)> {
    let (median, value) = (median?, |at: usize| end[at].0.parse::<f64>().ok());
    (1..end.len()).rev().find_map(|at| {
        let (inner, outer) = (value(at)?, value(at - 1)?);
        let (spread, gap) = ((inner - median).abs(), (outer - inner).abs());
        let seldom = end[..at].iter().map(|(_, count)| count).sum::<u64>() <= 1 + present / 1000;
        let far = present >= ENOUGH && seldom && spread > 0.0 && gap > spread * APART;
        far.then(|| (&end[..at], &end[at].0))
    })
}

/// Whether a column that was never negative is so by its nature: counts, sizes and amounts begin near zero; a temperature
/// or a balance is above it by chance.
fn never_negative(names: &[String], low: f64, high: f64, native: &ColumnType) -> bool {
    let counted = matches!(native, ColumnType::Int8 | ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64);
    let near = low <= (high - low) * 0.1 || (counted && low <= 10.0);
    low >= 0.0 && near && !names.iter().any(|name| SIGNED.contains(&name.as_str()))
}

/// Words in names of columns that may be negative another day.
const SIGNED: &[&str] = &[
    "temp",
    "temperature",
    "dewp",
    "balance",
    "profit",
    "margin",
    "change",
    "delta",
    "diff",
    "difference",
    "offset",
    "tz",
    "altitude",
    "alt",
    "elevation",
    "growth",
    "net",
    "score",
    "return",
    "variation",
];

/// Words in names of columns whose bounds nature or the calendar sets.
const NATURAL: &[(&[&str], f64, f64)] = &[
    (&["lat", "latitude"], -90.0, 90.0),
    (&["lon", "lng", "long", "longitude"], -180.0, 180.0),
    (&["month"], 1.0, 12.0),
    (&["day"], 1.0, 31.0),
    (&["hour"], 0.0, 23.0),
    (&["minute", "second"], 0.0, 59.0),
    (&["weekday"], 0.0, 7.0),
    (&["percent", "percentage", "pct", "humid", "humidity"], 0.0, 100.0),
    (&["probability", "ratio", "fraction"], 0.0, 1.0),
    (&["age"], 0.0, 150.0),
];

fn formats(column: &ColumnProfile, around: &Around<'_>, personal: bool, field: &mut FieldProposal) {
    let seen = &column.seen;
    let present = seen.present();
    if field.native != ColumnType::Text || present == 0 || field.has("format") || field.has("enum") {
        return;
    }
    if field.lines.iter().any(|l| l.key == "type" && l.value != "string") {
        return;
    }
    let (enough, complete) = (present >= FEW_ROWS, around.table.complete);
    if let Some((format, _)) =
        seen.formats.iter().find(|(_, count)| *count == present).filter(|_| complete && present >= 3)
    {
        field.line(
            "format",
            (*format).to_owned(),
            &format!("all {} values; {:.2}", counted(present), succession(present)),
        );
        return;
    }
    if let Some((format, count)) = seen.formats.iter().find(|(_, count)| count * 100 >= present * 90) {
        let share = percent(*count, present);
        field.notes.push(format!("{share} of the values have the format `{format}`"));
        return;
    }
    if let (Some(pattern), true) = (seen.shapes.pattern(), enough && seen.distinct.is_none_or(|d| d >= 10)) {
        let why = format!("the form of all {} values; {:.2}", counted(present), succession(present).min(0.9));
        if complete {
            field.line("pattern", quoted(&pattern), &why);
        } else if !personal {
            let name = scalar(&field.name);
            field.warnings.push((format!("pattern: {{ field: {name}, pattern: {} }}", quoted(&pattern)), why));
        }
    }
}

/// The likeliest kind of personal data, how sure and why.
pub fn personal(column: &ColumnProfile, native: &ColumnType, table: &str) -> Option<(Personal, f64, String)> {
    if matches!(native, ColumnType::Boolean | ColumnType::List(_) | ColumnType::Struct(_)) {
        return None;
    }
    let seen = &column.seen;
    let present = seen.present();
    let share = |count: u64| count as f64 / present.max(1) as f64;
    let matching = |kind: Personal| seen.personal.iter().find(|(k, _)| *k == kind).map_or(0, |(_, count)| *count);
    let named = Personal::by_name(&column.name, table);
    if let Some(kind) = named {
        let count = matching(kind);
        let checked = Personal::BY_VALUE.contains(&kind);
        if count > 0 && share(count) >= 0.3 {
            let because = format!("its name, and {} of the values", percent(count, present));
            return Some((kind, 0.99, because));
        }
        // An address that never looks like one is something else that is called so.
        let told_by_value = matches!(kind, Personal::Email | Personal::Ip | Personal::Iban | Personal::Card);
        if !(told_by_value && checked && present >= 5) {
            return Some((kind, 0.7, "its name".to_owned()));
        }
    }
    // A number or a date is not taken for one by its digits alone.
    if *native != ColumnType::Text && !matches!(native, ColumnType::Int64) {
        return None;
    }
    Personal::BY_VALUE
        .into_iter()
        .filter_map(|kind| {
            let count = matching(kind);
            let needed = if kind == Personal::PersonName { 0.35 } else { 0.8 };
            let telling = count >= 3 && share(count) >= needed;
            telling.then(|| {
                let sure = if kind == Personal::PersonName { 0.6 } else { 0.9 };
                (kind, sure * succession(count), format!("{} of the values", percent(count, present)))
            })
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

fn literal(value: &str, native: &ColumnType) -> String {
    match native {
        ColumnType::Text => scalar(value),
        _ => value.to_owned(),
    }
}

/// A pattern as a YAML text: single quotes keep its backslashes.
fn quoted(pattern: &str) -> String {
    format!("'{}'", pattern.replace('\'', "''"))
}

pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
