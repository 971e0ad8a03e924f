//! The named text formats of contracts.

use std::net::{Ipv4Addr, Ipv6Addr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Email,
    Uuid,
    Uri,
    Hostname,
    Ipv4,
    Ipv6,
    Byte,
}

impl Format {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "email" => Self::Email,
            "uuid" => Self::Uuid,
            "uri" | "url" => Self::Uri,
            "hostname" => Self::Hostname,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "byte" => Self::Byte,
            _ => return None,
        })
    }

    pub fn matches(self, text: &str) -> bool {
        match self {
            Self::Email => is_email(text),
            Self::Uuid => text.len() == 36 && uuid::Uuid::try_parse(text).is_ok(),
            Self::Uri => url::Url::parse(text).is_ok() && !text.contains(char::is_whitespace),
            Self::Hostname => is_hostname(text),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Byte => decode_base64(text).is_some(),
        }
    }
}

/// What mail servers accept in practice: a dot-atom, an at sign, a host name with a dot.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let atom =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c));
    text.len() <= 254 && local.len() <= 64 && local.split('.').all(atom) && domain.contains('.') && is_hostname(domain)
}

/// RFC 1123; letters of any script, as in internationalised names.
fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    !text.is_empty() && text.len() <= 253 && text.split('.').all(label)
}

/// Standard alphabet, padded; whitespace is not ignored.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    let padding = bytes.iter().rev().take(2).take_while(|b| **b == b'=').count();
    let digits = &bytes[..bytes.len() - padding];
    let mut decoded = Vec::with_capacity(bytes.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count & 0xFF) as u8);
        }
    }
    // Bits that stand for nothing must be zero, or two texts would mean the same bytes.
    (bits & ((1 << count) - 1) == 0).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for (format, text, expected) in [
            ("email", "ada@example.org", true),
            ("email", "ada.l+x@mail.example.org", true),
            ("email", "ada@localhost", false),
            ("email", "ada.example.org", false),
            ("email", "a b@example.org", false),
            ("email", "ada@@example.org", false),
            ("email", ".ada@example.org", false),
            ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", true),
            ("uuid", "6ba7b8109dad11d180b400c04fd430c8", false),
            ("uri", "https://example.org/a?b#c", true),
            ("uri", "example.org", false),
            ("hostname", "example.org", true),
            ("hostname", "-example.org", false),
            ("ipv4", "10.0.0.1", true),
            ("ipv4", "10.0.0.256", false),
            ("ipv6", "::1", true),
            ("ipv6", "10.0.0.1", false),
            ("byte", "aGk=", true),
            ("byte", "aGl=", false),
            ("byte", "aGk", false),
            ("byte", "", true),
        ] {
            let parsed = Format::named(format).expect(format);
            assert_eq!(parsed.matches(text), expected, "{format} {text}");
        }
        assert_eq!(decode_base64("aGVsbG8="), Some(b"hello".to_vec()));
        assert_eq!(Format::named("colour"), None);
    }
}
