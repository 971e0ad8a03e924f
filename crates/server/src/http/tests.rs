//! The API as a client meets it.

mod world;

use std::collections::BTreeSet;
use std::fmt::Write;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use meshwork_core::permission::ApiAction;
use meshwork_core::principal::Subject;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::world::World;
use super::table::Access;
use super::{Peer, Session, describe};

// ------------------------------------------------------------------------------------------------------ the route table

/// One request for each route and kind of resource: method, path, body.
fn requests() -> Vec<(&'static str, &'static str, Option<Value>)> {
    let sql = |table: &str| Some(json!({ "sql": format!("SELECT * FROM {table}") }));
    let mesh = || serde_json::to_value(world::mesh()).unwrap();
    let grant = |table: &str| Some(json!({ "grantee": "team:x_team", "table": table, "purpose": "test" }));
    vec![
        ("GET", "/healthz", None),
        ("GET", "/readyz", None),
        ("GET", "/metrics", None),
        ("GET", "/api/docs", None),
        ("GET", "/api/docs/docs.js", None),
        ("GET", "/api/docs/docs.css", None),
        ("GET", "/api/openapi.json", None),
        ("GET", "/api/problems/MW0742", None),
        ("GET", "/api/v1/whoami", None),
        ("GET", "/api/v1/mesh", None),
        ("GET", "/api/v1/domains", None),
        ("GET", "/api/v1/domains/sales", None),
        ("GET", "/api/v1/domains/unknown", None),
        ("GET", "/api/v1/products", None),
        ("GET", "/api/v1/products/sales/orders", None),
        ("GET", "/api/v1/products/sales/plans", None),
        ("GET", "/api/v1/products/sales/unknown", None),
        ("GET", "/api/v1/contracts", None),
        ("GET", "/api/v1/contracts/sales/orders/1", None),
        ("GET", "/api/v1/contracts/sales/orders/9", None),
        ("GET", "/api/v1/contracts/sales/plans/1", None),
        ("GET", "/api/v1/publications", None),
        ("GET", "/api/v1/publications?product=sales.plans", None),
        ("GET", "/api/v1/publications/publication-10", None),
        ("GET", "/api/v1/publications/publication-30", None),
        ("GET", "/api/v1/publications/unknown", None),
        ("GET", "/api/v1/runs", None),
        ("GET", "/api/v1/runs?product=sales.plans", None),
        ("GET", "/api/v1/runs/run-10", None),
        ("GET", "/api/v1/runs/run-30", None),
        ("GET", "/api/v1/runs/unknown", None),
        ("GET", "/api/v1/runs/run-10/log", None),
        ("GET", "/api/v1/runs/run-30/log", None),
        ("GET", "/api/v1/runs/run-10/quality", None),
        ("GET", "/api/v1/runs/run-30/quality", None),
        ("POST", "/api/v1/runs", Some(json!({ "products": ["sales.orders"] }))),
        ("POST", "/api/v1/runs", Some(json!({ "products": ["sales.plans"] }))),
        ("POST", "/api/v1/maintenance", Some(json!({ "products": ["sales.orders"] }))),
        ("POST", "/api/v1/maintenance", Some(json!({ "products": ["sales.plans"] }))),
        ("GET", "/api/v1/jobs", None),
        ("GET", "/api/v1/quarantine", None),
        ("GET", "/api/v1/quarantine?product=sales.orders", None),
        ("GET", "/api/v1/quarantine?product=sales.plans", None),
        ("GET", "/api/v1/quarantine?product=sales.unknown", None),
        ("GET", "/api/v1/quarantine/run-10/rows", None),
        ("GET", "/api/v1/quarantine/run-30/rows", None),
        ("GET", "/api/v1/quarantine/sales.orders/rows", None),
        ("GET", "/api/v1/quarantine/unknown/rows", None),
        ("POST", "/api/v1/quarantine/run-10/release", Some(json!({}))),
        ("POST", "/api/v1/quarantine/unknown/release", Some(json!({}))),
        ("POST", "/api/v1/query", sql("sales.orders")),
        ("POST", "/api/v1/query", sql("sales.plans")),
        ("POST", "/api/v1/query", sql("sales.unknown")),
        ("GET", "/api/v1/query?sql=SELECT+*+FROM+sales.orders", None),
        ("GET", "/api/v1/data/sales/orders", None),
        ("GET", "/api/v1/data/sales/plans", None),
        ("GET", "/api/v1/data/sales/unknown", None),
        ("GET", "/api/v1/data/sales/orders/diff", None),
        ("GET", "/api/v1/data/sales/plans/diff", None),
        ("GET", "/api/v1/data/sales/unknown/diff", None),
        ("GET", "/api/v1/agreements", None),
        ("GET", "/api/v1/agreements/agreement-ana", None),
        ("GET", "/api/v1/agreements/unknown", None),
        ("POST", "/api/v1/agreements", grant("sales.orders")),
        ("POST", "/api/v1/agreements", grant("sales.plans")),
        ("DELETE", "/api/v1/agreements/agreement-ana", None),
        ("POST", "/api/v1/plan", Some(json!({ "mesh": mesh() }))),
        ("POST", "/api/v1/apply", Some(json!({ "mesh": mesh(), "base": 1 }))),
        ("POST", "/api/v1/drift", Some(json!({ "mesh": mesh() }))),
        ("GET", "/api/v1/audit", None),
        ("GET", "/api/v1/audit?principal=user:olga", None),
        ("GET", "/api/v1/audit/verify", None),
        ("GET", "/api/v1/audit/checkpoint", None),
        ("GET", "/api/v1/audit/records/1/proof", None),
        ("GET", "/api/v1/audit/consistency?from=1", None),
        ("GET", "/api/v1/backup", None),
        ("DELETE", "/api/v1/audit/principals/user:unknown", None),
        ("GET", "/api/v1/users", None),
        ("POST", "/api/v1/users", Some(json!({ "name": "new" }))),
        ("DELETE", "/api/v1/users/otto", None),
        ("POST", "/api/v1/login", Some(json!({ "one_time_token": "mw_once_unknown" }))),
        ("GET", "/api/v1/tokens", None),
        ("GET", "/api/v1/tokens?user=olga", None),
        ("GET", "/api/v1/tokens?user=*", None),
        ("POST", "/api/v1/tokens", Some(json!({ "label": "mine" }))),
        ("POST", "/api/v1/tokens", Some(json!({ "label": "hers", "user": "olga" }))),
        ("DELETE", "/api/v1/tokens/unknown", None),
    ]
}

