//! Domains whose tables lie in a bucket, end to end: runs, queries on the ports, crashes, backup, and who may write where.

mod apply;
mod external;
mod grow;
mod quarantine;
mod upkeep;

use std::collections::BTreeSet;
use std::path::Path;

use meshwork_testkit::{Fault, S3, S3Proxy};

use crate::mesh::{Mesh, PRODUCT, Said, good_rows};
use crate::redteam::people::PASSWORD;

/// The shop, which keeps its tables in the bucket `lake` behind a proxy.
struct Lake {
    server: S3,
    proxy: S3Proxy,
    mesh: Mesh,
}

impl Lake {
    fn shop() -> Self {
        Self::of(Mesh::shop())
    }

    /// Of a shop that nothing is applied of yet.
    fn of(mesh: Mesh) -> Self {
        let server = S3::start(&["lake"]).expect("an S3 server");
        let proxy = S3Proxy::start(server.port()).expect("a proxy");
        let lake = Self { server, proxy, mesh };
        lake.join(&lake.mesh);
        lake
    }

    fn published() -> Self {
        let lake = Self::shop();
        lake.mesh.ok(&["apply"]);
        lake.mesh.ok(&["run", PRODUCT]);
        lake
    }

    /// Lets a mesh's shop keep its tables here, too.
    fn join(&self, mesh: &Mesh) {
        let port = self.proxy.port();
        mesh.write("mesh.yaml", format!("name: shop_mesh\nstorage: data\negress: [\"127.0.0.1:{port}\"]\n"));
        let storage = self.storage("s3://lake/shop");
        mesh.write(
            "domains/shop/domain.yaml",
            format!("domain: shop\nowner: shop_team\nmembers: [ana]\nstorage: {storage}\n"),
        );
        keys(mesh.path(), "shop");
    }

    fn storage(&self, url: &str) -> String {
        let endpoint = self.proxy.endpoint();
        format!(
            "{{ url: {url:?}, endpoint: {endpoint:?}, access_key_id: \"${{secret:lake_id}}\", \
             secret_access_key: \"${{secret:lake_key}}\" }}"
        )
    }

    /// From now on the store does not know the condition of a `PUT`: what is there gives way.
    fn create_twice(&self) {
        let folder = self.server.bucket("lake");
        self.proxy.decide(move |request| {
            if request.is_create() {
                let key = request.path.trim_start_matches("/lake/").split('?').next().unwrap_or_default();
                let _ = std::fs::remove_file(folder.join(key));
            }
            Fault::Pass
        });
    }

    /// Data files that no log names, and parts of uploads.
    fn orphans(&self) -> BTreeSet<String> {
        let bucket = self.server.bucket("lake");
        let (mut known, mut found) = (BTreeSet::new(), BTreeSet::new());
        walk(&bucket, &mut |file| {
            let name = file.strip_prefix(&bucket).expect("inside").to_string_lossy().into_owned();
            if name.contains("/_delta_log/") {
                for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
                    let action: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
                    if let Some(path) = action.pointer("/add/path").and_then(serde_json::Value::as_str) {
                        known.insert(path.to_owned());
                    }
                }
            } else if !name.contains("/_meshwork/") && !name.contains("/quarantine/") {
                found.insert(name);
            }
        });
        found.retain(|name| !known.contains(name.rsplit('/').next().unwrap_or_default()));
        found
    }
}

fn keys(mesh: &Path, namespace: &str) {
    let folder = mesh.join(".meshwork/secrets").join(namespace);
    std::fs::create_dir_all(&folder).expect("created");
    for (name, value) in [("lake_id", S3::KEY_ID), ("lake_key", S3::KEY)] {
        std::fs::write(folder.join(name), value).expect("written");
    }
}

fn walk(folder: &Path, found: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { walk(&entry.path(), found) } else { found(&entry.path()) }
    }
}

/// Files below a folder that hold a text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut files = Vec::new();
    walk(folder, &mut |file| {
        let bytes = std::fs::read(file).unwrap_or_default();
        if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            files.push(file.display().to_string());
        }
    });
    files
}

