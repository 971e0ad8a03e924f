//! The form of texts: which kinds of characters stand where. One form in all values is a pattern.

/// Longest text whose form is looked at.
const LONGEST: usize = 24;
/// So many forms are kept apart; more are no pattern.
const MOST: usize = 8;

/// The forms of a column's texts so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shapes {
    forms: Vec<Vec<(Class, u32)>>,
    /// A text without a form, or too many forms.
    formless: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Digit,
    Upper,
    Lower,
    /// A sign that stands for itself.
    Sign(char),
}

impl Shapes {
    pub fn add(&mut self, text: &str) {
        if self.formless {
            return;
        }
        match form(text) {
            Some(form) if self.forms.contains(&form) => {}
            Some(form) if self.forms.len() < MOST => self.forms.push(form),
            _ => {
                self.formless = true;
                self.forms.clear();
            }
        }
    }

    /// A regular expression that all texts meet; `None` where they have no common form that says anything.
    pub fn pattern(&self) -> Option<String> {
        if self.formless {
            return None;
        }
        let classes = |form: &[(Class, u32)]| form.iter().map(|(class, _)| *class).collect::<Vec<_>>();
        let first = self.forms.first()?;
        // Same kinds in the same order; how many of each may differ.
        if self.forms.iter().any(|form| classes(form) != classes(first)) {
            return None;
        }
        // Digits alone are a number, letters alone a word: neither is a form, unless its length never differs.
        let telling = first.len() > 1 || (self.forms.len() == 1 && first[0].0 != Class::Lower && first[0].1 <= 12);
        if !telling || first.iter().all(|(class, _)| matches!(class, Class::Lower | Class::Sign(_))) {
            return None;
        }
        let mut pattern = "^".to_owned();
        for (at, (class, _)) in first.iter().enumerate() {
            let counts = || self.forms.iter().map(|form| form[at].1);
            let (least, most) = (counts().min().unwrap_or(1), counts().max().unwrap_or(1));
            match class {
                Class::Digit => pattern.push_str("[0-9]"),
                Class::Upper => pattern.push_str("[A-Z]"),
                Class::Lower => pattern.push_str("[a-z]"),
                Class::Sign(sign) => pattern.push_str(&regex::escape(&sign.to_string())),
            }
            match (least, most) {
                (1, 1) => {}
                (least, most) if least == most => pattern.push_str(&format!("{{{least}}}")),
                (least, most) => pattern.push_str(&format!("{{{least},{most}}}")),
            }
        }
        pattern.push('$');
        Some(pattern)
    }
}

fn form(text: &str) -> Option<Vec<(Class, u32)>> {
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let mut form: Vec<(Class, u32)> = Vec::new();
    for c in text.chars() {
        let class = match c {
            '0'..='9' => Class::Digit,
            'A'..='Z' => Class::Upper,
            'a'..='z' => Class::Lower,
            '-' | '_' | '/' | '.' | ':' | '#' | '+' => Class::Sign(c),
            _ => return None,
        };
        match form.last_mut() {
            Some((last, count)) if *last == class => *count += 1,
            _ => form.push((class, 1)),
        }
    }
    Some(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(texts: &[&str]) -> Option<String> {
        let mut shapes = Shapes::default();
        texts.iter().for_each(|text| shapes.add(text));
        shapes.pattern()
    }

    #[test]
    fn one_form_is_a_pattern_that_all_texts_meet() {
        for (texts, expected) in [
            (&["N10156", "N1"][..], Some("^[A-Z][0-9]{1,5}$")),
            (&["AB-12", "XY-99"], Some("^[A-Z]{2}\\-[0-9]{2}$")),
            (&["EWR", "JFK"], Some("^[A-Z]{3}$")),
            (&["EWR", "A"], None),
            (&["anna", "bert"], None),
            (&["a b"], None),
            (&["x1", "1x"], None),
        ] {
            let found = pattern(texts);
            assert_eq!(found.as_deref(), expected, "{texts:?}");
            if let Some(found) = found {
                let regex = regex::Regex::new(&found).unwrap();
                assert!(texts.iter().all(|text| regex.is_match(text)));
            }
        }
    }
}