const ROLES: [&str; 5] = ["", "ana", "olga", "otto", "adam"];

/// Whoever changes who may do what sees it here, and so does the reviewer.
#[tokio::test]
async fn who_gets_what_status_from_which_route() {
    let mut table = format!("{:<8}{:<48}", "method", "path");
    for role in ["nobody", "ana", "olga/sales", "otto/finance", "adam/admin"] {
        write!(table, "{role:<14}").unwrap();
    }
    table = table.trim_end().to_owned() + "\n";
    let reading = World::new().await;
    for (method, path, body) in requests() {
        let mut line = format!("{method:<8}{:<48}", format!("{path} {}", about(body.as_ref())).trim_end());
        for role in ROLES {
            let fresh;
            let world = match method {
                "GET" => &reading,
                // What changes the world gets one of its own.
                _ => {
                    fresh = World::new().await;
                    &fresh
                }
            };
            let request = world.request(role, method.parse().unwrap(), path, body.clone());
            write!(line, "{:<14}", world.send(request).await.status.as_u16()).unwrap();
        }
        table += line.trim_end();
        table.push('\n');
    }
    if table != include_str!("tests/golden.txt") {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/tests/golden.new.txt"), &table).unwrap();
        panic!("role × route × resource changed: compare golden.txt with golden.new.txt");
    }
}

