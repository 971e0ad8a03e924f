//! "Did you mean" out of serde's messages.

use meshwork_core::suggestion;

/// From "unknown field `a`, expected one of `b`, `c`": a hint with the nearest of those expected.
pub fn from_serde(message: &str) -> Option<String> {
    let (before, expected) = message.split_once(", expected ")?;
    let written = quoted(before.strip_prefix("unknown ")?).next()?;
    suggestion::hint(written, quoted(expected))
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_of_those_expected() {
        let hint = from_serde("unknown field `sqll`, expected one of `sql`, `purpose`");
        assert_eq!(hint.as_deref(), Some("Did you mean `sql`?"));
        assert_eq!(from_serde("invalid type: map"), None);
    }
}
