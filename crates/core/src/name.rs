//! Names of domains, products, outputs and connections (D1).

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

fn problem(text: &str) -> Option<&'static str> {
    let mut bytes = text.bytes();
    match bytes.next() {
        None => return Some("it is empty"),
        Some(b'a'..=b'z') => {}
        Some(_) => return Some("it must start with a letter a to z"),
    }
    if !bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Some("it may hold only a to z, 0 to 9 and _");
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

impl TryFrom<String> for Name {
    type Error = NameProblem;
    fn try_from(text: String) -> Result<Self, NameProblem> {
        Self::new(text)
    }
}
impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}
impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}
impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}
impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}
