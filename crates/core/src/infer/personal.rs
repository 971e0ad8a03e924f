//! Likely personal data, by what values look like and by what a column is called. A hint for people: what is found here is
//! masked until its owner says otherwise, what is not found may be personal all the same.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::name::words;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Personal {
    Email,
    Phone,
    Iban,
    Card,
    NationalId,
    Ip,
    PersonName,
    BirthDate,
    Address,
    Location,
}

impl Personal {
    /// The kinds that values alone can show.
    pub const BY_VALUE: [Self; 7] =
        [Self::Email, Self::Phone, Self::Iban, Self::Card, Self::NationalId, Self::Ip, Self::PersonName];

    pub fn words(self) -> &'static str {
        match self {
            Self::Email => "e-mail addresses",
            Self::Phone => "phone numbers",
            Self::Iban => "IBANs",
            Self::Card => "card numbers",
            Self::NationalId => "national identity numbers",
            Self::Ip => "IP addresses",
            Self::PersonName => "names of people",
            Self::BirthDate => "birth dates",
            Self::Address => "postal addresses",
            Self::Location => "where someone is",
        }
    }

    /// Whether a value has the form of this kind. Check digits are computed where the kind has them.
    pub fn matches(self, text: &str) -> bool {
        let text = text.trim();
        match self {
            Self::Email => is_email(text),
            Self::Phone => is_phone(text),
            Self::Iban => is_iban(text),
            Self::Card => is_card(text),
            Self::NationalId => is_national_id(text),
            Self::Ip => is_ip(text.split_once('/').map_or(text, |(address, _)| address)),
            Self::PersonName => is_person_name(text),
            Self::BirthDate | Self::Address | Self::Location => false,
        }
    }

    /// What a column's name hints at. `table` tells whose name a plain `name` is.
    pub fn by_name(column: &str, table: &str) -> Option<Self> {
        let words = words(column);
        let has = |word: &str| words.iter().any(|w| w == word);
        let joined = words.join("_");
        let any = |names: &[&str]| names.iter().any(|name| joined == *name || joined.ends_with(&format!("_{name}")));
        // Flags, counts and times about a thing are not the thing.
        if ["is", "has", "count", "num", "verified", "type", "sent", "status", "opt"].iter().any(|word| has(word)) {
            return None;
        }
        if has("email") || has("mail") && !has("mailing") || joined.contains("e_mail") {
            return Some(Self::Email);
        }
        if any(&["phone", "telephone", "mobile", "fax", "cell", "phone_number", "msisdn", "tel"]) {
            return Some(Self::Phone);
        }
        if any(&["iban", "bank_account", "account_iban"]) {
            return Some(Self::Iban);
        }
        if any(&["card_number", "credit_card", "creditcard", "cc_number", "pan"]) {
            return Some(Self::Card);
        }
        if any(&[
            "ssn",
            "social_security",
            "social_security_number",
            "national_id",
            "passport",
            "passport_number",
            "tax_id",
            "tin",
            "nin",
            "nino",
            "steuer_id",
            "cpf",
            "bsn",
            "aadhaar",
            "personnummer",
            "codice_fiscale",
        ]) {
            return Some(Self::NationalId);
        }
        if any(&["ip", "ip_address", "ip_addr", "client_ip", "remote_addr"]) {
            return Some(Self::Ip);
        }
        if any(&["birth_date", "birthdate", "birthday", "date_of_birth", "dob", "birth_day", "born", "geburtsdatum"]) {
            return Some(Self::BirthDate);
        }
        if any(&[
            "first_name",
            "last_name",
            "firstname",
            "lastname",
            "surname",
            "given_name",
            "family_name",
            "full_name",
            "fullname",
            "maiden_name",
            "middle_name",
            "vorname",
            "nachname",
            "customer_name",
            "patient_name",
            "employee_name",
            "contact_name",
        ]) {
            return Some(Self::PersonName);
        }
        if any(&[
            "address",
            "street",
            "street_address",
            "postal_code",
            "postcode",
            "zip",
            "zip_code",
            "zipcode",
            "address_line1",
            "address_line2",
            "address1",
            "address2",
            "billing_address",
        ]) {
            return Some(Self::Address);
        }
        let people = [
            "customer",
            "person",
            "people",
            "employee",
            "user",
            "patient",
            "contact",
            "member",
            "subscriber",
            "student",
            "guest",
            "passenger",
        ];
        let of_people =
            super::name::words(table).iter().any(|word| people.contains(&super::name::singular(word).as_str()));
        (of_people && joined == "name").then_some(Self::PersonName)
    }
}

