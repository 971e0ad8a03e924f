//! Delta tables of others: at their version, with what they have deleted and renamed, as Delta's own reader reads them.

use flate2::Crc;
use parquet::file::properties::WriterProperties;
use roaring::RoaringTreemap;
use serde_json::{Value, json};

use super::*;
use crate::source::{Access, Face, Reading, Secrets, SourceTable};

fn commit(folder: &std::path::Path, version: u64, actions: &[Value]) {
    let log = folder.join("_delta_log");
    fs::create_dir_all(&log).expect("creates");
    let text: String = actions.iter().map(|action| format!("{action}\n")).collect();
    fs::write(log.join(format!("{version:020}.json")), text).expect("writes");
}

fn metadata(partition: &[&str], settings: &Value) -> Value {
    let fields = json!([{"name": "nr", "type": "long", "nullable": true, "metadata": {}},
        {"name": "name", "type": "string", "nullable": true, "metadata": {}},
        {"name": "day", "type": "date", "nullable": true, "metadata": {}}]);
    let schema = json!({"type": "struct", "fields": fields}).to_string();
    json!({"metaData": {"id": "5f0c1c3e-7f3a-4a52-9f0e-000000000001", "format": {"provider": "parquet", "options": {}},
        "schemaString": schema, "partitionColumns": partition, "configuration": settings, "createdTime": 0}})
}

fn add(path: &std::path::Path, name: &str, day: Option<&str>) -> Value {
    let size = fs::metadata(path).expect("there").len();
    json!({"add": {"path": name, "size": size, "partitionValues": {"day": day}, "modificationTime": 0,
        "dataChange": true, "stats": "{\"numRecords\":1,\"minValues\":{\"nr\":70},\"maxValues\":{\"nr\":80}}"}})
}

#[tokio::test]
async fn delta_tables_with_partitions_at_their_version() {
    let mesh = Mesh::new();
    let at = mesh.folder.path().join("domain/t");
    let a = parquet(&mesh, "t/day=2026-01-01/a b.parquet", vec![("nr", ids(&[1, 2])), ("name", texts(&["a", "b"]))]);
    let b = parquet(&mesh, "t/b.parquet", vec![("nr", ids(&[3]))]);
    let protocol = json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}});
    let first = add(&a, "day=2026-01-01/a%20b.parquet", Some("2026-01-01"));
    commit(&at, 0, &[protocol, metadata(&["day"], &json!({})), first, add(&b, "b.parquet", None)]);
    let mut fields = people();
    fields.push(typed("day", ColumnType::Date));
    let delta = SourceSpec::Delta { files: files(&mesh, "t"), version: None };
    let output = published(&mesh, &spec(&mesh, delta, fields)).await;
    assert!(matches!(&output.body, Body::External(body) if body.version == Some(0) && body.format == "delta"));
    let mut columns = both();
    columns.push(column("day", ColumnType::Date, None));
    // A column that is younger than a file is null in it; what the log says of values is not believed.
    let sql = "SELECT id, name, day FROM t WHERE id < 50 ORDER BY id";
    let expected = ["1|a|2026-01-01", "2|b|2026-01-01", "3||"];
    assert_eq!(read(&mesh, columns.clone(), sql).await.expect("rows"), expected);
    // What comes later is not of this version.
    let c = parquet(&mesh, "t/c.parquet", vec![("nr", ids(&[4])), ("name", texts(&["d"]))]);
    let removed = json!({"remove": {"path": "b.parquet", "dataChange": true, "deletionTimestamp": 1}});
    commit(&at, 1, &[add(&c, "c.parquet", None), removed]);
    assert_eq!(read(&mesh, columns.clone(), sql).await.expect("rows"), expected);
    fs::remove_file(b).expect("vacuumed");
    assert_eq!(read(&mesh, columns, sql).await.expect_err("it is gone").code, "MW0856");
}

fn protocol(features: &[&str]) -> Value {
    json!({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}})
}

fn delta(mesh: &Mesh) -> SourceSpec {
    SourceSpec::Delta { files: files(mesh, "t"), version: None }
}