/// What a body is about, for the table.
fn about(body: Option<&Value>) -> &'static str {
    let body = body.map(Value::to_string).unwrap_or_default();
    if body.contains("\"mesh\"") {
        return "";
    }
    let names = ["sales.orders", "sales.plans", "sales.unknown", "olga"];
    names.into_iter().find(|name| body.contains(name)).unwrap_or_default()
}

#[test]
fn every_route_is_in_the_golden_table() {
    let (_, table) = describe();
    let known: BTreeSet<(String, String)> =
        requests().iter().map(|(method, path, _)| ((*method).to_owned(), pattern(path, &table))).collect();
    let declared: BTreeSet<(String, String)> =
        table.routes().map(|route| (route.method.to_string(), route.path.clone())).collect();
    assert_eq!(known, declared);
}

/// The declared path that a concrete one matches.
fn pattern(path: &str, table: &super::table::Table) -> String {
    let path = path.split('?').next().unwrap();
    let fits = |declared: &str| {
        let (a, b): (Vec<&str>, Vec<&str>) = (declared.split('/').collect(), path.split('/').collect());
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.starts_with('{') || *a == b)
    };
    let mut found: Vec<&str> = table.routes().map(|route| route.path.as_str()).filter(|path| fits(path)).collect();
    found.sort_by_key(|path| path.matches('{').count());
    (*found.first().unwrap_or_else(|| panic!("no route for {path}"))).to_owned()
}

#[test]
fn every_action_has_a_route_and_only_harmless_ones_are_public() {
    let (_, table) = describe();
    let used: BTreeSet<ApiAction> = table.routes().map(|route| route.access.action()).collect();
    let unused: Vec<ApiAction> = ApiAction::ALL.into_iter().filter(|action| !used.contains(action)).collect();
    assert_eq!(unused, [ApiAction::Impersonate], "impersonation is a header, all else is a route");
    for route in table.routes() {
        use ApiAction::{Login, ReadApiDescription, ReadHealth};
        let harmless = matches!(route.access.action(), ReadApiDescription | ReadHealth | Login);
        assert_eq!(matches!(route.access, Access::Public(_)), harmless, "{} {}", route.method, route.path);
    }
}

// ------------------------------------------------------------------------------------------------------------ OpenAPI

#[tokio::test]
async fn the_description_is_whole_and_its_references_resolve() {
    let world = World::new().await;
    let document = world.get("", "/api/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let (_, table) = describe();
    let mut ids = BTreeSet::new();
    for route in table.routes() {
        let operation = &document["paths"][&route.path][route.method.as_str().to_lowercase()];
        let called = format!("{} {}", route.method, route.path);
        assert!(operation.is_object(), "{called} is not described");
        assert!(!operation["summary"].as_str().unwrap_or("").is_empty(), "{called} has no summary");
        assert!(!operation["tags"].as_array().unwrap().is_empty(), "{called} has no tag");
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{called}: id is not unique");
        let open = operation["security"].as_array().unwrap().is_empty();
        assert_eq!(open, matches!(route.access, Access::Public(_)), "{called}: security");
        assert_eq!(operation["x-permission"], route.access.action().name(), "{called}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{called} has no success");
        assert!(open || responses.contains_key("401"), "{called} does not tell of 401");
        for segment in route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            let parameters = operation["parameters"].as_array().unwrap();
            let found = parameters.iter().find(|p| p["name"] == segment && p["in"] == "path");
            assert_eq!(found.unwrap_or_else(|| panic!("{called}: {segment}"))["required"], true);
        }
        if route.method == Method::POST {
            assert!(operation["requestBody"]["content"]["application/json"].is_object(), "{called} has no body");
        }
    }
    let described: usize = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|item| {
            let methods = ["get", "post", "put", "patch", "delete"];
            methods.iter().filter(|method| item.get(**method).is_some()).count()
        })
        .sum();
    assert_eq!(described, table.routes().count(), "something is described that is not served");
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 100);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for scheme in ["bearer", "basic"] {
        assert_eq!(document["components"]["securitySchemes"][scheme]["scheme"], scheme);
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(schemas.contains_key("Problem") && schemas.contains_key("ProblemDiagnostic"));
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| collect_references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_docs_page_loads_nothing_from_elsewhere() {
    let world = World::new().await;
    for (path, kind) in [
        ("/api/docs", "text/html; charset=utf-8"),
        ("/api/docs/docs.js", "text/javascript; charset=utf-8"),
        ("/api/docs/docs.css", "text/css; charset=utf-8"),
    ] {
        let reply = world.get("", path).await;
        assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, kind));
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"));
        assert!(!reply.text().contains("https://"), "{path} names another host");
        let again = world.get_as("", path, ("if-none-match", reply.header("etag"))).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    }
    let page = world.get("", "/api/docs").await.text();
    assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("onclick"));
    assert!(page.matches("<script").count() == 1 && page.contains("<script src="));
}

