//! What a Postgres client sends, taken apart just far enough: one query string into statements, and the few session
//! commands that we answer ourselves.
//!
//! Everything else goes to the query engine word for word, one statement at a time; the engine parses it again and refuses
//! text that is not exactly one query. A disagreement between this lexer and that parser is therefore an error, never a
//! second meaning.

use super::cursor::Count;

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
    /// `DECLARE name CURSOR [WITH HOLD] FOR sql`
    Declare {
        cursor: String,
        hold: bool,
        sql: String,
    },
    Fetch {
        cursor: String,
        count: Count,
    },
    /// `CLOSE name | ALL`
    Close(Option<String>),
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    /// Accepted for those who send it with their reset: there is nothing to stop listening to.
    Unlisten,
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
        "rollback" | "abort" => rollback(&head),
        "savepoint" => name(1).map_or_else(query(statement), Command::Savepoint),
        "release" => {
            let at = if word(1) == "savepoint" { 2 } else { 1 };
            name(at).map_or_else(query(statement), Command::Release)
        }
        "unlisten" => Command::Unlisten,
        "discard" => Command::DiscardAll,
        "deallocate" => {
            let at = if word(1) == "prepare" { 2 } else { 1 };
            Command::Deallocate(name(at).filter(|name| name != "all"))
        }
        "declare" => declare(statement),
        "fetch" => fetch(&head),
        "move" => Command::Refused("a cursor goes forward by FETCH only"),
        "close" => match word(1) {
            "all" => Command::Close(None),
            _ => name(1).map_or_else(query(statement), |name| Command::Close(Some(name))),
        },
        "prepare" | "execute" => {
            Command::Refused("SQL-level PREPARE is not offered; drivers prepare through the protocol, which is")
        }
        "copy" => Command::Refused("COPY is not offered; ask the HTTP API for CSV or Parquet instead"),
        "listen" | "notify" | "lock" | "vacuum" | "analyze" | "cluster" | "reindex" => {
            Command::Refused("data products are read here; they are built by `meshwork run`")
        }
        _ => Command::Query(statement.to_owned()),
    }
}

fn query(statement: &str) -> impl FnOnce() -> Command {
    let text = statement.to_owned();
    move || Command::Query(text)
}

/// `ROLLBACK [WORK|TRANSACTION] [TO [SAVEPOINT] name]`
fn rollback(head: &[Token]) -> Command {
    let to = head.iter().position(|token| *token == Token::Word("to".to_owned()));
    match to.map(|at| &head[at + 1..]) {
        Some([Token::Word(keyword), Token::Word(name) | Token::Quoted(name), ..]) if keyword == "savepoint" => {
            Command::RollbackTo(name.clone())
        }
        Some([Token::Word(name) | Token::Quoted(name), ..]) => Command::RollbackTo(name.clone()),
        _ => Command::Rollback,
    }
}

/// `DECLARE name [BINARY] [ASENSITIVE|INSENSITIVE] [NO SCROLL] CURSOR [WITH|WITHOUT HOLD] FOR query`
fn declare(statement: &str) -> Command {
    const WRONG: Command = Command::Refused("DECLARE needs a name, CURSOR FOR and a query; cursors go forward only");
    let mut scanner = Scanner { sql: statement, at: 0 };
    let (mut words, mut cursor, mut query) = (Vec::new(), None, None);
    while let Some((token, end)) = scanner.next_token() {
        match (token, &cursor) {
            (Token::Word(word), Some(_)) if word == "for" => {
                query = Some(statement[end..].trim());
                break;
            }
            (Token::Word(word), None) if words.is_empty() => words.push(word),
            (Token::Word(name) | Token::Quoted(name), None) => cursor = Some(name),
            (Token::Word(word), Some(_)) => words.push(word),
            _ => return WRONG,
        }
    }
    let options: Vec<&str> = words[1..].iter().map(String::as_str).filter(|w| *w != "binary").collect();
    let (before, after) = match options.iter().position(|word| *word == "cursor") {
        Some(at) => (&options[..at], &options[at + 1..]),
        None => return WRONG,
    };
    let hold = match after {
        [] | ["without", "hold"] => false,
        ["with", "hold"] => true,
        _ => return WRONG,
    };
    let forward = matches!(before, [] | ["insensitive" | "asensitive"] | ["no", "scroll"] | [_, "no", "scroll"]);
    match (cursor, query) {
        (Some(cursor), Some(query)) if forward && !query.is_empty() => {
            Command::Declare { cursor, hold, sql: query.to_owned() }
        }
        _ => WRONG,
    }
}

