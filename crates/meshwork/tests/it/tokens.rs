//! A token that is confined: on every port it has no rights elsewhere, whatever its user may.

use reqwest::Method;
use serde_json::{Value, json};

use crate::redteam::people;

/// Status and body of an answer of the API.
async fn call(http: &str, token: &str, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let client = reqwest::Client::new();
    let mut request = client.request(method, format!("{http}/api/v1/{path}")).bearer_auth(token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confined_token_reaches_its_part_and_nothing_else() {
    let mesh = people::published();
    let server = mesh.serve();
    // Eve owns both, and administers the mesh: the token must not.
    mesh.ok(&["user", "add", "eve", "--team", "vault_team", "--team", "oracle_team", "--admin"]);
    let token = |scope: &str| mesh.ok(&["token", "create", "ci", "--user", "eve", "--scope", scope]).trim().to_owned();
    let reading = token("vault.people");
    let ask = |path: &'static str| call(&server.http, &reading, Method::GET, path, None);

    let (_, who) = ask("whoami").await;
    assert_eq!((&who["scope"], &who["admin"]), (&json!(["vault.people"]), &json!(false)));
    let (_, products) = ask("products").await;
    let names: Vec<&str> =
        products["items"].as_array().expect("a list").iter().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(names, ["people"], "{products}");
    assert_eq!(ask("data/vault/c?limit=1").await.0, 200);
    for hidden in ["data/oracle/c", "products/oracle/people", "contracts/oracle/c/1"] {
        assert_eq!(ask(hidden).await.0, 404, "{hidden}");
    }
    let query = |sql: &str| call(&server.http, &reading, Method::POST, "query", Some(json!({ "sql": sql })));
    assert_eq!(query("SELECT count(*) FROM vault.c").await.0, 200);
    let unknown = query("SELECT count(*) FROM oracle.c").await;
    let absent = query("SELECT count(*) FROM oracle.d").await;
    assert_eq!(unknown.0, 404);
    assert_eq!((unknown.0, &unknown.1["code"]), (absent.0, &absent.1["code"]), "as for one that does not exist");
    let joined = query("SELECT count(*) FROM vault.c a JOIN oracle.c b ON a.id = b.id").await;
    assert_eq!(joined.0, 404);

    assert_eq!(ask("agreements").await.1["items"], json!([]), "nor does it tell where its user may read");

    // What its user may, and the token may not.
    for (method, path, body) in [
        (Method::POST, "tokens", Some(json!({ "label": "wider" }))),
        (Method::GET, "tokens", None),
        (Method::GET, "users", None),
        (Method::GET, "audit?principal=user:eve", None),
        (Method::GET, "audit/verify", None),
        (Method::POST, "runs", Some(json!({ "products": ["vault.people"] }))),
        (Method::POST, "agreements", Some(json!({ "grantee": "user:eve", "table": "vault.c", "purpose": "more" }))),
    ] {
        let (status, said) = call(&server.http, &reading, method, path, body).await;
        assert_eq!(status, 403, "{path}: {said}");
    }

    // The Postgres wire: the same token as a password.
    let (host, port) = server.pg.as_deref().and_then(|pg| pg.split_once(':')).expect("an address");
    let settings = format!("host={host} port={port} user=eve password='{reading}' dbname=meshwork");
    let (client, connection) = tokio_postgres::connect(&settings, tokio_postgres::NoTls).await.expect("connected");
    tokio::spawn(connection);
    assert!(client.query("SELECT * FROM vault.c", &[]).await.is_ok());
    let refused = client.query("SELECT * FROM oracle.c", &[]).await.expect_err("refused");
    assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("42P01"));
    let listed = "SELECT table_schema FROM information_schema.tables WHERE table_schema IN ('vault', 'oracle')";
    let schemas: Vec<String> = client.query(listed, &[]).await.expect("listed").iter().map(|row| row.get(0)).collect();
    assert!(schemas.iter().all(|schema| schema == "vault") && !schemas.is_empty(), "{schemas:?}");

    // A whole domain, as a pipeline has it: what the owners may do there, and nowhere else.
    let whole = token("vault");
    let run = |product: &str| call(&server.http, &whole, Method::POST, "runs", Some(json!({ "products": [product] })));
    assert_eq!(run("vault.people").await.0, 200);
    assert_eq!(run("oracle.people").await.0, 404);
    let (_, runs) = call(&server.http, &whole, Method::GET, "runs", None).await;
    let before = runs["items"].as_array().expect("a list").len();
    assert_eq!(run("all").await.0, 200);
    let (_, runs) = call(&server.http, &whole, Method::GET, "runs", None).await;
    let runs = runs["items"].as_array().expect("a list");
    assert_eq!(runs.len(), before + 1, "all that it reaches, though its user owns more: {runs:?}");

    // Whoever looks for tokens that nobody needs sees when they were used.
    let tokens = mesh.json(&["token", "list", "--user", "eve"]);
    let used = tokens.as_array().expect("a list").iter().filter(|token| !token["last_used_at"].is_null()).count();
    assert_eq!(used, 2, "{tokens}");
}
