//! The values of one column, as texts, in one pass.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use meshwork_core::infer::{Ends, Personal, ProfiledType, Shapes, Values};

use crate::source::guess;
use crate::write::format::Format;

/// More different values are no enum.
const FEW: usize = 48;
/// Longer texts are no keys and are not counted.
const KEY_LENGTH: usize = 128;
const FORMATS: [&str; 5] = ["email", "uuid", "uri", "ipv4", "ipv6"];

pub struct Seen {
    rows: u64,
    nulls: u64,
    /// Decides the type where the source has none.
    guess: Option<guess::Column>,
    hashes: Option<HashSet<u64>>,
    kept: usize,
    doubled: bool,
    few: Option<HashMap<String, u64>>,
    least: Option<(f64, String)>,
    most: Option<(f64, String)>,
    ends: Extremes,
    numeric: bool,
    digits: (u32, u32),
    lengths: (u64, u64),
    shapes: Shapes,
    personal: Vec<(Personal, u64)>,
    formats: Vec<(&'static str, Format, u64)>,
}

impl Seen {
    /// `kept`: how many distinct values may be remembered. `typed`: the source gives the type.
    pub fn new(kept: usize, typed: bool) -> Self {
        Self {
            rows: 0,
            nulls: 0,
            guess: (!typed).then(guess::Column::default),
            hashes: Some(HashSet::new()),
            kept,
            doubled: false,
            few: Some(HashMap::new()),
            least: None,
            most: None,
            ends: Extremes::default(),
            numeric: true,
            digits: (0, 0),
            lengths: (u64::MAX, 0),
            shapes: Shapes::default(),
            personal: Personal::BY_VALUE.map(|kind| (kind, 0)).to_vec(),
            formats: FORMATS.iter().filter_map(|name| Some((*name, Format::named(name)?, 0))).collect(),
        }
    }

    pub fn add(&mut self, text: Option<&str>) {
        self.rows += 1;
        if let Some(guess) = &mut self.guess {
            guess.add(text);
        }
        let Some(text) = text else {
            self.nulls += 1;
            return;
        };
        self.distinct(text);
        let length = text.chars().count() as u64;
        self.lengths = (self.lengths.0.min(length), self.lengths.1.max(length));
        self.shapes.add(text);
        if self.numeric {
            self.number(text);
        }
        let present = self.rows - self.nulls;
        for (kind, count) in &mut self.personal {
            *count += u64::from(kind.matches(text));
        }
        for (_, format, count) in &mut self.formats {
            *count += u64::from(format.matches(text));
        }
        if present == 500 {
            // What has hardly occurred by now is not what the column holds.
            self.personal.retain(|(_, count)| *count >= 25);
            self.formats.retain(|(_, _, count)| *count >= 250);
        }
    }

    fn distinct(&mut self, text: &str) {
        if let Some(few) = &mut self.few {
            let known = few.contains_key(text);
            if known || (few.len() < FEW && text.len() <= KEY_LENGTH) {
                *few.entry(text.to_owned()).or_default() += 1;
            } else {
                self.few = None;
            }
        }
        let Some(hashes) = &mut self.hashes else { return };
        // The same in every column, so that sets can be compared.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(text);
        self.doubled |= !hashes.insert(hash);
        if hashes.len() > self.kept || text.len() > KEY_LENGTH {
            self.hashes = None;
        }
    }

    fn number(&mut self, text: &str) {
        let Some(value) = text.parse::<f64>().ok().filter(|value| value.is_finite()) else {
            self.numeric = false;
            return;
        };
        if self.least.as_ref().is_none_or(|(least, _)| value < *least) {
            self.least = Some((value, text.to_owned()));
        }
        if self.most.as_ref().is_none_or(|(most, _)| value > *most) {
            self.most = Some((value, text.to_owned()));
        }
        self.ends.add(value, text);
        let (whole, fraction) = text.trim_start_matches(['-', '+']).split_once('.').unwrap_or((text, ""));
        let len = |part: &str| u32::try_from(part.trim_start_matches(['-', '+']).len()).unwrap_or(u32::MAX);
        self.digits = (self.digits.0.max(len(whole)), self.digits.1.max(len(fraction)));
    }

