//! Exact decimal numbers: what people write in contracts, compared without a detour over binary floats.

use std::cmp::Ordering;
use std::fmt;

/// A decimal number in normal form: `0.d₁d₂d₃… × 10^exponent`, neither leading nor trailing zeros, zero without digits
/// and sign. Equal numbers are equal values, however they were written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

/// Longest number text that is read: bounds memory and the exponent's arithmetic.
const MAX_LENGTH: usize = 1_000;

impl Decimal {
    /// Reads `-12.50`, `.5`, `5.`, `+1e-3`. No underscores, no hexadecimal, no infinity, no NaN.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, power.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = || whole.bytes().chain(fraction.bytes());
        if whole.is_empty() && fraction.is_empty() || !all().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits: Vec<u8> = all().map(|b| b - b'0').collect();
        Some(Self::normal(negative, digits, whole.len() as i64 + i64::from(power)))
    }

    fn normal(negative: bool, mut digits: Vec<u8>, mut exponent: i64) -> Self {
        let leading = digits.iter().take_while(|d| **d == 0).count();
        digits.drain(..leading);
        exponent -= leading as i64;
        while digits.last() == Some(&0) {
            digits.pop();
        }
        match digits.is_empty() {
            true => Self { negative: false, digits, exponent: 0 },
            false => Self { negative, digits, exponent },
        }
    }

    /// The shortest decimal that reads back as this float; None for infinities and NaN.
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then(|| Self::parse(&value.to_string())).flatten()
    }

    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    pub fn is_negative(&self) -> bool {
        self.negative
    }

    pub fn is_integer(&self) -> bool {
        self.exponent >= self.digits.len() as i64
    }

    /// Digits after the decimal point.
    pub fn scale(&self) -> u64 {
        u64::try_from(self.digits.len() as i64 - self.exponent).unwrap_or(0)
    }

    /// Digits before the decimal point; 0 for numbers below one.
    pub fn whole_digits(&self) -> u64 {
        u64::try_from(self.exponent).unwrap_or(0)
    }

    /// Whether this is a whole multiple of `factor`; None where the numbers are too large to say, or the factor is zero.
    pub fn is_multiple_of(&self, factor: &Self) -> Option<bool> {
        if factor.is_zero() {
            return None;
        }
        if self.is_zero() {
            return Some(true);
        }
        let unit = |d: &Self| d.exponent - d.digits.len() as i64;
        let common = unit(self).min(unit(factor));
        let zeros = |d: &Self| usize::try_from(unit(d) - common).ok().filter(|zeros| *zeros <= 2 * MAX_LENGTH);
        let mut divisor: u128 = 0;
        for digit in factor.digits.iter().copied().chain(std::iter::repeat_n(0, zeros(factor)?)) {
            divisor = divisor.checked_mul(10)?.checked_add(u128::from(digit))?;
        }
        let mut rest: u128 = 0;
        for digit in self.digits.iter().copied().chain(std::iter::repeat_n(0, zeros(self)?)) {
            rest = rest.checked_mul(10)?.checked_add(u128::from(digit))? % divisor;
        }
        Some(rest == 0)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = || match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Digits are a fraction below one without trailing zeros, so their order as lists is their order as numbers.
            (false, false) => self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits)),
        };
        match (self.negative, other.negative) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => magnitude(),
            (true, true) => magnitude().reverse(),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        let digits: Vec<u8> = value.unsigned_abs().to_string().bytes().map(|b| b - b'0').collect();
        let exponent = digits.len() as i64;
        Self::normal(value < 0, digits, exponent)
    }
}

impl fmt::Display for Decimal {
    /// Plain notation for numbers of ordinary size, otherwise with an exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        let text: String = self.digits.iter().map(|d| char::from(b'0' + d)).collect();
        let length = text.len() as i64;
        match self.exponent {
            e if !(-40..=40).contains(&e) => write!(f, "0.{text}e{e}"),
            e if e <= 0 => write!(f, "0.{}{text}", "0".repeat(e.unsigned_abs() as usize)),
            e if e >= length => write!(f, "{text}{}", "0".repeat((e - length) as usize)),
            e => write!(f, "{}.{}", &text[..e as usize], &text[e as usize..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn equal_however_written() {
        for (a, b) in [("0.10", ".1"), ("1e3", "1000"), ("-0", "0.00"), ("5.", "+5"), ("0.001e3", "1")] {
            assert_eq!(decimal(a), decimal(b), "{a} = {b}");
        }
    }

    #[test]
    fn ordered_without_float_error() {
        let ascending =
            ["-1e400", "-10", "-0.0001", "0", "0.1", "0.10000000000000000001", "9", "9007199254740993", "1e400"];
        for pair in ascending.windows(2) {
            assert!(decimal(pair[0]) < decimal(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn refuses_what_is_not_a_decimal() {
        for text in ["", "-", ".", "1_000", "0x10", "inf", "NaN", "1e", "1.2.3", "1e99999999999"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn multiples() {
        for (value, factor, expected) in [
            ("10", "5", Some(true)),
            ("0.3", "0.1", Some(true)),
            ("0.35", "0.1", Some(false)),
            ("1e30", "7", Some(false)),
            ("0", "7", Some(true)),
            ("1", "0", None),
            ("1e90000", "3", None),
        ] {
            assert_eq!(decimal(value).is_multiple_of(&decimal(factor)), expected, "{value} by {factor}");
        }
    }

    #[test]
    fn shows_plain_numbers() {
        for (written, shown) in [("1e3", "1000"), ("-0.050", "-0.05"), ("12.340", "12.34"), ("0", "0")] {
            assert_eq!(decimal(written).to_string(), shown);
        }
        assert_eq!((decimal("12.50").scale(), decimal("12.50").whole_digits()), (1, 2));
    }
}