// ------------------------------------------------------------------------------------------------------------ secrecy

#[tokio::test]
async fn hidden_and_unknown_read_the_same() {
    let world = World::new().await;
    for (hidden, unknown) in [
        ("/api/v1/products/sales/plans", "/api/v1/products/sales/xxxxx"),
        ("/api/v1/products/sales/plans", "/api/v1/products/yyyyy/plans"),
        ("/api/v1/contracts/sales/plans/1", "/api/v1/contracts/sales/xxxxx/1"),
        ("/api/v1/publications/publication-30", "/api/v1/publications/publication-99"),
        ("/api/v1/runs/run-30", "/api/v1/runs/run-99"),
        ("/api/v1/runs/run-30/log", "/api/v1/runs/run-99/log"),
        ("/api/v1/data/sales/plans", "/api/v1/data/sales/xxxxx"),
        ("/api/v1/runs?product=sales.plans", "/api/v1/runs?product=sales.xxxxx"),
    ] {
        let bodies = [hidden, unknown].map(|path| world.get("ana", path));
        let [hidden, unknown] = futures::future::join_all(bodies).await.try_into().ok().unwrap();
        assert_eq!(hidden.status, StatusCode::NOT_FOUND);
        let plain = |reply: &world::Reply| {
            let mut body = reply.json();
            body["request"] = Value::Null;
            let text = body.to_string();
            ["plans", "xxxxx", "yyyyy", "sales", "-30", "-99"].iter().fold(text, |text, name| text.replace(name, "?"))
        };
        assert_eq!(plain(&hidden), plain(&unknown));
    }
    let listed = world.get("ana", "/api/v1/products").await.text();
    assert!(listed.contains("orders") && !listed.contains("plans"), "{listed}");
    let domain = world.get("ana", "/api/v1/domains/sales").await.text();
    assert!(!domain.contains("plans"), "{domain}");
    assert!(world.get("olga", "/api/v1/products").await.text().contains("plans"));
}

#[tokio::test]
async fn others_see_neither_members_nor_logs_nor_samples() {
    let world = World::new().await;
    assert!(world.get("ana", "/api/v1/domains/sales").await.json().get("members").is_none());
    assert!(world.get("olga", "/api/v1/domains/sales").await.json().get("members").is_some());
    assert_eq!(world.get("adam", "/api/v1/runs/run-10/log").await.status, StatusCode::FORBIDDEN);
    let log = world.get("olga", "/api/v1/runs/run-10/log").await.json();
    assert_eq!(log[0]["line"], "a line that may quote data");
    let quality = world.get("olga", "/api/v1/runs/run-10/quality").await.json();
    assert!(quality["report"]["outputs"][0].get("staged").is_none(), "staged commits are nobody's to see");
    assert_eq!(quality["report"]["outputs"][0]["location"]["root"], "file:///storage/");
    let quality = world.get("ana", "/api/v1/runs/run-10/quality").await.text();
    assert!(!quality.contains("file://"), "{quality}");
}

