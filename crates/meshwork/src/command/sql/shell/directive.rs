//! Lines that speak to the shell itself: they begin with a dot.

use clap::ValueEnum;
use meshwork_core::error::{Error, Result};

use super::Format;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directive {
    Help,
    Quit,
    Tables,
    Schema(String),
    Timer(bool),
    Mode(Format),
    Rows(Option<usize>),
    Purpose(Option<String>),
    AsOf(Option<String>),
}

/// As typed, and what each does.
pub const DIRECTIVES: [(&str, &str); 9] = [
    (".tables", "the tables that you may query"),
    (".schema TABLE", "the columns of a table (`domain.output`)"),
    (".mode table|json|jsonl|yaml|csv", "how answers are shown"),
    (".rows N|all", "how many rows of a table are shown"),
    (".timer on|off", "show how long each statement took"),
    (".purpose [PURPOSE]", "what the next statements are for; none takes it back"),
    (".as-of [WHEN]", "read the mesh as it was: RFC 3339, or a date; none means now"),
    (".help", "this list"),
    (".quit", "leave, as ctrl-d does"),
];

/// `\d` and its like are what fingers know from psql.
pub fn is_one(text: &str) -> bool {
    text.starts_with(['.', '\\'])
}

impl Directive {
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim().trim_end_matches(';').trim_end();
        let (name, value) = text.split_once(char::is_whitespace).map_or((text, ""), |(n, v)| (n, v.trim()));
        let optional = || (!value.is_empty()).then(|| value.to_owned());
        Ok(match (name, value) {
            (".help" | "\\?", "") => Self::Help,
            (".quit" | ".exit" | "\\q", "") => Self::Quit,
            (".tables" | "\\dt" | "\\d", "") => Self::Tables,
            (".schema" | "\\d", table) if !table.is_empty() => Self::Schema(table.to_owned()),
            (".timer" | "\\timing", "on") => Self::Timer(true),
            (".timer" | "\\timing", "off") => Self::Timer(false),
            (".mode", format) => match Format::from_str(format, true) {
                Ok(format) if format != Format::Parquet => Self::Mode(format),
                _ => return Err(misused(".mode")),
            },
            (".rows", "all") => Self::Rows(None),
            (".rows", number) => match number.parse() {
                Ok(number) if number > 0 => Self::Rows(Some(number)),
                _ => return Err(misused(".rows")),
            },
            (".purpose", _) => Self::Purpose(optional()),
            (".as-of", _) => Self::AsOf(optional()),
            (name, _) => return Err(misused(name)),
        })
    }
}

fn misused(name: &str) -> Error {
    match DIRECTIVES.iter().find(|(form, _)| form.split(' ').next() == Some(name)) {
        Some((form, _)) => Error::usage("MW1052", format!("write `{form}`")),
        None => Error::usage("MW1052", format!("the shell does not know `{}`", name.escape_debug()))
            .hint("`.help` lists what it knows"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read() {
        let of = |text: &str| Directive::parse(text).map_err(|error| error.code);
        assert_eq!(of(".tables"), Ok(Directive::Tables));
        assert_eq!(of(".schema  shop.orders;"), Ok(Directive::Schema("shop.orders".to_owned())));
        assert_eq!(of("\\d shop.orders"), Ok(Directive::Schema("shop.orders".to_owned())));
        assert_eq!(of(".timer on"), Ok(Directive::Timer(true)));
        assert_eq!(of(".mode CSV"), Ok(Directive::Mode(Format::Csv)));
        assert_eq!(of(".rows all"), Ok(Directive::Rows(None)));
        assert_eq!(of(".as-of"), Ok(Directive::AsOf(None)));
        for wrong in [".schema", ".timer maybe", ".mode parquet", ".rows 0", ".nonsense", ".tables x"] {
            assert_eq!(of(wrong), Err("MW1052".to_owned()), "{wrong}");
        }
    }

    #[test]
    fn every_directive_of_the_list_is_one() {
        for (form, _) in DIRECTIVES {
            let name = form.split(' ').next().unwrap_or_default();
            let tried = ["", " on", " csv", " 5", " x"].map(|value| Directive::parse(&format!("{name}{value}")));
            assert!(tried.iter().any(Result::is_ok), "{name}");
        }
    }
}
