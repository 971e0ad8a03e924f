//! How a CSV text is written: the dialect under which its records have the same number of fields.

use csv_core::{ReadRecordResult, ReaderBuilder};
use meshwork_core::product::CsvOptions;

use super::Reason;
use super::value::Column;

const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
/// Of the text, to tell dialects apart.
const LOOKED_AT: usize = 256 << 10;
const MAX_SKIP: usize = 20;

pub(super) fn guess(text: &str, complete: bool, reasons: &mut Vec<Reason>) -> CsvOptions {
    let (sample, whole) = beginning(text, complete);
    let comment = comment(sample);
    let best = candidates(sample)
        .map(|dialect| (score(sample, whole, comment, dialect), dialect))
        // The first of equals: candidates come in the order of how common they are.
        .fold(None::<(Score, Candidate)>, |best, new| match best {
            Some(best) if best.0.value() >= new.0.value() => Some(best),
            _ => Some(new),
        });
    let Some((score, dialect)) = best else { return CsvOptions::default() };
    let mut options = CsvOptions {
        delimiter: dialect.delimiter,
        quote: Some(dialect.quote),
        escape: dialect.escape,
        comment,
        skip: u32::try_from(score.skip).unwrap_or(0),
        ..CsvOptions::default()
    };
    let mut say = |about, because: String| reasons.push(Reason { about, because });
    if score.width > 1 {
        let Score { same, records, width, .. } = score;
        say(
            "delimiter",
            format!("{same} of the first {records} records have {width} fields with {:?}", dialect.delimiter),
        );
    } else {
        options.delimiter = ',';
        say("delimiter", "no character splits the records alike: one column".to_owned());
    }
    if dialect.quote != '"' {
        say("quote", format!("fields begin and end with {:?}", dialect.quote));
    }
    if let Some(escape) = dialect.escape {
        say("escape", format!("quotes inside quoted fields follow {escape:?}"));
    }
    if let Some(comment) = comment {
        say("comment", format!("lines before or between records start with {comment:?}"));
    }
    if score.skip > 0 {
        say("skip", format!("the first {} lines are no records: they have another number of fields", score.skip));
    }
    let (header, because) = header(&records(sample, whole, comment, score.skip, dialect));
    options.header = header;
    say("header", because);
    options
}

/// Whole lines from the start.
fn beginning(text: &str, complete: bool) -> (&str, bool) {
    if text.len() <= LOOKED_AT {
        return (text, complete);
    }
    let mut end = LOOKED_AT;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (&text[..text[..end].rfind('\n').map_or(end, |at| at + 1)], false)
}

/// `#`, where some lines start with it that are not split like the others.
fn comment(sample: &str) -> Option<char> {
    let (commented, plain): (Vec<&str>, Vec<&str>) =
        sample.lines().filter(|line| !line.is_empty()).take(500).partition(|line| line.starts_with('#'));
    if commented.is_empty() || plain.is_empty() || commented.len() > plain.len() {
        return None;
    }
    // `#id,name` is a header: it is split like the line below.
    let marks = |line: &str| DELIMITERS.map(|d| line.matches(d).count());
    let like_a_record = commented.len() == 1 && sample.starts_with('#') && {
        let (first, next) = (marks(commented[0]), marks(plain[0]));
        first == next && first.iter().any(|count| *count > 0)
    };
    (!like_a_record).then_some('#')
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    delimiter: char,
    quote: char,
    escape: Option<char>,
}

fn candidates(sample: &str) -> impl Iterator<Item = Candidate> {
    let escaped = sample.contains("\\\"") && sample.contains('"');
    let single = DELIMITERS.iter().any(|d| sample.contains(&format!("{d}'")) || sample.contains(&format!("'{d}")));
    let quotes: Vec<(char, Option<char>)> = [('"', None)]
        .into_iter()
        .chain(escaped.then_some(('"', Some('\\'))))
        .chain(single.then_some(('\'', None)))
        .collect();
    quotes.into_iter().flat_map(|(quote, escape)| DELIMITERS.map(|delimiter| Candidate { delimiter, quote, escape }))
}

#[derive(Clone, Copy, Debug, Default)]
struct Score {
    records: usize,
    /// The number of fields that most records have.
    width: usize,
    same: usize,
    /// Lines at the start that are no records.
    skip: usize,
    /// Fields that still hold a quote: a sign of the wrong quote.
    stray: usize,
    /// Records in which a comma splits although a rarer delimiter stands there, too: `1,5;2,5`.
    rarer: usize,
}

impl Score {
    /// Agreement first; then more columns, up to a point: a rare character that splits nothing agrees, too.
    fn value(&self) -> f64 {
        if self.records == 0 || self.width < 2 {
            return 0.0;
        }
        let agreement = self.same as f64 / self.records as f64;
        let stray = self.stray as f64 / (self.records * self.width) as f64;
        let rarer = self.rarer as f64 / self.records as f64 / 2.0;
        let skipped = if self.skip > 0 { 0.8 } else { 1.0 };
        agreement.powi(4) * skipped * (1.0 + (self.width as f64).ln() / 4.0) - stray - rarer
    }
}