const SUM: &str = "SELECT count(*) AS n, sum(amount) AS total FROM shop.orders";

#[test]
fn a_product_whose_tables_lie_in_a_bucket() {
    let lake = Lake::published();
    let mesh = &lake.mesh;
    assert_eq!(mesh.served(), 3);
    assert!(!mesh.path().join("data").exists(), "nothing lies in the mesh's own folder");
    assert!(lake.server.bucket("lake/shop/_meshwork/owner.json").is_file());
    let first = mesh.json(&["publications", "list"])[0]["at"].as_str().expect("a time").to_owned();
    mesh.orders(5);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 5);
    let old = mesh.ok(&["sql", "--as-of", &first, "-c", "SELECT count(*) FROM shop.orders", "-o", "csv"]);
    assert_eq!(old.lines().nth(1), Some("3"), "time travel");
    let doctor = mesh.ok(&["doctor"]);
    assert!(doctor.contains("s3://lake/shop/ can be written, and creates an object only once"), "{doctor}");
    mesh.ok(&["collect"]);
    assert_eq!(lake.orphans(), BTreeSet::new());
    assert_eq!(mesh.served(), 5);
    // What opens the bucket stands nowhere but where it was put.
    let mut found = holding(mesh.path(), S3::KEY);
    found.retain(|file| !file.ends_with(".meshwork/secrets/shop/lake_key"));
    assert_eq!(found, [""; 0]);
    let shown = [&["plan"][..], &["audit", "query"], &["logs", PRODUCT], &["runs"]].map(|args| mesh.ok(args));
    assert!(shown.iter().all(|text| !text.contains(S3::KEY)), "{shown:?}");
}

#[test]
fn a_server_reads_a_file_s_footer_once() {
    let lake = Lake::published();
    lake.mesh.orders(2000);
    lake.mesh.ok(&["run", PRODUCT]);
    lake.mesh.user("ana");
    let server = lake.mesh.serve();
    let ask = || lake.mesh.ok(&["sql", "-c", SUM, "-o", "csv"]);
    lake.proxy.requests();
    let first = ask();
    let cold = lake.proxy.requests();
    assert!(cold.iter().any(|request| request.path.contains("_delta_log")), "{cold:?}");
    assert_eq!(ask(), first);
    let warm = lake.proxy.requests();
    assert!(warm.len() < cold.len(), "{} then {}", cold.len(), warm.len());
    assert!(warm.iter().all(|request| request.method == "GET" && request.path.contains(".parquet")), "{warm:?}");
    // The footer is at the end of the file: nothing asks for that again.
    let ends = |requests: &[meshwork_testkit::ProxyRequest]| -> Vec<u64> {
        let ranges = requests.iter().filter(|request| request.path.contains(".parquet"));
        let ends = ranges.filter_map(|request| request.header("range")?.rsplit('-').next()?.parse().ok());
        ends.collect()
    };
    let last = ends(&cold).into_iter().max().expect("ranges");
    assert!(ends(&warm).iter().all(|end| *end < last), "{:?} after {:?}", ends(&warm), ends(&cold));
    // Many at a time, over both ports.
    let pg = server.pg.clone().expect("a port");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(ask(), first));
        }
    });
    assert_eq!(count_over_the_wire(&pg), 2000);
}

fn count_over_the_wire(address: &str) -> i64 {
    let (host, port) = address.rsplit_once(':').expect("host:port");
    let settings = format!("host={host} port={port} user=ana password='{PASSWORD}' dbname=meshwork");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&settings, tokio_postgres::NoTls).await.expect("connects");
        let connection = tokio::spawn(connection);
        let row = client.query_one("SELECT count(*) FROM shop.orders WHERE amount >= 0", &[]).await.expect("answers");
        drop(client);
        let _ = connection.await;
        row.get(0)
    })
}