/// With or without the length of its network, as `inet` columns have it.
fn is_ip(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok() || (text.contains(':') && text.parse::<Ipv6Addr>().is_ok())
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    (1..=64).contains(&local.len())
        && !local.contains(char::is_whitespace)
        && domain.contains('.')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && domain.chars().all(host)
}

/// International, or with the separators that people put into phone numbers. Plain digits are numbers.
fn is_phone(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let signs = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '(' | ')' | ' ' | '-' | '.' | '/'));
    if !(7..=15).contains(&digits) || !signs {
        return false;
    }
    if let Some(rest) = text.strip_prefix('+') {
        return rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '(' | ' '));
    }
    // `555-0100` and `(030) 1234-567`, but neither `2024-01-31`, `10.0.0.1`, `3.14159265` nor `1 000 000`.
    let grouped = text.starts_with('(') && text.contains(')');
    let parts: Vec<&str> = text.split(['-', ' ', '/']).collect();
    let north_american = matches!(parts.as_slice(), [a, b, c] if (a.len(), b.len(), c.len()) == (3, 3, 4));
    !text.contains('.') && (grouped || north_american)
}

/// ISO 13616: the remainder of the rearranged number by 97 is 1.
fn is_iban(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != ' ').collect();
    let bytes = plain.as_bytes();
    if !(15..=34).contains(&bytes.len())
        || !bytes.iter().all(u8::is_ascii_alphanumeric)
        || !bytes[..2].iter().all(u8::is_ascii_uppercase)
        || !bytes[2..4].iter().all(u8::is_ascii_digit)
    {
        return false;
    }
    let mut rest: u32 = 0;
    for byte in bytes[4..].iter().chain(&bytes[..4]) {
        rest = match byte {
            b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
            letter => (rest * 100 + u32::from(letter.to_ascii_uppercase() - b'A' + 10)) % 97,
        };
    }
    rest == 1
}

/// ISO/IEC 7812: 13 to 19 digits of a known issuer whose last one is the Luhn check digit.
fn is_card(text: &str) -> bool {
    let plain: Vec<u8> = text.bytes().filter(|b| !matches!(b, b' ' | b'-')).collect();
    if !(13..=19).contains(&plain.len()) || !plain.iter().all(u8::is_ascii_digit) {
        return false;
    }
    matches!(plain[0], b'3'..=b'6') && luhn(&plain)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let value = u32::from(digit - b'0') * if at % 2 == 1 { 2 } else { 1 };
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Forms that say enough by themselves: the US social security number, the Spanish DNI and NIE, the Italian codice
/// fiscale, the British national insurance number.
fn is_national_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
    match bytes.len() {
        11 if bytes[3] == b'-' && bytes[6] == b'-' => {
            digits(0..3)
                && digits(4..6)
                && digits(7..11)
                && &text[..3] != "000"
                && &text[..3] != "666"
                && bytes[0] != b'9'
        }
        9 if bytes[8].is_ascii_uppercase() && digits(1..8) => {
            const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
            let first = match bytes[0] {
                digit @ b'0'..=b'9' => u32::from(digit - b'0'),
                b'X' => 0,
                b'Y' => 1,
                b'Z' => 2,
                _ => return false,
            };
            let rest = text[1..8].parse::<u32>().unwrap_or(0);
            LETTERS[((first * 10_000_000 + rest) % 23) as usize] == bytes[8]
        }
        9 => {
            bytes[..2].iter().all(|b| b.is_ascii_uppercase() && !b"DFIQUV".contains(b))
                && digits(2..8)
                && matches!(bytes[8], b'A'..=b'D')
        }
        16 => {
            let letters = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_uppercase);
            letters(0..6)
                && digits(6..8)
                && letters(8..9)
                && digits(9..11)
                && letters(11..12)
                && digits(12..15)
                && letters(15..16)
        }
        _ => false,
    }
}

