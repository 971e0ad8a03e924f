//! The type that fits every text of a column, by the same parsers that a run reads with.

use meshwork_core::types::ColumnType;

use super::{ColumnGuess, Reason};
use crate::exact::Exact;
use crate::source::text::{TextType, parse_date, parse_timestamp};

/// Texts that stand for null in many files. Each is taken so only with evidence.
const NULLS: [&str; 18] = [
    "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "NULL", "null", "Null", "\\N", "NaN", "nan", "None", "none", "-", "--",
    "?", ".", "(null)",
];
/// Of these, what nobody means as a text.
const NEVER_TEXT: [&str; 6] = ["NULL", "null", "\\N", "#N/A", "#N/A N/A", "(null)"];

/// Patterns of dates that are not ISO 8601, and whether the day comes first, where that is a question.
const DATES: [(&str, Option<bool>); 14] = [
    ("%d.%m.%Y", None),
    ("%Y/%m/%d", None),
    ("%d/%m/%Y", Some(true)),
    ("%m/%d/%Y", Some(false)),
    ("%d-%m-%Y", Some(true)),
    ("%m-%d-%Y", Some(false)),
    ("%d.%m.%y", None),
    ("%d/%m/%y", Some(true)),
    ("%m/%d/%y", Some(false)),
    ("%d %b %Y", None),
    ("%b %d, %Y", None),
    ("%d-%b-%Y", None),
    ("%b %d %Y", None),
    ("%d-%b-%y", None),
];
const TIMES: [&str; 5] = ["%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M%p"];

const BOOLEAN: u16 = 1;
const INTEGER: u16 = 1 << 1;
const NUMBER: u16 = 1 << 2;
const DATE: u16 = 1 << 3;
const TIMESTAMP: u16 = 1 << 4;
const LOCAL: u16 = 1 << 5;
const TIME: u16 = 1 << 6;
const DATE_PATTERN: u16 = 1 << 7;
/// `1,5`: a run does not read it as a number, but it is no word either.
const COMMA: u16 = 1 << 8;
const ALL: u16 = (1 << 9) - 1;

/// What a column's texts have in common so far.
#[derive(Clone, Debug)]
pub struct Column {
    rows: u64,
    empty: u64,
    /// Of the texts that are not candidates for null.
    fits: u16,
    texts: u64,
    /// Patterns that every text had, as (pattern of the date, of the time).
    patterns: Option<Vec<(usize, Option<usize>)>>,
    /// How often each candidate for null came.
    nulls: [u64; NULLS.len()],
    widest: i64,
    whole_digits: u32,
    fraction: (u32, u32),
    exponent: bool,
    leading_zero: bool,
    digits_only: bool,
    /// Texts of up to three capitals, and texts without a letter or digit: what candidates for null could be one of.
    codes: u64,
    marks: u64,
}

impl Default for Column {
    fn default() -> Self {
        Self {
            rows: 0,
            empty: 0,
            fits: ALL,
            texts: 0,
            patterns: None,
            nulls: [0; NULLS.len()],
            widest: 0,
            whole_digits: 0,
            fraction: (u32::MAX, 0),
            exponent: false,
            leading_zero: false,
            digits_only: true,
            codes: 0,
            marks: 0,
        }
    }
}

impl Column {
    /// Whether a text is a number, a date or a moment.
    pub fn is_value(text: &str) -> bool {
        let mut column = Self::default();
        column.add(Some(text));
        column.texts > 0 && column.fits & !BOOLEAN != 0
    }