/// The rows of the table `t` as a source yields them, through delta-rs.
pub(super) async fn as_a_source(mesh: &Mesh, sql: &str) -> Vec<String> {
    let access = Access::here("marketing", Secrets::default());
    let source = crate::source::delta::open("raw", &files(mesh, "t"), None, Reading::default(), &access).await;
    let context = SessionContext::new();
    let table = SourceTable::new(source.expect("opens"), Face::Plain);
    context.register_table("t", Arc::new(table)).expect("registers");
    let batches = context.sql(sql).await.expect("plans").collect().await.expect("reads");
    let text = |batch: &RecordBatch, row| {
        let values = batch.columns().iter().map(|c| arrow::util::display::array_value_to_string(c, row).expect("text"));
        values.collect::<Vec<_>>().join("|")
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| text(batch, row))).collect()
}

/// A list of deleted rows as the protocol has it, in the log or in a file of the table.
fn bitmap(rows: &[u64]) -> Vec<u8> {
    let mut bytes = 1_681_511_377u32.to_le_bytes().to_vec();
    RoaringTreemap::from_iter(rows.iter().copied()).serialize_into(&mut bytes).expect("writes");
    bytes
}

fn in_log(rows: &[u64]) -> Value {
    let mut bytes = bitmap(rows);
    let size = bytes.len();
    bytes.resize(size.next_multiple_of(4), 0);
    json!({"storageType": "i", "pathOrInlineDv": z85::encode(&bytes), "sizeInBytes": size, "cardinality": rows.len()})
}

const UUID: &str = "61d16c75-6994-46b7-a15b-8b538852e50e";

/// Behind another list in the same file.
fn in_file(table: &std::path::Path, rows: &[u64]) -> (Value, PathBuf) {
    let mut file = vec![1];
    let mut offset = 0;
    for rows in [&[9][..], rows] {
        let bytes = bitmap(rows);
        let mut crc = Crc::new();
        crc.update(&bytes);
        offset = file.len();
        file.extend((bytes.len() as u32).to_be_bytes());
        file.extend(&bytes);
        file.extend(crc.sum().to_be_bytes());
    }
    let path = table.join(format!("deletion_vector_{UUID}.bin"));
    fs::write(&path, &file).expect("writes");
    let at = z85::encode(uuid::Uuid::parse_str(UUID).expect("a UUID").as_bytes());
    let size = bitmap(rows).len();
    (
        json!({"storageType": "u", "pathOrInlineDv": at, "offset": offset, "sizeInBytes": size, "cardinality": rows.len()}),
        path,
    )
}

/// `nr` and `name` of these rows, in row groups of three.
fn in_groups(mesh: &Mesh, name: &str, rows: std::ops::Range<i64>) -> PathBuf {
    let path = mesh.folder.path().join("domain").join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
    let numbers: Vec<i64> = rows.collect();
    let names: Vec<String> = numbers.iter().map(|n| format!("n{n}")).collect();
    let (numbers, names) = (ids(&numbers), texts(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    let batch = RecordBatch::try_from_iter([("nr", numbers), ("name", names)]).expect("a batch");
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3)).build();
    let file = fs::File::create(&path).expect("creates");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("writes");
    writer.close().expect("closes");
    path
}

/// Three files of eight rows each: with rows deleted across row groups, by a list in the log and one in a file, and whole.
pub(super) fn with_deleted(mesh: &Mesh) -> PathBuf {
    let table = mesh.folder.path().join("domain/t");
    let mut adds = Vec::new();
    let mut vector = PathBuf::new();
    for (at, name) in ["a.parquet", "b.parquet", "c.parquet"].into_iter().enumerate() {
        let path = in_groups(mesh, &format!("t/{name}"), at as i64 * 10..at as i64 * 10 + 8);
        let mut file = add(&path, name, None);
        file["add"]["stats"] = json!("{\"numRecords\":8}");
        file["add"]["deletionVector"] = match at {
            0 => in_log(&[0, 3, 4, 5, 7]),
            1 => {
                let (deleted, at) = in_file(&table, &[1, 2]);
                vector = at;
                deleted
            }
            _ => Value::Null,
        };
        adds.push(file);
    }
    let settings = json!({"delta.enableDeletionVectors": "true"});
    let actions = [vec![protocol(&["deletionVectors"]), metadata(&[], &settings)], adds].concat();
    commit(&table, 0, &actions);
    vector
}

