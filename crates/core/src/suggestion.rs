//! "Did you mean": the known word closest to what was written.

/// The closest of `known`, if it is close enough to be what was meant.
pub fn closest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Distance is quadratic in length; nobody means a word by a text of that size.
    if written.len() > 128 {
        return None;
    }
    let folded = fold(written);
    let allowed = (folded.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|word| word.len() <= 128 && *word != written)
        .map(|word| (strsim::damerau_levenshtein(&folded, &fold(word)), word))
        .filter(|(distance, word)| *distance <= allowed && *distance < word.chars().count())
        .min()
        .map(|(_, word)| word)
}

/// `Did you mean …?` with the closest word, else the whole list when it is short enough to read.
pub fn hint<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(word) = closest(written, known.iter().copied()) {
        return Some(format!("Did you mean `{word}`?"));
    }
    match known.len() {
        0 => None,
        1..=12 => Some(format!("Known here: {}.", listing(&known))),
        more => Some(format!("Known here: {} and {} more.", listing(&known[..10]), more - 10)),
    }
}

fn listing(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{}`", word.escape_debug())).collect::<Vec<_>>().join(", ")
}

/// Case, `-`, `_` and blanks are what people mix up most.
fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["lead_id", "source", "score", "created_at"];
        for (written, expected) in [
            ("lead_di", Some("lead_id")),
            ("leadId", Some("lead_id")),
            ("SCORE", Some("score")),
            ("sorce", Some("source")),
            ("score", None),
            ("x", None),
            ("", None),
            ("customer", None),
        ] {
            assert_eq!(closest(written, known), expected, "{written}");
        }
        assert_eq!(hint("sorce", known).unwrap(), "Did you mean `source`?");
        assert_eq!(hint("customer", ["a", "b"]).unwrap(), "Known here: `a`, `b`.");
        assert_eq!(hint("customer", []), None);
    }
}
