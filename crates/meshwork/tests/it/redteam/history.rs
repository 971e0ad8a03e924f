//! 15: the past, an older major, a renamed and a retyped column are read under today's policy.

use std::collections::BTreeMap;

use serde_json::json;

use super::people;
use super::ports::{Answer, Ports, connect, differences, simple};
use crate::mesh::Mesh;

const STATEMENTS: [&str; 8] = [
    "SELECT * FROM {c} ORDER BY id",
    "SELECT count(*) FROM {c}",
    "SELECT id FROM {c} WHERE ssn = '111-22-3333'",
    "SELECT id FROM {c} WHERE ssn LIKE '%3333'",
    "SELECT min(salary), max(salary), min(ssn), max(email) FROM {c}",
    "SELECT id FROM {c} WHERE region = 'US' OR true ORDER BY id",
    "SELECT email, count(*) FROM {c} GROUP BY email",
    "SELECT id FROM {c} WHERE 1 / (CASE WHEN region = 'US' THEN 0 ELSE 1 END) = 1 ORDER BY id",
];

const TABLES: (&str, &str) = ("vault.c", "oracle.c");

/// Every way to name a moment.
async fn at(
    ports: &Ports<'_>,
    travelling: &tokio_postgres::Client,
    sql: &str,
    table: &str,
    when: &str,
) -> BTreeMap<&'static str, Answer> {
    let plain = sql.replace("{c}", table);
    let named = sql.replace("{c}", &format!("{table} FOR SYSTEM_TIME AS OF '{when}'"));
    let mut answers = ports.ask_server(&named).await;
    simple(travelling, &format!("SET meshwork.as_of = '{when}'")).await.expect("set");
    answers.insert("SET meshwork.as_of", simple(travelling, &plain).await);
    answers.insert("as_of in the body", ports.post("query", &json!({ "sql": plain, "as_of": when })).await);
    let encoded = url_encoded(&plain);
    answers.insert("as_of in the URL", ports.get(&format!("query?sql={encoded}&as_of={when}")).await);
    answers
}

fn url_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn endpoint(ports: &Ports<'_>, table: &str, query: &str) -> Answer {
    ports.get(&format!("data/{}?order=id{query}", table.replace('.', "/"))).await
}

async fn assert_same_at(ports: &Ports<'_>, when: &str) {
    let mut different = Vec::new();
    let client = connect_again(ports).await;
    for sql in STATEMENTS {
        let governed = at(ports, &client, sql, TABLES.0, when).await;
        let oracle = at(ports, &client, sql, TABLES.1, when).await;
        assert!(oracle["http"].is_ok(), "{sql}: {oracle:?}");
        different.extend(differences(sql, TABLES, &governed, &oracle));
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    let query = format!("&as_of={when}");
    assert_eq!(endpoint(ports, TABLES.0, &query).await, endpoint(ports, TABLES.1, &query).await);
    let ordered = "SELECT * FROM {c} ORDER BY id";
    let by_command = |table: &str| ports.cli_with(&ordered.replace("{c}", table), &["--as-of", when]);
    assert_eq!(by_command(TABLES.0), by_command(TABLES.1));
    assert!(by_command(TABLES.0).is_ok());
}

async fn connect_again(ports: &Ports<'_>) -> tokio_postgres::Client {
    let info = std::fs::read(ports.mesh.path().join(".meshwork/server.json")).expect("there");
    let info: serde_json::Value = serde_json::from_slice(&info).expect("JSON");
    let (host, port) = info["postgres"].as_str().and_then(|pg| pg.split_once(':')).expect("an address");
    let settings = format!("host={host} port={port} user={} password='{}'", ports.user, people::PASSWORD);
    let (client, connection) = tokio_postgres::connect(&settings, tokio_postgres::NoTls).await.expect("connected");
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_read_under_todays_policy() {
    let mesh = people::mesh();
    // In the beginning every row was for all, and eve read clear values.
    let manifest = "domains/vault/people/product.yaml";
    let filtered = std::fs::read_to_string(mesh.path().join(manifest)).expect("there");
    mesh.write(manifest, filtered.replace(people::FILTER, ""));
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "vault"]);
    mesh.ok(&["run", "oracle"]);
    mesh.user("eve");
    mesh.grant("eve", TABLES.1, &[]);
    let clear = mesh.grant("eve", TABLES.0, &["--clear", "address,national_id,pay"]);
    let server = mesh.serve();
    let ports = Ports::of(&mesh, &server, "eve").await;
    let before = mesh.moment();
    let open = ports.http("SELECT * FROM vault.c").await.expect("rows");
    assert!(open.to_string().contains("222-33-4444"), "{open}");

    mesh.write(manifest, &filtered);
    mesh.ok(&["apply"]);
    mesh.revoke(&clear);
    mesh.grant("eve", TABLES.0, &[]);
    assert_same_at(&ports, &before).await;

    // The same once newer data is there.
    for (domain, governed) in TABLES_OF {
        people::write_rows(&mesh, domain, governed, 11);
        mesh.ok(&["run", domain]);
    }
    assert_same_at(&ports, &before).await;
    let now = mesh.moment();
    assert_same_at(&ports, &now).await;
    let then = ports.cli_with("SELECT id FROM vault.c ORDER BY id", &["--as-of", &before]).expect("rows");
    assert_eq!(people::ids(&then), [1, 3, 5, 6]);
    let today = ports.cli("SELECT id FROM vault.c ORDER BY id").expect("rows");
    assert_eq!(people::ids(&today), [11, 13, 15, 16]);

    // Who may no longer read today's table may not read yesterday's.
    let agreement = mesh.grant("mia", "vault.c", &[]);
    mesh.user("mia");
    mesh.revoke(&agreement);
    let mia = Ports::of(&mesh, &server, "mia").await;
    let client = connect(&server, "mia", "").await.expect("connected");
    for (port, answer) in at(&mia, &client, STATEMENTS[0], TABLES.0, &before).await {
        assert!(answer.is_err(), "{port}: {answer:?}");
    }
}

