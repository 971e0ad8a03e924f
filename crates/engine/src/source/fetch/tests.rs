//! Against a server that does what servers should not, and a real S3 server.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meshwork_core::egress::Destination;
use meshwork_core::mesh::{HttpConnection, S3Connection};
use meshwork_testkit::{Fault, S3, S3Proxy, Web, WebAnswer, WebRequest};

use super::*;

const BODY: &str = "id,name\n1,a\n2,b\n3,c\n4,d\n";

fn listed(hosts: &[&str]) -> Egress {
    Egress(Some(hosts.iter().map(|host| Destination::parse(host).expect("a destination")).collect()))
}

fn access(folder: &Path) -> Access {
    let secrets = [("TOKEN", "t0ken"), ("ID", S3::KEY_ID), ("KEY", S3::KEY), ("WRONG", "wrong")];
    let variables = secrets.map(|(name, value)| (format!("MW_SECRET_SALES_{name}"), value.to_owned()));
    let secrets = Secrets { variables: BTreeMap::from(variables), folder: None };
    let patience = Patience {
        connecting: Duration::from_secs(2),
        waiting: Duration::from_millis(400),
        attempts: 3,
        pause: Duration::from_millis(10),
    };
    Access { patience, ..Access::new("sales", secrets, folder, 1 << 20) }
}

/// The content of the files, or the error.
async fn fetched(spec: &FilesSpec) -> Result<Vec<(String, String)>> {
    let folder = tempfile::tempdir().expect("temp");
    let files = access(folder.path()).files("lists", spec, &None, &Meter::default()).await?;
    let content = |file: &SourceFile| std::fs::read_to_string(&file.path).expect("reads");
    Ok(files.iter().map(|file| (file.name.clone(), content(file))).collect())
}

async fn from(web: &Web, path: &str) -> Result<String> {
    let egress = listed(&["127.0.0.1"]);
    let files = fetched(&FilesSpec::Http { url: web.url(path), connection: None, egress }).await?;
    Ok(files.into_iter().map(|(_, content)| content).collect())
}

fn serve(answer: impl Fn(&WebRequest, usize) -> WebAnswer + Send + Sync + 'static) -> Web {
    Web::start(answer).expect("a server")
}

/// What a server with ranges answers, each answer cut after nine bytes.
fn in_pieces(request: &WebRequest, tag: &str, body: &str) -> WebAnswer {
    let from = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let same = request.header("if-range") == Some(tag);
    let mut answer = match from {
        Some(from) if same => WebAnswer { status: "206 Partial Content", ..WebAnswer::ok(&body[from..]) }
            .header("content-range", format!("bytes {from}-{}/{}", body.len() - 1, body.len())),
        _ => WebAnswer::ok(body),
    };
    answer.cut_at = Some(9);
    answer.header("etag", tag)
}

#[tokio::test]
async fn a_transfer_that_breaks_off_goes_on_where_it_stopped() {
    let web = serve(|request, _| in_pieces(request, "\"v1\"", BODY));
    assert_eq!(from(&web, "/a.csv").await.as_deref(), Ok(BODY));
    let ranges: Vec<_> = web.requests().iter().map(|r| r.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, Some("bytes=9-".to_owned()), Some("bytes=18-".to_owned())]);
}

#[tokio::test]
async fn a_file_that_changed_in_between_is_read_from_its_start() {
    let other = BODY.replace('a', "z");
    let expected = other.clone();
    let web = serve(move |request, before| match before {
        0 => in_pieces(request, "\"v1\"", BODY),
        _ => WebAnswer { cut_at: None, ..in_pieces(request, "\"v2\"", &other) },
    });
    assert_eq!(from(&web, "/a.csv").await, Ok(expected));
    // Without a validator nothing says that it is the same file: all of it comes again.
    let web = serve(|_, before| WebAnswer { cut_at: (before == 0).then_some(9), ..WebAnswer::ok(BODY) });
    assert_eq!(from(&web, "/a.csv").await.as_deref(), Ok(BODY));
    assert!(web.requests().iter().all(|request| request.header("range").is_none()));
}

