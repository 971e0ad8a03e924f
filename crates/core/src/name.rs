//! Names of domains, products, outputs and connections (D1), and of teams.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A checked name: `[a-z][a-z0-9_]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[a-z][a-z0-9_]{0,62}$"))]
pub struct Name(String);

impl Name {
    pub fn new(text: impl Into<String>) -> Result<Self, NameProblem> {
        let text = text.into();
        match problem(&text) {
            None => Ok(Self(text)),
            Some(why) => Err(NameProblem { text, why }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a team: `[a-z][a-z0-9._-]{0,62}`, with a letter or digit at its end. Teams are never identifiers in SQL; as
/// directories know them, their names may have `-` and `.` in them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[a-z]([a-z0-9._-]{0,61}[a-z0-9_])?$"))]
pub struct TeamName(String);

impl TeamName {
    pub fn new(text: impl Into<String>) -> Result<Self, NameProblem> {
        let text = text.into();
        let why = match problem(&text.replace(['-', '.'], "_")) {
            None if text.ends_with(['-', '.']) => "it must end with a letter, a digit or _",
            None => return Ok(Self(text)),
            Some(OTHER_LETTERS) => "it may hold only a to z, 0 to 9, `-`, `_` and `.`",
            Some(why) => why,
        };
        Err(NameProblem { text, why })
    }

    /// The team name nearest to a free text: `Data Platform` → `data-platform`.
    pub fn proposed(text: &str) -> Option<Self> {
        let mut name = String::new();
        for c in text.chars().take(63).map(|c| c.to_ascii_lowercase()) {
            match c {
                'a'..='z' | '0'..='9' | '_' | '.' => name.push(c),
                _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
                _ => {}
            }
        }
        let name = name.trim_end_matches(['-', '.']).trim_start_matches(|c: char| !c.is_ascii_lowercase());
        Self::new(name).ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameProblem {
    pub text: String,
    pub why: &'static str,
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a name: {}", self.text.escape_debug(), self.why)
    }
}

impl std::error::Error for NameProblem {}

const OTHER_LETTERS: &str = "it may hold only a to z, 0 to 9 and _";

fn problem(text: &str) -> Option<&'static str> {
    let mut bytes = text.bytes();
    match bytes.next() {
        None => return Some("it is empty"),
        Some(b'a'..=b'z') => {}
        Some(_) => return Some("it must start with a letter a to z"),
    }
    if !bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Some(OTHER_LETTERS);
    }
    (text.len() > 63).then_some("it is longer than 63 characters")
}

/// Whether a name ends like a served major (`orders_v2`); output names must not, as SQL reads it so (D3).
pub fn split_major(table: &str) -> Option<(&str, u32)> {
    let (stem, digits) = table.rsplit_once("_v")?;
    let plain = !stem.is_empty() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok().map(|major| (stem, major))).flatten()
}

/// A name of any kind as an identifier of SQL, in double quotes.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

macro_rules! checked_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = NameProblem;
            fn try_from(text: String) -> Result<Self, NameProblem> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }
        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
    };
}

checked_text!(Name);
checked_text!(TeamName);

/// Every name is a team's name too.
impl From<Name> for TeamName {
    fn from(name: Name) -> Self {
        Self(name.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers_and_teams_may_have_signs_between() {
        for both in ["a", "sales_team", "t2"] {
            assert!(Name::new(both).is_ok() && TeamName::new(both).is_ok(), "{both}");
        }
        for team in ["marketing-team", "data.platform", "acme-data_eng.eu"] {
            assert!(Name::new(team).is_err() && TeamName::new(team).is_ok(), "{team}");
        }
        let long = "a".repeat(64);
        for neither in
            ["", "-team", "team-", "team.", "Team", "2team", "a team", "a\"b", "a'b", "a:b", "a/b", "ä", &long]
        {
            assert!(Name::new(neither).is_err() && TeamName::new(neither).is_err(), "{neither}");
        }
        assert_eq!(TeamName::proposed("Data Platform (EU)").expect("one"), "data-platform-eu");
        assert_eq!(TeamName::proposed("42"), None);
    }
}
