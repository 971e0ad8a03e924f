//! The statements of a comparison, and what their rows mean.

use meshwork_core::name::quoted;
use serde_json::{Map, Value, json};

/// A table at two moments.
#[derive(Clone, Debug)]
pub struct Sides {
    pub domain: String,
    pub table: String,
    pub from: String,
    pub to: String,
    /// Empty: whole rows are compared.
    pub key: Vec<String>,
    /// All other columns.
    pub values: Vec<String>,
}

impl Sides {
    /// One row: `added`, `removed`, `changed`, `unchanged`, `repeated` keys, and `cN` for changes of the Nth value.
    pub fn counts(&self) -> String {
        if self.key.is_empty() {
            let sum = |part: &str| format!("coalesce(sum(CASE WHEN {part} THEN abs(n) END), 0)");
            return format!(
                "SELECT {} AS added, {} AS removed, 0 AS changed FROM ({})",
                sum("n > 0"),
                sum("n < 0"),
                self.whole_rows()
            );
        }
        let differs = self.differs();
        let mut counts = vec![
            "count(*) FILTER (WHERE a.here IS NULL) AS added".to_owned(),
            "count(*) FILTER (WHERE b.here IS NULL) AS removed".to_owned(),
            format!("count(*) FILTER (WHERE a.here AND b.here AND ({differs})) AS changed"),
            format!("count(*) FILTER (WHERE a.here AND b.here AND NOT ({differs})) AS unchanged"),
            "count(*) FILTER (WHERE a.times > 1 OR b.times > 1) AS repeated".to_owned(),
        ];
        counts.extend(self.values.iter().enumerate().map(|(at, column)| {
            let column = quoted(column);
            format!("count(*) FILTER (WHERE a.here AND b.here AND (a.{column} IS DISTINCT FROM b.{column})) AS c{at}")
        }));
        format!("SELECT {} FROM {}", counts.join(", "), self.joined())
    }

    /// Differing rows: `change`, the key as `kN`, old and new values as `aN` and `bN`.
    pub fn sample(&self, limit: u32) -> String {
        if self.key.is_empty() {
            let columns = self.values.iter().enumerate().map(|(at, column)| format!("{} AS b{at}", quoted(column)));
            let change = "CASE WHEN n > 0 THEN 'added' ELSE 'removed' END AS change";
            let columns: Vec<String> = std::iter::once(change.to_owned()).chain(columns).collect();
            return format!("SELECT {} FROM ({}) ORDER BY 1 LIMIT {limit}", columns.join(", "), self.whole_rows());
        }
        let change = "CASE WHEN a.here IS NULL THEN 'added' WHEN b.here IS NULL THEN 'removed' ELSE 'changed' END";
        let mut columns = vec![format!("{change} AS change")];
        for (at, column) in self.key.iter().enumerate() {
            let column = quoted(column);
            columns.push(format!("coalesce(a.{column}, b.{column}) AS k{at}"));
        }
        for (at, column) in self.values.iter().enumerate() {
            let column = quoted(column);
            columns.push(format!("a.{column} AS a{at}, b.{column} AS b{at}"));
        }
        let order: Vec<String> = (1..=self.key.len() + 1).map(|at| at.to_string()).collect();
        format!(
            "SELECT {} FROM {} WHERE a.here IS NULL OR b.here IS NULL OR ({}) ORDER BY {} LIMIT {limit}",
            columns.join(", "),
            self.joined(),
            self.differs(),
            order.join(", ")
        )
    }

    /// A row of `sample` for people and programs; of a changed row only what changed.
    pub fn sampled(&self, row: &Value) -> Value {
        let change = row["change"].as_str().unwrap_or_default();
        let key: Map<String, Value> =
            self.key.iter().enumerate().map(|(at, name)| (name.clone(), row[format!("k{at}")].clone())).collect();
        let side = |letter: char| -> Map<String, Value> {
            let values = self.values.iter().enumerate();
            let kept = values.filter(|(at, _)| change != "changed" || row[format!("a{at}")] != row[format!("b{at}")]);
            kept.map(|(at, name)| (name.clone(), row[format!("{letter}{at}")].clone())).collect()
        };
        match (change, self.key.is_empty()) {
            ("added", _) => json!({"change": change, "key": key, "to": side('b')}),
            ("removed", true) => json!({"change": change, "key": key, "from": side('b')}),
            ("removed", false) => json!({"change": change, "key": key, "from": side('a')}),
            _ => json!({"change": change, "key": key, "from": side('a'), "to": side('b')}),
        }
    }

    fn differs(&self) -> String {
        let columns = self.values.iter().map(|column| {
            let column = quoted(column);
            format!("(a.{column} IS DISTINCT FROM b.{column})")
        });
        let differs: Vec<String> = columns.collect();
        if differs.is_empty() { "FALSE".to_owned() } else { differs.join(" OR ") }
    }

    fn joined(&self) -> String {
        let pairs = self.key.iter().map(|column| format!("a.{0} = b.{0}", quoted(column)));
        let pairs: Vec<String> = pairs.collect();
        let keys: Vec<String> = self.key.iter().map(|column| quoted(column)).collect();
        let all = self.key.iter().chain(&self.values).map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        let side = |at: &str| {
            let times = format!("count(*) OVER (PARTITION BY {}) AS times", keys.join(", "));
            format!("(SELECT {all}, TRUE AS here, {times} FROM {})", self.at(at))
        };
        format!("{} a FULL OUTER JOIN {} b ON {}", side(&self.from), side(&self.to), pairs.join(" AND "))
    }

    /// Rows that are not equally often on both sides, with how much more often (`n`) they are on the newer one.
    fn whole_rows(&self) -> String {
        let columns = self.values.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        let side = |at: &str, sign: i8| format!("SELECT {columns}, {sign} AS s FROM {}", self.at(at));
        format!(
            "SELECT {columns}, sum(s) AS n FROM ({} UNION ALL {}) GROUP BY {columns} HAVING sum(s) <> 0",
            side(&self.from, -1),
            side(&self.to, 1)
        )
    }

    fn at(&self, moment: &str) -> String {
        let moment = moment.replace('\'', "''");
        format!("{}.{} FOR SYSTEM_TIME AS OF '{moment}'", quoted(&self.domain), quoted(&self.table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(key: &[&str]) -> Sides {
        Sides {
            domain: "shop".to_owned(),
            table: "orders".to_owned(),
            from: "2026-01-01T00:00:00Z".to_owned(),
            to: "2026-01-02T00:00:00Z".to_owned(),
            key: key.iter().map(|key| (*key).to_owned()).collect(),
            values: vec!["amount".to_owned(), "it's \"odd\"".to_owned()],
        }
    }

    #[test]
    fn names_and_moments_cannot_become_sql() {
        let mut sides = sides(&["id"]);
        sides.from = "x' OR '1'='1".to_owned();
        let sql = sides.counts();
        assert!(sql.contains("AS OF 'x'' OR ''1''=''1'") && sql.contains("a.\"it's \"\"odd\"\"\""), "{sql}");
    }

    #[test]
    fn of_a_changed_row_only_what_changed_is_shown() {
        let row = json!({"change": "changed", "k0": 7, "a0": 1, "b0": 2, "a1": "x", "b1": "x"});
        assert_eq!(
            sides(&["id"]).sampled(&row),
            json!({"change": "changed", "key": {"id": 7}, "from": {"amount": 1}, "to": {"amount": 2}})
        );
    }
}