    pub fn add(&mut self, text: Option<&str>) {
        self.rows += 1;
        let Some(text) = text else {
            self.empty += 1;
            return;
        };
        if let Some(at) = NULLS.iter().position(|null| *null == text) {
            self.nulls[at] += 1;
            return;
        }
        self.texts += 1;
        let bare = text.trim_matches([' ', '\t']);
        self.digits_only &= bare.bytes().all(|b| b.is_ascii_digit());
        self.codes += u64::from(bare.len() <= 3 && bare.bytes().all(|b| b.is_ascii_uppercase()));
        self.marks += u64::from(!bare.contains(char::is_alphanumeric));
        if self.fits & BOOLEAN != 0 && !is_boolean(bare) {
            self.fits &= !BOOLEAN;
        }
        if self.fits & (INTEGER | NUMBER) != 0 {
            self.number(bare);
        }
        if self.fits & DATE != 0 && parse_date(bare, None).is_none() {
            self.fits &= !DATE;
        }
        if self.fits & (TIMESTAMP | LOCAL) != 0 {
            self.moment(bare);
        }
        if self.fits & TIME != 0 && !is_time(bare) {
            self.fits &= !TIME;
        }
        if self.fits & DATE_PATTERN != 0 {
            self.pattern(bare);
        }
        if self.fits & COMMA != 0 && !has_decimal_comma(bare) {
            self.fits &= !COMMA;
        }
    }

