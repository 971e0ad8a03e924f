//! Date patterns: `yyyy-MM-dd HH:mm:ss` (JDK DateTimeFormatter, as ODCS has it) as strftime.

/// What a pattern reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    pub date: bool,
    pub time: bool,
    pub zone: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatePattern {
    /// strftime.
    pub text: String,
    pub reads: Reads,
}

/// The pattern as strftime, or what is wrong with it. A pattern that holds `%` is strftime already.
pub fn date_pattern(pattern: &str) -> Result<DatePattern, String> {
    if pattern.contains('%') {
        return strftime(pattern);
    }
    let chars: Vec<char> = pattern.chars().collect();
    let mut text = String::new();
    let mut reads = Reads::default();
    let mut at = 0;
    while at < chars.len() {
        let letter = chars[at];
        if letter == '\'' {
            at += quoted(&chars[at..], &mut text).ok_or("a quote is not closed")?;
            continue;
        }
        if !letter.is_ascii_alphabetic() {
            text.push(letter);
            at += 1;
            continue;
        }
        let run = chars[at..].iter().take_while(|c| **c == letter).count();
        let field = match (letter, run) {
            ('y' | 'u', 4) => "%Y",
            ('y' | 'u', 2) => "%y",
            ('M' | 'L', 1) => "%-m",
            ('M' | 'L', 2) => "%m",
            ('M' | 'L', 3) => "%b",
            ('M' | 'L', 4) => "%B",
            ('d', 1) => "%-d",
            ('d', 2) => "%d",
            ('D', 3) => "%j",
            ('E', 1..=3) => "%a",
            ('E', 4) => "%A",
            ('H', 1) => "%-H",
            ('H', 2) => "%H",
            ('h', 1) => "%-I",
            ('h', 2) => "%I",
            ('m', 1 | 2) => "%M",
            ('s', 1 | 2) => "%S",
            ('S' | 'n', 3) => "%3f",
            ('S' | 'n', 6) => "%6f",
            ('S' | 'n', 9) => "%9f",
            ('a', 1) => "%p",
            ('X' | 'x', 3) => "%:z",
            ('X' | 'x' | 'Z', 2 | 1) => "%z",
            ('Z', 3) => "%z",
            ('Z', 5) => "%:z",
            _ => return Err(format!("`{}` is not read here", letter.to_string().repeat(run))),
        };
        match letter {
            'y' | 'u' | 'M' | 'L' | 'd' | 'D' | 'E' => reads.date = true,
            'X' | 'x' | 'Z' => reads.zone = true,
            _ => reads.time = true,
        }
        text.push_str(field);
        at += run;
    }
    if reads == Reads::default() {
        return Err("it reads nothing".to_owned());
    }
    Ok(DatePattern { text, reads })
}

/// Copies a quoted literal; how many characters it took. `''` is one quote.
fn quoted(chars: &[char], text: &mut String) -> Option<usize> {
    if chars.get(1) == Some(&'\'') {
        text.push('\'');
        return Some(2);
    }
    let mut at = 1;
    loop {
        match (chars.get(at)?, chars.get(at + 1)) {
            ('\'', Some('\'')) => {
                text.push('\'');
                at += 2;
            }
            ('\'', _) => return Some(at + 1),
            (other, _) => {
                text.push(*other);
                at += 1;
            }
        }
    }
}

fn strftime(pattern: &str) -> Result<DatePattern, String> {
    let mut reads = Reads::default();
    for item in chrono::format::StrftimeItems::new(pattern) {
        use chrono::format::{Fixed, Item, Numeric};
        match item {
            Item::Error => return Err("it is not a strftime pattern".to_owned()),
            Item::Numeric(
                Numeric::Hour | Numeric::Hour12 | Numeric::Minute | Numeric::Second | Numeric::Nanosecond,
                _,
            ) => reads.time = true,
            Item::Numeric(Numeric::Timestamp, _) | Item::Fixed(Fixed::RFC2822 | Fixed::RFC3339) => {
                reads = Reads { date: true, time: true, zone: true };
            }
            Item::Numeric(..) => reads.date = true,
            Item::Fixed(
                Fixed::ShortMonthName | Fixed::LongMonthName | Fixed::ShortWeekdayName | Fixed::LongWeekdayName,
            ) => {
                reads.date = true;
            }
            Item::Fixed(
                Fixed::TimezoneName
                | Fixed::TimezoneOffset
                | Fixed::TimezoneOffsetColon
                | Fixed::TimezoneOffsetColonZ
                | Fixed::TimezoneOffsetDoubleColon
                | Fixed::TimezoneOffsetTripleColon
                | Fixed::TimezoneOffsetZ,
            ) => reads.zone = true,
            Item::Fixed(_) => reads.time = true,
            _ => {}
        }
    }
    match reads == Reads::default() {
        true => Err("it reads nothing".to_owned()),
        false => Ok(DatePattern { text: pattern.to_owned(), reads }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_strftime() {
        for (pattern, expected) in [
            ("yyyy-MM-dd", Ok("%Y-%m-%d")),
            ("dd.MM.yy", Ok("%d.%m.%y")),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", Ok("%Y-%m-%dT%H:%M:%S.%3f%:z")),
            ("h 'o''clock' a", Ok("%-I o'clock %p")),
            ("EEEE, d MMMM yyyy", Ok("%A, %-d %B %Y")),
            ("%d/%m/%Y", Ok("%d/%m/%Y")),
            ("yyyyy", Err("`yyyyy` is not read here")),
            ("yyyy 'x", Err("a quote is not closed")),
            ("---", Err("it reads nothing")),
            ("%Q", Err("it is not a strftime pattern")),
        ] {
            let found = date_pattern(pattern).map(|found| found.text);
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{pattern}");
        }
    }

    #[test]
    fn patterns_know_what_they_read() {
        let reads = |pattern| date_pattern(pattern).unwrap().reads;
        assert_eq!(reads("yyyy-MM-dd"), Reads { date: true, time: false, zone: false });
        assert_eq!(reads("HH:mm:ss"), Reads { date: false, time: true, zone: false });
        assert_eq!(reads("%Y-%m-%dT%H:%M:%S%z"), Reads { date: true, time: true, zone: true });
    }
}
