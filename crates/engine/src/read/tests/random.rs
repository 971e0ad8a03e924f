//! Random statements on the masked and filtered table equal the oracle. Seeded, so a failure repeats.

use super::catalog::fixture;

/// A linear congruential generator: repeatable and enough for choosing.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.roll(from.len() as u64)).unwrap_or(0)]
    }
}

const TEXT: [&str; 4] = ["name", "email", "ssn", "region"];
const NUMBER: [&str; 2] = ["id", "salary"];
const WORDS: [&str; 8] = ["'EU'", "'US'", "'17'", "'123-45-6789'", "'nnn-nn-6789'", "''", "'x'", "NULL"];
const NUMBERS: [&str; 7] = ["0", "1", "3", "100", "-5", "9000000", "NULL"];
const COMPARE: [&str; 8] = ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"];

fn number(dice: &mut Dice, depth: u64) -> String {
    match dice.roll(if depth == 0 { 2 } else { 8 }) {
        0 => dice.pick(&NUMBER).to_owned(),
        1 => dice.pick(&NUMBERS).to_owned(),
        2 => format!("({} + {})", number(dice, depth - 1), number(dice, depth - 1)),
        3 => format!("({} / NULLIF({}, 0))", number(dice, depth - 1), number(dice, depth - 1)),
        4 => format!("(10 / (id - {}))", dice.roll(13)),
        5 => format!("length({})", text(dice, depth - 1)),
        6 => format!("COALESCE({}, {})", number(dice, depth - 1), number(dice, depth - 1)),
        _ => format!("CASE WHEN {} THEN {} ELSE id END", truth(dice, depth - 1), number(dice, depth - 1)),
    }
}

fn text(dice: &mut Dice, depth: u64) -> String {
    match dice.roll(if depth == 0 { 2 } else { 7 }) {
        0 => dice.pick(&TEXT).to_owned(),
        1 => dice.pick(&WORDS[..7]).to_owned(),
        2 => format!("upper({})", text(dice, depth - 1)),
        3 => format!("substr({}, {}, 3)", text(dice, depth - 1), 1 + dice.roll(4)),
        4 => format!("({} || {})", text(dice, depth - 1), text(dice, depth - 1)),
        5 => format!("CAST({} AS TEXT)", number(dice, depth - 1)),
        _ => format!("COALESCE({}, {})", text(dice, depth - 1), text(dice, depth - 1)),
    }
}

fn truth(dice: &mut Dice, depth: u64) -> String {
    match dice.roll(if depth == 0 { 5 } else { 12 }) {
        0 => format!("{} {} {}", dice.pick(&NUMBER), dice.pick(&COMPARE), dice.pick(&NUMBERS)),
        1 => format!("{} {} {}", dice.pick(&TEXT), dice.pick(&COMPARE), dice.pick(&WORDS)),
        2 => format!("{} IS NULL", dice.pick(&["name", "ssn", "salary", "region"])),
        3 => format!("id IN ({}, {}, 7)", dice.roll(13), dice.roll(13)),
        4 => format!("{} LIKE '{}%'", dice.pick(&TEXT), dice.pick(&["1", "n", "E", "A", ""])),
        5 => format!("({} AND {})", truth(dice, depth - 1), truth(dice, depth - 1)),
        6 => format!("({} OR {})", truth(dice, depth - 1), truth(dice, depth - 1)),
        7 => format!("NOT ({})", truth(dice, depth - 1)),
        8 => format!("{} {} {}", number(dice, depth - 1), dice.pick(&COMPARE[..6]), number(dice, depth - 1)),
        9 => format!("{} {} {}", text(dice, depth - 1), dice.pick(&COMPARE[..6]), text(dice, depth - 1)),
        10 => format!("id IN (SELECT customer FROM crm.o WHERE amount > {})", dice.roll(40)),
        _ => format!("CAST(name AS INT) > {}", dice.roll(20)),
    }
}

fn statement(dice: &mut Dice) -> String {
    let filter = format!("WHERE {}", truth(dice, 3));
    match dice.roll(9) {
        0 => format!("SELECT * FROM crm.c {filter}"),
        1 => format!("SELECT id, {}, {} FROM crm.c {filter}", number(dice, 2), text(dice, 2)),
        2 => {
            let key = dice.pick(&TEXT);
            format!("SELECT {key}, count(*), min(id), max(salary) FROM crm.c {filter} GROUP BY {key}")
        }
        3 => format!("SELECT count(*), count(DISTINCT ssn), min(email), sum(id) FROM crm.c {filter}"),
        4 => format!("SELECT id, ssn FROM crm.c {filter} ORDER BY {}, id LIMIT {}", text(dice, 1), 1 + dice.roll(5)),
        5 => {
            let kind = dice.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
            format!("SELECT id, oid, ssn, note FROM crm.c {kind} crm.o ON id = customer {filter}")
        }
        6 => format!("SELECT DISTINCT {} AS t FROM crm.c {filter} UNION SELECT note FROM crm.o", text(dice, 2)),
        7 => format!("SELECT id, row_number() OVER (ORDER BY {}, id) FROM crm.c {filter}", number(dice, 1)),
        _ => format!("SELECT x.n, count(*) FROM (SELECT {} AS n FROM crm.c {filter}) x GROUP BY x.n", number(dice, 2)),
    }
}

#[tokio::test]
async fn random_statements_equal_the_oracle() {
    let fixture = fixture().await;
    let mut dice = Dice(20_260_301);
    let (mut answered, total) = (0, 320);
    for _ in 0..total {
        let sql = statement(&mut dice);
        fixture.assert_as_oracle(&sql).await;
        answered += usize::from(fixture.query(&sql).await.is_ok());
    }
    assert!(answered > total / 2, "only {answered} of {total} statements had an answer");
}
