//! Runs over part of their sources: the same part each time, and no violation that all rows would not have.

use meshwork_core::sample::Sample;

use super::*;

/// A run over `customers.csv` (six rows), and `orders-….csv` (three files of four rows).
struct Shop {
    mesh: Mesh,
    spec: RunSpec,
}

fn shop(rules: Vec<Rule>, sql: &str, sample: Sample) -> Shop {
    let mesh = Mesh::new();
    let customers: String = (0..6).map(|n| format!("c{n},name {n}\n")).collect();
    mesh.file("customers.csv", format!("id,name\n{customers}"));
    for file in 0..3 {
        let rows: String = (0..4).map(|n| format!("o{},c{},{n}\n", file * 4 + n, (file * 4 + n) % 6)).collect();
        mesh.file(&format!("orders-{file}.csv"), format!("id,customer,amount\n{rows}"));
    }
    let fields = vec![field("id"), field("name"), typed("amount", ColumnType::Int64)];
    let mut spec = mesh.spec("run-1", None, table(fields, rules), sql);
    let from = |path: &str| {
        let files = FilesSpec::Folder { folder: mesh.folder.path().join("domain"), path: path.into() };
        InputSpec::Source(SourceSpec::Csv { files, options: CsvOptions::default() })
    };
    spec.inputs =
        BTreeMap::from([("customers".to_owned(), from("customers.csv")), ("orders".to_owned(), from("orders-*.csv"))]);
    spec.sample = Some(sample);
    Shop { mesh, spec }
}

const ORDERS: &str = "SELECT id, customer AS name, CAST(amount AS bigint) AS amount FROM orders";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_rows_are_the_same_ones_each_time() {
    for _ in 0..10 {
        let shop = shop(Vec::new(), ORDERS, Sample::Rows(6));
        let report = shop.mesh.stage(&shop.spec).await.expect("stages");
        shop.mesh.writer().commit(&RunId::new("run-1"), &report.outputs).await.expect("commits");
        let mut ids = shop.mesh.read("id").await;
        ids.sort();
        assert_eq!(ids, ["o0", "o1", "o2", "o3", "o4", "o5"]);
    }
}

#[tokio::test]
async fn failing_rows_of_a_sample_still_say_where_they_stand() {
    let rule = Rule::Range {
        column: "amount".into(),
        min: None,
        max: Some(Literal::Integer(2)),
        exclusive_min: false,
        exclusive_max: false,
    };
    let shop = shop(vec![rule], ORDERS, Sample::Rows(6));
    let report = shop.mesh.stage(&shop.spec).await.expect("stages");
    let answer = outcome(&report, "c3");
    assert_eq!((answer.outcome.clone(), answer.failing_rows), (Outcome::Fail, Some(1)));
    assert_eq!(places(answer, 0), [("orders-0.csv".to_owned(), 5, "o3".to_owned())]);
}

/// What becomes of the answer to a rule that the sampled rows break.
async fn judged(rule: Rule, sql: &str, rows: u64) -> Outcome {
    let shop = shop(vec![rule], sql, Sample::Rows(rows));
    let report = shop.mesh.stage(&shop.spec).await.expect(sql);
    let answer = outcome(&report, "c3").clone();
    if let Outcome::NotEvaluated { because } = &answer.outcome {
        assert_eq!(*because, format!("sampled: {}", answer.message), "{sql}");
        assert!(gate(&report.outputs[0].clauses), "{sql}");
        shop.mesh.writer().commit(&RunId::new("run-1"), &report.outputs).await.expect("commits");
        assert_eq!(shop.mesh.read("id").await.len() as u64, report.outputs[0].rows, "{sql}");
    }
    answer.outcome
}