#[test]
fn killed_at_every_step_over_a_bucket() {
    let lake = Lake::published();
    let mesh = &lake.mesh;
    let own = ["run.verdict_stored", "run.commit_ended", "run.committed", "run.published"];
    let child = ["after-first-file", "after-stage", "before-commit", "after-commit-of-output-1", "after-commit"];
    let own = own.iter().map(|step| ("MESHWORK_FAULT", *step));
    let steps = own.chain(child.iter().map(|step| ("MESHWORK_RUN_FAULT", *step)));
    let mut old = 3;
    for (variable, step) in steps {
        let new = old + 1;
        mesh.orders(new);
        mesh.with_env(&[(variable, step)], &["run", PRODUCT]);
        let served = mesh.served();
        assert!(served == old || served == new, "{step}: {served} rows are served");
        mesh.ok(&["run", PRODUCT]);
        assert_eq!(mesh.served(), new, "{step}");
        mesh.ok(&["collect"]);
        assert_eq!(lake.orphans(), BTreeSet::new(), "{step}");
        old = new;
    }
}

#[test]
fn a_store_that_cannot_answer_leaves_the_old_publication() {
    let lake = Lake::published();
    let mesh = &lake.mesh;
    mesh.orders(4);
    lake.proxy.fail(usize::MAX, Fault::Answer("503 Slow Down", Vec::new()), |request| request.method == "PUT");
    let said = mesh.fails(3, &["run", PRODUCT]);
    assert!(said.err.contains("MW0542"), "{}", said.err);
    assert_eq!(mesh.served(), 3);
    // The commit is carried out and nobody hears of it.
    lake.proxy.fail(usize::MAX, Fault::LoseAnswer, |request| request.is_create());
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 4);
    lake.proxy.fail(1, Fault::CutAnswer(50), |request| request.method == "GET" && request.path.contains(".parquet"));
    assert_eq!(mesh.ok(&["sql", "-c", SUM, "-o", "csv"]).lines().nth(1), Some("4,12.0"));
    lake.proxy.pass();
    mesh.ok(&["collect"]);
    assert_eq!(lake.orphans(), BTreeSet::new());
}

#[test]
fn a_root_belongs_to_one_mesh() {
    let lake = Lake::shop();
    let (second, third) = (Mesh::shop(), Mesh::shop());
    lake.join(&second);
    lake.join(&third);
    let taken = |said: Said| {
        assert!(said.err.contains("MW0408") && said.err.contains("s3://lake/shop/"), "{}", said.err);
    };
    // While it is nobody's several may apply; it is of the first to run.
    lake.mesh.ok(&["apply"]);
    second.ok(&["apply"]);
    lake.mesh.ok(&["run", PRODUCT]);
    taken(second.fails(5, &["run", PRODUCT]));
    taken(third.fails(5, &["apply"]));
    lake.mesh.ok(&["run", PRODUCT]);
}

#[test]
fn a_store_that_creates_twice_is_refused_by_run_and_doctor() {
    let lake = Lake::shop();
    lake.mesh.ok(&["apply"]);
    lake.create_twice();
    assert!(lake.mesh.fails(3, &["run", PRODUCT]).err.contains("MW0617"));
    let doctor = lake.mesh.meshwork(&["doctor"]);
    assert!(doctor.code == Some(1) && doctor.out.contains("MW0617"), "{doctor:?}");
    assert_eq!(lake.orphans(), BTreeSet::new());
}