/// First names that are common in many countries: a value that begins with one and has a second capitalised word is
/// counted. Few people have such a name; a column where many values match holds names.
const FIRST_NAMES: &str = " aaron adam alan albert alex alexander alice ali ana andrea andreas andrew angela anna anne antonio \
 barbara ben benjamin carl carlos carol catherine charles chris christian christine christopher claudia daniel david \
 deborah diana donald dorothy eduardo edward elena elizabeth ellen emily emma eric eva fatima felix fernanda francisco \
 frank françois gary george hannah hans helena helen henry ian isabelle jack jacob james jan jane janet jason jean jennifer \
 jessica joan joao joão john jonas jose josé joseph juan julia julie karen karl kathleen kevin kim laura lena leonie li \
 linda lisa louis lucas luis lukas maria marie marco margaret mark martin martha mary matthew max michael michelle \
 mohammed muhammad nancy natalie nicole nora olga oliver olivia pablo patricia patrick paul paula pedro peter philip \
 rachel ralph ravi rebecca richard robert roberto ronald rosa ruth ryan samuel sandra sara sarah scott sofia sophie stefan \
 stephen steve steven susan susanne thomas tim tobias victor walter wei william wolfgang yuki yusuf ";

fn is_person_name(text: &str) -> bool {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return false };
    let known = |word: &str| {
        word.chars().all(char::is_alphabetic) && FIRST_NAMES.contains(&format!(" {} ", word.to_lowercase()))
    };
    let capital = last.chars().next().is_some_and(char::is_uppercase) && last.chars().count() > 1;
    (2..=4).contains(&parts.len()) && capital && known(first)
}

#[cfg(test)]
mod tests {
    use super::Personal::*;
    use super::*;

    #[test]
    fn values_by_their_form_and_check_digits() {
        for (kind, yes, no) in [
            (Email, &["ana@example.org", "a.b+c@mail.example.co.uk"][..], &["ana", "@x.y", "ana@host", "a b@c.de"][..]),
            (
                Phone,
                &["+49 (0)30 1234567", "+1-202-555-0143", "(780) 428-9482", "202-555-0143"],
                &["2024-01-31", "10.0.0.1", "1234567", "3.14159265", "12:30", "1 000 000", "2013-01-01 06:00"],
            ),
            (
                Iban,
                &["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"],
                &["DE89370400440532013001", "DE", "1234567890123456"],
            ),
            (
                Card,
                &["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"],
                &["4111111111111112", "0000000000000000", "411"],
            ),
            (
                NationalId,
                &["078-05-1120", "12345678Z", "AB123456C", "RSSMRA85T10A562S"],
                &["000-12-3456", "12345678A", "123456789"],
            ),
            (Ip, &["192.168.0.1", "10.0.0.1/32", "2001:db8::1"], &["1.2.3", "1.2.3.256", "12:30", "v1.2.3.4"]),
            (
                PersonName,
                &["Anna Schmidt", "john Doe", "Maria de Souza"],
                &["Madonna", "New York", "anna", "Max. value"],
            ),
        ] {
            yes.iter().for_each(|text| assert!(kind.matches(text), "{kind:?} {text}"));
            no.iter().for_each(|text| assert!(!kind.matches(text), "{kind:?} {text}"));
        }
    }

    #[test]
    fn columns_by_their_names() {
        for (column, table, expected) in [
            ("Email", "customer", Some(Email)),
            ("email_verified", "customer", None),
            ("FirstName", "customer", Some(PersonName)),
            ("billing_postal_code", "invoice", Some(Address)),
            ("BirthDate", "employee", Some(BirthDate)),
            ("name", "customers", Some(PersonName)),
            ("name", "track", None),
            ("company", "customer", None),
            ("tailnum", "planes", None),
            ("ip_address", "log", Some(Ip)),
            ("ship", "fleet", None),
        ] {
            assert_eq!(Personal::by_name(column, table), expected, "{table}.{column}");
        }
    }
}
