//! What can be completed: keywords, directives, and the tables and columns that the principal may query. Nothing else is
//! known here, so nothing else can be proposed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::directive::DIRECTIVES;

const KEYWORDS: [&str; 62] = [
    "ALL",
    "AND",
    "ANTI",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COUNT",
    "CROSS",
    "DATE",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTRACT",
    "FALSE",
    "FILTER",
    "FIRST",
    "FOR",
    "FROM",
    "FULL",
    "GROUP BY",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LAST",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER BY",
    "OUTER",
    "OVER",
    "PARTITION BY",
    "RIGHT",
    "ROWS",
    "SELECT",
    "SEMI",
    "SYSTEM_TIME AS OF",
    "THEN",
    "TRUE",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: String,
    pub nullable: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Words {
    /// `domain.output` → columns, in order.
    tables: BTreeMap<String, Vec<Column>>,
}

impl Words {
    /// Of rows of `information_schema.columns`.
    pub fn of(rows: &[Value]) -> Self {
        let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
        for row in rows {
            let text = |name: &str| row[name].as_str().unwrap_or_default();
            tables.entry(format!("{}.{}", text("table_schema"), text("table_name"))).or_default().push(Column {
                name: text("column_name").to_owned(),
                kind: text("data_type").to_owned(),
                nullable: text("is_nullable") != "NO",
            });
        }
        Self { tables }
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    pub fn tables(&self) -> impl Iterator<Item = (&str, &[Column])> {
        self.tables.iter().map(|(name, columns)| (name.as_str(), columns.as_slice()))
    }

    pub fn columns(&self, table: &str) -> Option<&[Column]> {
        self.tables.get(table).map(Vec::as_slice)
    }

    /// Where the word at `at` begins, and what it can become.
    pub fn complete(&self, line: &str, at: usize) -> (usize, Vec<String>) {
        let before = &line[..at];
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || "_.\"".contains(c)))
            .map_or(0, |found| found + before[found..].chars().next().map_or(1, char::len_utf8));
        let word = &before[start..];
        if word.starts_with('.') && before[..start].trim().is_empty() {
            let names = DIRECTIVES.iter().filter_map(|(form, _)| form.split(' ').next());
            return (start, names.filter(|name| name.starts_with(word)).map(str::to_owned).collect());
        }
        let found: BTreeSet<String> = if self.wants_table(&before[..start]) {
            self.named(word)
        } else if let Some((qualifier, part)) = word.rsplit_once('.') {
            let columns = self.columns_of(line, qualifier);
            let found = columns.into_iter().filter(|name| begins(name, part)).map(|name| format!("{qualifier}.{name}"));
            found.chain(self.named(word)).collect()
        } else if word.is_empty() {
            BTreeSet::new()
        } else {
            let lower = word.chars().all(|c| !c.is_uppercase());
            let keywords = KEYWORDS.iter().filter(|keyword| begins(keyword, word));
            let keywords = keywords.map(|k| if lower { k.to_lowercase() } else { (*k).to_owned() });
            let columns = self.mentioned(line).into_iter().flat_map(|table| self.quoted(table));
            keywords.chain(columns.filter(|name| begins(name, word))).chain(self.named(word)).collect()
        };
        (start, found.into_iter().collect())
    }

    /// After `FROM`, `JOIN` and in `.schema` there can only be a table.
    fn wants_table(&self, before: &str) -> bool {
        let last = before.split_whitespace().next_back().unwrap_or_default().to_ascii_lowercase();
        ["from", "join", ".schema", "\\d"].contains(&last.as_str())
    }

    fn named(&self, word: &str) -> BTreeSet<String> {
        self.tables.keys().filter(|name| name.starts_with(&word.to_lowercase())).cloned().collect()
    }

    /// Tables that stand in the statement.
    fn mentioned(&self, line: &str) -> Vec<&str> {
        let line = line.to_lowercase();
        let words: BTreeSet<&str> = line.split(|c: char| !(c.is_alphanumeric() || "_.".contains(c))).collect();
        self.tables.keys().map(String::as_str).filter(|name| words.contains(name)).collect()
    }

    /// Columns of a table, of its name without the domain, or of an alias.
    fn columns_of(&self, line: &str, qualifier: &str) -> Vec<String> {
        let words: Vec<&str> =
            line.split(|c: char| c.is_whitespace() || ",();".contains(c)).filter(|w| !w.is_empty()).collect();
        let stands_for = |table: &str| {
            let short = table.split_once('.').map_or(table, |(_, short)| short);
            table == qualifier
                || short == qualifier
                || words.windows(3).any(|w| w[0] == table && w[1].eq_ignore_ascii_case("as") && w[2] == qualifier)
                || words.windows(2).any(|w| w[0] == table && w[1] == qualifier)
        };
        self.mentioned(line)
            .into_iter()
            .find(|table| stands_for(table))
            .map(|table| self.quoted(table))
            .unwrap_or_default()
    }

    fn quoted(&self, table: &str) -> Vec<String> {
        self.columns(table).unwrap_or_default().iter().map(|column| quoted(&column.name)).collect()
    }
}

fn begins(name: &str, with: &str) -> bool {
    let name = name.to_lowercase();
    name.starts_with(&with.to_lowercase()) || name.trim_start_matches('"').starts_with(&with.to_lowercase())
}

/// As SQL needs it.
fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { name.to_owned() } else { meshwork_core::name::quoted(name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words() -> Words {
        let row = |table: &str, column: &str| json!({"table_schema": "shop", "table_name": table, "column_name": column, "data_type": "text", "is_nullable": "YES"});
        Words::of(&[row("orders", "order_id"), row("orders", "Odd name"), row("returns", "reason")])
    }

    fn complete(line: &str) -> Vec<String> {
        words().complete(line, line.len()).1
    }

    #[test]
    fn tables_come_after_from() {
        assert_eq!(complete("select * from "), ["shop.orders", "shop.returns"]);
        assert_eq!(complete("select * from shop.o"), ["shop.orders"]);
        assert_eq!(complete(".schema shop.r"), ["shop.returns"]);
    }

    #[test]
    fn columns_are_those_of_the_tables_that_are_named() {
        assert_eq!(complete("select * from shop.orders o where o.o"), ["o.\"Odd name\"", "o.order_id"]);
        assert_eq!(complete("select * from shop.orders as x where x.ord"), ["x.order_id"]);
        assert_eq!(complete("select * from shop.orders where orders.ord"), ["orders.order_id"]);
        assert_eq!(complete("select * from shop.returns where rea"), ["reason"]);
        assert!(complete("select rea").is_empty());
    }

    #[test]
    fn a_word_in_the_middle_is_completed_where_it_stands() {
        let line = "select ord from shop.orders";
        assert_eq!(words().complete(line, 10), (7, vec!["order by".to_owned(), "order_id".to_owned()]));
    }

    #[test]
    fn keywords_keep_the_case_of_the_typist() {
        assert_eq!(complete("sel"), ["select"]);
        assert_eq!(complete("SEL"), ["SELECT"]);
    }

    #[test]
    fn directives_are_completed_at_the_start() {
        assert_eq!(complete(".ti"), [".timer"]);
        assert!(complete("select .ti").is_empty());
    }
}