/// `FETCH [NEXT | [FORWARD] [n | ALL]] [FROM|IN] name`
fn fetch(head: &[Token]) -> Command {
    let mut rest: Vec<&Token> = head[1..].iter().collect();
    let Some(Token::Word(cursor) | Token::Quoted(cursor)) = rest.pop() else {
        return Command::Refused("FETCH needs the name of a cursor");
    };
    let words: Option<Vec<&str>> =
        rest.iter().map(|token| if let Token::Word(w) = token { Some(&**w) } else { None }).collect();
    let mut words = words.unwrap_or_else(|| vec!["?"]);
    words.retain(|word| !matches!(*word, "from" | "in" | "forward"));
    let count = match words.as_slice() {
        [] | ["next"] => Some(Count::Rows(1)),
        ["all"] => Some(Count::All),
        [number] => number.parse().ok().map(Count::Rows),
        _ => None,
    };
    match count {
        Some(count) => Command::Fetch { cursor: cursor.clone(), count },
        None => Command::Refused("a cursor goes forward only: FETCH [FORWARD] n FROM name"),
    }
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
        let Some((token, _)) = scanner.next_token() else { break };
        found.push(token);
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
    /// The next token and where it ends.
    fn next_token(&mut self) -> Option<(Token, usize)> {
        loop {
            let from = self.at;
            let piece = self.next_piece()?;
            let text = &self.sql[from..self.at];
            let token = match piece {
                Piece::Space | Piece::Comment => continue,
                Piece::Word => Token::Word(text.to_lowercase()),
                Piece::String => Token::Quoted(unquote(text, '\'')),
                Piece::Identifier => Token::Quoted(unquote(text, '"')),
                Piece::Dollar => Token::Quoted(text.to_owned()),
                Piece::Semicolon => Token::Symbol(';'),
                Piece::Symbol => Token::Symbol(text.chars().next()?),
            };
            return Some((token, self.at));
        }
    }

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

    #[test]
    fn cursors_and_savepoints() {
        let declare = |hold| Command::Declare { cursor: "My".into(), hold, sql: "select 'for' for update".into() };
        assert_eq!(command("DECLARE \"My\" CURSOR FOR select 'for' for update"), declare(false));
        assert_eq!(command("declare \"My\" no scroll cursor with hold for select 'for' for update"), declare(true));
        assert!(matches!(command("declare c scroll cursor for select 1"), Command::Refused(_)));
        assert!(matches!(command("declare c cursor for"), Command::Refused(_)));
        let fetch = |count| Command::Fetch { cursor: "c".into(), count };
        assert_eq!(command("FETCH FORWARD 100 FROM \"c\""), fetch(Count::Rows(100)));
        assert_eq!(command("fetch c"), fetch(Count::Rows(1)));
        assert_eq!(command("fetch all in c"), fetch(Count::All));
        assert!(matches!(command("fetch backward 3 from c"), Command::Refused(_)));
        assert!(matches!(command("fetch -1 from c"), Command::Refused(_)));
        assert_eq!(command("close all"), Command::Close(None));
        assert_eq!(command("ROLLBACK TO SAVEPOINT \"s 1\""), Command::RollbackTo("s 1".into()));
        assert_eq!(command("rollback work to s1"), Command::RollbackTo("s1".into()));
        assert_eq!(command("rollback"), Command::Rollback);
        assert_eq!(command("release s1"), Command::Release("s1".into()));
    }
}