    fn number(&mut self, text: &str) {
        let digits = text.strip_prefix('-').unwrap_or(text);
        // `007` is a code and `+49…` a telephone: as numbers they would lose what is written.
        if digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit() {
            self.leading_zero = true;
            self.fits &= !(INTEGER | NUMBER);
        }
        let plain = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        if !plain || !digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
            self.fits &= !(INTEGER | NUMBER);
            return;
        }
        match text.parse::<i64>() {
            Ok(value) => {
                self.widest = self.widest.max(value.checked_abs().unwrap_or(i64::MAX));
                self.whole_digits = self.whole_digits.max(u32::try_from(digits.len()).unwrap_or(u32::MAX));
                self.fraction.0 = 0;
            }
            Err(_) => {
                self.fits &= !INTEGER;
                if Exact::parse(text).is_none() && text.parse::<f64>().is_err() {
                    self.fits &= !NUMBER;
                    return;
                }
                self.exponent |= text.contains(['e', 'E']);
                let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
                let len = |part: &str| u32::try_from(part.len()).unwrap_or(u32::MAX);
                self.whole_digits = self.whole_digits.max(len(whole));
                self.fraction = (self.fraction.0.min(len(fraction)), self.fraction.1.max(len(fraction)));
            }
        }
    }

    fn moment(&mut self, text: &str) {
        if text.len() < 16 || !text.as_bytes()[4..].starts_with(b"-") {
            self.fits &= !(TIMESTAMP | LOCAL);
            return;
        }
        if parse_timestamp(text, None, None).is_some() {
            self.fits &= !LOCAL;
        } else if parse_timestamp(text, None, chrono::FixedOffset::east_opt(0)).is_some() {
            self.fits &= !TIMESTAMP;
        } else {
            self.fits &= !(TIMESTAMP | LOCAL);
        }
    }

    fn pattern(&mut self, text: &str) {
        let holds = |(date, time): &(usize, Option<usize>)| {
            let pattern = pattern(*date, *time);
            match time {
                None => strict_date(text, &pattern),
                Some(_) => {
                    chrono::NaiveDateTime::parse_from_str(text, &pattern).is_ok_and(|m| plausible(m.date(), &pattern))
                }
            }
        };
        match &mut self.patterns {
            Some(patterns) => patterns.retain(holds),
            None => {
                let starts = text.len() >= 6 && text.len() <= 32 && text.bytes().any(|b| b.is_ascii_digit());
                let all = (0..DATES.len()).flat_map(|date| {
                    [None].into_iter().chain((0..TIMES.len()).map(Some)).map(move |time| (date, time))
                });
                self.patterns = Some(if starts { all.filter(holds).collect() } else { Vec::new() });
            }
        }
        if self.patterns.as_ref().is_some_and(Vec::is_empty) {
            self.fits &= !DATE_PATTERN;
        }
    }

    /// Candidates for null that are not null after all count as texts.
    pub fn without(&mut self, nulls: &[String]) {
        for (at, candidate) in NULLS.iter().enumerate() {
            let count = std::mem::take(&mut self.nulls[at]);
            if count == 0 {
                continue;
            }
            if nulls.iter().any(|null| null == candidate) {
                self.empty += count;
            } else {
                self.texts += count;
                // A float column may hold NaN.
                self.fits &= if matches!(*candidate, "NaN" | "nan") { NUMBER } else { 0 };
                self.exponent = true;
            }
        }
    }

    pub fn guess(&self, name: &str) -> ColumnGuess {
        let (ty, because) = self.decide();
        let candidates: u64 = self.nulls.iter().sum();
        ColumnGuess {
            name: name.to_owned(),
            ty,
            rows: self.rows,
            nulls: self.empty,
            because: self.with_places(because, candidates),
        }
    }

    /// Whether a candidate for null could hardly be one of the texts beside it. `None` says that there was no damage, and
    /// `NA` is Namibia among codes of countries.
    fn is_unlike(&self, candidate: &str) -> bool {
        self.texts >= 10
            && match candidate {
                "NA" | "N/A" | "n/a" => self.codes == 0,
                "-" | "--" | "?" | "." => self.marks == 0,
                _ => false,
            }
    }

    fn with_places(&self, because: String, candidates: u64) -> String {
        if candidates > 0 { format!("{because}; {candidates} texts such as NA are not counted") } else { because }
    }

    fn decide(&self) -> (TextType, String) {
        let (texts, is) = (self.texts, |flag| self.fits & flag != 0);
        let plain = TextType::plain;
        if texts == 0 {
            return (plain(ColumnType::Text), "no value in what was read".to_owned());
        }
        if is(INTEGER) {
            return (
                plain(ColumnType::Int64),
                format!("{texts} whole numbers, the largest of {}", digits(self.whole_digits)),
            );
        }
        if is(NUMBER) {
            return self.decide_number();
        }
        if is(BOOLEAN) {
            return (plain(ColumnType::Boolean), format!("{texts} texts that say yes or no"));
        }
        if is(DATE) {
            return (plain(ColumnType::Date), format!("{texts} ISO 8601 dates"));
        }
        if is(TIMESTAMP) {
            return (plain(ColumnType::Timestamp), format!("{texts} ISO 8601 timestamps, each with an offset"));
        }
        if is(LOCAL) {
            return (plain(ColumnType::LocalTimestamp), format!("{texts} ISO 8601 timestamps without an offset"));
        }
        if is(TIME) {
            let ty = TextType { time_of_day: true, ..plain(ColumnType::Text) };
            return (ty, format!("{texts} times of day"));
        }
        if is(DATE_PATTERN) {
            return self.decide_pattern();
        }
        let because = match () {
            () if is(COMMA) => "numbers with a decimal comma, for the SQL to convert",
            () if self.leading_zero && self.digits_only => "numbers with leading zeros, which are codes",
            () => "texts",
        };
        (plain(ColumnType::Text), format!("{texts} {because}"))
    }

    fn decide_number(&self) -> (TextType, String) {
        let (texts, (least, most)) = (self.texts, self.fraction);
        let plain = TextType::plain;
        if most == 0 && !self.exponent {
            let width = self.whole_digits;
            if width <= 38 {
                let precision = u8::try_from(width).unwrap_or(38).max(20);
                let ty = ColumnType::Decimal { precision, scale: 0 };
                return (plain(ty), format!("{texts} whole numbers of up to {width} digits, beyond 64 bits"));
            }
            return (
                plain(ColumnType::Text),
                format!("{texts} whole numbers of up to {width} digits, beyond any number type"),
            );
        }
        // Amounts: as many digits behind the point everywhere.
        if least == most && (2..=4).contains(&most) && !self.exponent && self.whole_digits <= 16 && texts >= 10 {
            let ty = ColumnType::Decimal { precision: 18, scale: i8::try_from(most).unwrap_or(2) };
            return (plain(ty), format!("{texts} numbers, each with {most} digits behind the point"));
        }
        (plain(ColumnType::Float64), format!("{texts} numbers with up to {} behind the point", digits(most)))
    }

    fn decide_pattern(&self) -> (TextType, String) {
        let texts = self.texts;
        let left = self.patterns.as_deref().unwrap_or_default();
        let day_first = |(date, _): &(usize, Option<usize>)| DATES[*date].1;
        let both = left.iter().any(|p| day_first(p) == Some(true)) && left.iter().any(|p| day_first(p) == Some(false));
        let Some((date, time)) = left.first().copied().filter(|_| !both) else {
            let because = format!("{texts} dates, but day and month cannot be told apart: declare a `format`");
            return (TextType::plain(ColumnType::Text), because);
        };
        let pattern = pattern(date, time);
        let because = format!("{texts} dates written as {pattern}");
        let native = if time.is_some() { ColumnType::LocalTimestamp } else { ColumnType::Date };
        (TextType { format: Some(pattern), ..TextType::plain(native) }, because)
    }
}