/// Another domain's product reads the shop's table: its run gets the keys to that for the time of the run, and no others.
#[test]
fn a_reader_s_run_reaches_the_table_that_it_may_read() {
    let lake = Lake::shop();
    let mesh = &lake.mesh;
    mesh.write("domains/finance/domain.yaml", "domain: finance\nowner: finance_team\nmembers: [bo]\n");
    mesh.write(
        "domains/finance/revenue/product.yaml",
        "product: revenue\nversion: 1.0.0\nstatus: active\ndescription: Revenue.\ninputs:\n  \
         orders: { product: shop.orders, output: orders, version: 1, purpose: reporting }\noutputs:\n  revenue:\n    \
         contract: revenue.contract.yaml\n    sql: revenue.sql\n",
    );
    mesh.write(
        "domains/finance/revenue/revenue.contract.yaml",
        "schema: revenue\nversion: 1.0.0\nowner: finance-team\nfields:\n  - name: total\n    type: number\n    \
         required: true\n    description: All of it\n",
    );
    mesh.write("domains/finance/revenue/revenue.sql", "SELECT sum(amount) AS total FROM orders\n");
    // From the environment, where a run gets those of its own domain only.
    std::fs::remove_dir_all(mesh.path().join(".meshwork/secrets")).expect("removed");
    let keys = [("MW_SECRET_SHOP_LAKE_ID", S3::KEY_ID), ("MW_SECRET_SHOP_LAKE_KEY", S3::KEY)];
    let ok = |args: &[&str]| {
        let said = mesh.with_env(&keys, args);
        assert_eq!(said.code, Some(0), "{args:?}: {}\n{}", said.out, said.err);
        said.out
    };
    ok(&["apply"]);
    ok(&["access", "grant", "product:finance.revenue", "shop.orders", "--purpose", "reporting"]);
    ok(&["run", "all"]);
    let total = ok(&["sql", "-c", "SELECT total FROM finance.revenue", "-o", "csv"]);
    assert_eq!(total.lines().nth(1), Some("7.5"));
    assert!(mesh.path().join("data").is_dir(), "finance keeps its tables in the mesh's folder");
    // Without them nobody gets in, and the error names what is missing and no value.
    let said = mesh.meshwork(&["run", PRODUCT]);
    assert!(said.code == Some(3) && said.err.contains("MW_SECRET_SHOP_LAKE_ID"), "{said:?}");
}

#[test]
fn a_backup_refers_to_buckets_and_a_moved_root_is_still_read() {
    let lake = Lake::published();
    let mesh = &lake.mesh;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (file, folder) = (elsewhere.path().join("b.tar.zst"), elsewhere.path().join("restored"));
    let (file, at) = (file.to_str().expect("text"), folder.to_str().expect("text"));
    mesh.ok(&["backup", file]);
    let said = mesh.meshwork(&["restore", file, at]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("s3://lake/shop/ was not packed"), "{}", said.err);
    let rows = |folder: &str| mesh.meshwork(&["-C", folder, "sql", "-c", SUM, "-o", "csv"]);
    assert!(rows(at).out.contains("3,"), "{:?}", rows(at));
    // A file that is gone from the bucket is found out, when packing and when restoring.
    let mut files = Vec::new();
    walk(&lake.server.bucket("lake"), &mut |file| {
        if file.extension().is_some_and(|extension| extension == "parquet") {
            files.push(file.to_owned());
        }
    });
    let hidden = files[0].with_extension("hidden");
    std::fs::rename(&files[0], &hidden).expect("moved");
    let other = elsewhere.path().join("c.tar.zst");
    assert_eq!(mesh.fails(3, &["backup", other.to_str().expect("text")]).error_code(), Some("MW1093"));
    let again = elsewhere.path().join("again");
    let said = mesh.fails(3, &["restore", file, again.to_str().expect("text")]);
    assert_eq!(said.error_code(), Some("MW1094"), "{}", said.err);
    std::fs::rename(&hidden, &files[0]).expect("moved");

    // The domain moves: what was published before stays where it is and can be read.
    let first = mesh.json(&["publications", "list"])[0]["at"].as_str().expect("a time").to_owned();
    let storage = lake.storage("s3://lake/elsewhere");
    mesh.write(
        "domains/shop/domain.yaml",
        format!("domain: shop\nowner: shop_team\nmembers: [ana]\nstorage: {storage}\n"),
    );
    mesh.ok(&["apply"]);
    assert_eq!(mesh.served(), 3, "until it is built there");
    mesh.orders(6);
    let said = mesh.meshwork(&["run", PRODUCT]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(mesh.served(), 6);
    assert!(lake.server.bucket("lake/elsewhere/_meshwork/owner.json").is_file());
    let old = mesh.ok(&["sql", "--as-of", &first, "-c", "SELECT count(*) FROM shop.orders", "-o", "csv"]);
    assert_eq!(old.lines().nth(1), Some("3"), "from where it was");

    // Once nobody can ask for it any more, it goes from where it was.
    let left = |root: &str| {
        let mut found = 0;
        walk(&lake.server.bucket(root), &mut |file| found += u32::from(!file.ends_with("_meshwork/owner.json")));
        found
    };
    let (before, now) = (left("lake/shop"), left("lake/elsewhere"));
    mesh.ok(&["maintain"]);
    assert_eq!(left("lake/shop"), before);
    let forget = ["maintain", "--only", "vacuum", "--retention", "0s", "--force"];
    let dry = mesh.json(&[&forget[..], &["--dry-run"]].concat());
    assert!(dry[1]["former"].as_str().is_some_and(|place| place.starts_with("s3://lake/shop/")), "{dry}");
    assert_eq!((dry[1]["files"].as_u64(), dry[1]["table"].as_str()), (Some(1), Some("shop.orders_v1")), "{dry}");
    assert_eq!((left("lake/shop"), left("lake/elsewhere")), (before, now));
    mesh.ok(&forget);
    assert_eq!((left("lake/shop"), left("lake/elsewhere"), mesh.served()), (0, now, 6));
    let said = mesh.fails(5, &["sql", "--as-of", &first, "-c", "SELECT 1 FROM shop.orders"]);
    assert!(said.err.contains("MW0698"), "{}", said.err);

    // It moves back: the table begins anew there.
    lake.join(mesh);
    mesh.ok(&["apply"]);
    assert_eq!(mesh.served(), 6);
    mesh.orders(8);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 8);
}

