//! Tables of others in a bucket, over a real store before which a proxy counts.

use meshwork_control::port::data::StorageSpec;
use meshwork_core::egress::{Destination, Egress};
use meshwork_core::mesh::S3Connection;
use meshwork_core::storage::{S3Storage, StorageRoot};
use meshwork_testkit::{Fault, S3, S3Proxy};
use object_store::ObjectStoreExt;
use object_store::aws::AmazonS3;
use object_store::path::Path;

use super::*;
use crate::remote::{Patience, s3};
use crate::source::Secrets;
use crate::storage::Stores;

/// The bucket `lake` with files of others, which marketing may read.
struct Lake {
    server: S3,
    proxy: S3Proxy,
    mesh: Mesh,
    store: AmazonS3,
}

fn secrets() -> Secrets {
    let variables = [("ID", S3::KEY_ID), ("KEY", S3::KEY)];
    let variables = variables.map(|(name, value)| (format!("MW_SECRET_MARKETING_{name}"), value.to_owned()));
    Secrets { variables: BTreeMap::from(variables), folder: None }
}

fn egress() -> Egress {
    Egress(Some(vec![Destination::parse("127.0.0.1").expect("a destination")]))
}

impl Lake {
    async fn new() -> Self {
        let server = S3::start(&["lake"]).expect("a server");
        let proxy = S3Proxy::start(server.port()).expect("a proxy");
        let connection = connection(&server.endpoint());
        let patience = Patience::default();
        let store = s3::open("lake", &connection, "marketing", &secrets(), &egress(), patience).await.expect("opens");
        Self { server, proxy, mesh: Mesh::new(), store }
    }

    fn files(&self, key: &str) -> FilesSpec {
        let connection = connection(&self.proxy.endpoint());
        FilesSpec::S3 { url: format!("s3://lake/{key}"), connection, egress: egress() }
    }

    /// Through the store, which gives it an ETag.
    async fn put(&self, key: &str, file: &std::path::Path) {
        let bytes = fs::read(file).expect("reads");
        self.store.put(&Path::from(key), bytes.into()).await.expect("puts");
    }

    async fn put_rows(&self, key: &str, rows: &[(i64, &str)]) {
        let (numbers, names): (Vec<i64>, Vec<&str>) = rows.iter().copied().unzip();
        let file = parquet(&self.mesh, "local.parquet", vec![("nr", ids(&numbers)), ("name", texts(&names))]);
        self.put(key, &file).await;
        fs::remove_file(file).expect("removed");
    }

    async fn stage(&self, spec: &RunSpec) -> Result<RunReport, Error> {
        let mut config = WriterConfig::new(self.mesh.folder.path().join("scratch"), Arc::new(TestClock::new()));
        config.secrets = secrets();
        Writer::new(config).stage(spec, Arc::new(Observer(Mutex::default()))).await
    }

    async fn published(&self, spec: &RunSpec) -> OutputReport {
        let report = self.stage(spec).await.expect("stages");
        assert!(gate(&report.outputs[0].clauses), "{:?}", report.outputs[0].clauses);
        self.mesh.writer().commit(&spec.run, &report.outputs).await.expect("commits");
        report.outputs.into_iter().next().expect("one output")
    }

    /// As a reader gets it who comes through this endpoint.
    fn table(&self, endpoint: &str) -> GovernedTable {
        let storage = S3Storage { url: "s3://lake/".into(), connection: connection(endpoint) };
        let root = StorageRoot { namespace: "marketing".into(), storage };
        let source = Box::new(StorageSpec { root, egress: egress() });
        GovernedTable { body: GovernedBody::External(Some(source)), ..granted(&self.mesh, both()) }
    }

    fn snapshots(&self) -> SnapshotCache {
        SnapshotCache::new(4, 1 << 20, Arc::new(Stores::given(Vec::new(), secrets())))
    }

    async fn read(&self, sql: &str) -> Result<Vec<String>, Error> {
        rows_of(&self.table(&self.proxy.endpoint()), &self.snapshots(), sql).await
    }
}

