//! Durations and shares as people write them in SLAs.

use crate::decimal::Decimal;

/// Seconds of `15 minutes`, `1.5 h`, `2 days`, `PT15M`, `P1DT12H`, or of a number with a unit of its own.
/// `m` is minutes; a month is 30 days and a year 365.
pub fn seconds(value: &str, unit: Option<&str>) -> Option<f64> {
    let value = value.trim();
    if let Some(unit) = unit {
        return Some(amount(value)? * unit_seconds(unit.trim())?);
    }
    if let Some(iso) = value.strip_prefix('P') {
        return iso_seconds(iso);
    }
    let split = value.find(|c: char| !(c.is_ascii_digit() || c == '.')).filter(|at| *at > 0)?;
    let (number, unit) = value.split_at(split);
    Some(amount(number)? * unit_seconds(unit.trim())?)
}

fn amount(text: &str) -> Option<f64> {
    let decimal = Decimal::parse(text).filter(|d| !d.is_negative())?;
    decimal.to_string().parse().ok()
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit.to_lowercase().as_str() {
        "ms" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "wk" | "week" | "weeks" => 604_800.0,
        "mo" | "month" | "months" => 2_592_000.0,
        "y" | "yr" | "yrs" | "year" | "years" => 31_536_000.0,
        _ => return None,
    })
}

fn iso_seconds(text: &str) -> Option<f64> {
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    let mut total = 0.0;
    let mut parts = 0;
    for (part, units) in [
        (date, &[('Y', 31_536_000.0), ('M', 2_592_000.0), ('W', 604_800.0), ('D', 86_400.0)][..]),
        (time.unwrap_or_default(), &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)][..]),
    ] {
        let mut number = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() || c == '.' {
                number.push(c);
            } else {
                let (_, seconds) = units.iter().find(|(letter, _)| *letter == c)?;
                total += amount(&number)? * seconds;
                number.clear();
                parts += 1;
            }
        }
        if !number.is_empty() {
            return None;
        }
    }
    (parts > 0 && time != Some("")).then_some(total)
}

/// A share of one: `99.5%`, `99.5` with the unit percent, `0.995`. Without `%` or unit, up to 1 is a share, above it a
/// percentage.
pub fn share(value: &str, unit: Option<&str>) -> Option<f64> {
    let value = value.trim();
    let (number, percent) = match value.strip_suffix('%') {
        Some(number) => (number.trim_end(), true),
        None => {
            (value, unit.is_some_and(|unit| matches!(unit.trim().to_lowercase().as_str(), "%" | "percent" | "pct")))
        }
    };
    let decimal = Decimal::parse(number).filter(|d| !d.is_negative())?;
    let percent = percent || unit.is_none() && decimal > Decimal::from(1);
    let limit = if percent { 100 } else { 1 };
    if decimal > Decimal::from(limit) {
        return None;
    }
    // Shifted as a decimal, so that 99.5 % is 0.995 and not its neighbour.
    let shifted = if percent { format!("{decimal}e-2") } else { decimal.to_string() };
    shifted.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (value, unit, expected) in [
            ("15 minutes", None, Some(900.0)),
            ("15m", None, Some(900.0)),
            ("1.5 h", None, Some(5400.0)),
            ("2", Some("days"), Some(172_800.0)),
            ("PT15M", None, Some(900.0)),
            ("P1DT12H", None, Some(129_600.0)),
            ("P1M", None, Some(2_592_000.0)),
            ("15", None, None),
            ("fifteen minutes", None, None),
            ("-1 day", None, None),
            ("15 fortnights", None, None),
            ("P", None, None),
            ("PT", None, None),
            ("P1DT", None, None),
            ("PT5", None, None),
            ("", None, None),
        ] {
            assert_eq!(seconds(value, unit), expected, "{value} {unit:?}");
        }
    }

    #[test]
    fn shares() {
        for (value, unit, expected) in [
            ("99.5%", None, Some(0.995)),
            ("99.5 %", None, Some(0.995)),
            ("99.9", Some("percent"), Some(0.999)),
            ("0.5", Some("percent"), Some(0.005)),
            ("0.995", None, Some(0.995)),
            ("99.5", None, Some(0.995)),
            ("1", None, Some(1.0)),
            ("101%", None, None),
            ("-1%", None, None),
            ("always", None, None),
        ] {
            assert_eq!(share(value, unit), expected, "{value} {unit:?}");
        }
    }
}