fn pattern(date: usize, time: Option<usize>) -> String {
    match time {
        Some(time) => format!("{} {}", DATES[date].0, TIMES[time]),
        None => DATES[date].0.to_owned(),
    }
}

fn strict_date(text: &str, pattern: &str) -> bool {
    chrono::NaiveDate::parse_from_str(text, pattern).is_ok_and(|date| plausible(date, pattern))
}

/// `%Y` takes two digits as well: the year 90 is hardly meant.
fn plausible(date: chrono::NaiveDate, pattern: &str) -> bool {
    use chrono::Datelike;
    !pattern.contains("%Y") || (1000..=9999).contains(&date.year())
}

fn is_boolean(text: &str) -> bool {
    ["true", "false", "yes", "no", "t", "f", "y", "n"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn has_decimal_comma(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.strip_prefix('-').unwrap_or(text).split_once(',').is_some_and(|(whole, part)| digits(whole) && digits(part))
}

fn is_time(text: &str) -> bool {
    text.contains(':') && ["%H:%M:%S%.f", "%H:%M"].iter().any(|f| chrono::NaiveTime::parse_from_str(text, f).is_ok())
}

/// The texts that stand for null in the file: those that stand between the values of a column which, without them, has
/// another type than text; and those that are never meant as texts.
pub(super) fn nulls(columns: &[Column], names: &[String], reasons: &mut Vec<Reason>) -> Vec<String> {
    let mut found = Vec::new();
    for (at, candidate) in NULLS.iter().enumerate() {
        let among = |typed: bool| {
            columns.iter().zip(names).filter(move |(column, _)| {
                column.nulls[at] > 0 && (column.decide().0.native != ColumnType::Text) == typed
            })
        };
        let count: u64 = columns.iter().map(|column| column.nulls[at]).sum();
        let Some((_, first)) = among(true).next().or_else(|| among(false).next()) else { continue };
        let typed = among(true).count();
        let unlike = typed == 0 && count > 1 && among(false).all(|(column, _)| column.is_unlike(candidate));
        if typed == 0 && !unlike && !NEVER_TEXT.contains(candidate) {
            continue;
        }
        let others = among(false).count();
        let mut because = match typed {
            0 if unlike => format!(
                "{candidate:?} stands {count} times among texts that are unlike it, first in `{first}`: it says that there is none"
            ),
            0 => format!("{candidate:?} stands {count} times for no value, first in `{first}`"),
            _ => format!(
                "{candidate:?} stands {count} times, in {} among numbers, dates or the like (`{first}`)",
                columns_of(typed)
            ),
        };
        if typed > 0 && others > 0 {
            because.push_str(&format!(", and in {} of texts, where it then means null, too", columns_of(others)));
        }
        reasons.push(Reason { about: "null", because });
        found.push((*candidate).to_owned());
    }
    found
}

fn digits(count: u32) -> String {
    if count == 1 { "1 digit".to_owned() } else { format!("{count} digits") }
}

fn columns_of(count: usize) -> String {
    if count == 1 { "1 column".to_owned() } else { format!("{count} columns") }
}
