//! Views: nothing is stored, and readers get exactly what was checked.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::mesh::{Mesh, PRODUCT};
use crate::redteam::people;
use crate::redteam::ports::{Ports, connect, simple};
use crate::redteam::sessions::Holder;

const CONTRACT: &str = "\
schema: paid
version: 1.0.0
owner: desk-team
fields:
  - { name: order_id, type: integer, required: true }
  - { name: customer, type: string, required: true }
  - { name: cents, type: integer }
quality:
  - unique: [order_id]
  - range: { field: cents, min: 0, max: 100000 }
  - row_count: { min: 1 }
";

const SQL: &str =
    "SELECT order_id, customer, CAST(round(amount * 100) AS BIGINT) AS cents FROM orders WHERE status = 'paid'\n";

/// The shop, and the product `desk.paid`: a view over its orders.
fn desk() -> Mesh {
    let mesh = Mesh::shop();
    mesh.write("domains/desk/domain.yaml", "domain: desk\nowner: desk_team\n");
    mesh.write("domains/desk/paid/product.yaml", product("view"));
    mesh.write("domains/desk/paid/paid.contract.yaml", CONTRACT);
    mesh.write("domains/desk/paid/paid.sql", SQL);
    mesh.ok(&["apply"]);
    mesh.grant("product:desk.paid", "shop.orders", &[]);
    mesh.ok(&["run", PRODUCT]);
    mesh
}

fn product(mode: &str) -> String {
    format!(
        "product: paid\nversion: 1.0.0\nstatus: active\ninputs:\n  \
         orders: {{ product: shop.orders, version: 1, purpose: test }}\n\
         outputs:\n  paid: {{ contract: paid.contract.yaml, sql: paid.sql, mode: {mode} }}\n"
    )
}

fn rows(mesh: &Mesh, sql: &str, more: &[&str]) -> String {
    mesh.ok(&[&["sql", "-c", sql, "-o", "csv"], more].concat()).replace('\n', " ").trim().to_owned()
}

const IDS: &str = "SELECT order_id FROM desk.paid ORDER BY order_id";