#[tokio::test]
async fn counts_are_for_those_who_may_read_the_rows() {
    let world = World::new().await;
    let path = "/api/v1/publications/publication-10";
    assert_eq!(world.get("ana", path).await.json()["outputs"][0]["rows"], 3);
    assert!(world.get("otto", path).await.json()["outputs"][0].get("rows").is_none());
}

// ------------------------------------------------------------------------------------------------------------ identity

#[tokio::test]
async fn nobody_is_challenged() {
    let world = World::new().await;
    let reply = world.get("", "/api/v1/whoami").await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::UNAUTHORIZED, "MW0940"));
    let challenges: Vec<_> = reply.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(challenges.len(), 2);
    let reply = world.get_as("", "/api/v1/whoami", ("authorization", "Bearer mw_wrong")).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::UNAUTHORIZED, "MW0901"));
}

#[tokio::test]
async fn only_administrators_act_for_others() {
    let world = World::new().await;
    let reply = world.get_as("adam", "/api/v1/whoami", ("meshwork-as", "user:olga")).await;
    let who = reply.json();
    assert_eq!((&who["principal"], &who["actor"]), (&json!("user:olga"), &json!("user:adam")));
    assert_eq!(who["domains"], json!(["sales"]));
    assert_eq!(who["admin"], false);
    let reply = world.get_as("olga", "/api/v1/whoami", ("meshwork-as", "user:ana")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    // Rights of the other, not of the administrator.
    let reply = world.get_as("adam", "/api/v1/users", ("meshwork-as", "ana")).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    let reply = world.get_as("adam", "/api/v1/whoami", ("meshwork-as", "team:x")).await;
    assert_eq!(reply.code(), "MW0944");
}

#[tokio::test]
async fn a_session_of_this_process_needs_no_credential() {
    let world = World::new().await;
    let mut request = world.request("", Method::GET, "/api/v1/whoami", None);
    request.extensions_mut().insert(Session::of(Subject::owner(Some(&world::mesh()))));
    let who = world.send(request).await.json();
    assert_eq!(who["principal"], "user:owner");
    assert_eq!(who["domains"], json!(["finance", "sales"]));
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_administrators() {
    let world = World::new().await;
    let from = |peer: &str, forwarded: bool| {
        let mut request = world.request("", Method::GET, "/metrics", None);
        let peer: std::net::SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(axum::extract::ConnectInfo(Peer(peer)));
        if forwarded {
            request.headers_mut().insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
        }
        request
    };
    assert_eq!(world.send(from("127.0.0.1:999", false)).await.status, StatusCode::OK);
    assert_eq!(world.send(from("[::ffff:127.0.0.1]:999", false)).await.status, StatusCode::OK);
    assert_eq!(world.send(from("127.0.0.1:999", true)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.send(from("192.0.2.1:999", false)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("ana", "/metrics").await.status, StatusCode::FORBIDDEN);
    let page = world.get("adam", "/metrics").await.text();
    assert!(page.contains("meshwork_http_requests_total{method=\"GET\",route=\"/metrics\",status=\"200\"}"), "{page}");
}

// ------------------------------------------------------------------------------------------------------------- protocol

#[tokio::test]
async fn unknown_parameters_methods_and_paths() {
    let world = World::new().await;
    let reply = world.get("ana", "/api/v1/products?domian=sales").await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::BAD_REQUEST, "MW0928"));
    assert_eq!(reply.json()["hints"], json!(["Did you mean `domain`?"]));
    let reply = world.get("ana", "/api/v1/products?limit=many").await;
    assert_eq!(reply.code(), "MW0929");
    let reply = world.send(world.request("ana", Method::PUT, "/api/v1/products", None)).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::METHOD_NOT_ALLOWED, "MW0922"));
    assert_eq!(reply.header("allow"), "GET, HEAD");
    let reply = world.get("ana", "/api/v2/products").await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::NOT_FOUND, "MW0921"));
}

