//! Tables in a bucket, before which stands a proxy that fails as networks and stores do.

use std::collections::BTreeSet;
use std::path::Path as FsPath;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field as ArrowField, Int64Type, Schema};
use meshwork_control::port::data::StorageSpec;
use meshwork_core::egress::{Destination, Egress};
use meshwork_core::mesh::S3Connection;
use meshwork_core::product::Incremental;
use meshwork_core::storage::{S3Storage, StorageRoot};
use meshwork_testkit::{Fault, ProxyRequest, S3, S3Proxy};
use object_store::ObjectStoreExt;
use object_store::multipart::MultipartStore;

use super::*;
use crate::remote::Patience;
use crate::storage::{Stores, TableLog};
use crate::write::files::DataFiles;

const ROOT: &str = "s3://lake/sales/";

/// A table `items(id, v)` in a bucket, and a folder of files that it is made from.
struct Lake {
    server: S3,
    proxy: S3Proxy,
    mesh: Mesh,
    spec: RunSpec,
    runs: u32,
    published: Vec<u64>,
}

impl Lake {
    fn new(mode: Mode) -> Self {
        let server = S3::start(&["lake"]).expect("a server");
        let proxy = S3Proxy::start(server.port()).expect("a proxy");
        let mesh = Mesh::new();
        let fields = vec![typed("id", ColumnType::Int64), typed("v", ColumnType::Int64)];
        let items = table(fields, vec![Rule::Unique { columns: vec!["id".to_owned()] }]);
        let mut spec = mesh.spec("", None, items, "SELECT id, v FROM raw");
        spec.outputs[0].mode = mode;
        spec.outputs[0].location = TableLocation::of(ROOT, &OutputId::new(OUTPUT), 1);
        if mode != Mode::Full {
            spec.incremental = BTreeMap::from([("raw".to_owned(), Incremental::Files)]);
        }
        if mode == Mode::Merge {
            spec.outputs[0].key = vec!["id".to_owned()];
        }
        spec.storage = vec![storage(&proxy.endpoint())];
        Self { server, proxy, mesh, spec, runs: 0, published: Vec::new() }
    }

    fn stores(&self) -> Stores {
        Stores::given(self.spec.storage.clone(), secrets()).with_patience(patience())
    }

    /// Of a process of its own: nothing is known from before.
    fn writer(&self) -> Writer {
        let scratch = self.mesh.folder.path().join("scratch");
        Writer::new(WriterConfig::over(Arc::new(self.stores()), scratch, Arc::new(TestClock::new())))
    }

    async fn log(&self) -> TableLog {
        TableLog::open(&self.stores(), &self.spec.outputs[0].location, true).await.expect("opens")
    }

    fn put(&self, file: &str, rows: &str) {
        self.mesh.file(file, format!("id,v\n{}\n", rows.replace(' ', "\n")));
    }

    /// A run as its parent drives it: a commit that fails is tried once more, and what is left of a run that failed is
    /// collected.
    async fn run(&mut self) -> Result<()> {
        self.runs += 1;
        self.spec.run = RunId::new(format!("run-{}", self.runs));
        self.spec.fencing_token = u64::from(self.runs);
        let done = self.attempt().await;
        if done.is_err() {
            let _ = self.writer().collect(&self.spec.outputs[0].location, &self.published).await;
        }
        done
    }

    async fn attempt(&mut self) -> Result<()> {
        let report = self.writer().stage(&self.spec, Arc::new(Observer(Mutex::default()))).await?;
        assert!(gate(&report.outputs[0].clauses), "{:#?}", report.outputs[0].clauses);
        let versions = match self.writer().commit(&self.spec.run, &report.outputs).await {
            Ok(versions) => versions,
            Err(_) => self.writer().commit(&self.spec.run, &report.outputs).await?,
        };
        self.spec.outputs[0].base = Some(versions[0]);
        self.published.push(versions[0]);
        Ok(())
    }

