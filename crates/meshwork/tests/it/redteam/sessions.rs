//! 12 to 14: what a session holds on to (statements, portals, running answers, settings, keys) is worth no more than what
//! its reader may do now.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use reqwest::Method;
use serde_json::json;
use tokio_postgres::{Client, NoTls, Statement};

use super::people::{self, PASSWORD};
use super::ports::{Ports, code, connect, simple};
use crate::mesh::{Mesh, Server};

const READ: &str = "SELECT id, ssn FROM vault.c ORDER BY id";
/// Ends only when somebody ends it.
const ENDLESS: &str = "SELECT c.id, g.value FROM vault.c c CROSS JOIN generate_series(1, 1000000000) g";

/// A reader with everything open that can be open.
pub struct Holder {
    table: String,
    prepared: Client,
    statement: Statement,
    portal: Client,
    stream: Client,
}

impl Holder {
    async fn of(server: &Server<'_>) -> Self {
        Self::over(server, "vault.c").await
    }

    /// Of a table with the same columns and rows.
    pub async fn over(server: &Server<'_>, table: &str) -> Self {
        let prepared = connect(server, "eve", "").await.expect("connected");
        let statement = prepared.prepare(&READ.replace("vault.c", table)).await.expect("prepared");
        assert_eq!(prepared.query(&statement, &[]).await.expect("rows").len(), 4);
        let portal = connect(server, "eve", "").await.expect("connected");
        let stream = connect(server, "eve", "").await.expect("connected");
        Self { table: table.to_owned(), prepared, statement, portal, stream }
    }