fn score(sample: &str, whole: bool, comment: Option<char>, dialect: Candidate) -> Score {
    let all = records(sample, whole, comment, 0, dialect);
    let mut counts = std::collections::BTreeMap::<usize, usize>::new();
    for record in &all {
        *counts.entry(record.fields.len()).or_default() += 1;
    }
    let Some((width, _)) = counts.iter().max_by_key(|(width, count)| (**count, **width)) else {
        return Score::default();
    };
    // Titles above the table: only where they come before the first record of full width.
    let first = all.iter().position(|record| record.fields.len() == *width).unwrap_or(0);
    let (first, skip) = if first <= MAX_SKIP && *width > 1 { (first, all[first].line) } else { (0, 0) };
    let table = &all[first..];
    let stray = table.iter().flat_map(|record| &record.fields).filter(|field| {
        let inner = field.len() > 1 && (field.starts_with('"') || field.ends_with('"'));
        inner || (dialect.quote == '"' && field.len() > 1 && field.starts_with('\'') && field.ends_with('\''))
    });
    Score {
        records: table.len(),
        width: *width,
        same: table.iter().filter(|record| record.fields.len() == *width).count(),
        skip: if first == 0 { 0 } else { skip },
        stray: stray.count(),
        rarer: if dialect.delimiter == ',' { table.iter().filter(|record| rarer(record)).count() } else { 0 },
    }
}

fn rarer(record: &Record) -> bool {
    record.fields.iter().any(|field| field.contains([';', '\t', '|']))
}

struct Record {
    /// Lines before it.
    line: usize,
    fields: Vec<String>,
}

/// The first records of the text.
fn records(sample: &str, whole: bool, comment: Option<char>, skip: usize, dialect: Candidate) -> Vec<Record> {
    let byte = |c: char| u8::try_from(c).unwrap_or(b',');
    let mut parser = ReaderBuilder::new()
        .delimiter(byte(dialect.delimiter))
        .quote(byte(dialect.quote))
        .escape(dialect.escape.map(byte))
        .build();
    let mut rest: &[u8] = sample.as_bytes();
    let mut line = 0;
    let skip_line = |rest: &mut &[u8], line: &mut usize| {
        let end = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |at| at + 1);
        *rest = &rest[end..];
        *line += 1;
    };
    for _ in 0..skip {
        skip_line(&mut rest, &mut line);
    }
    let mut found = Vec::new();
    let (mut out, mut ends) = (vec![0; sample.len() + 16], vec![0; sample.len() / 2 + 16]);
    while found.len() < 1000 && !rest.is_empty() {
        if matches!(rest[0], b'\n' | b'\r') {
            line += usize::from(rest[0] == b'\n');
            rest = &rest[1..];
            continue;
        }
        if comment.is_some_and(|c| rest[0] == byte(c)) {
            skip_line(&mut rest, &mut line);
            continue;
        }
        let (mut result, mut read, mut written, mut ended) = parser.read_record(rest, &mut out, &mut ends);
        if result == ReadRecordResult::InputEmpty && whole {
            let (last, _, more, more_ends) = parser.read_record(&[], &mut out[written..], &mut ends[ended..]);
            (result, written, ended) = (last, written + more, ended + more_ends);
            read = rest.len();
        }
        if result != ReadRecordResult::Record {
            break;
        }
        let mut from = 0;
        let fields = ends[..ended].iter().map(|end| {
            let field = String::from_utf8_lossy(&out[from..*end]).into_owned();
            from = *end;
            field
        });
        found.push(Record { line, fields: fields.collect() });
        debug_assert!(written <= out.len());
        line += rest[..read].iter().filter(|b| **b == b'\n').count();
        rest = &rest[read..];
    }
    found
}

/// Whether the first record names the columns.
fn header(records: &[Record]) -> (bool, String) {
    let Some((first, below)) = records.split_first() else {
        return (true, "the file is empty".to_owned());
    };
    let names = &first.fields;
    if let Some(at) = names.iter().position(String::is_empty) {
        return (false, format!("field {} of the first record is empty", at + 1));
    }
    if names.iter().enumerate().any(|(at, name)| names[..at].contains(name)) {
        return (false, "the first record holds the same text twice".to_owned());
    }
    if names.iter().any(|name| Column::is_value(name)) {
        return (false, "the first record holds numbers or dates".to_owned());
    }
    if below.is_empty() {
        return (true, "the only record holds texts, each once".to_owned());
    }
    let below: Vec<&Record> = below.iter().filter(|record| record.fields.len() == names.len()).collect();
    let typed = (0..names.len())
        .filter(|at| {
            let mut values =
                below.iter().map(|record| record.fields[*at].as_str()).filter(|text| !text.is_empty()).peekable();
            values.peek().is_some() && values.filter(|text| Column::is_value(text)).count() * 10 >= below.len() * 8
        })
        .count();
    if typed > 0 {
        return (true, format!("the first record holds texts, each once, above {typed} columns of numbers or dates"));
    }
    let again = (0..names.len()).filter(|at| below.iter().any(|record| record.fields[*at] == names[*at])).count();
    if again > 0 {
        return (false, format!("{again} texts of the first record come again below it"));
    }
    (true, "the first record's texts do not come again below it".to_owned())
}