/// Parquet files in the storage.
fn files(mesh: &Mesh) -> usize {
    let mut folders = vec![mesh.path().join("data")];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|extension| extension == "parquet") {
                found += 1;
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_served_as_it_was_checked() {
    let mesh = desk();
    let stored = files(&mesh);
    assert_eq!(mesh.fails(5, &["sql", "-c", IDS]).error_code(), Some("MW0712"), "before its first run");
    mesh.ok(&["run", "desk.paid"]);
    assert_eq!(files(&mesh), stored, "nothing is stored");
    assert!(mesh.orphans().is_empty(), "{:?}", mesh.orphans());
    assert_eq!(rows(&mesh, IDS, &[]), "order_id 1");
    assert_eq!(rows(&mesh, "SELECT count(*) AS n FROM desk.paid", &[]), "n 1");
    assert_eq!(
        rows(&mesh, "SELECT * FROM desk.paid WHERE order_id = 1 AND cents > 3", &[]),
        "order_id,customer,cents 1,customer 1,150"
    );
    assert_eq!(
        rows(&mesh, "SELECT p.customer FROM desk.paid p JOIN shop.orders o USING (order_id)", &[]),
        "customer customer 1"
    );

    // Publications name what it was checked over; listings and products know it like any table.
    let published = &mesh.json(&["publications", "list", "desk.paid"])[0];
    let output = &published["outputs"][0];
    assert_eq!((output["kind"].as_str(), output["rows"].as_u64()), (Some("view"), Some(1)), "{published}");
    let over = &output["over"][0];
    let upstream = mesh.json(&["publications", "list", PRODUCT]);
    assert_eq!(
        (&over["table"], &over["publication"]),
        (&Value::from("shop.orders"), &upstream[0]["id"]),
        "{published}"
    );
    assert_eq!(mesh.json(&["product", "show", "desk.paid"])["outputs"][0]["mode"], "view");
    let listed =
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'paid' ORDER BY ordinal_position";
    assert_eq!(rows(&mesh, listed, &[]), "column_name order_id customer cents");

    // New orders are not in it before they are checked; then they are, and the past stays what it was.
    mesh.orders(9);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(rows(&mesh, IDS, &[]), "order_id 1");
    mesh.ok(&["run", "desk.paid"]);
    assert_eq!(rows(&mesh, IDS, &[]), "order_id 1 4 7");
    let first = published["at"].as_str().expect("a moment");
    assert_eq!(rows(&mesh, IDS, &["--as-of", first]), "order_id 1");
    let said = mesh.meshwork(&["run", "desk.paid"]);
    assert!(format!("{}{}", said.out, said.err).contains("nothing is new"), "{said:?}");
    assert_eq!(mesh.json(&["publications", "list", "desk.paid"]).as_array().map(Vec::len), Some(2));
    // `--full-refresh` checks it anew all the same.
    mesh.ok(&["run", "desk.paid", "--full-refresh"]);
    assert_eq!(mesh.json(&["publications", "list", "desk.paid"]).as_array().map(Vec::len), Some(3));

    // A reader of the view needs no agreement about what is below it, and gets none.
    mesh.user("eve");
    mesh.grant("eve", "desk.paid", &[]);
    let server = mesh.serve();
    let ports = Ports::of(&mesh, &server, "eve").await;
    for (port, answer) in ports.ask(IDS).await {
        let rows = answer.unwrap_or_else(|error| panic!("{port}: {error}"));
        assert_eq!(rows.as_array().map(Vec::len), Some(3), "{port}: {rows}");
    }
    for (port, answer) in ports.ask("SELECT order_id FROM shop.orders").await {
        assert!(answer.is_err(), "{port}: {answer:?}");
    }
    let described = simple(&ports.postgres, "SELECT relname FROM pg_catalog.pg_class WHERE relname = 'paid'").await;
    assert_eq!(described, Ok(serde_json::json!([["paid"]])));
    // The record says what was read below it.
    let log = mesh.json(&["audit", "query", "--table", "shop.orders"]).to_string();
    assert!(log.contains("user:eve") || log.contains("\"eve\""), "{log}");
}

#[test]
fn a_view_that_breaks_its_contract_is_not_published() {
    let mesh = desk();
    mesh.ok(&["run", "desk.paid"]);
    // The shop promises less than the view does.
    mesh.source("order_id,customer,amount,status\n1,x,1.50,paid\n2,x,5000.00,paid\n");
    mesh.ok(&["run", PRODUCT]);
    let said = mesh.fails(1, &["run", "desk.paid"]);
    assert!(said.err.contains("MW0659") && said.err.contains("range"), "{}", said.err);
    assert_eq!(rows(&mesh, IDS, &[]), "order_id 1", "the previous publication is served");
    // What only the view breaks.
    mesh.write("domains/desk/paid/paid.sql", SQL.replace("SELECT order_id,", "SELECT order_id % 3 AS order_id,"));
    mesh.ok(&["apply"]);
    mesh.orders(9);
    mesh.ok(&["run", PRODUCT]);
    let said = mesh.fails(1, &["run", "desk.paid"]);
    assert!(said.err.contains("MW0659") && said.err.contains("unique"), "{}", said.err);
    assert_eq!(rows(&mesh, IDS, &[]), "order_id 1");
    mesh.write("domains/desk/paid/paid.sql", SQL);
    mesh.ok(&["apply"]);
    mesh.source("order_id,customer,amount,status\n1,x,1.50,open\n");
    mesh.ok(&["run", PRODUCT]);
    let said = mesh.fails(1, &["run", "desk.paid"]);
    assert!(said.err.contains("row_count"), "{}", said.err);
    assert!(mesh.orphans().is_empty(), "{:?}", mesh.orphans());
}

#[test]
fn what_a_view_cannot_be_is_found_by_check() {
    let mesh = desk();
    let codes = |mesh: &Mesh| -> Vec<String> {
        let found = mesh.meshwork(&["check", "-o", "json"]);
        let report: Value = serde_json::from_str(&found.out).unwrap_or_else(|error| panic!("{error}: {found:?}"));
        let each = report["diagnostics"].as_array().into_iter().flatten();
        each.filter(|d| d["severity"] == "error").filter_map(|d| d["code"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(codes(&mesh), Vec::<String>::new());
    let view = "mode: view";
    for (text, replaced, expected) in [
        (view, "mode: view, key: [order_id]", "MW0184"),
        (view, "mode: view, delete_when: 'true'", "MW0173"),
        ("version: 1, purpose: test", "version: 1, purpose: test, incremental: publication", "MW0174"),
        ("{ product: shop.orders, version: 1, purpose: test }", "{ source: { type: csv, path: x.csv } }", "MW0183"),
    ] {
        mesh.write("domains/desk/paid/product.yaml", product("view").replace(text, replaced));
        let found = codes(&mesh);
        assert!(found.contains(&expected.to_owned()), "{replaced}: {found:?}");
    }
    mesh.write("domains/desk/paid/product.yaml", product("view"));
    for (sql, expected) in [
        ("SELECT order_id, customer, amount AS cents FROM orders", "MW0852"),
        ("SELECT order_id, customer, CAST(random() * 10 AS BIGINT) AS cents FROM orders", "MW0851"),
        ("SELECT order_id, customer FROM orders", "MW0834"),
        ("SELECT order_id, customer, cents FROM orders", "MW0833"),
        ("SELECT order_id, customer, 1 AS cents FROM shop.orders", "MW0832"),
    ] {
        mesh.write("domains/desk/paid/paid.sql", sql);
        assert_eq!(codes(&mesh), [expected], "{sql}");
    }
}

/// What is withheld from its product is no column to a view, wherever it would use it: as an output, in a filter, behind `*`.
#[test]
fn a_plan_holds_views_against_what_their_products_may_read() {
    let mesh = desk();
    let sql = |text: &str| mesh.write("domains/desk/paid/paid.sql", text);
    let problems = || -> Vec<(String, String, String)> {
        let said = mesh.meshwork(&["plan", "-o", "json"]);
        let plan: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        let of = |problem: &Value, key: &str| problem[key].as_str().unwrap_or_default().to_owned();
        let each = plan["problems"].as_array().into_iter().flatten();
        each.map(|p| (of(p, "code"), of(&p["place"], "path"), p["hints"].to_string())).collect()
    };
    assert_eq!(problems(), []);
    let agreements = mesh.json(&["access", "list"]);
    let all = agreements[0]["id"].as_str().expect("an id");
    mesh.revoke(all);
    let said = mesh.ok(&["plan"]);
    assert!(said.contains("`desk.paid` cannot run yet"), "{said}");
    let narrow = mesh.grant("product:desk.paid", PRODUCT, &["--columns", "order_id,amount,status"]);

    let fine = "SELECT order_id, status AS customer, CAST(amount AS BIGINT) AS cents FROM orders";
    for text in [
        SQL.to_owned(),
        format!("{fine} WHERE orders.customer = 'customer 1'"),
        fine.replace("CAST(amount AS BIGINT)", "count(*) OVER (PARTITION BY orders.customer)"),
        format!("SELECT o.* FROM ({fine}) o JOIN orders p ON o.order_id = p.order_id AND p.customer <> ''"),
    ] {
        sql(&text);
        let found = problems();
        let [(code, path, hints)] = found.as_slice() else { panic!("{text}: {found:?}") };
        assert_eq!((code.as_str(), path.as_str()), ("MW0833", "domains/desk/paid/paid.sql"), "{text}");
        assert!(hints.contains("the product's agreements leave out `customer` of `orders`"), "{text}: {hints}");
        assert_eq!(mesh.fails(1, &["apply"]).error_code(), Some("MW0833"), "{text}");
    }
    // A `*` brings what is there.
    sql("SELECT *, CAST(amount AS BIGINT) AS cents FROM orders");
    assert!(problems().iter().any(|(_, _, hints)| hints.contains("`customer` of `orders`")), "{:?}", problems());
    sql(fine);
    assert_eq!(problems(), []);
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "desk.paid"]);

    // With the column back, so is the view.
    mesh.revoke(&narrow);
    mesh.grant("product:desk.paid", PRODUCT, &[]);
    sql(SQL);
    assert_eq!(problems(), []);
}

#[test]
fn views_over_views_and_products_over_views() {
    let mesh = desk();
    let over = |name: &str, from: (&str, &str), sql: &str, mode: &str| {
        let home = format!("domains/{name}/top");
        mesh.write(&format!("domains/{name}/domain.yaml"), format!("domain: {name}\nowner: {name}_team\n"));
        mesh.write(
            &format!("{home}/product.yaml"),
            format!(
                "product: top\nversion: 1.0.0\nstatus: active\ninputs:\n  below: {{ product: {}.{}, version: 1, purpose: test }}\n\
                 outputs:\n  top: {{ contract: top.contract.yaml, sql: top.sql, mode: {mode} }}\n",
                from.0, from.1
            ),
        );
        let contract = "schema: top\nversion: 1.0.0\nowner: x\nfields:\n  - { name: customer, type: string }\n  - { name: n, type: integer }\n";
        mesh.write(&format!("{home}/top.contract.yaml"), contract);
        mesh.write(&format!("{home}/top.sql"), sql);
        mesh.ok(&["apply"]);
        let table = format!("{}.{}", from.0, if from.1 == "paid" { "paid" } else { "top" });
        mesh.grant(&format!("product:{name}.top"), &table, &[]);
    };
    over("second", ("desk", "paid"), "SELECT customer, count(*) AS n FROM below GROUP BY customer", "view");
    over("third", ("second", "top"), "SELECT customer, sum(n) AS n FROM below GROUP BY customer", "view");
    over("stored", ("third", "top"), "SELECT customer, n FROM below WHERE n > 0", "full");
    mesh.orders(9);
    mesh.ok(&["run", "all"]);
    for table in ["second.top", "third.top", "stored.top"] {
        let sql = format!("SELECT sum(n) AS n, count(*) AS c FROM {table}");
        assert_eq!(rows(&mesh, &sql, &[]), "n,c 3,3", "{table}");
    }
    let published = mesh.json(&["publications", "list", "third.top"]);
    assert_eq!(published[0]["outputs"][0]["over"][0]["table"], "second.top");
}

#[test]
fn killed_at_every_step_of_a_run_of_a_view() {
    let mesh = desk();
    mesh.ok(&["run", "desk.paid"]);
    let own = ["run.started", "run.verdict_stored", "run.commit_ended", "run.committed", "run.published"];
    let child = ["stage-start", "after-first-file", "after-stage", "before-commit", "after-commit"];
    let own = own.iter().map(|step| ("MESHWORK_FAULT", *step));
    let steps = own.chain(child.iter().map(|step| ("MESHWORK_RUN_FAULT", *step)));
    let count = || rows(&mesh, "SELECT count(*) AS n FROM desk.paid", &[]);
    let mut old = count();
    for (at, (variable, step)) in steps.enumerate() {
        // Every third order is paid.
        let orders = 3 * (at + 2);
        mesh.orders(orders);
        mesh.ok(&["run", PRODUCT]);
        mesh.with_env(&[(variable, step)], &["run", "desk.paid"]);
        let (new, served) = (format!("n {}", orders / 3), count());
        assert!(served == old || served == new, "{step}: {served} is served");
        mesh.ok(&["run", "desk.paid"]);
        assert_eq!(count(), new, "{step}");
        mesh.ok(&["collect"]);
        assert!(mesh.orphans().is_empty(), "{step} left {:?}", mesh.orphans());
        old = new;
    }
}

/// What the product of a view may read is decided at every read, whoever reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_ends_with_the_agreement_of_its_product() {
    let mesh = people::mesh();
    people::view(&mesh, "near", "d", ("vault", "people", "c"));
    mesh.ok(&["apply"]);
    let grant = || mesh.grant("product:near.d", "vault.c", &[]);
    let agreement = grant();
    mesh.ok(&["run", "vault"]);
    mesh.ok(&["run", "near"]);
    mesh.user("eve");
    mesh.grant("eve", "near.d", &[]);
    let server = mesh.serve();
    let reads = async || {
        let client = connect(&server, "eve", "").await.expect("connected");
        simple(&client, "SELECT id FROM near.d ORDER BY id").await.map(|rows| rows.as_array().map(Vec::len))
    };
    assert_eq!(reads().await, Ok(Some(4)));

    // A revoke ends what is open, and what is new.
    Holder::over(&server, "near.d").await.outlives(async || mesh.revoke(&agreement), "42501").await;
    assert_eq!(reads().await, Err("42501".to_owned()));
    let listed = connect(&server, "eve", "").await.expect("connected");
    let listed = simple(&listed, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'near'").await;
    assert_eq!(listed, Ok(serde_json::json!([])), "what cannot be read is not listed");

    // The same rights under another agreement: the verdict stands. An expiry ends them again.
    mesh.grant("product:near.d", "vault.c", &["--expires", "4s"]);
    let expired = tokio::time::Instant::now() + Duration::from_secs(4);
    assert_eq!(reads().await, Ok(Some(4)));
    let holder = Holder::over(&server, "near.d").await;
    holder.outlives(async || tokio::time::sleep_until(expired).await, "42501").await;

    // Other rights: the verdict speaks of other rows, until the view is checked again.
    let narrow = mesh.grant("product:near.d", "vault.c", &["--rows", "id > 3"]);
    assert_eq!(reads().await, Err("42501".to_owned()));
    mesh.ok(&["run", "near"]);
    assert_eq!(reads().await, Ok(Some(2)));
    mesh.revoke(&narrow);
    grant();
    assert_eq!(reads().await, Err("42501".to_owned()));
    mesh.ok(&["run", "near"]);
    let since = Instant::now();
    assert_eq!(reads().await, Ok(Some(4)));
    assert!(since.elapsed() < Duration::from_secs(5));

    // A mask that its product is no longer under does not lift what the view's lineage says of it.
    mesh.write(
        "governance/classifications.yaml",
        "address: { mask: replace-with-null }\nnational_id: { mask: show-last-4 }\npay: { mask: replace-with-null }\n",
    );
    mesh.ok(&["apply"]);
    assert_eq!(reads().await, Err("42501".to_owned()));
}
