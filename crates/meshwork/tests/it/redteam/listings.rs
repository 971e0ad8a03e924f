//! 10: whatever lists, describes, completes or suggests names only what its reader may know exists.

use reqwest::Method;
use serde_json::Value;

use super::people;
use super::ports::{Ports, simple};
use crate::mesh::{Mesh, Said};

/// Names that stand in the hidden product and nowhere else.
const HIDDEN: [&str; 5] = ["zebra", "quagga", "okapi", "wildebeest", "gazelle"];

/// A draft of the domain `hidden`, published for its owners, with a run that was blocked and one that was not.
fn hide_a_product(mesh: &Mesh) {
    let home = "domains/hidden/zebra";
    mesh.write("domains/hidden/domain.yaml", "domain: hidden\nowner: keepers\n");
    mesh.write(
        &format!("{home}/product.yaml"),
        "product: zebra\nversion: 1.0.0\nstatus: draft\ndescription: Of the wildebeest.\ninputs:\n  \
         raw: { source: { type: csv, path: raw.csv } }\noutputs:\n  quagga: { contract: quagga.contract.yaml }\n",
    );
    mesh.write(
        &format!("{home}/quagga.contract.yaml"),
        "schema: quagga\nversion: 1.0.0\nowner: keepers\nfields:\n  - { name: okapi, type: integer, required: true, \
         description: One gazelle }\n",
    );
}