    /// All that is held, over `change`: every part must end in this SQLSTATE, and nothing may come after it.
    pub async fn outlives(mut self, change: impl AsyncFnOnce(), expected: &str) {
        let (read, endless) = (READ.replace("vault.c", &self.table), ENDLESS.replace("vault.c", &self.table));
        let transaction = self.portal.transaction().await.expect("begun");
        let cursor = transaction.bind(&read, &[]).await.expect("bound");
        assert_eq!(transaction.query_portal(&cursor, 1).await.expect("a row").len(), 1);
        let unread = transaction.bind(&read, &[]).await.expect("bound");
        let rows = self.stream.query_raw::<_, i64, _>(&endless, []).await.expect("started");
        let mut rows = Box::pin(rows);
        rows.next().await.expect("a row").expect("a row");

        change().await;
        let since = Instant::now();

        let error = self.prepared.query(&self.statement, &[]).await.expect_err("a statement from before");
        assert_eq!(code(&error), expected, "statement: {error:?}");
        let error = transaction.query_portal(&cursor, 1).await.expect_err("a fetch from before");
        assert_eq!(code(&error), expected, "fetch: {error:?}");
        assert!(transaction.query_portal(&unread, 0).await.is_err(), "an unread portal from before");
        let ended = tokio::time::timeout(Duration::from_secs(10), rows.try_for_each(|_| async { Ok(()) }));
        let error = ended.await.expect("a running answer ends").expect_err("in an error");
        assert_eq!(code(&error), expected, "running: {error:?}");
        assert!(since.elapsed() < Duration::from_secs(8), "it took {:?}", since.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_opened_before_a_change_is_worth_nothing_after_it() {
    let mesh = people::mesh();
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "vault"]);
    mesh.user("eve");
    let server = mesh.serve();
    let reads = async || {
        let client = connect(&server, "eve", "").await.expect("connected");
        simple(&client, READ).await
    };

    // A revoke.
    let agreement = mesh.grant("eve", "vault.c", &[]);
    Holder::of(&server).await.outlives(async || mesh.revoke(&agreement), "42501").await;
    assert_eq!(reads().await, Err("42501".to_owned()));

    // An expiry: nobody does anything.
    mesh.grant("eve", "vault.c", &["--expires", "4s"]);
    let expired = tokio::time::Instant::now() + Duration::from_secs(4);
    let holder = Holder::of(&server).await;
    holder.outlives(async || tokio::time::sleep_until(expired).await, "42501").await;
    assert_eq!(reads().await, Err("42501".to_owned()));

    // A stricter mask, and a policy that forbids.
    mesh.grant("eve", "vault.c", &[]);
    let holder = Holder::of(&server).await;
    let stricter = async || {
        let classes = "address: { mask: sha-256-global }\nnational_id: { mask: replace-with-null }\npay: { mask: replace-with-null }\n";
        mesh.write("governance/classifications.yaml", classes);
        mesh.ok(&["apply"]);
    };
    holder.outlives(stricter, "42501").await;
    assert!(reads().await.is_ok_and(|rows| !rows.to_string().contains("3333")), "now it is null");
    let holder = Holder::of(&server).await;
    let forbidden = async || {
        let policy =
            "@id(\"nobody\")\nforbid (principal, action == Action::\"Query\", resource in Domain::\"vault\");\n";
        mesh.write("domains/vault/access/nobody.cedar", policy);
        mesh.ok(&["apply"]);
    };
    holder.outlives(forbidden, "42501").await;
    assert_eq!(reads().await, Err("42501".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_a_session_is_of_no_use_to_another() {
    let mesh = people::published();
    mesh.user("mia");
    let server = mesh.serve();
    let eve = Ports::of(&mesh, &server, "eve").await;
    let mia = Ports::of(&mesh, &server, "mia").await;

    // A prepared statement of the other's, by its name.
    eve.postgres.prepare(READ).await.expect("prepared");
    for name in ["s0", "s1", "s2"] {
        assert!(mia.simple(&format!("EXECUTE {name}")).await.is_err());
    }

    // The next page of the other's reading: it is a place, not a permission.
    let (status, page) = eve.call(Method::GET, "data/vault/c?select=id&order=id&limit=2", None, &[]).await;
    assert_eq!(status, 200, "{page}");
    let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    let next = page["next"].as_str().expect("another page");
    assert_eq!(eve.call(Method::GET, next, None, &[]).await.0, 200);
    assert_eq!(mia.call(Method::GET, next, None, &[]).await.0, 403);
    // An entity tag of the other's does not tell that it still holds.
    let (_, tag) = tag_of(&eve).await;
    assert_eq!(mia.call(Method::GET, "data/vault/c", None, &[("if-none-match", &tag)]).await.0, 403);
    assert_eq!(eve.call(Method::GET, "data/vault/c", None, &[("if-none-match", &tag)]).await.0, 304);

    cancelling_needs_the_key(&server, &eve).await;
}

async fn tag_of(ports: &Ports<'_>) -> (u16, String) {
    let request = ports.client.get(format!("{}/api/v1/data/vault/c", ports.http)).basic_auth("eve", Some(PASSWORD));
    let answer = request.header("accept", "application/json").send().await.expect("sent");
    (answer.status().as_u16(), answer.headers()["etag"].to_str().expect("text").to_owned())
}

/// Process ids can be guessed, keys cannot.
async fn cancelling_needs_the_key(server: &Server<'_>, eve: &Ports<'_>) {
    use tokio::io::AsyncWriteExt;
    let rows = eve.postgres.query_raw::<_, i64, _>(ENDLESS, []).await.expect("started");
    let mut rows = Box::pin(rows);
    rows.next().await.expect("a row").expect("a row");
    let address = server.pg.as_deref().expect("an address");
    for pid in 0..40i32 {
        for key in [&[0u8; 4][..], &pid.to_be_bytes(), &[0xff; 4]] {
            let mut request = Vec::new();
            request.extend((12 + i32::try_from(key.len()).expect("short")).to_be_bytes());
            request.extend(80_877_102i32.to_be_bytes());
            request.extend(pid.to_be_bytes());
            request.extend(key);
            let mut socket = tokio::net::TcpStream::connect(address).await.expect("connected");
            let _ = socket.write_all(&request).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..1000 {
        rows.next().await.expect("a row").expect("it still runs");
    }
    let cancel = eve.postgres.cancel_token();
    cancel.cancel_query(NoTls).await.expect("sent");
    let ended = tokio::time::timeout(Duration::from_secs(10), rows.try_for_each(|_| async { Ok(()) }));
    let error = ended.await.expect("it ends").expect_err("cancelled");
    assert_eq!(code(&error), "57014");
    assert_eq!(eve.simple("SELECT 1").await, Ok(json!([["1"]])), "the session goes on");
}

/// 14
#[tokio::test(flavor = "multi_thread")]
async fn settings_never_widen_rights() {
    let mesh = people::published();
    mesh.user("mia");
    mesh.ok(&["user", "add", "adam", "--admin"]);
    mesh.ok(&["access", "grant", "user:mia", "vault.c", "--purpose", "fraud"]);
    let server = mesh.serve();
    let eve = Ports::of(&mesh, &server, "eve").await;
    let as_ever = eve.simple(READ).await.expect("rows");

    let refused = [
        "SET ROLE adam",
        "SET SESSION AUTHORIZATION adam",
        "SET SESSION ROLE adam",
        "SET LOCAL ROLE 'adam'",
        "RESET SESSION AUTHORIZATION",
        "SET TIME ZONE 'Asia/Tokyo'",
        "SET timezone = '+14'",
        "SET row_security = off",
        "SET datafusion.catalog.default_schema = 'vault'",
        "SET datafusion.optimizer.max_passes = 0",
        "SET datafusion.execution.parquet.pushdown_filters = true",
        "SET meshwork.user = 'adam'",
        "SET meshwork.subject = 'adam'",
        "SET \"meshwork\".\"admin\" = true",
        "SET is_superuser = on",
        "SET default_catalog = x",
    ];
    for sql in refused {
        assert!(eve.simple(sql).await.is_err(), "simple: {sql}");
        assert!(eve.extended(sql).await.is_err(), "extended: {sql}");
        assert_eq!(eve.simple(READ).await.as_ref(), Ok(&as_ever), "{sql}");
    }
    let without_effect = [
        "SET search_path = hidden, vault",
        "SELECT set_config('meshwork.purpose', 'fraud', false)",
        "SELECT set_config('role', 'adam', false)",
        "SET statement_timeout = 0",
        "SET transaction_read_only = off",
        "SET default_transaction_read_only = off",
        "SET application_name = 'adam'",
    ];
    for sql in without_effect {
        let _ = eve.simple(sql).await;
        assert_eq!(eve.simple(READ).await.as_ref(), Ok(&as_ever), "{sql}");
        assert!(eve.simple("INSERT INTO vault.c VALUES (9)").await.is_err(), "{sql}");
        assert!(eve.simple("SELECT * FROM c").await.is_err(), "a path does not resolve: {sql}");
    }
    // A purpose that others have an agreement for is not one of hers.
    eve.simple("SET meshwork.purpose = 'fraud'").await.expect("only selects");
    assert_eq!(eve.simple(READ).await, Err("42501".to_owned()));
    eve.simple("RESET ALL").await.expect("reset");
    assert_eq!(eve.simple(READ).await.as_ref(), Ok(&as_ever));

    startup(&server, &as_ever).await;
    headers(&eve).await;
    let said = mesh.meshwork(&["--server", &server.http, "--token", "mw_guess", "--as", "user:adam", "whoami"]);
    assert_eq!(said.code, Some(4), "{said:?}");
}

async fn startup(server: &Server<'_>, as_ever: &serde_json::Value) {
    for options in
        ["-c role=adam", "-c session_authorization=adam", "-c timezone=Asia/Tokyo", "-c x.y=z", "--role=adam"]
    {
        let settings = format!("options='{options}'");
        assert!(connect(server, "eve", &settings).await.is_err(), "{options}");
    }
    let fraud = connect(server, "eve", "options='-c meshwork.purpose=fraud'").await.expect("connected");
    assert_eq!(simple(&fraud, READ).await, Err("42501".to_owned()));
    for harmless in ["options='-c search_path=vault,hidden -c application_name=adam'", "application_name=adam"] {
        let client = connect(server, "eve", harmless).await.expect("connected");
        assert_eq!(simple(&client, READ).await.as_ref(), Ok(as_ever), "{harmless}");
        assert!(simple(&client, "SELECT * FROM c").await.is_err());
        for function in ["current_user", "session_user"] {
            assert_eq!(simple(&client, &format!("SELECT {function}")).await, Ok(json!([["eve"]])), "{harmless}");
        }
    }
    // Another's name with one's own password.
    assert!(connect(server, "adam", "").await.is_err());
    let database = connect(server, "eve", "dbname=hidden").await;
    if let Ok(client) = database {
        assert_eq!(simple(&client, READ).await.as_ref(), Ok(as_ever));
    }
}

async fn headers(eve: &Ports<'_>) {
    let body = json!({ "sql": READ });
    let statuses = [
        ("meshwork-as", "user:adam", 403),
        ("meshwork-as", "user:mia", 403),
        ("meshwork-as", "product:vault.people", 403),
        ("meshwork-purpose", "fraud", 403),
        ("meshwork-purpose", "test", 200),
        ("x-forwarded-user", "adam", 200),
        ("x-forwarded-for", "127.0.0.1", 200),
    ];
    for (name, value, expected) in statuses {
        let (status, text) = eve.call(Method::POST, "query", Some(&body), &[(name, value)]).await;
        assert_eq!(status, expected, "{name}: {value}: {text}");
        let shown: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        if status == 200 {
            assert_eq!(people::ids(&shown["rows"]), [1, 3, 5, 6], "{name}");
        }
    }
    let (status, text) = eve.call(Method::GET, "whoami", None, &[("meshwork-as", "user:adam")]).await;
    assert_eq!(status, 403, "{text}");
    let (status, text) = eve.call(Method::GET, "users", None, &[]).await;
    assert_eq!(status, 403, "{text}");
    for body in [json!({ "sql": READ, "as": "user:adam" }), json!({ "sql": READ, "user": "adam" })] {
        let (status, text) = eve.call(Method::POST, "query", Some(&body), &[]).await;
        assert_eq!(status, 400, "{text}");
    }
}

impl Mesh {
    /// Now, as a statement can name it; no publication is made within the second before or after.
    pub fn moment(&self) -> String {
        let said = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%6NZ"]).output().expect("date");
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    }
}