#[tokio::test]
async fn broken_bodies_are_placed() {
    let world = World::new().await;
    let post = |kind: &str, body: &str| {
        let request = Request::post("/api/v1/query").header("authorization", format!("Bearer {}", world.token("ana")));
        request.header("content-type", kind).body(Body::from(body.to_owned())).unwrap()
    };
    let reply = world.send(post("application/json", "{\"sql\": 1,\n}")).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::BAD_REQUEST, "MW0927"));
    assert_eq!(reply.json()["place"], json!({ "path": "body", "line": 1, "column": 9 }));
    let reply = world.send(post("application/json", "{\"sqll\": \"x\"}")).await;
    assert_eq!(reply.json()["hints"], json!(["Did you mean `sql`?"]));
    let reply = world.send(post("text/plain", "select 1")).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "MW0926"));
    let reply = world.send(post("application/json", &format!("{{\"sql\": \"{}\"}}", "x".repeat(5 << 20)))).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "MW0923"));
}

#[tokio::test]
async fn every_answer_has_an_id_and_security_headers() {
    let world = World::new().await;
    for path in ["/healthz", "/api/v1/whoami", "/nowhere"] {
        let reply = world.get("", path).await;
        assert!(!reply.header("x-request-id").is_empty());
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("x-frame-options"), "DENY");
        assert!(reply.header("access-control-allow-origin").is_empty());
    }
    let reply = world.get_as("", "/nowhere", ("x-request-id", "trace-0001")).await;
    assert_eq!((reply.header("x-request-id"), &reply.json()["request"]), ("trace-0001", &json!("trace-0001")));
    let reply = world.get_as("", "/nowhere", ("x-request-id", "a b{}")).await;
    assert_ne!(reply.header("x-request-id"), "a b{}");
}

#[tokio::test]
async fn a_panic_is_an_opaque_problem_and_the_server_lives() {
    let world = World::new().await;
    let reply = world.post("ana", "/api/v1/query", json!({ "sql": "panic" })).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "MW0999"));
    assert!(!reply.text().contains("asked to"), "{}", reply.text());
    assert_eq!(reply.json()["request"], reply.header("x-request-id"));
    assert_eq!(world.get("ana", "/api/v1/whoami").await.status, StatusCode::OK);
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let world = World::new().await;
    for path in ["/api/v1/products", "/api/v1/data/sales/orders", "/api/docs"] {
        let get = world.get("ana", path).await;
        let head = world.send(world.request("ana", Method::HEAD, path, None)).await;
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0), "{path}");
        assert_eq!(head.header("etag"), get.header("etag"), "{path}");
        assert!(!head.header("etag").is_empty());
    }
}

#[tokio::test]
async fn metadata_has_tags_and_pages() {
    let world = World::new().await;
    let reply = world.get("ana", "/api/v1/products").await;
    let again = world.get_as("ana", "/api/v1/products", ("if-none-match", reply.header("etag"))).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));

    let mut path = "/api/v1/runs?limit=1".to_owned();
    let mut ids = Vec::new();
    for _ in 0..4 {
        let page = world.get("olga", &path).await;
        let body = page.json();
        ids.extend(body["items"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()));
        let Some(next) = body["next"].as_str() else { break };
        assert_eq!(page.header("link"), format!("<{next}>; rel=\"next\""));
        path = next.to_owned();
    }
    assert_eq!(ids, ["run-30", "run-20", "run-10"]);
    let cursor = world.get("ana", "/api/v1/runs?limit=1").await.json()["next"].as_str().unwrap().to_owned();
    let foreign = cursor.replace("/runs", "/publications");
    assert_eq!(world.get("ana", &foreign).await.code(), "MW0931");
}

#[tokio::test]
async fn large_json_is_compressed_on_request() {
    let world = World::new().await;
    let reply = world.get_as("", "/api/openapi.json", ("accept-encoding", "gzip")).await;
    assert_eq!(reply.header("content-encoding"), "gzip");
    assert_eq!(reply.body[..2], [0x1f, 0x8b]);
}

// ------------------------------------------------------------------------------------------------------------------ data

