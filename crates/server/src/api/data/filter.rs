//! What a domain endpoint is asked for: `select`, `filter`, `order`. Parsed into conditions; only quoted identifiers and
//! `$n` go into SQL, values are bound.
//!
//! ```text
//! filter    := condition ( "and" condition )*
//! condition := column ( "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "like" ) value
//!            | column [ "not" ] "in" "(" value ( "," value )* ")"
//!            | column "is" [ "not" ] "null"
//! column    := word | '"' any '"'            (`""` for a quote in it)
//! value     := word | "'" any "'"            (`''` for a quote in it)
//! ```

use std::fmt::Write;

use meshwork_core::{Error, Place, Result};

/// Enough for any sensible filter, and far from what makes a planner sweat.
const MAX_CONDITIONS: usize = 50;
const MAX_VALUES: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub column: String,
    pub test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// A SQL operator that we chose, and its value.
    Compare(&'static str, String),
    In {
        not: bool,
        values: Vec<String>,
    },
    Null {
        not: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub column: String,
    pub descending: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Empty: every column.
    pub columns: Vec<String>,
    pub conditions: Vec<Condition>,
    pub order: Vec<Order>,
    pub limit: Option<u64>,
    pub offset: Option<u64>,
}

impl Selection {
    /// A statement with `$n` for values, and the values.
    pub fn to_sql(&self, domain: &str, table: &str) -> (String, Vec<String>) {
        let mut values = Vec::new();
        let columns: Vec<String> = self.columns.iter().map(|column| quote(column)).collect();
        let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
        let mut sql = format!("SELECT {columns} FROM {}.{}", quote(domain), quote(table));
        let conditions: Vec<String> = self.conditions.iter().map(|c| c.to_sql(&mut values)).collect();
        if !conditions.is_empty() {
            let _ = write!(sql, " WHERE {}", conditions.join(" AND "));
        }
        let order = self.order.iter().map(|by| quote(&by.column) + if by.descending { " DESC" } else { " ASC" });
        let order: Vec<String> = order.collect();
        if !order.is_empty() {
            let _ = write!(sql, " ORDER BY {}", order.join(", "));
        }
        if let Some(limit) = self.limit {
            let _ = write!(sql, " LIMIT {limit}");
        }
        if let Some(offset) = self.offset.filter(|offset| *offset > 0) {
            let _ = write!(sql, " OFFSET {offset}");
        }
        (sql, values)
    }
}

impl Condition {
    fn to_sql(&self, values: &mut Vec<String>) -> String {
        let column = quote(&self.column);
        let mut bind = |value: &String| {
            values.push(value.clone());
            format!("${}", values.len())
        };
        match &self.test {
            Test::Compare(operator, value) => format!("{column} {operator} {}", bind(value)),
            Test::In { not, values } => {
                let bound: Vec<String> = values.iter().map(bind).collect();
                format!("{column} {}IN ({})", if *not { "NOT " } else { "" }, bound.join(", "))
            }
            Test::Null { not } => format!("{column} IS {}NULL", if *not { "NOT " } else { "" }),
        }
    }
}

fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

pub fn parse_select(text: &str) -> Result<Vec<String>> {
    let mut parser = Parser::new("select", text)?;
    let mut columns = vec![parser.column()?];
    while parser.takes(&Token::Comma) {
        columns.push(parser.column()?);
    }
    parser.end()?;
    Ok(columns)
}

pub fn parse_order(text: &str) -> Result<Vec<Order>> {
    let mut parser = Parser::new("order", text)?;
    let mut order = Vec::new();
    loop {
        let column = parser.column()?;
        let descending = parser.keyword("desc");
        if !descending {
            parser.keyword("asc");
        }
        order.push(Order { column, descending });
        if !parser.takes(&Token::Comma) {
            parser.end()?;
            return Ok(order);
        }
    }
}

pub fn parse_filter(text: &str) -> Result<Vec<Condition>> {
    let mut parser = Parser::new("filter", text)?;
    let mut conditions = Vec::new();
    loop {
        conditions.push(parser.condition()?);
        if conditions.len() > MAX_CONDITIONS {
            return Err(parser.error(format!("more than {MAX_CONDITIONS} conditions")).hint("POST a query instead"));
        }
        if !parser.keyword("and") {
            parser.end()?;
            return Ok(conditions);
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `'…'`
    Text(String),
    /// `"…"`
    Quoted(String),
    Comma,
    Open,
    Close,
}

struct Parser<'a> {
    /// The parameter: where errors are placed.
    name: &'static str,
    text: &'a str,
    /// With the character at which each begins, from 0.
    tokens: Vec<(usize, Token)>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn new(name: &'static str, text: &'a str) -> Result<Self> {
        let mut parser = Self { name, text, tokens: Vec::new(), at: 0 };
        parser.tokenize()?;
        Ok(parser)
    }

    fn tokenize(&mut self) -> Result<()> {
        let chars: Vec<char> = self.text.chars().collect();
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            let begin = at;
            let token = match c {
                c if c.is_whitespace() => {
                    at += 1;
                    continue;
                }
                ',' => Token::Comma,
                '(' => Token::Open,
                ')' => Token::Close,
                '\'' | '"' => {
                    let (text, end) =
                        quoted(&chars, at).ok_or_else(|| self.error_at(begin, "a quote is never closed"))?;
                    at = end;
                    if c == '"' { Token::Quoted(text) } else { Token::Text(text) }
                }
                _ => {
                    let ends = |c: &char| c.is_whitespace() || matches!(c, ',' | '(' | ')' | '\'' | '"');
                    let length = chars[at..].iter().position(ends).unwrap_or(chars.len() - at);
                    at += length - 1;
                    Token::Word(chars[begin..=at].iter().collect())
                }
            };
            self.tokens.push((begin, token));
            at += 1;
        }
        Ok(())
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn takes(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &Token, what: &str) -> Result<()> {
        if self.takes(token) { Ok(()) } else { Err(self.error(format!("expected {what}"))) }
    }

    fn end(&self) -> Result<()> {
        if self.at == self.tokens.len() { Ok(()) } else { Err(self.error("this is not expected here")) }
    }

    fn column(&mut self) -> Result<String> {
        match self.peek().cloned() {
            Some(Token::Word(name) | Token::Quoted(name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.error("expected a column")),
        }
    }

    fn value(&mut self) -> Result<String> {
        match self.peek().cloned() {
            Some(Token::Word(value) | Token::Text(value)) => {
                self.at += 1;
                Ok(value)
            }
            _ => Err(self.error("expected a value").hint("put text with blanks or commas in 'single quotes'")),
        }
    }

    fn condition(&mut self) -> Result<Condition> {
        let column = self.column()?;
        let test = if self.keyword("is") {
            let not = self.keyword("not");
            if !self.keyword("null") {
                return Err(self.error("expected `null` after `is`"));
            }
            Test::Null { not }
        } else if self.keyword("not") {
            if !self.keyword("in") {
                return Err(self.error("expected `in` after `not`"));
            }
            Test::In { not: true, values: self.list()? }
        } else if self.keyword("in") {
            Test::In { not: false, values: self.list()? }
        } else {
            Test::Compare(self.operator()?, self.value()?)
        };
        Ok(Condition { column, test })
    }

    fn operator(&mut self) -> Result<&'static str> {
        const OPERATORS: [(&str, &str); 7] =
            [("eq", "="), ("ne", "<>"), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("like", "LIKE")];
        let found = OPERATORS
            .iter()
            .find(|(name, _)| matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(name)));
        let (_, sql) = found.ok_or_else(|| {
            self.error("expected an operator")
                .hint("the operators are eq, ne, lt, le, gt, ge, like, in, not in, is null, is not null")
        })?;
        self.at += 1;
        Ok(sql)
    }

    fn list(&mut self) -> Result<Vec<String>> {
        self.expect(&Token::Open, "`(` after `in`")?;
        let mut values = vec![self.value()?];
        while self.takes(&Token::Comma) {
            values.push(self.value()?);
            if values.len() > MAX_VALUES {
                return Err(self.error(format!("more than {MAX_VALUES} values")).hint("POST a query instead"));
            }
        }
        self.expect(&Token::Close, "`,` or `)`")?;
        Ok(values)
    }

    fn error(&self, what: impl Into<String>) -> Error {
        let end = || self.text.chars().count();
        self.error_at(self.tokens.get(self.at).map_or_else(end, |(at, _)| *at), what)
    }

    fn error_at(&self, at: usize, what: impl Into<String>) -> Error {
        let column = u32::try_from(at + 1).unwrap_or(u32::MAX);
        Error::usage("MW0934", format!("`{}` cannot be read: {}", self.name, what.into())).at(Place {
            path: self.name.to_owned(),
            line: 1,
            column,
        })
    }
}

/// The text between the quote at `begin` and the next single one, and where that stands.
fn quoted(chars: &[char], begin: usize) -> Option<(String, usize)> {
    let quote = chars[begin];
    let mut text = String::new();
    let mut at = begin + 1;
    loop {
        match (*chars.get(at)?, chars.get(at + 1)) {
            (c, Some(next)) if c == quote && *next == quote => {
                text.push(quote);
                at += 2;
            }
            (c, _) if c == quote => return Some((text, at)),
            (c, _) => {
                text.push(c);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(filter: &str) -> (String, Vec<String>) {
        let selection = Selection { conditions: parse_filter(filter).unwrap(), ..Selection::default() };
        let (sql, values) = selection.to_sql("sales", "orders");
        (sql.strip_prefix("SELECT * FROM \"sales\".\"orders\" WHERE ").unwrap().to_owned(), values)
    }

    #[test]
    fn every_operator_becomes_sql() {
        let check = |filter: &str, expected: &str, values: &[&str]| {
            let (sql, bound) = sql(filter);
            assert_eq!(sql, expected);
            assert_eq!(bound, values);
        };
        check("a eq 1", "\"a\" = $1", &["1"]);
        check("a NE x and b lt 2 AND c le 3", "\"a\" <> $1 AND \"b\" < $2 AND \"c\" <= $3", &["x", "2", "3"]);
        check("a gt 1.5 and b ge 2026-01-01", "\"a\" > $1 AND \"b\" >= $2", &["1.5", "2026-01-01"]);
        check("name like 'A%'", "\"name\" LIKE $1", &["A%"]);
        check("s in (a, 'b c',d)", "\"s\" IN ($1, $2, $3)", &["a", "b c", "d"]);
        check("s not in (a)", "\"s\" NOT IN ($1)", &["a"]);
        check("s is null and t is not null", "\"s\" IS NULL AND \"t\" IS NOT NULL", &[]);
        check("\"Odd \"\"name\" eq 'it''s'", "\"Odd \"\"name\" = $1", &["it's"]);
    }

    #[test]
    fn values_and_names_never_become_sql_text() {
        let (text, values) = sql("a eq '1; drop table x' and \"b\"\" or 1=1 --\" eq or");
        assert_eq!(text, "\"a\" = $1 AND \"b\"\" or 1=1 --\" = $2");
        assert_eq!(values, ["1; drop table x", "or"]);
        let (text, _) = sql("a;b eq 1");
        assert_eq!(text, "\"a;b\" = $1");
    }

    #[test]
    fn errors_are_placed() {
        let check = |filter: &str, column: u32, message: &str| {
            let error = parse_filter(filter).unwrap_err();
            assert_eq!(error.place.as_ref().unwrap().column, column, "{filter}: {error}");
            assert!(error.message.ends_with(message), "{filter}: {error}");
        };
        check("", 1, "expected a column");
        check("a", 2, "expected an operator");
        check("a = 1", 3, "expected an operator");
        check("a eq", 5, "expected a value");
        check("a eq 'x", 6, "a quote is never closed");
        check("a eq 1 or b eq 2", 8, "this is not expected here");
        check("a in 1", 6, "expected `(` after `in`");
        check("a in (1", 8, "expected `,` or `)`");
        check("a is 1", 6, "expected `null` after `is`");
        check("a eq 1 and", 11, "expected a column");
        check("ä eq \"x\"", 6, "expected a value");
    }

    #[test]
    fn size_is_bounded() {
        let many = vec!["a eq 1"; MAX_CONDITIONS + 1].join(" and ");
        assert!(parse_filter(&many).is_err());
        let long = format!("a in ({})", vec!["1"; MAX_VALUES + 1].join(","));
        assert!(parse_filter(&long).is_err());
    }

    #[test]
    fn select_and_order() {
        assert_eq!(parse_select("a, \"b c\",d").unwrap(), ["a", "b c", "d"]);
        assert!(parse_select("a,").is_err());
        assert!(parse_select("a b").is_err());
        let selection = Selection {
            columns: parse_select("a").unwrap(),
            order: parse_order("a desc, b, c asc").unwrap(),
            limit: Some(10),
            offset: Some(20),
            ..Selection::default()
        };
        let expected = "SELECT \"a\" FROM \"d\".\"t\" ORDER BY \"a\" DESC, \"b\" ASC, \"c\" ASC LIMIT 10 OFFSET 20";
        assert_eq!(selection.to_sql("d", "t"), (expected.to_owned(), vec![]));
        assert!(parse_order("a sideways").is_err());
    }
}