/// A source in a bucket grows by objects. This store knows no ETag of files that were put into its folder.
#[test]
fn a_source_in_a_bucket_grows_by_files() {
    let lake = Lake::shop();
    let mesh = &lake.mesh;
    let (port, endpoint) = (lake.proxy.port(), lake.proxy.endpoint());
    mesh.write("mesh.yaml", format!("name: shop_mesh\nstorage: data\negress: [\"127.0.0.1:{port}\"]\n"));
    mesh.write(
        "domains/shop/domain.yaml",
        format!(
            "domain: shop\nowner: shop_team\nmembers: [ana]\nconnections:\n  lake: {{ type: s3, endpoint: {endpoint:?}, \
             access_key_id: \"${{secret:lake_id}}\", secret_access_key: \"${{secret:lake_key}}\" }}\n"
        ),
    );
    let product = mesh.path().join("domains/shop/orders/product.yaml");
    let text = std::fs::read_to_string(&product).expect("there").replace(
        "{ source: { type: csv, path: files/orders.csv } }",
        "{ source: { type: csv, path: \"s3://lake/in/*.csv\", connection: lake }, incremental: files }",
    );
    std::fs::write(&product, text + "    mode: append\n").expect("written");
    let put = |name: &str, rows: &str| {
        let folder = lake.server.bucket("lake/in");
        std::fs::create_dir_all(&folder).expect("created");
        std::fs::write(folder.join(name), rows).expect("written");
    };
    let all = good_rows(9);
    let lines: Vec<&str> = all.lines().collect();
    let part = |from: usize, to: usize| format!("{}\n{}\n", lines[0], lines[from..=to].join("\n"));
    put("a.csv", &part(1, 3));
    mesh.ok(&["apply"]);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 3);
    put("b.csv", &part(4, 6));
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.served(), 6);
    mesh.ok(&["run", PRODUCT]);
    assert_eq!(mesh.json(&["runs"])[0]["state"], "unchanged");
    put("a.csv", &part(7, 9));
    let said = mesh.fails(1, &["run", PRODUCT]);
    assert!(said.err.contains("MW0671") && said.err.contains("s3://lake/in/a.csv"), "{}", said.err);
    assert_eq!(mesh.served(), 6);
}