#[tokio::test]
async fn a_query_in_every_form() {
    let world = World::new().await;
    let ask = |accept: &str| {
        let mut request =
            world.request("ana", Method::POST, "/api/v1/query", Some(json!({ "sql": "SELECT * FROM sales.orders" })));
        request.headers_mut().insert("accept", accept.parse().unwrap());
        request
    };
    let reply = world.send(ask("application/json")).await;
    assert_eq!(reply.json()["rows"], json!([{ "id": "a0", "note": "a1" }, { "id": "=b0", "note": "=b1" }]));
    assert_eq!(reply.header("cache-control"), "private, no-store");
    assert_eq!(reply.json()["query_id"], reply.header("meshwork-query-id"));
    let reply = world.send(ask("text/csv")).await;
    assert_eq!(reply.text(), "id,note\na0,a1\n'=b0,'=b1\n");
    assert_eq!(reply.header("content-type"), "text/csv; charset=utf-8; header=present");
    let reply = world.send(ask("application/x-ndjson")).await;
    assert_eq!(reply.text(), "{\"id\":\"a0\",\"note\":\"a1\"}\n{\"id\":\"=b0\",\"note\":\"=b1\"}\n");
    assert!(world.send(ask("application/vnd.apache.parquet")).await.body.starts_with(b"PAR1"));
    assert!(world.send(ask("application/vnd.apache.arrow.stream")).await.body.starts_with(&[0xff, 0xff, 0xff, 0xff]));
    let reply = world.send(ask("image/png")).await;
    assert_eq!((reply.status, reply.code().as_str()), (StatusCode::NOT_ACCEPTABLE, "MW0932"));
}

#[tokio::test]
async fn a_result_that_breaks_off_is_not_taken_for_a_whole_one() {
    let world = World::new().await;
    let sql = json!({ "sql": "SELECT breaks_off FROM sales.orders" });
    let reply = world.post("ana", "/api/v1/query", sql.clone()).await;
    assert_eq!(reply.text(), "(broke off)");
    let mut request = world.request("ana", Method::POST, "/api/v1/query", Some(sql));
    request.headers_mut().insert("accept", "application/x-ndjson".parse().unwrap());
    let text = world.send(request).await.text();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["$problem"]["code"], "MW0890");
}

/// What a client on the network sees: a chunked message without its last chunk.
#[tokio::test]
async fn on_the_network_a_broken_result_is_an_incomplete_message() {
    let world = World::new().await;
    let (address, _server) = world.serve().await;
    let ask = async |column: &str| {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /api/v1/query?sql=SELECT+{column}+FROM+sales.orders HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             authorization: Bearer {}\r\n\r\n",
            world.token("ana")
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset is one way to break off.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    };
    let whole = ask("id").await;
    assert!(whole.starts_with("HTTP/1.1 200") && whole.ends_with("0\r\n\r\n"), "{whole}");
    let broken = ask("breaks_off").await;
    assert!(broken.starts_with("HTTP/1.1 200") && broken.contains("\"rows\":["), "{broken}");
    assert!(!broken.ends_with("0\r\n\r\n"), "{broken}");
}

#[tokio::test]
async fn who_has_no_agreement_is_told_how_to_get_one() {
    let world = World::new().await;
    let reply = world.get("otto", "/api/v1/data/sales/orders").await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(!reply.json()["hints"].as_array().unwrap().is_empty(), "{}", reply.text());
}

#[tokio::test]
async fn the_domain_endpoint_names_what_was_read_and_saves_reading_it_again() {
    let world = World::new().await;
    let path = "/api/v1/data/sales/orders?select=id,note&filter=id%20eq%20'x'&order=id&limit=2";
    let reply = world.get("ana", path).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("meshwork-publication"), "publication-20");
    assert_eq!(reply.header("meshwork-contract-version"), "1.2.0");
    let next = reply.json()["next"].as_str().unwrap().to_owned();
    let page = world.get("ana", &next).await;
    assert_eq!(page.header("meshwork-publication"), "publication-20", "{}", page.text());

    let again = world.get_as("ana", path, ("if-none-match", reply.header("etag"))).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(again.header("cache-control"), "private, no-store");
    let other_form = world.get_as("ana", path, ("accept", "text/csv")).await;
    assert_ne!(other_form.header("etag"), reply.header("etag"));

    let earlier = world.get("ana", "/api/v1/data/sales/orders?as_of=2026-01-01T00:00:15Z").await;
    assert_eq!(earlier.header("meshwork-publication"), "publication-10");
    let reply = world.get("ana", "/api/v1/data/sales/orders?filter=id%20is").await;
    assert_eq!((reply.code().as_str(), &reply.json()["place"]["column"]), ("MW0934", &json!(6)));
}

