//! Rows by the values of one column, for sources that are asked for these alone. Whoever asks still looks at each row: a
//! source may leave out only what certainly lies outside.

/// Values are texts as Arrow writes them.
#[derive(Clone, Debug)]
pub struct Range {
    /// The column's name in the source.
    pub column: String,
    /// The lower end, and whether it belongs to the range.
    pub from: Option<(String, bool)>,
    /// The upper end, which belongs to it.
    pub until: Option<String>,
    /// Rows without a value are wanted, too.
    pub nulls: bool,
}

/// What SQL compares with in a range.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// `WHERE …`, or nothing.
    pub sql: String,
    /// In the order of their placeholders.
    pub values: Vec<String>,
}

impl Range {
    /// `column` and placeholders as this database writes them; a placeholder gets its number, from 1.
    pub fn condition(&self, column: &str, placeholder: impl Fn(usize) -> String) -> Condition {
        let (mut terms, mut values) = (Vec::new(), Vec::new());
        if let Some((from, included)) = &self.from {
            values.push(from.clone());
            terms.push(format!("{column} {} {}", if *included { ">=" } else { ">" }, placeholder(values.len())));
        }
        if let Some(until) = &self.until {
            values.push(until.clone());
            terms.push(format!("{column} <= {}", placeholder(values.len())));
        }
        let inside = terms.join(" AND ");
        let sql = match (terms.is_empty(), self.nulls) {
            (true, true) => String::new(),
            (true, false) => format!(" WHERE {column} IS NOT NULL"),
            (false, true) => format!(" WHERE ({inside}) OR {column} IS NULL"),
            (false, false) => format!(" WHERE {inside}"),
        };
        Condition { sql, values }
    }

    /// The ends as other texts; `None` where one has none.
    pub fn map(&self, text: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let from = match &self.from {
            Some((from, included)) => Some((text(from)?, *included)),
            None => None,
        };
        let until = match &self.until {
            Some(until) => Some(text(until)?),
            None => None,
        };
        Some(Self { from, until, ..self.clone() })
    }
}

/// A date or timestamp as every database reads it: `2024-01-31 12:00:00.5`, without a zone. Years of other than four digits
/// have no such text.
pub fn plain_moment(text: &str) -> Option<String> {
    let text = text.trim_end_matches('Z').replacen('T', " ", 1);
    let year = text.get(..5)?;
    (year.ends_with('-') && year.bytes().take(4).all(|b| b.is_ascii_digit())).then_some(text)
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;

    use datafusion::prelude::{SessionContext, cast, ident, lit};

    use super::*;
    use crate::source::{Face, Reading, Source, SourceTable};

    /// What a source sends of the rows whose `column` lies beyond `from`: how many, and how many of them do. None of these
    /// may be missing. `None`: it is not asked.
    pub async fn sent(
        source: &Arc<dyn Source>,
        reading: &Reading,
        column: &str,
        from: &str,
        until: Option<&str>,
    ) -> Option<(u64, usize)> {
        let range = Range {
            column: column.to_owned(),
            from: Some((from.to_owned(), false)),
            until: until.map(str::to_owned),
            nulls: false,
        };
        let narrow = source.within(&range)?;
        let ty = source.schema().field_with_name(column).expect("a column").data_type().clone();
        let value = |text: &str| cast(lit(text), ty.clone());
        let mut inside = ident(column).gt(value(from));
        if let Some(until) = until {
            inside = inside.and(ident(column).lt_eq(value(until)));
        }
        let mut found = Vec::new();
        for source in [source, &narrow] {
            let before = reading.meter.rows();
            let table = SourceTable::new(Arc::clone(source), Face::Plain);
            let rows = SessionContext::new().read_table(Arc::new(table)).expect("a table");
            let kept = rows.filter(inside.clone()).expect("plans").count().await.expect("reads");
            found.push((reading.meter.rows() - before, kept));
        }
        assert_eq!(found[0].1, found[1].1, "{column} beyond {from}: rows are missing");
        Some(found[1])
    }

    #[test]
    fn conditions() {
        let range = |from: Option<bool>, until: bool, nulls| Range {
            column: "n".to_owned(),
            from: from.map(|included| ("5".to_owned(), included)),
            until: until.then(|| "9".to_owned()),
            nulls,
        };
        for (range, expected, values) in [
            (range(Some(false), true, false), " WHERE n > $1 AND n <= $2", 2),
            (range(Some(true), false, true), " WHERE (n >= $1) OR n IS NULL", 1),
            (range(None, true, false), " WHERE n <= $1", 1),
            (range(None, false, true), "", 0),
        ] {
            let found = range.condition("n", |at| format!("${at}"));
            assert_eq!((found.sql.as_str(), found.values.len()), (expected, values));
        }
    }

    #[test]
    fn moments_without_their_zone() {
        for (text, expected) in [
            ("2024-01-31T12:00:00.5Z", Some("2024-01-31 12:00:00.5")),
            ("2024-01-31", Some("2024-01-31")),
            ("+12024-01-31", None),
            ("-0044-03-15T00:00:00", None),
        ] {
            assert_eq!(plain_moment(text).as_deref(), expected, "{text}");
        }
    }
}
