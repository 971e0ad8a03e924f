//! Customers, as the CRM exports them.

use std::fmt::Write;

use super::csv_field;
use super::random::Random;

#[derive(Debug)]
pub struct Customer {
    pub id: String,
    name: String,
    email: String,
    phone: Option<String>,
    birth_date: Option<(u64, u64, u64)>,
    country: &'static str,
    segment: &'static str,
    points: u64,
    allergies: Option<&'static str>,
    consented: bool,
    created: (u64, u64, u64, u64, u64),
}

const FIRST: [&str; 28] = [
    "Anna",
    "Ben",
    "Chiara",
    "David",
    "Elif",
    "François",
    "Greta",
    "Hiroshi",
    "Ines",
    "Jürgen",
    "Katarzyna",
    "Liam",
    "Māra",
    "Noah",
    "Olga",
    "Pedro",
    "Qiu",
    "Rosa",
    "Søren",
    "Tomáš",
    "Ursula",
    "Víctor",
    "Wim",
    "Xenia",
    "Yusuf",
    "Zoë",
    "伟",
    "Þóra",
];
const LAST: [&str; 26] = [
    "Müller",
    "Smith",
    "Rossi",
    "O'Brien",
    "Yılmaz",
    "Lefèvre",
    "Schmidt",
    "Tanaka",
    "da Silva",
    "Nowak",
    "Kowalska",
    "García",
    "Ozoliņš",
    "Jensen",
    "Ivanova",
    "van den Berg",
    "李",
    "Hansen",
    "Novák",
    "Fernández-López",
    "Weiß",
    "Kaya",
    "Johansson",
    "Smith, Jr.",
    "McDonald",
    "Sigurðardóttir",
];
const COUNTRIES: [&str; 10] = ["DE", "DE", "DE", "FR", "NL", "AT", "PL", "ES", "GB", "DK"];
const PREFIXES: [&str; 6] = ["+49 170", "+33 6", "+31 6", "+43 660", "+48 500", "+44 7700"];
const DOMAINS: [&str; 5] = ["example.com", "example.org", "mail.example", "post.example", "example.net"];
const ALLERGIES: [&str; 4] = ["nuts", "wasp stings", "lactose, mild", "penicillin"];

pub fn generate(scale: u32) -> Vec<Customer> {
    let mut random = Random::new(0xc057);
    (1..=u64::from(scale) * 1_000).map(|n| customer(n, &mut random)).collect()
}

fn customer(n: u64, random: &mut Random) -> Customer {
    let (first, last) = (random.pick(&FIRST), random.pick(&LAST));
    // The CRM does not trim what people type.
    let blank = if random.chance(3) { " " } else { "" };
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphabetic).collect::<String>();
    let local = match (plain(first), plain(last)) {
        (first, last) if first.is_empty() || last.is_empty() => format!("user{n}"),
        (first, last) => format!("{first}.{last}{n}"),
    };
    let points = random.skewed(5_000);
    let club = points > 1_500;
    Customer {
        id: format!("C-{n:05}"),
        name: format!("{first} {last}{blank}"),
        email: format!("{local}@{}", random.pick(&DOMAINS)),
        phone: (!random.chance(22)).then(|| format!("{} {:07}", random.pick(&PREFIXES), random.below(10_000_000))),
        birth_date: (!random.chance(9))
            .then(|| (random.between(1938, 2007), random.between(1, 12), random.between(1, 28))),
        country: random.pick(&COUNTRIES),
        segment: match random.below(100) {
            0..=9 => "business",
            _ if club => "club",
            _ => "private",
        },
        points,
        allergies: random.chance(4).then(|| random.pick(&ALLERGIES)),
        consented: random.chance(61),
        created: (
            random.between(2019, 2025),
            random.between(1, 12),
            random.between(1, 28),
            random.below(24),
            random.below(60),
        ),
    }
}

pub fn csv(customers: &[Customer]) -> String {
    let mut csv = String::from(
        "customer_id,full_name,email,phone,birth_date,country,segment,loyalty_points,allergies,consented,created_at\n",
    );
    for c in customers {
        let date = c.birth_date.map(|(year, month, day)| format!("{year}-{month:02}-{day:02}")).unwrap_or_default();
        let (year, month, day, hour, minute) = c.created;
        let _ = writeln!(
            csv,
            "{},{},{},{},{date},{},{},{},{},{},{year}-{month:02}-{day:02} {hour:02}:{minute:02}:00",
            c.id,
            csv_field(&c.name, ','),
            c.email,
            c.phone.as_deref().unwrap_or_default(),
            c.country,
            c.segment,
            c.points,
            csv_field(c.allergies.unwrap_or_default(), ','),
            c.consented,
        );
    }
    csv
}