#[tokio::test]
async fn faults_are_told_within_the_time() {
    let cut = || WebAnswer { cut_at: Some(9), ..WebAnswer::ok(BODY) };
    let hang = |body: &str| WebAnswer { hang: true, cut_at: Some(9), ..WebAnswer::ok(body) };
    type Answering = Box<dyn Fn() -> WebAnswer + Send + Sync>;
    let cases: Vec<(&str, Answering, &str, usize)> = vec![
        ("always 503", Box::new(|| WebAnswer::status("503 Service Unavailable")), "MW0542", 3),
        (
            "a long pause",
            Box::new(|| WebAnswer::status("503 Service Unavailable").header("retry-after", "600")),
            "MW0542",
            1,
        ),
        ("breaks off", Box::new(cut), "MW0543", 3),
        ("says nothing", Box::new(move || hang("")), "MW0541", 3),
        ("hangs half-way", Box::new(move || hang(BODY)), "MW0541", 3),
        ("absent", Box::new(|| WebAnswer::status("404 Not Found")), "MW0501", 1),
        ("forbidden", Box::new(|| WebAnswer::status("403 Forbidden")), "MW0542", 1),
        ("no content", Box::new(|| WebAnswer::status("418 I'm a teapot")), "MW0542", 1),
    ];
    for (what, answer, code, requests) in cases {
        let web = serve(move |_, _| answer());
        let before = Instant::now();
        let error = from(&web, "/a.csv").await.expect_err(what);
        assert_eq!(error.code, code, "{what}: {error}");
        assert!(error.message.contains("input `lists`") && !error.hints.is_empty(), "{error}");
        assert_eq!(web.requests().len(), requests, "{what}");
        assert!(before.elapsed() < Duration::from_secs(6), "{what} took {:?}", before.elapsed());
    }
    let web = serve(|_, before| if before < 2 { WebAnswer::status("502 Bad Gateway") } else { WebAnswer::ok(BODY) });
    assert_eq!(from(&web, "/a.csv").await.as_deref(), Ok(BODY), "a fault that passes");
}

const BUSY: &str = "503 Service Unavailable";
const NOW: &str = "Fri, 31 Dec 1999 23:59:50 GMT";
const SECOND: Duration = Duration::from_secs(1);

/// In seconds or until a date; one that asks for too much is given up at once.
#[tokio::test]
async fn a_server_that_asks_for_a_pause_gets_it() {
    for after in ["1", "Fri, 31 Dec 1999 23:59:51 GMT"] {
        let web = serve(move |_, before| match before {
            0 => WebAnswer::status(BUSY).header("date", NOW).header("retry-after", after),
            _ => WebAnswer::ok(BODY),
        });
        let began = Instant::now();
        assert_eq!(from(&web, "/a.csv").await.as_deref(), Ok(BODY), "{after}");
        assert!((SECOND..3 * SECOND).contains(&began.elapsed()), "{after}: {:?}", began.elapsed());
    }
    let web = serve(|_, _| {
        WebAnswer::status(BUSY).header("date", NOW).header("retry-after", "Sat, 01 Jan 2000 00:10:00 GMT")
    });
    assert_eq!(from(&web, "/a.csv").await.expect_err("too long").code, "MW0542");
    assert_eq!(web.requests().len(), 1);
}

