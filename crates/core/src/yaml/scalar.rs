//! Plain scalars by the YAML 1.2 core schema.

use super::NodeKind;

/// What an unquoted scalar is.
pub(super) fn resolve(text: &str) -> NodeKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => NodeKind::Null,
        "true" | "True" | "TRUE" => NodeKind::Bool(true),
        "false" | "False" | "FALSE" => NodeKind::Bool(false),
        _ if is_number(text) => NodeKind::Number(text.to_owned()),
        _ => NodeKind::Text(text.to_owned()),
    }
}

pub(super) fn is_number(text: &str) -> bool {
    integer_digits(text).is_some() || is_decimal(text) || non_finite(text).is_some()
}

/// The value of an integer scalar; `None` for other numbers and for more than 128 bits.
pub(super) fn integer(text: &str) -> Option<i128> {
    let (radix, digits) = integer_digits(text)?;
    i128::from_str_radix(digits.strip_prefix('+').unwrap_or(digits), radix).ok()
}

fn integer_digits(text: &str) -> Option<(u32, &str)> {
    if let Some(hex) = text.strip_prefix("0x") {
        return (!hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit())).then_some((16, hex));
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return (!octal.is_empty() && octal.bytes().all(|b| matches!(b, b'0'..=b'7'))).then_some((8, octal));
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some((10, text))
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let mantissa_holds = match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_holds = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_holds && exponent_holds
}

fn non_finite(text: &str) -> Option<f64> {
    let (sign, rest) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    match rest {
        ".inf" | ".Inf" | ".INF" => Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if rest.len() == text.len() => Some(f64::NAN),
        _ => None,
    }
}

pub(super) fn to_json(text: &str) -> serde_json::Value {
    use serde_json::Value;
    if let Some(value) = integer(text) {
        return match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => Value::from(value),
            (_, Ok(value)) => Value::from(value),
            _ => Value::String(text.to_owned()),
        };
    }
    let float = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
    float.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}