#[tokio::test]
async fn what_a_revoked_agreement_gave_is_gone_with_its_tag() {
    let world = World::new().await;
    let path = "/api/v1/data/sales/orders";
    let tag = world.get("ana", path).await.header("etag").to_owned();
    let revoke = world.request("olga", Method::DELETE, "/api/v1/agreements/agreement-ana", None);
    assert_eq!(world.send(revoke).await.json()["live"], false);
    let again = world.get_as("ana", path, ("if-none-match", &tag)).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN, "a tag is no ticket");
}

#[tokio::test]
async fn a_grant_holds_at_once() {
    let world = World::new().await;
    let path = "/api/v1/data/sales/orders";
    assert_eq!(world.get("otto", path).await.status, StatusCode::FORBIDDEN);
    let grant = json!({ "grantee": "user:otto", "table": "sales.orders", "purpose": "budget" });
    let reply = world.post("olga", "/api/v1/agreements", grant).await;
    assert_eq!((reply.status, &reply.json()["granted_by"]), (StatusCode::CREATED, &json!("user:olga")));
    assert_eq!(world.get("otto", path).await.status, StatusCode::OK);
}

#[tokio::test]
async fn contracts_come_as_they_were_written() {
    let world = World::new().await;
    let path = "/api/v1/contracts/sales/orders/1";
    let reply = world.get_as("ana", path, ("accept", "application/yaml")).await;
    assert_eq!(
        (reply.text().as_str(), reply.header("content-type")),
        ("# by hand\nschema: orders\n", "application/yaml")
    );
    let standard = world.get_as("ana", path, ("accept", "application/odcs+yaml")).await.text();
    assert!(standard.contains("kind: DataContract"), "{standard}");
    let contract = world.get("ana", path).await.json();
    assert_eq!(contract["version"], "1.2.0");
    assert_eq!(contract["tables"][0]["fields"][0]["name"], "id");
}

#[tokio::test]
async fn a_token_is_shown_once_and_hashes_never() {
    let world = World::new().await;
    let made = world.post("ana", "/api/v1/tokens", json!({ "label": "mine", "purpose": "reporting" })).await;
    let secret = made.json()["token"].as_str().unwrap().to_owned();
    let who = world.get_as("", "/api/v1/whoami", ("authorization", &format!("Bearer {secret}"))).await;
    assert_eq!(who.json()["purpose"], "reporting");
    let listed = world.get("ana", "/api/v1/tokens").await.text();
    assert!(!listed.contains(&secret) && !listed.contains("hash"), "{listed}");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let remove = |user: &str| world.request(user, Method::DELETE, &format!("/api/v1/tokens/{id}"), None);
    assert_eq!(world.send(remove("otto")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.send(remove("ana")).await.status, StatusCode::NO_CONTENT);
    let who = world.get_as("", "/api/v1/whoami", ("authorization", &format!("Bearer {secret}"))).await;
    assert_eq!(who.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn runs_stream_their_updates() {
    let world = World::new().await;
    let reply = world.post("olga", "/api/v1/runs", json!({ "products": ["sales.orders"] })).await;
    assert_eq!(reply.header("content-type"), "application/x-ndjson");
    let updates: Vec<Value> = reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(updates[0], json!({ "update": "planned", "products": ["sales.orders"] }));
    assert_eq!(updates.last().unwrap()["update"], "finished");
}