fn clean(what: &str, text: &str) {
    let text = text.to_lowercase();
    for word in HIDDEN {
        assert!(!text.contains(word), "{what} tells of {word}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_tells_of_what_is_hidden() {
    let mesh = people::mesh();
    hide_a_product(&mesh);
    mesh.write("domains/hidden/raw.csv", "okapi\n1\n");
    mesh.ok(&["apply"]);
    for domain in ["vault", "oracle", "hidden"] {
        mesh.ok(&["run", domain]);
    }
    mesh.write("domains/hidden/raw.csv", "okapi\nnone\n");
    mesh.fails(1, &["run", "hidden"]);
    mesh.user("eve");
    mesh.user("kim");
    mesh.grant("kim", "hidden.quagga", &[]);
    mesh.grant("eve", "vault.c", &["--columns", "id,name,ssn"]);
    let server = mesh.serve();
    let eve = Ports::of(&mesh, &server, "eve").await;

    every_list_of_the_api(&eve, &server.token).await;
    unknown_and_hidden_are_one_answer(&eve).await;
    every_table_of_the_catalogs(&eve).await;
    withheld_columns_are_absent(&eve).await;
    commands(&mesh);
}

async fn every_list_of_the_api(eve: &Ports<'_>, owner: &str) {
    let api: Value = serde_json::from_str(
        &eve.client
            .get(format!("{}/api/openapi.json", eve.http))
            .send()
            .await
            .expect("sent")
            .text()
            .await
            .expect("text"),
    )
    .expect("JSON");
    clean("the description of the API", &api.to_string());
    let paths = api["paths"].as_object().expect("paths");
    let lists = paths
        .iter()
        .filter(|(path, item)| path.starts_with("/api/v1/") && !path.contains('{') && item.get("get").is_some());
    let (mut walked, mut told) = (0, 0);
    for (path, _) in lists {
        let mut next = Some(path.clone());
        while let Some(path) = next.take() {
            walked += 1;
            let (status, text) = eve.call(Method::GET, &path, None, &[]).await;
            clean(&path, &text);
            let page: Value = serde_json::from_str(&text).unwrap_or_default();
            next = page["next"].as_str().filter(|_| status == 200).map(str::to_owned);
        }
        let of_owner = eve.client.get(format!("{}{path}", eve.http)).bearer_auth(owner).send().await.expect("sent");
        let of_owner = of_owner.text().await.unwrap_or_default();
        told += usize::from(HIDDEN.iter().any(|word| of_owner.contains(word)));
    }
    assert!(walked >= 10, "only {walked} lists");
    assert!(told >= 5, "its owner finds it in {told} lists: this test would not see it");
}

/// A path of the hidden thing and the same of nothing: equal, but for the name that was asked for.
async fn unknown_and_hidden_are_one_answer(eve: &Ports<'_>) {
    let paths = [
        "products/hidden/{p}",
        "contracts/hidden/{t}/1",
        "publications?product=hidden.{p}",
        "runs?product=hidden.{p}",
        "data/hidden/{t}",
        "data/hidden/{t}_v1",
        "data/hidden/{t}?select={c}",
        "data/hidden/{t}?as_of=2020-01-01",
        "agreements?table=hidden.{t}",
        "query?sql=SELECT%20*%20FROM%20hidden.{t}",
    ];
    for path in paths {
        let (hidden, unknown) = (named(path, HIDDEN), named(path, UNKNOWN));
        let (status, text) = eve.call(Method::GET, &hidden, None, &[]).await;
        let (other, nothing) = eve.call(Method::GET, &unknown, None, &[]).await;
        assert_eq!(status, other, "{path}");
        assert_eq!(plain(&text), plain(&nothing), "{path}");
    }
    let statements = [
        "SELECT * FROM hidden.{t}",
        "SELECT {c} FROM hidden.{t}_v1",
        "SELECT * FROM hidden.{t} FOR SYSTEM_TIME AS OF '2020-01-01'",
        "SELECT * FROM \"hidden\".\"{t}\"",
        "SELECT * FROM meshwork.hidden.{t}",
        "SELECT * FROM {t}",
        "EXPLAIN SELECT * FROM hidden.{t}",
        "SHOW CREATE TABLE hidden.{t}",
        "SHOW COLUMNS FROM hidden.{t}",
        "DESCRIBE hidden.{t}",
        "SELECT 'hidden.{t}'::regclass",
        "SELECT to_regclass('hidden.{t}')",
        "SELECT has_table_privilege('hidden.{t}', 'select')",
        "SELECT pg_table_size('hidden.{t}'), pg_total_relation_size('hidden.{t}')",
        "SELECT v.{c} FROM vault.c v",
        "SELECT * FROM hidden.{t} WHERE {c} = 1",
    ];
    for sql in statements {
        let hidden = eve.ask_server(&named(sql, HIDDEN)).await;
        let unknown = eve.ask_server(&named(sql, UNKNOWN)).await;
        assert_eq!(plain(&format!("{hidden:?}")), plain(&format!("{unknown:?}")), "{sql}");
    }
    // Nearly the right name is not put right.
    for path in ["products/hidden/zebr", "contracts/hidden/quagg/1", "data/hidden/quagg", "data/vault/c?select=okap"] {
        let (_, text) = eve.call(Method::GET, path, None, &[]).await;
        clean(path, &text);
    }
    for sql in ["SELECT * FROM hidden.quagg", "SELECT okap FROM vault.c", "SELECT * FROM hiden.c"] {
        let body = serde_json::json!({ "sql": sql });
        let (_, text) = eve.call(Method::POST, "query", Some(&body), &[]).await;
        clean(sql, &text);
        let error = eve.postgres.simple_query(sql).await.expect_err("refused");
        clean(sql, &format!("{:?}", error.as_db_error()));
    }
}

const UNKNOWN: [&str; 5] = ["yyyyy", "xxxxxx", "wwwww", "", ""];

fn named(text: &str, names: [&str; 5]) -> String {
    text.replace("{p}", names[0]).replace("{t}", names[1]).replace("{c}", names[2])
}

/// Without the names that were asked for and the request's own id.
fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    if let Ok(Value::Object(mut problem)) = serde_json::from_str::<Value>(&text) {
        problem.remove("request");
        text = Value::Object(problem).to_string();
    }
    for names in [HIDDEN, UNKNOWN] {
        for (name, part) in names.into_iter().zip(["{p}", "{t}", "{c}"]) {
            text = text.replace(name, part);
        }
    }
    text
}

/// Not only the tables that tools ask for: all there are.
async fn every_table_of_the_catalogs(eve: &Ports<'_>) {
    let listed = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'information_schema'";
    let mut tables: Vec<String> = ["schemata", "tables", "columns", "views", "table_constraints", "routines"]
        .map(|name| format!("information_schema.{name}"))
        .into();
    tables.extend(column(eve, listed).await.into_iter().map(|name| format!("information_schema.{name}")));
    let of_pg = "SELECT relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = 'pg_catalog'";
    tables.extend(column(eve, of_pg).await.into_iter().map(|name| format!("pg_catalog.{name}")));
    assert!(tables.len() > 40, "{tables:?}");
    let mut answered = 0;
    for table in &tables {
        match simple(&eve.postgres, &format!("SELECT * FROM {table}")).await {
            Ok(rows) => {
                answered += 1;
                clean(table, &rows.to_string());
            }
            Err(code) => clean(table, &code),
        }
    }
    assert!(answered > tables.len() * 3 / 4, "{answered} of {} can be read", tables.len());
    for sql in ["SHOW ALL", "SHOW TABLES", "SELECT current_schemas(true)", "SELECT * FROM pg_settings"] {
        clean(sql, &format!("{:?}", eve.simple(sql).await));
    }
    // She is listed what she may read, so that this test reads something.
    let own = eve.simple("SELECT table_schema, table_name FROM information_schema.tables").await.expect("rows");
    assert!(own.to_string().contains("vault"), "{own}");
}

async fn column(eve: &Ports<'_>, sql: &str) -> Vec<String> {
    let rows = eve.simple(sql).await.expect("rows");
    rows.as_array().expect("rows").iter().filter_map(|row| row[0].as_str().map(str::to_owned)).collect()
}

async fn withheld_columns_are_absent(eve: &Ports<'_>) {
    for sql in [
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'vault' AND table_name = 'c' ORDER BY 1",
        "SELECT attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'vault' AND c.relname = 'c' AND attnum > 0 ORDER BY 1",
    ] {
        assert_eq!(column(eve, sql).await, ["id", "name", "ssn"], "{sql}");
    }
    for sql in ["SELECT * FROM vault.c", "SELECT row_to_json(c) FROM vault.c c", "SELECT c FROM vault.c c"] {
        for (port, answer) in eve.ask_server(sql).await {
            let shown = format!("{answer:?}");
            assert!(!shown.contains("email") && !shown.contains("salary"), "{port}: {sql}: {shown}");
        }
    }
    for column in ["email", "salary", "region"] {
        for sql in [
            format!("SELECT {column} FROM vault.c"),
            format!("SELECT id FROM vault.c WHERE {column} IS NOT NULL"),
            format!("SELECT id FROM vault.c ORDER BY {column}"),
            format!("SELECT id FROM vault.c a JOIN vault.c b USING ({column}, id)"),
        ] {
            for (port, answer) in eve.ask_server(&sql).await {
                assert!(answer.is_err(), "{port}: {sql}: {answer:?}");
            }
        }
        let (status, text) = eve.call(Method::GET, &format!("data/vault/c?select={column}"), None, &[]).await;
        assert_eq!(status, 403, "{text}");
    }
}

fn commands(mesh: &Mesh) {
    let eve = |args: &[&str]| -> Said { mesh.meshwork(&[&["--as", "user:eve"], args].concat()) };
    for args in [
        &["product", "list"][..],
        &["contract", "list"],
        &["domain", "list"],
        &["publications", "list"],
        &["runs"],
        &["access", "list", "--all"],
        &["audit", "query"],
        &["whoami"],
        &["domain", "show", "hidden"],
        &["product", "show", "hidden.zebr"],
        &["contract", "show", "hidden.quagg"],
        &["run", "hidden.zebr"],
        &["logs", "hidden.zebr"],
    ] {
        let said = eve(args);
        clean(&args.join(" "), &format!("{}{}", said.out, said.err));
    }
    for (hidden, unknown) in [
        (&["product", "show", "hidden.zebra"][..], &["product", "show", "hidden.yyyyy"][..]),
        (&["contract", "show", "hidden.quagga"], &["contract", "show", "hidden.xxxxxx"]),
        (&["logs", "hidden.zebra"], &["logs", "hidden.yyyyy"]),
        (&["run", "hidden.zebra"], &["run", "hidden.yyyyy"]),
        (&["sql", "-c", "SELECT * FROM hidden.quagga"], &["sql", "-c", "SELECT * FROM hidden.xxxxxx"]),
    ] {
        let (told, nothing) = (eve(hidden), eve(unknown));
        assert_eq!(told.code, nothing.code, "{hidden:?}: {told:?}");
        assert_eq!(plain(&told.err), plain(&nothing.err), "{hidden:?}");
        assert!(told.code != Some(0), "{told:?}");
    }
}
