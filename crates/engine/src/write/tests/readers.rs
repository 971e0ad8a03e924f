//! What we write is read by delta-rs' and DuckDB's own readers, with every type, whatever became of the table.

use std::process::Command;

use meshwork_core::product::Incremental;
use meshwork_core::run::RunTask;
use serde_json::{Value, json};

use super::*;

fn kinds() -> Table {
    let text = || ColumnType::Text;
    table(
        vec![
            typed("id", ColumnType::Int64),
            typed("flag", ColumnType::Boolean),
            typed("tiny", ColumnType::Int8),
            typed("small", ColumnType::Int16),
            typed("middle", ColumnType::Int32),
            typed("ratio", ColumnType::Float64),
            typed("single", ColumnType::Float32),
            typed("price", ColumnType::Decimal { precision: 12, scale: 3 }),
            field("word"),
            typed("day", ColumnType::Date),
            typed("at", ColumnType::Timestamp),
            typed("local", ColumnType::LocalTimestamp),
            typed("tags", ColumnType::List(Box::new(text()))),
            typed("place", ColumnType::Struct(vec![("city".into(), text()), ("floor".into(), ColumnType::Int32)])),
        ],
        vec![Rule::Required { column: "id".into() }],
    )
}

const SQL: &str = "SELECT * FROM raw";

/// A row as JSON, and as readers print it. Every third has nothing but its id.
fn row(id: u64) -> (Value, Value) {
    let (flag, word) = (id.is_multiple_of(2), format!("naïve \"{id}\"\n100 %"));
    let day = format!("2026-01-{:02}", id % 28 + 1);
    let place = json!({ "city": format!("c{id}"), "floor": id % 9 });
    let mut written = json!({
        "id": id, "flag": flag, "tiny": id % 100, "small": id, "middle": id * 1000, "ratio": id as f64 / 4.0,
        "single": id as f64 / 2.0, "price": format!("{id}.125"), "word": word, "day": day,
        "at": format!("{day}T10:00:00.250Z"), "local": format!("{day}T10:00:00"), "tags": ["a", format!("b, {id}")],
        "place": place,
    });
    let mut read = json!([
        id,
        flag,
        id % 100,
        id,
        id * 1000,
        id as f64 / 4.0,
        id as f64 / 2.0,
        format!("{id}.125"),
        word,
        day,
        format!("{day}T10:00:00.250000+00:00"),
        format!("{day}T10:00:00"),
        ["a", format!("b, {id}")],
        place,
    ]);
    if id % 3 == 2 {
        for value in
            written.as_object_mut().expect("an object").values_mut().chain(read.as_array_mut().expect("a list"))
        {
            if *value != json!(id) {
                *value = Value::Null;
            }
        }
    }
    (written, read)
}

struct Kinds {
    mesh: Mesh,
    spec: RunSpec,
    runs: u64,
    rows: BTreeMap<u64, Value>,
}

impl Kinds {
    fn of(mode: Mode) -> Self {
        let mesh = Mesh::new();
        let mut spec = mesh.spec("", None, kinds(), SQL);
        let files = FilesSpec::Folder { folder: mesh.folder.path().join("domain"), path: "*.jsonl".into() };
        let input = InputSpec::Source(SourceSpec::Json { files, options: JsonOptions::default() });
        spec.inputs = BTreeMap::from([("raw".to_owned(), input)]);
        spec.outputs[0].mode = mode;
        if mode == Mode::Merge {
            spec.outputs[0].key = vec!["id".into()];
        }
        spec.incremental = BTreeMap::from([("raw".to_owned(), Incremental::Files)]);
        Self { mesh, spec, runs: 0, rows: BTreeMap::new() }
    }

    async fn commit(&mut self, task: RunTask) {
        self.runs += 1;
        (self.spec.run, self.spec.fencing_token) = (RunId::new(format!("run-{}", self.runs)), self.runs);
        let spec = RunSpec { task, ..self.spec.clone() };
        let report = self.mesh.stage(&spec).await.expect("stages");
        assert!(gate(&report.outputs[0].clauses), "{:#?}", report.outputs[0].clauses);
        let versions = self.mesh.writer().commit(&self.spec.run, &report.outputs).await.expect("commits");
        self.spec.outputs[0].base = Some(versions[0]);
    }

    /// Publishes rows with these ids; one that is there already is replaced by that of `like`.
    async fn put(&mut self, ids: impl IntoIterator<Item = (u64, u64)>) {
        let mut lines = String::new();
        for (id, like) in ids {
            let (mut written, mut read) = row(like);
            (written["id"], read[0]) = (json!(id), json!(id));
            lines += &format!("{written}\n");
            self.rows.insert(id, read);
        }
        self.mesh.file(&format!("f{:04}.jsonl", self.runs), lines);
        self.commit(RunTask::Build).await;
    }

    /// Other readers see exactly the rows that were put.
    fn is_read(&self, what: &str) {
        let expected: Vec<String> = self.rows.values().map(Value::to_string).collect();
        for reader in ["deltalake", "duckdb"] {
            let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/delta_readers.py");
            let mut python = Command::new(python());
            let said =
                python.arg("-B").arg(script).arg(reader).arg(self.mesh.table()).env("LC_ALL", "C.UTF-8").output();
            let said = said.expect("python");
            assert!(said.status.success(), "{what}, {reader}: {}", String::from_utf8_lossy(&said.stderr));
            let read = String::from_utf8(said.stdout).expect("UTF-8");
            let read: Vec<String> =
                read.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON").to_string()).collect();
            assert_eq!(read, expected, "{what}, {reader}");
        }
    }
}

/// Where `scripts/drivers` puts it.
#[allow(clippy::disallowed_methods, reason = "a test may know where it runs")]
fn python() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache"))).expect("HOME");
    let python = cache.join("meshwork/drivers/venv/bin/python");
    assert!(python.exists(), "delta-rs' and DuckDB's readers are not installed: scripts/drivers");
    python
}

#[tokio::test]
async fn others_read_what_was_appended_compacted_and_vacuumed() {
    let mut kinds = Kinds::of(Mode::Append);
    kinds.put((0..5).map(|id| (id, id))).await;
    kinds.is_read("one version");
    for n in 1..54 {
        kinds.put([(n * 10, n)]).await;
    }
    kinds.is_read("many versions, from a checkpoint");
    kinds.commit(RunTask::Compact).await;
    kinds.is_read("compacted");
    let base = kinds.spec.outputs[0].base.expect("published");
    let done = kinds.mesh.writer().vacuum(&kinds.mesh.location(), &[base], false).await.expect("vacuums");
    assert!(!done.files.is_empty() && done.log.len() >= 50, "{done:?}");
    kinds.is_read("vacuumed, its old log gone");
    kinds.put([(7, 1)]).await;
    kinds.is_read("appended after that");
}

#[tokio::test]
async fn others_read_what_was_merged() {
    let mut kinds = Kinds::of(Mode::Merge);
    kinds.put((0..40).map(|id| (id, id))).await;
    kinds.put([(3, 100), (4, 101), (77, 77)]).await;
    kinds.is_read("merged");
    kinds.put([(3, 5), (78, 78)]).await;
    let base = kinds.spec.outputs[0].base.expect("published");
    kinds.mesh.writer().vacuum(&kinds.mesh.location(), &[base], false).await.expect("vacuums");
    kinds.is_read("merged again and vacuumed");
}