    /// What readers see: the rows of the version that was published last.
    async fn rows(&self) -> Vec<(i64, i64)> {
        let Some(version) = self.spec.outputs[0].base else { return Vec::new() };
        let log = self.log().await;
        let state = log.replay(version).await.expect("replays");
        let column = |name: &str| ArrowField::new(name, DataType::Int64, true);
        let schema = Arc::new(Schema::new(vec![column("id"), column("v")]));
        let files = DataFiles::of(&log, &schema, state.adds()).expect("files");
        let scratch = self.mesh.folder.path().join("scratch");
        let context = session::session(&self.spec.limits, &scratch, self.spec.now, session::Way::Fast).expect("opens");
        let batches = context.read_table(Arc::new(files)).expect("a table").collect().await.expect("reads");
        let mut rows = Vec::new();
        for batch in batches {
            let of = |at: usize| batch.column(at).as_primitive::<Int64Type>().values().to_vec();
            rows.extend(of(0).into_iter().zip(of(1)));
        }
        rows.sort_unstable();
        rows
    }

    /// After a collection: data files that no version refers to, and parts of uploads.
    async fn orphans(&self) -> BTreeSet<String> {
        self.writer().collect(&self.spec.outputs[0].location, &self.published).await.expect("collects");
        let log = self.log().await;
        let mut known = BTreeSet::new();
        for version in log.versions().await.expect("lists") {
            known.extend(log.replay(version).await.expect("replays").files.into_keys());
        }
        let bucket = self.server.bucket("lake");
        let mut left = BTreeSet::new();
        walk(&bucket, &mut |file| {
            let name = file.strip_prefix(&bucket).expect("inside").to_string_lossy().into_owned();
            let stem = name.rsplit('/').next().unwrap_or_default();
            if !name.contains("/_delta_log/") && !known.contains(stem) {
                left.insert(name);
            }
        });
        left
    }
}

fn walk(folder: &FsPath, found: &mut dyn FnMut(&FsPath)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { walk(&entry.path(), found) } else { found(&entry.path()) }
    }
}

fn patience() -> Patience {
    Patience {
        connecting: Duration::from_secs(2),
        waiting: Duration::from_millis(400),
        attempts: 3,
        pause: Duration::from_millis(10),
    }
}

fn secrets() -> Secrets {
    let variables = [("ID", S3::KEY_ID), ("KEY", S3::KEY)];
    let variables = variables.map(|(name, value)| (format!("MW_SECRET_SALES_{name}"), value.to_owned()));
    Secrets { variables: BTreeMap::from(variables), folder: None }
}

fn storage(endpoint: &str) -> StorageSpec {
    let host = Destination::parse("127.0.0.1").expect("a destination");
    StorageSpec {
        root: StorageRoot {
            namespace: "sales".into(),
            storage: S3Storage {
                url: ROOT.into(),
                connection: S3Connection {
                    endpoint: Some(endpoint.to_owned()),
                    access_key_id: Some("${secret:id}".into()),
                    secret_access_key: Some("${secret:key}".into()),
                    ..S3Connection::default()
                },
            },
        },
        egress: Egress(Some(vec![host])),
    }
}

fn is_data_put(request: &ProxyRequest) -> bool {
    request.method == "PUT" && request.path.contains(".parquet")
}

fn is_commit(request: &ProxyRequest) -> bool {
    request.is_create() && request.path.contains("/_delta_log/")
}

fn is_get(request: &ProxyRequest) -> bool {
    request.method == "GET" && request.path.contains("/_delta_log/0")
}

type Meant = fn(&ProxyRequest) -> bool;

/// Each is met once or until the proxy is told to stop.
fn faults() -> Vec<(&'static str, Fault, Meant, bool)> {
    let busy = || Fault::Answer("503 Slow Down", Vec::new());
    let later = || Fault::Answer("503 Slow Down", vec![("retry-after", "1".to_owned())]);
    vec![
        ("503 to a file", busy(), is_data_put, true),
        ("503 to a file, with a time", later(), is_data_put, true),
        ("503 to a file for good", busy(), is_data_put, false),
        ("503 to the commit", busy(), is_commit, true),
        ("503 to the commit for good", busy(), is_commit, false),
        ("503 to reads for good", busy(), is_get, false),
        ("a file hangs", Fault::Hang, is_data_put, true),
        ("a file hangs for good", Fault::Hang, is_data_put, false),
        ("the commit hangs", Fault::Hang, is_commit, true),
        ("the commit hangs for good", Fault::Hang, is_commit, false),
        ("a read is reset", Fault::Reset, is_get, true),
        ("a read breaks off", Fault::CutAnswer(20), is_get, true),
        ("reads break off for good", Fault::CutAnswer(20), is_get, false),
        ("a file is cut", Fault::CutRequest(100), is_data_put, true),
        ("files are cut for good", Fault::CutRequest(100), is_data_put, false),
        ("a file's answer is lost", Fault::LoseAnswer, is_data_put, true),
        ("the commit is cut", Fault::CutRequest(30), is_commit, true),
        ("the commit's answer is lost", Fault::LoseAnswer, is_commit, true),
        ("every commit's answer is lost", Fault::LoseAnswer, is_commit, false),
    ]
}