#[tokio::test]
async fn rows_that_are_deleted_but_still_in_the_files_are_not_served() {
    let mesh = Mesh::new();
    let vector = with_deleted(&mesh);
    let output = published(&mesh, &spec(&mesh, delta(&mesh), people())).await;
    assert_eq!(output.rows, 3 + 6 + 8);
    for sql in [
        "SELECT {id} AS n, name FROM t ORDER BY n",
        "SELECT count(*) FROM t",
        "SELECT name FROM t WHERE {id} > 4 AND {id} < 14 ORDER BY 1",
        "SELECT min({id}), max({id}), sum({id}) FROM t",
        "SELECT count(*) FROM t WHERE name = 'n3'",
        "SELECT count(*) FROM (SELECT name FROM t LIMIT 9)",
    ] {
        let expected = as_a_source(&mesh, &sql.replace("{id}", "nr")).await;
        assert_eq!(read(&mesh, both(), &sql.replace("{id}", "id")).await.expect("rows"), expected, "{sql}");
    }
    // A reader who has opened the table before goes on reading what was checked; the list of another one is refused.
    let table = GovernedTable { body: GovernedBody::External(None), ..granted(&mesh, both()) };
    let snapshots = SnapshotCache::new(4, 1 << 20, Arc::new(crate::storage::Stores::local()));
    let count = async || rows_of(&table, &snapshots, "SELECT count(*) FROM t").await.expect("rows");
    assert_eq!(count().await, ["17"]);
    let bytes = fs::read(&vector).expect("reads");
    fs::write(&vector, bytes).expect("writes");
    assert_eq!(count().await, ["17"]);
    assert_eq!(read(&mesh, both(), "SELECT 1 FROM t").await.expect_err("touched").code, "MW0856");
    fs::remove_file(&vector).expect("removed");
    assert_eq!(read(&mesh, both(), "SELECT 1 FROM t").await.expect_err("gone").code, "MW0856");
}

/// A table whose files know `nr`, `name` and `day` as `c1`, `c2` and `c3`, the last one a partition column.
fn renamed(mesh: &Mesh, mode: &str, id: &str) -> Vec<Field> {
    let table = mesh.folder.path().join("domain/t");
    let path = mesh.folder.path().join("domain/t/a.parquet");
    fs::create_dir_all(&table).expect("creates");
    let numbered = |name: &str, ty, id: &str| {
        let metadata = [(parquet::arrow::PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_owned())];
        ArrowField::new(name, ty, true).with_metadata(metadata.into_iter().collect())
    };
    let schema = Arc::new(Schema::new(vec![
        numbered("c1", arrow::datatypes::DataType::Int64, "1"),
        numbered("c2", arrow::datatypes::DataType::Utf8, id),
        // A column that was dropped, under the name that another one has now.
        numbered("name", arrow::datatypes::DataType::Utf8, "9"),
    ]));
    let columns = vec![ids(&[1, 2]), texts(&["a", "b"]), texts(&["old", "old"])];
    let mut writer =
        ArrowWriter::try_new(fs::File::create(&path).expect("creates"), Arc::clone(&schema), None).expect("a writer");
    writer.write(&RecordBatch::try_new(schema, columns).expect("a batch")).expect("writes");
    writer.close().expect("closes");
    let mapped = |name: &str, ty: &str, id: u32| {
        json!({"name": name, "type": ty, "nullable": true, "metadata":
            {"delta.columnMapping.id": id, "delta.columnMapping.physicalName": format!("c{id}")}})
    };
    let fields = json!([
        mapped("nr", "long", 1),
        mapped("name", "string", 2),
        mapped("day", "date", 3),
        mapped("late", "string", 4)
    ]);
    let schema = json!({"type": "struct", "fields": fields}).to_string();
    let settings = json!({"delta.columnMapping.mode": mode, "delta.columnMapping.maxColumnId": "9"});
    let metadata = json!({"metaData": {"id": "5f0c1c3e-7f3a-4a52-9f0e-000000000001",
        "format": {"provider": "parquet", "options": {}}, "schemaString": schema, "partitionColumns": ["day"],
        "configuration": settings, "createdTime": 0}});
    let mut file = add(&path, "a.parquet", None);
    file["add"]["partitionValues"] = json!({"c3": "2026-01-01"});
    file["add"]["stats"] = json!("{\"numRecords\":2}");
    commit(&table, 0, &[protocol(&["columnMapping"]), metadata, file]);
    let mut fields = people();
    fields.extend([typed("day", ColumnType::Date), field("late")]);
    fields
}

