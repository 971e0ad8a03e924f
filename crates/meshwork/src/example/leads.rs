//! Exports of the campaign tools.

use std::fmt::Write;

use super::random::Random;

/// As the tool exported it, or with its faults corrected by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    AsExported,
    Corrected,
}

const SOURCES: [&str; 4] = ["organic", "paid", "referral", "direct"];
const CAMPAIGNS: [&str; 5] = ["Spring sale", "Tents, tarps & more", "\"Go outside\"", "Früh buchen", "Newsletter"];

pub fn january(scale: u32) -> String {
    month(1, u64::from(scale) * 900, Quality::Corrected)
}

pub fn february(scale: u32, quality: Quality) -> String {
    month(2, u64::from(scale) * 1_100, quality)
}

fn month(month: u64, leads: u64, quality: Quality) -> String {
    let mut random = Random::new(0x1ead + month);
    let mut csv = String::from("lead_id,source,score,campaign,captured_at\n");
    for n in 1..=leads {
        let id = format!("L-{month:02}-{n:06}");
        let source = random.pick(&SOURCES);
        // Not every tool scores its leads.
        let score = if random.chance(18) { String::new() } else { random.between(0, 100).to_string() };
        let campaign = super::csv_field(random.pick(&CAMPAIGNS), ',');
        let (day, hour, minute) = (random.between(1, 28), random.below(24), random.below(60));
        let fault = (quality == Quality::AsExported).then(|| fault(n, leads, &id, source, &score)).flatten();
        let (id, source, score) = fault.unwrap_or((id, source.to_owned(), score));
        // Writing to a String does not fail.
        let _ = writeln!(csv, "{id},{source},{score},{campaign},2026-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z");
    }
    csv
}

/// The seven rows that are wrong in the export, spread over it.
fn fault(n: u64, leads: u64, id: &str, source: &str, score: &str) -> Option<(String, String, String)> {
    let [id, source, score] = [id, source, score].map(str::to_owned);
    let at = |part: u64| leads * part / 8;
    Some(match n {
        n if n == at(1) => (id, "tiktok".to_owned(), score),
        n if n == at(2) => (id, source, "140".to_owned()),
        n if n == at(3) => (id, String::new(), score),
        n if n == at(4) => ("L-02-000001".to_owned(), source, score),
        n if n == at(5) => (id, source, "-1".to_owned()),
        n if n == at(6) => (id, source, "high".to_owned()),
        n if n == at(7) => (String::new(), source, score),
        _ => return None,
    })
}