fn connection(endpoint: &str) -> S3Connection {
    S3Connection {
        endpoint: Some(endpoint.to_owned()),
        access_key_id: Some("${secret:id}".into()),
        secret_access_key: Some("${secret:key}".into()),
        ..S3Connection::default()
    }
}

const ALL: &str = "SELECT id, name FROM t ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn parquet_objects_are_served_as_they_were_checked() {
    let lake = Lake::new().await;
    lake.put_rows("in/a.parquet", &[(1, "a"), (2, "b")]).await;
    lake.put_rows("in/year=2026/b.parquet", &[(3, "c")]).await;
    let source = SourceSpec::Parquet { files: lake.files("in/**/*.parquet") };
    let first = spec(&lake.mesh, source, people());
    let output = lake.published(&first).await;
    assert_eq!((output.rows, lake.mesh.data_files()), (3, 0), "nothing is copied");
    let Body::External(body) = &output.body else { panic!("{:?}", output.body) };
    assert_eq!(body.store.as_ref().map(|store| store.url.as_str()), Some("s3://lake/"));
    lake.proxy.requests();
    assert_eq!(lake.read(ALL).await.expect("rows"), ["1|a", "2|b", "3|c"]);
    let asked = lake.proxy.requests();
    let reads: Vec<_> = asked.iter().filter(|request| request.method == "GET").collect();
    let bound = |name| reads.iter().all(|request| request.header(name).is_some());
    assert!(!reads.is_empty() && bound("range") && bound("if-match"), "{asked:?}");
    assert_eq!(lake.read("SELECT count(*) FROM t WHERE id > 1").await.expect("rows"), ["2"]);

    // Nothing is new, unless it is reached in another way now.
    let mut again = RunSpec { run: RunId::new("run-2"), ..first };
    again.outputs[0].base = Some(0);
    again.outputs[0].served = Some(served(&output));
    assert!(lake.stage(&again).await.expect("stages").unchanged);
    let files = FilesSpec::S3 {
        url: "s3://lake/in/**/*.parquet".into(),
        connection: connection(&lake.server.endpoint()),
        egress: egress(),
    };
    again.inputs = BTreeMap::from([("raw".to_owned(), InputSpec::Source(SourceSpec::Parquet { files }))]);
    assert!(!lake.stage(&again).await.expect("stages").unchanged);

    // An object that was written again, for one who opens the table and for one who has it open; and one that is gone.
    let (table, snapshots) = (lake.table(&lake.proxy.endpoint()), lake.snapshots());
    rows_of(&table, &snapshots, ALL).await.expect("rows");
    lake.put_rows("in/a.parquet", &[(1, "x"), (2, "b")]).await;
    for error in [lake.read(ALL).await, rows_of(&table, &snapshots, ALL).await] {
        let error = error.expect_err("refused");
        assert_eq!(error.code, "MW0856");
        assert!(error.message.contains("has changed") && !format!("{error:?}").contains("lake"), "{error:?}");
    }
    lake.store.delete(&Path::from("in/a.parquet")).await.expect("deleted");
    assert!(lake.read(ALL).await.expect_err("refused").message.contains("has gone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_while_it_is_read_is_refused() {
    let lake = Lake::new().await;
    lake.put_rows("in/a.parquet", &[(1, "a"), (2, "b")]).await;
    let source = SourceSpec::Parquet { files: lake.files("in/a.parquet") };
    lake.published(&spec(&lake.mesh, source, people())).await;
    let (table, snapshots) = (lake.table(&lake.proxy.endpoint()), lake.snapshots());
    let provider = secured::provider(&table, &snapshots).await.expect("as it was");
    lake.put_rows("in/a.parquet", &[(1, "a"), (2, "x")]).await;
    let context = SessionContext::new();
    context.register_table("t", provider).expect("registers");
    let error = context.sql(ALL).await.expect("plans").collect().await.expect_err("refused");
    assert_eq!(own_error(&error).expect("an error of ours").code, "MW0856");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_again_or_reached_is_refused() {
    let lake = Lake::new().await;
    let source = |key: &str| SourceSpec::Parquet { files: lake.files(key) };
    let refused = async |key: &str| {
        let error = lake.stage(&spec(&lake.mesh, source(key), people())).await.expect_err("refused");
        assert!(error.message.contains("input `raw`") || error.code == "MW0509", "{error}");
        assert!(!format!("{error:?}").contains(S3::KEY), "{error:?}");
        error.code
    };
    assert_eq!(refused("in/*.parquet").await, "MW0501", "there is none");
    // This store knows no ETag of files that were put into its folder.
    let file = parquet(&lake.mesh, "local.parquet", vec![("nr", ids(&[1])), ("name", texts(&["a"]))]);
    fs::create_dir_all(lake.server.bucket("lake/in")).expect("creates");
    fs::copy(&file, lake.server.bucket("lake/in/a.parquet")).expect("copied");
    assert_eq!(refused("in/*.parquet").await, "MW0684");
    lake.store.put(&Path::from("broken/a.parquet"), "not Parquet".into()).await.expect("puts");
    assert_eq!(refused("broken/*.parquet").await, "MW0509");
    lake.put_rows("in/a.parquet", &[(1, "a")]).await;
    lake.proxy.decide(|_| Fault::Answer("503 Slow Down", vec![("retry-after", "600".to_owned())]));
    assert_eq!(refused("in/*.parquet").await, "MW0542");
    lake.proxy.pass();
    lake.published(&spec(&lake.mesh, source("in/*.parquet"), people())).await;
    // For a reader: where the mesh no longer lets connections go, and with keys that are no longer there.
    let mut table = lake.table(&lake.proxy.endpoint());
    let GovernedBody::External(Some(source)) = &mut table.body else { panic!("no bucket") };
    source.egress = Egress(Some(Vec::new()));
    assert_eq!(rows_of(&table, &lake.snapshots(), ALL).await.expect_err("refused").code, "MW0818");
    let stores = Stores::given(Vec::new(), Secrets::default());
    let snapshots = SnapshotCache::new(4, 1 << 20, Arc::new(stores));
    let table = lake.table(&lake.proxy.endpoint());
    assert_eq!(rows_of(&table, &snapshots, ALL).await.expect_err("refused").code, "MW0818");
    assert_eq!(lake.read(ALL).await.expect("rows"), ["1|a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_table_in_a_bucket_with_rows_deleted() {
    let lake = Lake::new().await;
    let vector = delta::with_deleted(&lake.mesh);
    let folder = lake.mesh.folder.path().join("domain/t");
    let key = |file: &std::path::Path| {
        format!("tables/t/{}", file.strip_prefix(&folder).expect("below").to_str().expect("text"))
    };
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).expect("there").flatten().map(|entry| entry.path()).collect();
    files.extend(fs::read_dir(folder.join("_delta_log")).expect("there").flatten().map(|entry| entry.path()));
    for file in files.iter().filter(|file| file.is_file()) {
        lake.put(&key(file), file).await;
    }
    let source = SourceSpec::Delta { files: lake.files("tables/t"), version: None };
    let output = lake.published(&spec(&lake.mesh, source, people())).await;
    assert!(matches!(&output.body, Body::External(body) if body.version == Some(0) && body.files == 3));
    let expected = delta::as_a_source(&lake.mesh, "SELECT nr AS id, name FROM t ORDER BY id").await;
    assert_eq!((expected.len(), lake.read(ALL).await), (17, Ok(expected.clone())));
    // What comes later is not of this version; the list of deleted rows is of it.
    lake.store.put(&Path::from("tables/t/_delta_log/00000000000000000001.json"), "{}".into()).await.expect("puts");
    assert_eq!(lake.read(ALL).await, Ok(expected.clone()));
    lake.put(&key(&vector), &vector).await;
    assert_eq!(lake.read(ALL).await, Ok(expected), "the same bytes have the same ETag");
    lake.store.delete(&Path::from(key(&vector))).await.expect("deleted");
    assert_eq!(lake.read(ALL).await.expect_err("gone").code, "MW0856");
}