#[tokio::test]
async fn columns_are_served_by_the_names_that_the_table_has_for_them() {
    let mut columns = both();
    columns.extend([column("day", ColumnType::Date, None), column("late", ColumnType::Text, None)]);
    for mode in ["name", "id"] {
        let mesh = Mesh::new();
        let fields = renamed(&mesh, mode, "2");
        published(&mesh, &spec(&mesh, delta(&mesh), fields)).await;
        let sql = "SELECT {id} AS n, name, day, late FROM t WHERE name <> 'old' ORDER BY n";
        let rows = read(&mesh, columns.clone(), &sql.replace("{id}", "id")).await.expect("rows");
        assert_eq!(rows, ["1|a|2026-01-01|", "2|b|2026-01-01|"], "{mode}");
        assert_eq!(rows, as_a_source(&mesh, &sql.replace("{id}", "nr")).await, "{mode}");
        let rows = read(&mesh, columns.clone(), "SELECT name FROM t WHERE day = DATE '2026-01-01' AND id = 2").await;
        assert_eq!(rows.expect("rows"), ["b"], "{mode}");
    }
    // What the table calls its columns counts, not what its files do.
    let mesh = Mesh::new();
    renamed(&mesh, "name", "2");
    let physical = vec![Field { physical_name: Some("c1".into()), ..typed("id", ColumnType::Int64) }, field("name")];
    let error = mesh.stage(&spec(&mesh, delta(&mesh), physical)).await.expect_err("unknown");
    assert!(error.code == "MW0684" && error.message.contains("found: day, late, name, nr"), "{error}");
    // A column under another number than the table's.
    let mesh = Mesh::new();
    let fields = renamed(&mesh, "id", "7");
    assert_eq!(mesh.stage(&spec(&mesh, delta(&mesh), fields)).await.expect_err("by number").code, "MW0685");
}

#[tokio::test]
async fn what_a_log_says_that_cannot_be_is_refused() {
    let mesh = Mesh::new();
    let a = parquet(&mesh, "t/a.parquet", vec![("nr", ids(&[1, 2])), ("name", texts(&["a", "b"]))]);
    let at = mesh.folder.path().join("domain/t");
    let refused = async || mesh.stage(&spec(&mesh, delta(&mesh), people())).await.expect_err("refused").code;
    let settings = json!({"delta.enableDeletionVectors": "true"});
    // More rows than the file has, other rows than it has, a file that is not there or elsewhere.
    for deleted in [
        json!({"storageType": "i", "pathOrInlineDv": "^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L",
            "sizeInBytes": 40, "cardinality": 6}),
        in_log(&[7]),
        in_file(&mesh.folder.path().join("scratch"), &[1]).0,
        json!({"storageType": "p", "pathOrInlineDv": "file:///etc/passwd", "offset": 1, "sizeInBytes": 40, "cardinality": 1}),
    ] {
        let mut file = add(&a, "a.parquet", None);
        file["add"]["deletionVector"] = deleted.clone();
        commit(&at, 0, &[protocol(&["deletionVectors"]), metadata(&[], &settings), file]);
        let code = refused().await;
        assert!(["MW0537", "MW0503", "MW0502"].contains(&code.as_str()), "{deleted}: {code}");
    }
    // A feature under which files say something else.
    commit(&at, 0, &[protocol(&["typeWidening"]), metadata(&[], &json!({})), add(&a, "a.parquet", None)]);
    let code = refused().await;
    assert!(["MW0685", "MW0537"].contains(&code.as_str()), "{code}");
    // A log that names a file elsewhere.
    let plain = json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}});
    commit(&at, 0, &[plain, metadata(&[], &json!({})), add(&a, "../secret.parquet", None)]);
    assert_eq!(refused().await, "MW0503");
}