/// Each fault × mode: what readers see is the publication before or the one that a run without faults would have made;
/// the next run works, and nothing is left over.
#[tokio::test(flavor = "multi_thread")]
async fn faults_of_a_store_never_show() {
    // A table each, so that they can wait for their hanging stores at the same time.
    let modes = [Mode::Full, Mode::Append, Mode::Merge].map(|mode| tokio::spawn(faults_of(mode)));
    for mode in modes {
        mode.await.expect("holds");
    }
}

async fn faults_of(mode: Mode) {
    let mut lake = Lake::new(mode);
    lake.put("f0.csv", "0,0 1,0");
    lake.run().await.expect("runs");
    let mut expected = vec![(0, 0), (1, 0)];
    for (at, (what, fault, meant, once)) in faults().into_iter().enumerate() {
        let (id, before) = (at as i64 + 2, expected.clone());
        if mode == Mode::Merge {
            // One that is there changes, too.
            lake.put(&format!("f{}.csv", at + 1), &format!("0,{id} {id},{id}"));
            expected[0] = (0, id);
        } else {
            lake.put(&format!("f{}.csv", at + 1), &format!("{id},{id}"));
        }
        expected.push((id, id));
        lake.proxy.fail(if once { 1 } else { usize::MAX }, fault, meant);
        let met = lake.run().await;
        lake.proxy.pass();
        let rows = lake.rows().await;
        match met {
            Ok(()) => assert_eq!(rows, expected, "{mode:?}, {what}"),
            Err(error) => {
                assert_eq!(rows, before, "{mode:?}, {what}: {error}");
                assert!(!once || what.contains("cut"), "{mode:?}, {what}: {error}");
                assert_eq!(error.kind, meshwork_core::Kind::Environment, "{what}: {error}");
                assert!(error.code.starts_with("MW05"), "{what}: {error}");
                assert!(!format!("{error:?}").contains(S3::KEY), "{error:?}");
                lake.run().await.unwrap_or_else(|error| panic!("{mode:?}, after {what}: {error}"));
                assert_eq!(lake.rows().await, expected, "{mode:?}, after {what}");
            }
        }
        assert_eq!(lake.orphans().await, BTreeSet::new(), "{mode:?}, {what}");
    }
}

/// A store that says when a commit may come again gets it then; one that says tomorrow is not asked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_as_long_as_its_store_asks() {
    let mut lake = Lake::new(Mode::Full);
    let later = |seconds: &str| Fault::Answer("503 Slow Down", vec![("retry-after", seconds.to_owned())]);
    lake.put("a.csv", "1,1");
    lake.proxy.fail(1, later("1"), is_commit);
    let began = std::time::Instant::now();
    lake.run().await.expect("runs");
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    lake.put("b.csv", "2,2");
    lake.proxy.fail(usize::MAX, later("86400"), is_commit);
    lake.proxy.requests();
    assert_eq!(lake.run().await.expect_err("tomorrow").code, "MW0542");
    let commits = lake.proxy.requests().iter().filter(|request| is_commit(request)).count();
    assert_eq!(commits, 2, "the commit and its parent's second attempt");
    assert_eq!(lake.rows().await, [(1, 1)]);
}

#[tokio::test]
async fn an_upload_that_never_ended_is_collected() {
    let mut lake = Lake::new(Mode::Full);
    lake.put("a.csv", "1,1");
    lake.run().await.expect("runs");
    let stores = lake.stores();
    let bucket = stores.bucket(ROOT).await.expect("opens").expect("a bucket");
    let begin = async |name: &str| {
        let path = bucket.path(name);
        let id = bucket.store().create_multipart(&path).await.expect("begins");
        bucket.store().put_part(&path, &id, 0, vec![7; 1 << 20].into()).await.expect("a part");
        (path, id)
    };
    begin(&format!("{OUTPUT}/v1/part-1.parquet")).await;
    // Another table's is nobody's business here.
    let (other, id) = begin(&format!("{OUTPUT}/v10/part-2.parquet")).await;
    let removed = lake.writer().collect(&lake.spec.outputs[0].location, &lake.published).await.expect("collects");
    assert_eq!(removed, [format!("sales/{OUTPUT}/v1/part-1.parquet")]);
    bucket.store().abort_multipart(&other, &id).await.expect("it was still there");
}

