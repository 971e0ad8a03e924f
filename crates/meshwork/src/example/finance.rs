//! The ledger, and what campaigns cost.

use std::fmt::Write;

use super::random::Random;
use super::sales::{Order, money};

/// An invoice for each order that was not cancelled. Dates as German software writes them; `NULL` is a text in there.
pub fn invoices(orders: &[Order]) -> String {
    let mut random = Random::new(0xf1a0);
    let mut csv = String::from("invoice_id,order_id,customer_id,amount,tax_rate,issued_on,paid_on\n");
    for (n, order) in orders.iter().filter(|order| order.status != "cancelled").enumerate() {
        let (year, month, day) = order.day();
        let tax = if random.chance(8) { "0" } else { "0.19" };
        let paid = match order.status {
            "open" => "NULL".to_owned(),
            _ => {
                let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                format!("{:02}.{month:02}.{year}", random.between(1, 28))
            }
        };
        let _ = writeln!(
            csv,
            "{},{},{},{},{tax},{day:02}.{month:02}.{year},{paid}",
            200_001 + n,
            order.id,
            order.customer,
            money(order.cents()),
        );
    }
    csv
}

/// Bookings of a quarter; a day may have several in one channel.
pub fn ad_spend() -> String {
    const CAMPAIGNS: [&str; 4] = ["Spring sale", "\"Tents, tarps & more\"", "Früh buchen", "Newsletter"];
    let mut random = Random::new(0xad5);
    let mut csv = String::from("day,channel,campaign,cost,clicks\n");
    for month in 1..=3 {
        for day in 1..=28 {
            for channel in ["search", "social", "print", "podcast"] {
                for _ in 0..=random.below(2) {
                    let cost = money(random.between(500, 90_000));
                    // Print has no clicks.
                    let clicks = if channel == "print" { String::new() } else { random.below(4_000).to_string() };
                    let campaign = random.pick(&CAMPAIGNS);
                    let _ = writeln!(csv, "2026-{month:02}-{day:02},{channel},{campaign},{cost},{clicks}");
                }
            }
        }
    }
    csv
}
