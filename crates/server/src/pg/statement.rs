//! What a Postgres client sends, taken apart just far enough: one query string into statements, and the few session
//! commands that we answer ourselves.
//!
//! Everything else goes to the query engine word for word, one statement at a time; the engine parses it again and refuses
//! text that is not exactly one query. A disagreement between this lexer and that parser is therefore an error, never a
//! second meaning.

/// One statement of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// For the query engine, unchanged.
    Query(String),
    /// `SET name = value`; `None` is `DEFAULT`.
    Set {
        name: String,
        value: Option<String>,
    },
    Reset(Option<String>),
    Show(String),
    Begin,
    Commit,
    Rollback,
    DiscardAll,
    /// `DEALLOCATE name | ALL`
    Deallocate(Option<String>),
    /// Known in PostgreSQL, not offered here; the text says why.
    Refused(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// A quoted identifier or string, unescaped.
    Quoted(String),
    Symbol(char),
}

/// Splits at top-level semicolons. Quotes, dollar quotes and comments are kept whole; an unterminated one reaches to the
/// end, where the engine's parser reports it.
pub fn split(sql: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let mut start = 0;
    let mut rest = Scanner { sql, at: 0 };
    while let Some(piece) = rest.next_piece() {
        if piece == Piece::Semicolon {
            statements.push(sql[start..rest.at - 1].trim());
            start = rest.at;
        }
    }
    statements.push(sql[start..].trim());
    statements.retain(|statement| !tokens(statement, 1).is_empty());
    statements
}

/// What one statement asks for.
pub fn command(statement: &str) -> Command {
    let head = tokens(statement, 64);
    let word = |at: usize| match head.get(at) {
        Some(Token::Word(word)) => word.as_str(),
        _ => "",
    };
    let name = |at: usize| match head.get(at) {
        Some(Token::Word(word)) => Some(word.clone()),
        Some(Token::Quoted(text)) => Some(text.clone()),
        _ => None,
    };
    match word(0) {
        "set" => set(&head),
        "reset" => match word(1) {
            "all" => Command::Reset(None),
            _ => dotted(&head[1..]).map_or_else(query(statement), |(name, _)| Command::Reset(Some(name))),
        },
        "show" => match (word(1), word(2), word(3)) {
            ("transaction", "isolation", "level") => Command::Show("transaction_isolation".into()),
            ("time", "zone", _) => Command::Show("timezone".into()),
            // SHOW TABLES, SHOW COLUMNS, … are the engine's to answer or refuse.
            _ if head.len() > 4 => Command::Query(statement.to_owned()),
            _ => dotted(&head[1..]).map_or_else(query(statement), |(name, _)| Command::Show(name)),
        },
        "begin" | "start" => Command::Begin,
        "commit" | "end" => Command::Commit,
        "rollback" | "abort" => Command::Rollback,
        "discard" => Command::DiscardAll,
        "deallocate" => {
            let at = if word(1) == "prepare" { 2 } else { 1 };
            Command::Deallocate(name(at).filter(|name| name != "all"))
        }
        "declare" | "fetch" | "move" | "close" => {
            Command::Refused("SQL cursors are not offered; set a fetch size in the driver instead (portals are)")
        }
        "prepare" | "execute" => {
            Command::Refused("SQL-level PREPARE is not offered; drivers prepare through the protocol, which is")
        }
        "copy" => Command::Refused("COPY is not offered; ask the HTTP API for CSV or Parquet instead"),
        "savepoint" | "release" => Command::Refused("there is nothing to roll back: every statement only reads"),
        "listen" | "notify" | "unlisten" | "lock" | "vacuum" | "analyze" | "cluster" | "reindex" => {
            Command::Refused("data products are read here; they are built by `meshwork run`")
        }
        _ => Command::Query(statement.to_owned()),
    }
}

fn query(statement: &str) -> impl FnOnce() -> Command {
    let text = statement.to_owned();
    move || Command::Query(text)
}

