//! Orders and their lines, as the shop exports them.

use std::fmt::Write;

use super::csv_field;
use super::customers::Customer;
use super::random::Random;

#[derive(Debug)]
pub struct Order {
    pub id: String,
    pub customer: String,
    pub status: &'static str,
    /// Month (1 to 24, from January 2024), day, hour, minute.
    pub at: (u64, u64, u64, u64),
    channel: &'static str,
    note: Option<&'static str>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    article: Article,
    quantity: u64,
    /// Hundredths of the price.
    discount: Option<u64>,
}

/// SKU, name, price in cents.
type Article = (&'static str, &'static str, u64);

const ARTICLES: [Article; 12] = [
    ("TNT-0001", "Tent \"Fjell\" 2P", 32_900),
    ("TNT-0002", "Tent, family, 5 persons", 58_950),
    ("BAG-0104", "Sleeping bag −5 °C", 14_999),
    ("BAG-0110", "Rucksack 45 l", 12_900),
    ("STV-0007", "Gas stove", 4_595),
    ("MUG-0001", "Enamel mug", 899),
    ("ROP-0060", "Rope, 60 m; dynamic", 17_900),
    ("SHO-0042", "Hiking boots", 18_995),
    ("JKT-0009", "Rain jacket", 9_990),
    ("LMP-0003", "Head lamp", 3_450),
    ("MAP-0815", "Map “Rügen & Hiddensee”", 1_295),
    ("BTL-0002", "Bottle 0,75 l", 2_400),
];
const STATUSES: [&str; 10] =
    ["shipped", "shipped", "shipped", "shipped", "shipped", "paid", "paid", "open", "returned", "cancelled"];
const CHANNELS: [&str; 5] = ["web", "web", "app", "phone", "store"];
const NOTES: [&str; 6] = [
    "Please ring twice; the bell is broken",
    "Gift – no \"price\" on the slip, please",
    "第二个门",
    "Leave it at the neighbour's\n(Mrs. Weiß)",
    "-",
    "Urgent!!!",
];

pub fn generate(customers: &[Customer]) -> Vec<Order> {
    let mut random = Random::new(0x0d0e);
    // A fifth of all accounts never ordered anything.
    let buyers: Vec<&Customer> = customers.iter().filter(|_| !random.chance(20)).collect();
    let orders = customers.len() as u64 * 4;
    (1..=orders).map(|n| order(n, &buyers, &mut random)).collect()
}

fn order(n: u64, buyers: &[&Customer], random: &mut Random) -> Order {
    let buyer = usize::try_from(random.skewed(buyers.len() as u64)).unwrap_or(0);
    let mut articles: Vec<Article> = Vec::new();
    for _ in 0..=random.skewed(6) {
        let article = random.pick(&ARTICLES);
        if !articles.contains(&article) {
            articles.push(article);
        }
    }
    let lines = articles.into_iter().map(|article| Line {
        article,
        quantity: 1 + random.skewed(4),
        discount: random.chance(15).then(|| random.pick(&[5, 10, 25])),
    });
    let lines = lines.collect();
    Order {
        id: format!("O-{n:06}"),
        customer: buyers.get(buyer).map_or_else(|| "C-00001".to_owned(), |buyer| buyer.id.clone()),
        status: random.pick(&STATUSES),
        at: (random.between(1, 24), random.between(1, 28), random.below(24), random.below(60)),
        channel: random.pick(&CHANNELS),
        note: random.chance(12).then(|| random.pick(&NOTES)),
        lines,
    }
}

impl Line {
    fn cents(&self) -> u64 {
        self.article.2 * self.quantity * (100 - self.discount.unwrap_or(0)) / 100
    }
}

impl Order {
    pub fn cents(&self) -> u64 {
        self.lines.iter().map(Line::cents).sum()
    }

    /// Year, month, day.
    pub fn day(&self) -> (u64, u64, u64) {
        let (month, day, ..) = self.at;
        (2024 + (month - 1) / 12, (month - 1) % 12 + 1, day)
    }
}

/// Cents as a decimal number.
pub fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

pub fn orders_csv(orders: &[Order]) -> String {
    let mut csv = String::from("order_id;customer_id;ordered_at;status;channel;currency;total;note\n");
    for order in orders {
        let ((year, month, day), (_, _, hour, minute)) = (order.day(), order.at);
        // Half of the rows tell their offset, as two releases of the shop wrote them.
        let at = match hour % 2 {
            0 => format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z"),
            _ => format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:00"),
        };
        let _ = writeln!(
            csv,
            "{};{};{at};{};{};{};{};{}",
            order.id,
            order.customer,
            order.status,
            order.channel,
            if hour % 7 == 0 { "eur" } else { "EUR" },
            money(order.cents()),
            csv_field(order.note.unwrap_or_default(), ';'),
        );
    }
    csv
}

pub fn lines_json(orders: &[Order]) -> String {
    let mut json = String::new();
    for order in orders {
        for (at, line) in order.lines.iter().enumerate() {
            let (sku, name, cents) = line.article;
            let name = serde_json::Value::from(name);
            let discount = line.discount.map_or_else(|| "null".to_owned(), |percent| format!("0.{percent:02}"));
            let _ = writeln!(
                json,
                r#"{{"order_id":"{}","line_no":{},"sku":"{sku}","product_name":{name},"quantity":{},"unit_price":{},"discount":{discount}}}"#,
                order.id,
                at + 1,
                line.quantity,
                money(cents),
            );
        }
    }
    json
}