const TABLES_OF: [(&str, bool); 2] = [("vault", true), ("oracle", false)];

/// Two majors: in the second `email` is called `mail` and `salary` is a text; their classifications follow them.
fn write_majors(mesh: &Mesh, domain: &str, governed: bool) {
    let home = format!("domains/{domain}/people");
    let first = people::contract(domain, "1.0.0", governed);
    let second = people::contract(domain, "2.0.0", governed)
        .replace("name: email,", "name: mail, renamed_from: email,")
        .replace("name: salary, type: number", "name: salary, type: string");
    mesh.write(&format!("{home}/c1.contract.yaml"), first);
    mesh.write(&format!("{home}/c.contract.yaml"), second);
    mesh.write(
        &format!("{home}/c.sql"),
        "SELECT id, name, email AS mail, ssn, CAST(salary AS TEXT) AS salary, region FROM raw\n",
    );
    let filter = if governed { people::FILTER } else { "" };
    mesh.write(
        &format!("{home}/product.yaml"),
        format!(
            "product: people\nversion: 2.0.0\nstatus: active\ninputs:\n  raw: {{ source: {{ type: csv, path: raw.csv }} }}\n\
             outputs:\n  c:\n    versions:\n      1: {{ contract: c1.contract.yaml, sunset: 2099-01-01 }}\n      \
             2: {{ contract: c.contract.yaml, sql: c.sql }}\n{filter}"
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_major_and_changed_columns_keep_their_masks() {
    let mesh = people::published();
    let server = mesh.serve();
    let before = mesh.moment();
    for (domain, governed) in TABLES_OF {
        write_majors(&mesh, domain, governed);
    }
    mesh.ok(&["apply"]);
    for (domain, _) in TABLES_OF {
        mesh.ok(&["run", domain]);
    }
    // One more reader, whose agreements pin the new major.
    mesh.user("new");
    for table in [TABLES.0, TABLES.1] {
        mesh.grant("new", table, &[]);
    }
    for user in ["eve", "new"] {
        let ports = Ports::of(&mesh, &server, user).await;
        let mail = if user == "new" { "mail" } else { "email" };
        let mut different = Vec::new();
        for (suffix, mail) in [("", mail), ("_v1", "email"), ("_v2", "mail")] {
            let (governed, oracle) = (format!("vault.c{suffix}"), format!("oracle.c{suffix}"));
            for sql in STATEMENTS {
                let sql = sql.replace("email", mail);
                let ours = ports.ask_server(&sql.replace("{c}", &governed)).await;
                let theirs = ports.ask_server(&sql.replace("{c}", &oracle)).await;
                assert!(theirs["http"].is_ok(), "{user}: {sql}: {theirs:?}");
                different.extend(differences(&sql, (&governed, &oracle), &ours, &theirs));
            }
        }
        assert!(different.is_empty(), "{}", different.join("\n"));
        // The second major did not exist then; the column of today is none of the first.
        let client = connect(&server, user, "").await.expect("connected");
        let absent = [("id", "vault.c_v2"), ("mail", "vault.c_v1"), ("email", "vault.c_v2")];
        for (column, table) in absent {
            for (port, answer) in at(&ports, &client, &format!("SELECT {column} FROM {{c}}"), table, &before).await {
                assert!(answer.is_err(), "{port}: {column} of {table}: {answer:?}");
            }
        }
        for (port, answer) in at(&ports, &client, STATEMENTS[0], "vault.c_v1", &before).await {
            let shown = format!("{answer:?}");
            assert!(answer.is_ok(), "{port}: {shown}");
            for secret in people::SECRETS {
                assert!(!shown.contains(secret), "{port}: {secret} in {shown}");
            }
        }
    }
}
