//! Patterns. Most of what contracts say is a sequence of kinds of characters between `^` and `$`, such as
//! `^[A-Z]{2}-[0-9]{4,8}$`; that is compared byte by byte, many times faster than a general expression is searched.

use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    sequence: Option<Sequence>,
}

impl Pattern {
    pub fn new(pattern: &str) -> Result<Self, String> {
        let regex = regex::RegexBuilder::new(pattern)
            .size_limit(1 << 20)
            .build()
            .map_err(|_| "the pattern is not a valid regular expression".to_owned())?;
        Ok(Self { regex, sequence: Sequence::of(pattern) })
    }

    pub fn is_match(&self, text: &str) -> bool {
        match &self.sequence {
            Some(sequence) => sequence.matches(text.as_bytes()),
            None => self.regex.is_match(text),
        }
    }
}

/// ASCII characters, each part as long as it can be.
///
/// Invariant: what follows a part of variable length cannot begin with a character of it, so taking as many as there are is
/// the only way to match.
#[derive(Debug)]
struct Sequence(Vec<Part>);

#[derive(Clone, Debug)]
struct Part {
    class: [bool; 256],
    min: usize,
    max: usize,
}

impl Sequence {
    fn of(pattern: &str) -> Option<Self> {
        let hir = regex_syntax::parse(pattern).ok()?;
        let HirKind::Concat(items) = hir.kind() else { return None };
        let [first, inner @ .., last] = items.as_slice() else { return None };
        if !matches!(first.kind(), HirKind::Look(Look::Start)) || !matches!(last.kind(), HirKind::Look(Look::End)) {
            return None;
        }
        let mut parts = Vec::new();
        for item in inner {
            add(item, &mut parts)?;
        }
        let clear = |at: usize| {
            let part: &Part = &parts[at];
            part.min == part.max || {
                let rest = &parts[at + 1..];
                let until = rest.iter().position(|next| next.min > 0).map_or(rest.len(), |at| at + 1);
                rest[..until].iter().all(|next| (0..256).all(|byte| !(part.class[byte] && next.class[byte])))
            }
        };
        (0..parts.len()).all(clear).then_some(Self(parts))
    }

    fn matches(&self, text: &[u8]) -> bool {
        let mut rest = text;
        for part in &self.0 {
            let most = rest.len().min(part.max);
            let taken = rest[..most].iter().take_while(|byte| part.class[usize::from(**byte)]).count();
            if taken < part.min {
                return false;
            }
            rest = &rest[taken..];
        }
        rest.is_empty()
    }
}

fn add(item: &Hir, parts: &mut Vec<Part>) -> Option<()> {
    match item.kind() {
        HirKind::Literal(literal) => {
            for byte in &*literal.0 {
                let mut class = [false; 256];
                *class.get_mut(usize::from(*byte)).filter(|_| byte.is_ascii())? = true;
                parts.push(Part { class, min: 1, max: 1 });
            }
        }
        HirKind::Class(class) => parts.push(Part { class: ascii(class)?, min: 1, max: 1 }),
        HirKind::Repetition(repeated) => {
            let mut inner = Vec::new();
            add(&repeated.sub, &mut inner)?;
            let [one] = inner.as_slice() else { return None };
            let max = repeated.max.map_or(usize::MAX, |max| max as usize);
            // Lazy or greedy is the same where there is one way only.
            parts.push(Part { class: one.class, min: repeated.min as usize, max });
        }
        HirKind::Capture(group) => match group.sub.kind() {
            HirKind::Concat(items) => {
                for item in items {
                    add(item, parts)?;
                }
            }
            _ => add(&group.sub, parts)?,
        },
        _ => return None,
    }
    Some(())
}

fn ascii(class: &Class) -> Option<[bool; 256]> {
    let mut found = [false; 256];
    let mut fill =
        |start: u32, end: u32| (end < 128).then(|| (start..=end).for_each(|byte| found[byte as usize] = true));
    match class {
        Class::Unicode(class) => {
            class.iter().try_for_each(|range| fill(range.start().into(), range.end().into()))?;
        }
        Class::Bytes(class) => {
            class.iter().try_for_each(|range| fill(range.start().into(), range.end().into()))?;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_has_one_way_to_match_is_a_sequence() {
        for (pattern, sequence) in [
            ("^[A-Z]{2}-[0-9]{4,8}$", true),
            ("^SKU-([0-9]+)x?$", true),
            ("^[a-z]*[0-9]?[a-z]$", false),
            ("^[a-z]+[a-z]$", false),
            ("[A-Z]{2}", false),
            ("^a|b$", false),
            (r"^\d{4}$", false),
            ("^(?i)[a-z]{3}$", false),
            ("^(ab){2}$", false),
            ("^é$", false),
        ] {
            assert_eq!(Sequence::of(pattern).is_some(), sequence, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn a_sequence_and_the_expression_agree(text in "[A-Za-c0-3é\\-\n]{0,9}") {
            for pattern in ["^[A-Z]{2}-?[0-9]{1,3}$", "^[a-c]*-[0-9]+$", "^A[0-3]{2,}$", "^[a-c]{0,2}[0-3]{0,2}-?$", "^$"] {
                let pattern = Pattern::new(pattern).unwrap();
                prop_assert_eq!(pattern.is_match(&text), pattern.regex.is_match(&text), "{:?} {:?}", &pattern.regex, &text);
            }
        }
    }
}