#[tokio::test]
async fn a_store_that_asks_for_a_pause_gets_it() {
    let server = S3::start(&["lake"]).expect("versitygw");
    std::fs::write(server.bucket("lake").join("a.csv"), BODY).expect("writes");
    let proxy = S3Proxy::start(server.port()).expect("a proxy");
    let connection = S3Connection {
        endpoint: Some(proxy.endpoint()),
        access_key_id: Some("${secret:id}".into()),
        secret_access_key: Some("${secret:key}".into()),
        ..S3Connection::default()
    };
    let spec = FilesSpec::S3 { url: "s3://lake/a.csv".into(), connection, egress: listed(&["127.0.0.1"]) };
    let later =
        |after: &str| Fault::Answer("503 Slow Down", vec![("date", NOW.to_owned()), ("retry-after", after.to_owned())]);
    for after in ["1", "Fri, 31 Dec 1999 23:59:51 GMT"] {
        proxy.fail(1, later(after), |request| request.method == "GET");
        let began = Instant::now();
        assert_eq!(fetched(&spec).await.expect("fetches")[0].1, BODY, "{after}");
        assert!((SECOND..3 * SECOND).contains(&began.elapsed()), "{after}: {:?}", began.elapsed());
    }
    proxy.fail(usize::MAX, later("600"), |_| true);
    proxy.requests();
    let began = Instant::now();
    assert_eq!(fetched(&spec).await.expect_err("too long").code, "MW0542");
    assert!(proxy.requests().len() == 1 && began.elapsed() < SECOND, "{:?}", began.elapsed());
    // One who asks for a second with every answer gets no more of them than there are attempts.
    proxy.fail(usize::MAX, later("1"), |_| true);
    assert_eq!(fetched(&spec).await.expect_err("for good").code, "MW0542");
    assert!(proxy.requests().len() <= 3 && began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test]
async fn only_allowed_hosts_and_redirects_to_them() {
    let web = serve(|_, _| WebAnswer::ok(BODY));
    let to = |url: String, egress: Egress| async move {
        fetched(&FilesSpec::Http { url, connection: None, egress }).await.map(|files| files[0].1.clone())
    };
    let here = format!("127.0.0.1:{}", web.port());
    assert_eq!(to(web.url("/"), listed(&[&here])).await.as_deref(), Ok(BODY));
    assert_eq!(to(web.url("/").replace("127.0.0.1", "localhost"), listed(&["localhost"])).await.as_deref(), Ok(BODY));
    for (url, egress) in [
        (web.url("/"), Egress::default()),
        (web.url("/").replace("127.0.0.1", "localhost"), Egress::default()),
        (web.url("/"), listed(&["127.0.0.1:1"])),
        (web.url("/"), listed(&["example.com"])),
        ("http://169.254.169.254/latest/meta-data".to_owned(), Egress::default()),
        ("http://[::ffff:127.0.0.1]:80/".to_owned(), Egress::default()),
    ] {
        let error = to(url.clone(), egress).await.expect_err("refused");
        assert_eq!(error.code, "MW0540", "{url}: {error}");
    }
    let before = web.requests().len();
    let target = web.url("/behind");
    let redirecting = serve(move |_, _| WebAnswer::status("302 Found").header("location", target.clone()));
    let own = format!("127.0.0.1:{}", redirecting.port());
    let error = to(redirecting.url("/"), listed(&[&own])).await.expect_err("another host");
    assert_eq!(error.code, "MW0547", "{error}");
    assert_eq!(web.requests().len(), before, "the other server has heard nothing");
    assert_eq!(to(redirecting.url("/"), listed(&[&own, &here])).await.as_deref(), Ok(BODY));
    let circling = serve(|_, _| WebAnswer::status("301 Moved Permanently").header("location", "/again"));
    assert_eq!(to(circling.url("/"), listed(&["127.0.0.1"])).await.expect_err("a circle").code, "MW0542");
}

#[tokio::test]
async fn credentials_go_to_their_host_only() {
    let web = serve(|request, _| match request.header("authorization") {
        Some("Bearer t0ken") => WebAnswer::ok(BODY),
        _ => WebAnswer::status("401 Unauthorized"),
    });
    let connection = |host: &str| HttpConnection {
        host: host.into(),
        token: Some("${secret:token}".into()),
        ..HttpConnection::default()
    };
    let to = |connection| FilesSpec::Http {
        url: web.url("/a?sig=1"),
        connection: Some(connection),
        egress: listed(&["127.0.0.1"]),
    };
    let files = fetched(&to(connection("127.0.0.1"))).await.expect("lets in");
    assert!(files[0].0.ends_with("/a"), "no query in {}", files[0].0);
    assert_eq!(fetched(&to(connection("other"))).await.expect_err("not sent").code, "MW0542");
}

#[tokio::test]
async fn no_more_than_the_run_may_hold() {
    let web = serve(|_, _| WebAnswer::ok(vec![b'x'; (1 << 20) + 1]));
    assert_eq!(from(&web, "/").await.expect_err("too large").code, "MW0544");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_a_real_store() {
    let server = S3::start(&["lake"]).expect("versitygw");
    let lake = server.bucket("lake");
    std::fs::create_dir_all(lake.join("in/year=2024")).expect("creates");
    for (name, text) in [("in/a.csv", "1"), ("in/b.csv", "2"), ("in/c.txt", "3"), ("in/year=2024/d.csv", "4")] {
        std::fs::write(lake.join(name), text).expect("writes");
    }
    let connection = |id: &str, key: &str| S3Connection {
        endpoint: Some(server.endpoint()),
        access_key_id: Some(format!("${{secret:{id}}}")),
        secret_access_key: Some(format!("${{secret:{key}}}")),
        ..S3Connection::default()
    };
    let at = |url: &str, connection| FilesSpec::S3 { url: url.into(), connection, egress: listed(&["127.0.0.1"]) };
    let read = |url: &'static str| {
        let spec = at(url, connection("id", "key"));
        async move {
            let files = fetched(&spec).await?;
            Ok::<_, Error>(
                files
                    .into_iter()
                    .map(|(name, text)| format!("{}={text}", &name["s3://lake/".len()..]))
                    .collect::<Vec<_>>(),
            )
        }
    };
    assert_eq!(read("s3://lake/in/*.csv").await, Ok(vec!["in/a.csv=1".to_owned(), "in/b.csv=2".to_owned()]));
    assert_eq!(read("s3://lake/in/c.txt").await, Ok(vec!["in/c.txt=3".to_owned()]));
    assert_eq!(read("s3://lake/in/**/*.csv").await.expect("reads").len(), 3);
    for (spec, code) in [
        (at("s3://lake/none/*.csv", connection("id", "key")), "MW0501"),
        (at("s3://lake/none.csv", connection("id", "key")), "MW0501"),
        (at("s3://lake/in/*.csv", connection("id", "wrong")), "MW0546"),
        (at("s3://lake/in/a.csv", connection("wrong", "key")), "MW0546"),
        (at("s3://lake/in/a.csv", S3Connection { access_key_id: None, ..connection("id", "key") }), "MW0546"),
    ] {
        let error = fetched(&spec).await.expect_err(code);
        assert_eq!(error.code, code, "{spec:?}: {error}");
        assert!(!format!("{error:?}").contains(S3::KEY), "no secret in {error:?}");
    }
    let local = FilesSpec::S3 {
        url: "s3://lake/in/a.csv".into(),
        connection: connection("id", "key"),
        egress: Egress::default(),
    };
    assert_eq!(fetched(&local).await.expect_err("this machine").code, "MW0540");
    let gone = at("s3://lake/in/a.csv", connection("id", "key"));
    drop(server);
    let before = Instant::now();
    assert_eq!(fetched(&gone).await.expect_err("gone").code, "MW0541");
    assert!(before.elapsed() < Duration::from_secs(6));
}

#[tokio::test]
async fn a_store_that_cannot_answer() {
    let web = serve(|_, _| WebAnswer::status("503 Slow Down"));
    let hanging = serve(|_, _| WebAnswer { hang: true, ..WebAnswer::ok("") });
    for (server, code) in [(&web, "MW0542"), (&hanging, "MW0541")] {
        let connection = S3Connection { endpoint: Some(server.url("")), ..S3Connection::default() };
        let spec = FilesSpec::S3 { url: "s3://lake/a.csv".into(), connection, egress: listed(&["127.0.0.1"]) };
        let before = Instant::now();
        let error = fetched(&spec).await.expect_err(code);
        assert_eq!(error.code, code, "{error}");
        assert!(before.elapsed() < Duration::from_secs(6), "{:?}", before.elapsed());
    }
}

/// What the server says tells one content from another; without that, or without HEAD, the bytes decide.
#[tokio::test]
async fn a_file_on_the_web_is_known_again() {
    let folder = tempfile::tempdir().expect("temp");
    let access = access(folder.path());
    let known = async |web: &Web, path: &str| {
        let spec = FilesSpec::Http { url: web.url(path), connection: None, egress: listed(&["127.0.0.1"]) };
        access.identities("lists", &spec).await.map(|files| files[0].clone())
    };
    let web = serve(|request, before| match request.path.as_str() {
        "/tagged?key=1" => WebAnswer::ok(BODY).header("etag", "\"one\""),
        "/changing" => WebAnswer::ok(BODY).header("etag", format!("\"{before}\"")),
        "/dated" => WebAnswer::ok(BODY).header("last-modified", "Sat, 01 Jan 2022 00:00:00 GMT"),
        "/busy" if before.is_multiple_of(2) => WebAnswer::status("503 Service Unavailable"),
        "/no-head" if request.method == "HEAD" => WebAnswer::status("405 Method Not Allowed"),
        "/none" => WebAnswer::status("404 Not Found"),
        _ => WebAnswer::ok(BODY),
    });
    let file = known(&web, "/tagged?key=1").await.expect("there");
    assert_eq!((file.size, file.etag.as_deref()), (BODY.len() as u64, Some("\"one\"")));
    assert!(!file.name.contains("key"), "{}", file.name);
    assert!(file.is_same(&known(&web, "/tagged?key=1").await.expect("there")));
    for (path, same) in [("/dated", true), ("/changing", false), ("/plain", false), ("/no-head", false)] {
        let (first, second) = (known(&web, path).await.expect("there"), known(&web, path).await.expect("there"));
        assert_eq!(first.is_same(&second), same, "{path}: {first:?}");
    }
    known(&web, "/busy").await.expect("at the second attempt");
    assert_eq!(known(&web, "/none").await.expect_err("gone").code, "MW0501");
    assert!(web.requests().iter().all(|request| request.method == "HEAD"), "nothing was fetched");
}