/// `SET [SESSION|LOCAL] name {=|TO} value`, `SET TIME ZONE value`, `SET [SESSION CHARACTERISTICS AS] TRANSACTION …`.
fn set(head: &[Token]) -> Command {
    let mut rest = &head[1..];
    if matches!(rest, [Token::Word(scope), Token::Word(_), ..] if scope == "session" || scope == "local") {
        rest = &rest[1..];
    }
    match rest {
        [Token::Word(word), ..] if word == "transaction" || word == "characteristics" => {
            Command::Set { name: "transaction".into(), value: None }
        }
        [Token::Word(time), Token::Word(zone), value @ ..] if time == "time" && zone == "zone" => {
            Command::Set { name: "timezone".into(), value: setting(value) }
        }
        [Token::Word(names), value @ ..] if names == "names" => {
            Command::Set { name: "client_encoding".into(), value: setting(value) }
        }
        _ => match dotted(rest) {
            Some((name, value)) => {
                let value = match value {
                    [Token::Symbol('='), value @ ..] => value,
                    [Token::Word(to), value @ ..] if to == "to" => value,
                    value => value,
                };
                Command::Set { name, value: setting(value) }
            }
            None => Command::Refused("SET needs a name and a value"),
        },
    }
}

/// A possibly dotted name at the front, and what follows it.
fn dotted(tokens: &[Token]) -> Option<(String, &[Token])> {
    let (Some(Token::Word(first) | Token::Quoted(first)), mut rest) = (tokens.first(), tokens.get(1..)?) else {
        return None;
    };
    let mut name = first.to_lowercase();
    while let [Token::Symbol('.'), Token::Word(part) | Token::Quoted(part), tail @ ..] = rest {
        name.push('.');
        name.push_str(&part.to_lowercase());
        rest = tail;
    }
    Some((name, rest))
}

fn setting(tokens: &[Token]) -> Option<String> {
    let mut text = String::new();
    for token in tokens {
        match token {
            Token::Word(word) if tokens.len() == 1 && word == "default" => return None,
            Token::Word(word) | Token::Quoted(word) => text.push_str(word),
            Token::Symbol(symbol) => text.push(*symbol),
        }
    }
    Some(text)
}

/// Up to `limit` tokens; comments dropped, words folded to lower case as PostgreSQL does with names.
fn tokens(statement: &str, limit: usize) -> Vec<Token> {
    let mut found = Vec::new();
    let mut scanner = Scanner { sql: statement, at: 0 };
    while found.len() < limit {
        let from = scanner.at;
        let Some(piece) = scanner.next_piece() else { break };
        let text = &statement[from..scanner.at];
        match piece {
            Piece::Space | Piece::Comment => {}
            Piece::Word => found.push(Token::Word(text.to_lowercase())),
            Piece::String => found.push(Token::Quoted(unquote(text, '\''))),
            Piece::Identifier => found.push(Token::Quoted(unquote(text, '"'))),
            Piece::Dollar => found.push(Token::Quoted(text.to_owned())),
            Piece::Semicolon => found.push(Token::Symbol(';')),
            Piece::Symbol => found.extend(text.chars().map(Token::Symbol)),
        }
    }
    found
}

fn unquote(text: &str, quote: char) -> String {
    let inner = text.trim_start_matches(['e', 'E']).strip_prefix(quote).unwrap_or(text);
    inner.strip_suffix(quote).unwrap_or(inner).replace(&format!("{quote}{quote}"), &quote.to_string())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Space,
    Comment,
    Word,
    String,
    Identifier,
    Dollar,
    Semicolon,
    Symbol,
}

struct Scanner<'a> {
    sql: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        &self.sql[self.at..]
    }

    fn next_piece(&mut self) -> Option<Piece> {
        let rest = self.rest();
        let first = rest.chars().next()?;
        let (piece, length) = if first.is_whitespace() {
            (Piece::Space, rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len()))
        } else if rest.starts_with("--") {
            (Piece::Comment, rest.find('\n').map_or(rest.len(), |at| at + 1))
        } else if rest.starts_with("/*") {
            (Piece::Comment, block_comment(rest))
        } else if first == '\'' {
            (Piece::String, quoted(rest, 1, '\'', false))
        } else if matches!(first, 'e' | 'E') && rest[1..].starts_with('\'') {
            (Piece::String, quoted(rest, 2, '\'', true))
        } else if first == '"' {
            (Piece::Identifier, quoted(rest, 1, '"', false))
        } else if let Some(length) = dollar_quoted(rest) {
            (Piece::Dollar, length)
        } else if first == ';' {
            (Piece::Semicolon, 1)
        } else if first.is_alphanumeric() || first == '_' {
            (Piece::Word, rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len()))
        } else {
            (Piece::Symbol, first.len_utf8())
        };
        self.at += length;
        Some(piece)
    }
}