#[tokio::test]
async fn a_row_fails_only_where_it_would_among_all_rows() {
    let required = || Rule::Required { column: "name".into() };
    let joined = |how: &str| {
        format!(
            "SELECT o.id, nullif(c.name, 'name 1') AS name, 1 AS amount FROM orders o {how} customers c ON c.id = o.customer"
        )
    };
    let least = || Rule::Range {
        column: "amount".into(),
        min: Some(Literal::Integer(4)),
        max: None,
        exclusive_min: false,
        exclusive_max: false,
    };
    // Both inputs are cut at 5 rows, only the orders at 6, none at 12.
    for (rule, sql, rows, fails) in [
        (required(), "SELECT id, CAST(NULL AS text) AS name, 1 AS amount FROM orders".to_owned(), 5, true),
        (required(), "SELECT id, nullif(name, 'name 1') AS name, 1 AS amount FROM customers WHERE id < 'c9'".to_owned(), 5, true),
        (required(), joined("JOIN"), 5, true),
        (required(), joined("LEFT JOIN"), 5, false),
        (required(), joined("LEFT JOIN"), 6, true),
        (required(), joined("RIGHT JOIN"), 6, false),
        (required(), joined("FULL JOIN"), 12, true),
        (least(), "SELECT customer AS id, 'x' AS name, count(*) AS amount FROM orders GROUP BY 1".to_owned(), 6, false),
        (least(), "SELECT customer AS id, 'x' AS name, count(*) AS amount FROM orders GROUP BY 1".to_owned(), 12, true),
        (required(), "SELECT DISTINCT customer AS id, nullif(customer, 'c1') AS name, 1 AS amount FROM orders".to_owned(), 6, true),
        (required(), "WITH first AS (SELECT id, nullif(customer, 'c0') AS name, 1 AS amount FROM orders UNION ALL SELECT id, name, 1 FROM customers) SELECT * FROM first".to_owned(), 5, true),
        (required(), "SELECT id, nullif(customer, 'c0') AS name, 1 AS amount FROM orders ORDER BY id LIMIT 3".to_owned(), 5, false),
        (required(), "SELECT id, (SELECT max(name) FROM customers WHERE id = 'c5') AS name, 1 AS amount FROM orders".to_owned(), 5, false),
        (required(), "SELECT id, nullif(customer, 'c0') AS name, 1 AS amount FROM orders WHERE customer NOT IN (SELECT id FROM customers WHERE id = 'c9')".to_owned(), 5, false),
    ] {
        let outcome = judged(rule, &sql, rows).await;
        assert_eq!(outcome == Outcome::Fail, fails, "{rows} rows of {sql}: {outcome:?}");
        assert_ne!(outcome, Outcome::Pass, "{rows} rows of {sql}");
    }
}

#[tokio::test]
async fn counts_fail_where_more_rows_cannot_mend_them() {
    let count = |unit, must| Rule::Metric { metric: Metric::RowCount, unit, must };
    let nulls = |unit, must| Rule::Metric { metric: Metric::NullValues { column: "name".into() }, unit, must };
    let sql = "SELECT id, nullif(customer, 'c0') AS name, 1 AS amount FROM orders";
    for (rule, fails) in [
        (count(Unit::Rows, Threshold::MustBeGreaterOrEqualTo(12.0)), false),
        (count(Unit::Rows, Threshold::MustBe(12.0)), false),
        (count(Unit::Rows, Threshold::MustBe(3.0)), true),
        (count(Unit::Rows, Threshold::MustBeLessThan(6.0)), true),
        (count(Unit::Rows, Threshold::MustBeBetween(8.0, 20.0)), false),
        (nulls(Unit::Rows, Threshold::MustBe(0.0)), true),
        (nulls(Unit::Percent, Threshold::MustBe(0.0)), true),
        (nulls(Unit::Percent, Threshold::MustBeLessThan(10.0)), false),
        (Rule::Unique { columns: vec!["amount".into()] }, true),
    ] {
        let shown = format!("{rule:?}");
        let outcome = judged(rule, sql, 6).await;
        assert_eq!(outcome == Outcome::Fail, fails, "{shown}: {outcome:?}");
        assert_ne!(outcome, Outcome::Pass, "{shown}");
    }
}

#[tokio::test]
async fn references_fail_where_all_rows_that_they_could_mean_are_there() {
    let rule = || Rule::References {
        columns: vec!["name".into()],
        to: "marketing.people".into(),
        to_columns: vec!["id".into()],
    };
    // The people are cut at 5 rows, only the orders at 6, nothing at 12.
    for (rows, fails) in [(5, false), (6, true), (12, true)] {
        let mut shop = shop(vec![rule()], ORDERS, Sample::Rows(rows));
        let mut people = shop.spec.outputs[0].clone();
        people.output = OutputId::new("01890a5d-ac96-774b-bcce-b302099a8058");
        people.name = name("people");
        people.location.path = "people/v1".into();
        people.table = table(vec![field("id"), field("name")], Vec::new());
        people.sql = "SELECT id, name FROM customers WHERE id <> 'c2'".into();
        shop.spec.outputs.push(people);
        let report = shop.mesh.stage(&shop.spec).await.expect("stages");
        let answer = outcome(&report, "c3");
        assert!(answer.failing_rows > Some(0), "{answer:?}");
        assert_eq!((answer.outcome == Outcome::Fail, gate(&report.outputs[0].clauses)), (fails, !fails), "{answer:?}");
    }
}
