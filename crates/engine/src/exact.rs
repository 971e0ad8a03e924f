//! Decimal numbers as written, without binary rounding.

/// `mantissa × 10^-scale`, normalised so that the mantissa has no trailing zeros. `scale` may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    mantissa: i128,
    scale: i32,
}

impl Exact {
    pub fn new(mantissa: i128, scale: i32) -> Self {
        let (mut mantissa, mut scale) = (mantissa, scale);
        if mantissa == 0 {
            return Self { mantissa: 0, scale: 0 };
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Self { mantissa, scale }
    }

    /// Reads `-12.50`, `+3`, `.5`, `1e-3`. `None` for anything else, and for more than 38 significant digits.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, digits) = match number.as_bytes().first()? {
            b'-' => (true, &number[1..]),
            b'+' => (false, &number[1..]),
            _ => (false, number),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut mantissa: i128 = 0;
        let mut scale: i32 = 0;
        // Zeros are held back until a digit follows, so that `1.000…0` of any length is still one.
        let mut zeros: u32 = 0;
        for (at, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
            if !digit.is_ascii_digit() {
                return None;
            }
            if digit == b'0' {
                zeros += 1;
            } else {
                let shift = if mantissa == 0 { 1 } else { 10i128.checked_pow(zeros + 1)? };
                mantissa = mantissa.checked_mul(shift)?.checked_add(i128::from(digit - b'0'))?;
                zeros = 0;
                scale = i32::try_from(at + 1).ok()?.checked_sub(i32::try_from(whole.len()).ok()?)?;
            }
        }
        if mantissa == 0 {
            return Some(Self { mantissa: 0, scale: 0 });
        }
        let scale = scale.checked_sub(exponent)?;
        Some(Self::new(if negative { -mantissa } else { mantissa }, scale))
    }

    /// The shortest decimal that reads back as the same float: what a person would write for it.
    pub fn of_float(value: f64) -> Option<Self> {
        if value.is_finite() { Self::parse(&format!("{value:e}")) } else { None }
    }

    /// The mantissa at `scale` if the number is a whole multiple of `10^-scale`.
    pub fn at_scale(self, scale: i32) -> Option<i128> {
        if self.mantissa == 0 {
            return Some(0);
        }
        let shift = u32::try_from(scale.checked_sub(self.scale)?).ok()?;
        self.mantissa.checked_mul(10i128.checked_pow(shift)?)
    }

    /// The greatest whole multiple of `10^-scale` that is not above the number; saturates.
    pub fn floor_at(self, scale: i32) -> i128 {
        self.divided(scale, false)
    }

    /// The least whole multiple of `10^-scale` that is not below the number; saturates.
    pub fn ceil_at(self, scale: i32) -> i128 {
        self.divided(scale, true)
    }

    fn divided(self, scale: i32, up: bool) -> i128 {
        if self.scale <= scale {
            let sign = if self.mantissa < 0 { i128::MIN } else { i128::MAX };
            return self.at_scale(scale).unwrap_or(sign);
        }
        let drop = u32::try_from(self.scale - scale).unwrap_or(u32::MAX);
        let Some(divisor) = 10i128.checked_pow(drop) else {
            return match (up, self.mantissa < 0) {
                (true, false) => 1,
                (false, true) => -1,
                _ => 0,
            };
        };
        let floor = self.mantissa.div_euclid(divisor);
        if up && self.mantissa.rem_euclid(divisor) != 0 { floor + 1 } else { floor }
    }

    pub fn to_f64(self) -> f64 {
        format!("{}e{}", self.mantissa, -self.scale).parse().unwrap_or(f64::NAN)
    }

    /// Whether the number is `factor` times a whole number. `None` when the numbers are too far apart to tell.
    pub fn is_multiple_of(self, factor: Self) -> Option<bool> {
        if factor.mantissa == 0 {
            return Some(self.mantissa == 0);
        }
        let scale = self.scale.max(factor.scale);
        Some(self.at_scale(scale)? % factor.at_scale(scale)? == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_as_written() {
        for (text, expected) in [
            ("0", Some((0, 0))),
            ("-0.0001", Some((-1, 4))),
            ("12.50", Some((125, 1))),
            ("1e3", Some((1, -3))),
            ("1.5E-3", Some((15, 4))),
            (".5", Some((5, 1))),
            ("5.", Some((5, 0))),
            ("100", Some((1, -2))),
            ("1.000000000000000000000000000000000000000000000000", Some((1, 0))),
            ("", None),
            (".", None),
            ("1,5", None),
            ("0x10", None),
            ("NaN", None),
            ("1e", None),
            ("--1", None),
            ("1e99999999999", None),
        ] {
            assert_eq!(Exact::parse(text).map(|e| (e.mantissa, e.scale)), expected, "{text}");
        }
    }

    #[test]
    fn scales_without_loss_or_says_so() {
        let number = |text: &str| Exact::parse(text).expect(text);
        assert_eq!(number("1.25").at_scale(2), Some(125));
        assert_eq!(number("1.25").at_scale(1), None);
        assert_eq!(number("-1.25").floor_at(1), -13);
        assert_eq!(number("-1.25").ceil_at(1), -12);
        assert_eq!(number("0.5").ceil_at(0), 1);
        assert_eq!(number("1e-60").ceil_at(0), 1);
        assert_eq!(number("-1e-60").floor_at(0), -1);
        assert_eq!(number("1e60").floor_at(0), i128::MAX);
        assert_eq!(number("0.3").is_multiple_of(number("0.1")), Some(true));
        assert_eq!(number("0.35").is_multiple_of(number("0.1")), Some(false));
        assert_eq!(Exact::of_float(0.1).map(|e| (e.mantissa, e.scale)), Some((1, 1)));
    }
}
