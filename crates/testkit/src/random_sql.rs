//! Random statements over a table `(id, name, email, ssn, salary, region)` and one of orders
//! `(oid, customer, amount, note)`: what an attacker might combine. Seeded, so that a failure repeats.

/// Each call of [`RandomSql::statement`] gives the next statement of the seed's series.
#[derive(Debug)]
pub struct RandomSql {
    dice: Dice,
    people: String,
    orders: String,
}

/// A linear congruential generator: repeatable and enough for choosing.
#[derive(Debug)]
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

impl RandomSql {
    /// `people` and `orders` are the names of the tables.
    pub fn new(seed: u64, people: &str, orders: &str) -> Self {
        Self { dice: Dice(seed), people: people.to_owned(), orders: orders.to_owned() }
    }

    pub fn statement(&mut self) -> String {
        let (people, orders) = (self.people.clone(), self.orders.clone());
        let filter = format!("WHERE {}", self.truth(3));
        match self.dice.roll(9) {
            0 => format!("SELECT * FROM {people} {filter}"),
            1 => format!("SELECT id, {}, {} FROM {people} {filter}", self.number(2), self.text(2)),
            2 => {
                let key = self.dice.pick(&TEXT);
                format!("SELECT {key}, count(*), min(id), max(salary) FROM {people} {filter} GROUP BY {key}")
            }
            3 => format!("SELECT count(*), count(DISTINCT ssn), min(email), sum(id) FROM {people} {filter}"),
            4 => {
                let order = self.text(1);
                let limit = 1 + self.dice.roll(5);
                format!("SELECT id, ssn FROM {people} {filter} ORDER BY {order}, id LIMIT {limit}")
            }
            5 => {
                let kind = self.dice.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
                format!("SELECT id, oid, ssn, note FROM {people} {kind} {orders} ON id = customer {filter}")
            }
            6 => {
                format!("SELECT DISTINCT {} AS t FROM {people} {filter} UNION SELECT note FROM {orders}", self.text(2))
            }
            7 => format!("SELECT id, row_number() OVER (ORDER BY {}, id) FROM {people} {filter}", self.number(1)),
            _ => {
                let number = self.number(2);
                format!("SELECT x.n, count(*) FROM (SELECT {number} AS n FROM {people} {filter}) x GROUP BY x.n")
            }
        }
    }

    fn number(&mut self, depth: u64) -> String {
        match self.dice.roll(if depth == 0 { 2 } else { 8 }) {
            0 => self.dice.pick(&NUMBER).to_owned(),
            1 => self.dice.pick(&NUMBERS).to_owned(),
            2 => format!("({} + {})", self.number(depth - 1), self.number(depth - 1)),
            3 => format!("({} / NULLIF({}, 0))", self.number(depth - 1), self.number(depth - 1)),
            4 => format!("(10 / (id - {}))", self.dice.roll(13)),
            5 => format!("length({})", self.text(depth - 1)),
            6 => format!("COALESCE({}, {})", self.number(depth - 1), self.number(depth - 1)),
            _ => format!("CASE WHEN {} THEN {} ELSE id END", self.truth(depth - 1), self.number(depth - 1)),
        }
    }

    fn text(&mut self, depth: u64) -> String {
        match self.dice.roll(if depth == 0 { 2 } else { 7 }) {
            0 => self.dice.pick(&TEXT).to_owned(),
            1 => self.dice.pick(&WORDS[..7]).to_owned(),
            2 => format!("upper({})", self.text(depth - 1)),
            3 => format!("substr({}, {}, 3)", self.text(depth - 1), 1 + self.dice.roll(4)),
            4 => format!("({} || {})", self.text(depth - 1), self.text(depth - 1)),
            5 => format!("CAST({} AS TEXT)", self.number(depth - 1)),
            _ => format!("COALESCE({}, {})", self.text(depth - 1), self.text(depth - 1)),
        }
    }

    fn truth(&mut self, depth: u64) -> String {
        let dice = &mut self.dice;
        match dice.roll(if depth == 0 { 5 } else { 12 }) {
            0 => format!("{} {} {}", dice.pick(&NUMBER), dice.pick(&COMPARE), dice.pick(&NUMBERS)),
            1 => format!("{} {} {}", dice.pick(&TEXT), dice.pick(&COMPARE), dice.pick(&WORDS)),
            2 => format!("{} IS NULL", dice.pick(&["name", "ssn", "salary", "region"])),
            3 => format!("id IN ({}, {}, 7)", dice.roll(13), dice.roll(13)),
            4 => format!("{} LIKE '{}%'", dice.pick(&TEXT), dice.pick(&["1", "n", "E", "A", ""])),
            5 => format!("({} AND {})", self.truth(depth - 1), self.truth(depth - 1)),
            6 => format!("({} OR {})", self.truth(depth - 1), self.truth(depth - 1)),
            7 => format!("NOT ({})", self.truth(depth - 1)),
            8 => {
                let (left, right) = (self.number(depth - 1), self.number(depth - 1));
                format!("{left} {} {right}", self.dice.pick(&COMPARE[..6]))
            }
            9 => {
                let (left, right) = (self.text(depth - 1), self.text(depth - 1));
                format!("{left} {} {right}", self.dice.pick(&COMPARE[..6]))
            }
            10 => format!("id IN (SELECT customer FROM {} WHERE amount > {})", self.orders, dice.roll(40)),
            _ => format!("CAST(name AS INT) > {}", dice.roll(20)),
        }
    }
}