/// Length of a quoted text whose content starts at `from`; doubled quotes are inside, and backslash escapes where asked.
fn quoted(text: &str, from: usize, quote: char, backslash: bool) -> usize {
    let mut chars = text[from..].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if backslash && c == '\\' {
            chars.next();
        } else if c == quote {
            match chars.peek() {
                Some((_, next)) if *next == quote => {
                    chars.next();
                }
                _ => return from + at + quote.len_utf8(),
            }
        }
    }
    text.len()
}

/// Comments nest in PostgreSQL.
fn block_comment(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    text.len()
}

/// `$tag$ … $tag$`; `$1` is a parameter.
fn dollar_quoted(text: &str) -> Option<usize> {
    let after = text.strip_prefix('$')?;
    let tag = after.find('$').map(|end| &after[..end])?;
    let is_tag = tag.chars().all(|c| c.is_alphanumeric() || c == '_') && !tag.starts_with(|c: char| c.is_ascii_digit());
    if !is_tag {
        return None;
    }
    let delimiter = &text[..tag.len() + 2];
    let body = &text[delimiter.len()..];
    Some(body.find(delimiter).map_or(text.len(), |end| delimiter.len() + end + delimiter.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_top_level_semicolons_only() {
        assert_eq!(split("select 1; select 2;"), ["select 1", "select 2"]);
        assert_eq!(split("select ';' ; select \";\""), ["select ';'", "select \";\""]);
        assert_eq!(split("select 'it''s;' -- a; b\n, 2; x"), ["select 'it''s;' -- a; b\n, 2", "x"]);
        assert_eq!(split("select /* ; /* ; */ ; */ 1;;; "), ["select /* ; /* ; */ ; */ 1"]);
        assert_eq!(split("select $$;$$, $a$ ; $$ ; $a$; select $1"), ["select $$;$$, $a$ ; $$ ; $a$", "select $1"]);
        assert_eq!(split(r"select E'\';', 2; x"), [r"select E'\';', 2", "x"]);
        assert_eq!(split("  ; -- nothing\n ;"), Vec::<&str>::new());
        assert_eq!(split("select 'open; end"), ["select 'open; end"]);
    }

    #[test]
    fn session_commands_are_recognised_whatever_their_case_and_comments() {
        let set = |name: &str, value: &str| Command::Set { name: name.into(), value: Some(value.into()) };
        assert_eq!(command("SET meshwork.purpose = 'fraud'"), set("meshwork.purpose", "fraud"));
        assert_eq!(command("/* hi */ set SESSION statement_timeout to 30"), set("statement_timeout", "30"));
        assert_eq!(command("SET TIME ZONE 'UTC'"), set("timezone", "UTC"));
        assert_eq!(command("set search_path = a, \"B\""), set("search_path", "a,B"));
        assert_eq!(command("SET x TO DEFAULT"), Command::Set { name: "x".into(), value: None });
        assert_eq!(command("show Transaction Isolation Level"), Command::Show("transaction_isolation".into()));
        assert_eq!(command("SHOW \"server_version\""), Command::Show("server_version".into()));
        assert_eq!(command("BEGIN READ ONLY"), Command::Begin);
        assert_eq!(command("DISCARD ALL"), Command::DiscardAll);
        assert_eq!(command("DEALLOCATE ALL"), Command::Deallocate(None));
        assert_eq!(command("deallocate \"s1\""), Command::Deallocate(Some("s1".into())));
        assert_eq!(command("select 1"), Command::Query("select 1".into()));
        assert!(matches!(command("copy t to stdout"), Command::Refused(_)));
    }
}