    /// What was seen, the type that all values fit, and the distinct values.
    pub fn finish(self, name: &str) -> (Values, Option<ProfiledType>, Option<HashSet<u64>>) {
        let ty = self.guess.map(|mut column| {
            // What means null was declared where the source was opened: what is here are values.
            column.without(&[]);
            let found = column.guess(name);
            ProfiledType {
                native: found.ty.native,
                time_of_day: found.ty.time_of_day,
                format: found.ty.format,
                physical: None,
                max_length: None,
                declared: false,
                because: found.because,
            }
        });
        let present = self.rows - self.nulls;
        let distinct = self.hashes.as_ref().map(|hashes| hashes.len() as u64);
        let mut values: Option<Vec<(String, u64)>> = self.few.map(|few| few.into_iter().collect());
        values.iter_mut().for_each(|values| values.sort());
        let seen = Values {
            rows: self.rows,
            nulls: self.nulls,
            distinct,
            unique: present > 0 && self.hashes.is_some() && !self.doubled,
            values,
            numbers: match (self.numeric, self.least, self.most) {
                (true, Some((_, least)), Some((_, most))) => Some((plain(&least), plain(&most))),
                _ => None,
            },
            ends: if self.numeric { self.ends.finish() } else { Ends::default() },
            digits: self.digits,
            lengths: if present == 0 { (0, 0) } else { self.lengths },
            shapes: self.shapes,
            personal: self.personal.into_iter().filter(|(_, count)| *count > 0).collect(),
            formats: self.formats.into_iter().map(|(name, _, count)| (name, count)).filter(|(_, c)| *c > 0).collect(),
        };
        (seen, ty, self.hashes)
    }
}

/// A number as YAML reads one: `+5` and `.5` as `5` and `0.5`.
fn plain(text: &str) -> String {
    let text = text.trim_start_matches('+');
    match text.strip_prefix('.') {
        Some(fraction) => format!("0.{fraction}"),
        None => text.to_owned(),
    }
}

/// The outermost numbers, and a sample of all for the one in the middle.
#[derive(Default)]
struct Extremes {
    greatest: Vec<(f64, String, u64)>,
    least: Vec<(f64, String, u64)>,
    /// Every so many numbers one, so that the first ones weigh no more than the last.
    sample: Vec<f64>,
    every: u64,
    count: u64,
}

/// Of each end.
const OUTERMOST: usize = 6;
const SAMPLED: usize = 8192;

impl Extremes {
    fn add(&mut self, value: f64, text: &str) {
        outermost(&mut self.greatest, value, text, |a, b| a > b);
        outermost(&mut self.least, value, text, |a, b| a < b);
        if self.count.is_multiple_of(self.every.max(1)) {
            self.sample.push(value);
        }
        self.count += 1;
        if self.sample.len() == SAMPLED {
            let mut at = 0;
            self.sample.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.every = self.every.max(1) * 2;
        }
    }

    fn finish(mut self) -> Ends {
        self.sample.sort_by(f64::total_cmp);
        let shown = |end: Vec<(f64, String, u64)>| end.into_iter().map(|(_, text, n)| (plain(&text), n)).collect();
        Ends {
            greatest: shown(self.greatest),
            least: shown(self.least),
            median: self.sample.get(self.sample.len() / 2).copied(),
        }
    }
}

fn outermost(end: &mut Vec<(f64, String, u64)>, value: f64, text: &str, further: fn(f64, f64) -> bool) {
    if end.len() == OUTERMOST && end.last().is_some_and(|(last, ..)| further(*last, value)) {
        return;
    }
    match end.iter_mut().position(|(known, ..)| !further(*known, value)) {
        Some(at) if end[at].0 == value => end[at].2 += 1,
        Some(at) => {
            end.insert(at, (value, text.to_owned(), 1));
            end.truncate(OUTERMOST);
        }
        None => end.push((value, text.to_owned(), 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_numbers_each_once() {
        let mut ends = Extremes::default();
        for n in 0..20_000 {
            ends.add(f64::from(n % 100), &(n % 100).to_string());
        }
        ends.add(1048.0, "+1048");
        let found = ends.finish();
        let shown = |end: &[(String, u64)]| end.iter().map(|(v, n)| format!("{v}x{n}")).collect::<Vec<_>>().join(" ");
        assert_eq!(shown(&found.greatest), "1048x1 99x200 98x200 97x200 96x200 95x200");
        assert_eq!(shown(&found.least), "0x200 1x200 2x200 3x200 4x200 5x200");
        assert!(found.median.is_some_and(|median| (45.0..55.0).contains(&median)), "{:?}", found.median);
    }
}