#[tokio::test]
async fn a_store_is_asked_once_whether_it_creates_only_once() {
    let lake = Lake::new(Mode::Full);
    let stores = lake.stores();
    stores.claim(ROOT, "one").await.expect("free");
    assert!(lake.proxy.requests().len() > 10, "it was asked");
    stores.claim(ROOT, "one").await.expect("ours");
    assert!(lake.proxy.requests().is_empty(), "this process knows");
    lake.stores().claim(ROOT, "one").await.expect("ours");
    assert_eq!(lake.proxy.requests().len(), 1, "another one reads who owns it");
    let error = lake.stores().claim(ROOT, "two").await.expect_err("taken");
    assert_eq!((error.code.as_str(), error.kind), ("MW0408", meshwork_core::Kind::Conflict));
    assert_eq!(lake.stores().examine(ROOT).await, Ok(Some("one".to_owned())));
    let left: Vec<_> = fs::read_dir(lake.server.bucket("lake/sales/_meshwork")).expect("there").flatten().collect();
    assert_eq!(left.len(), 1, "probes are removed: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_meshes_that_claim_at_once() {
    let lake = Lake::new(Mode::Full);
    let (stores, others) = (lake.stores(), lake.stores());
    let both = futures::future::join(stores.claim(ROOT, "one"), others.claim(ROOT, "two")).await;
    let refused = [both.0, both.1].into_iter().filter_map(Result::err).map(|error| error.code).collect::<Vec<_>>();
    assert_eq!(refused, ["MW0408"]);
}

#[tokio::test]
async fn a_store_that_creates_twice_is_refused() {
    let lake = Lake::new(Mode::Full);
    let folder = lake.server.bucket("lake");
    // A store that does not know the condition: what is there gives way.
    lake.proxy.decide(move |request| {
        if request.is_create() {
            let key = request.path.trim_start_matches("/lake/").split('?').next().unwrap_or_default();
            let _ = fs::remove_file(folder.join(key));
        }
        Fault::Pass
    });
    for error in [lake.stores().claim(ROOT, "one").await, lake.stores().examine(ROOT).await.map(drop)] {
        let error = error.expect_err("refused");
        assert_eq!((error.code.as_str(), error.kind), ("MW0617", meshwork_core::Kind::Environment), "{error}");
        assert!(!error.hints.is_empty());
    }
    assert!(!lake.server.bucket("lake/sales/_meshwork/owner.json").exists(), "it is nobody's");
    // One that answers with an error to the condition.
    lake.proxy.decide(|request| match request.is_create() {
        true => Fault::Answer("501 Not Implemented", Vec::new()),
        false => Fault::Pass,
    });
    assert!(lake.stores().claim(ROOT, "one").await.is_err());
}

#[tokio::test]
async fn what_stands_between_a_mesh_and_its_store_is_named() {
    let lake = Lake::new(Mode::Full);
    let code = async |change: &dyn Fn(&mut StorageSpec), secrets: Secrets| {
        let mut spec = lake.spec.storage[0].clone();
        change(&mut spec);
        let stores = Stores::given(vec![spec], secrets).with_patience(patience());
        let error = stores.claim(ROOT, "one").await.expect_err("refused");
        assert!(!format!("{error:?}").contains(S3::KEY), "{error:?}");
        error.code
    };
    let same = |_: &mut StorageSpec| {};
    assert_eq!(code(&same, Secrets::default()).await, "MW0530", "no secret");
    let mut wrong = secrets();
    wrong.variables.insert("MW_SECRET_SALES_KEY".into(), "wrong".into());
    assert_eq!(code(&same, wrong).await, "MW0546", "a wrong one");
    assert_eq!(code(&|spec| spec.egress = Egress(None), secrets()).await, "MW0540", "this machine is not listed");
    let no_bucket = |spec: &mut StorageSpec| spec.root.storage.url = "s3://none/".into();
    let mut spec = lake.spec.storage[0].clone();
    no_bucket(&mut spec);
    let stores = Stores::given(vec![spec], secrets()).with_patience(patience());
    assert_eq!(stores.claim("s3://none/", "one").await.expect_err("no bucket").code, "MW0546");
    assert_eq!(stores.claim("s3://unknown/", "one").await.expect_err("unknown").code, "MW0619");
    lake.proxy.decide(|_| Fault::Hang);
    let began = std::time::Instant::now();
    assert_eq!(code(&same, secrets()).await, "MW0541", "it does not answer");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_secret_that_is_replaced_counts_from_the_next_request_on() {
    let lake = Lake::new(Mode::Full);
    let folder = tempfile::tempdir().expect("temp");
    fs::create_dir(folder.path().join("sales")).expect("creates");
    let write = |name: &str, value: &str| fs::write(folder.path().join("sales").join(name), value).expect("writes");
    write("id", S3::KEY_ID);
    write("key", "old");
    let secrets = Secrets { variables: BTreeMap::new(), folder: Some(folder.path().to_owned()) };
    let stores = Stores::given(lake.spec.storage.clone(), secrets).with_patience(patience());
    assert_eq!(stores.claim(ROOT, "one").await.expect_err("refused").code, "MW0546");
    write("key", S3::KEY);
    stores.claim(ROOT, "one").await.expect("claimed");
}

/// Objects that are known are not fetched again, nor when nothing is new; one that was replaced is.
#[tokio::test]
async fn a_source_in_a_bucket_grows_by_the_objects_that_are_new() {
    let lake = Lake::new(Mode::Merge);
    let stores = lake.stores();
    let bucket = stores.bucket(ROOT).await.expect("opens").expect("a bucket");
    let put = async |name: &str, rows: &str| {
        let text = format!("id,v\n{}\n", rows.replace(' ', "\n"));
        bucket.objects.put(&bucket.path(&format!("in/{name}")), text.into()).await.expect("puts");
    };
    let connection = lake.spec.storage[0].root.storage.connection.clone();
    let mut spec = lake.spec.clone();
    let url = "s3://lake/sales/in/*.csv".to_owned();
    let files = FilesSpec::S3 { url, connection, egress: spec.storage[0].egress.clone() };
    let source = SourceSpec::Csv { files, options: CsvOptions::default() };
    spec.inputs = BTreeMap::from([("raw".to_owned(), InputSpec::Source(source))]);
    spec.outputs[0].location = lake.mesh.location();
    let secrets = secrets().variables.into_iter().map(|(name, value)| (name.replace("SALES", "MARKETING"), value));
    let mut config = WriterConfig::new(lake.mesh.folder.path().join("scratch"), Arc::new(TestClock::new()));
    config.secrets = Secrets { variables: secrets.collect(), folder: None };
    let writer = Writer::new(config);
    let mut run = async |fresh: &[&str], added: u64, updated: u64| {
        lake.proxy.requests();
        spec.fencing_token += 1;
        spec.run = RunId::new(format!("run-{}", spec.fencing_token));
        let report = writer.stage(&spec, Arc::new(Observer(Mutex::default()))).await.expect("stages");
        let requests = lake.proxy.requests();
        let fetched = requests.iter().filter(|request| request.method == "GET" && request.path.contains(".csv"));
        let fetched: BTreeSet<&str> = fetched.filter_map(|request| request.path.rsplit('/').next()).collect();
        assert_eq!(fetched, fresh.iter().copied().collect());
        let changes = report.outputs[0].changes.expect("changes");
        assert_eq!((changes.added, changes.updated), (added, updated));
        if !report.unchanged {
            let versions = writer.commit(&spec.run, &report.outputs).await.expect("commits");
            spec.outputs[0].base = Some(versions[0]);
        }
    };
    put("a.csv", "1,1 2,2").await;
    put("b.csv", "3,3").await;
    run(&["a.csv", "b.csv"], 3, 0).await;
    // The smallest shows the columns.
    run(&["b.csv"], 0, 0).await;
    put("c.csv", "4,4 5,5 6,6").await;
    run(&["c.csv"], 3, 0).await;
    put("a.csv", "1,1 2,9").await;
    run(&["a.csv"], 0, 2).await;
}
