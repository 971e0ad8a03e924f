use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::util::pretty::pretty_format_batches;
use meshwork_core::egress::Destination;
use meshwork_testkit::S3;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use super::*;
use crate::source::{Face, Secrets, SourceTable};

/// A data file with rows (id, name), under the names that the file itself has for them.
fn data(folder: &Path, name: &str, columns: [&str; 2], ids: &[i64]) -> u64 {
    let schema = Arc::new(Schema::new(vec![
        ArrowField::new(columns[0], DataType::Int64, true),
        ArrowField::new(columns[1], DataType::Utf8, true),
    ]));
    let names: StringArray = ids.iter().map(|id| Some(format!("n{id}"))).collect();
    let arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(names)];
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).expect("creates"), Arc::clone(&schema), None)
        .expect("a writer");
    writer.write(&RecordBatch::try_new(schema, arrays).expect("a batch")).expect("writes");
    writer.close().expect("closes");
    std::fs::metadata(path).expect("there").len()
}

fn commit(folder: &Path, version: u64, actions: &[Value]) {
    let log = folder.join("_delta_log");
    std::fs::create_dir_all(&log).expect("creates");
    let text: String = actions.iter().map(|action| format!("{action}\n")).collect();
    std::fs::write(log.join(format!("{version:020}.json")), text).expect("writes");
}

fn protocol(features: &[&str]) -> Value {
    if features.is_empty() {
        return json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}});
    }
    json!({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}})
}

fn metadata(fields: &Value, settings: &Value) -> Value {
    let schema = json!({"type": "struct", "fields": fields}).to_string();
    json!({"metaData": {"id": "5f0c1c3e-7f3a-4a52-9f0e-000000000001", "format": {"provider": "parquet", "options": {}},
        "schemaString": schema, "partitionColumns": [], "configuration": settings, "createdTime": 0}})
}

fn plain_fields() -> Value {
    json!([{"name": "id", "type": "long", "nullable": true, "metadata": {}},
           {"name": "name", "type": "string", "nullable": true, "metadata": {}}])
}

fn add(path: &str, size: u64) -> Value {
    json!({"add": {"path": path, "size": size, "partitionValues": {}, "modificationTime": 0, "dataChange": true}})
}

async fn rows(folder: &Path, version: Option<u64>) -> Result<String> {
    let files = FilesSpec::Folder { folder: folder.to_owned(), path: "t".into() };
    rows_of(&files, version).await
}

async fn rows_of(files: &FilesSpec, version: Option<u64>) -> Result<String> {
    let variables = [("ID", S3::KEY_ID), ("KEY", S3::KEY)];
    let variables = variables.map(|(name, value)| (format!("MW_SECRET_SALES_{name}"), value.to_owned()));
    let secrets = Secrets { variables: BTreeMap::from(variables), folder: None };
    let source = open("lake", files, version, Reading::default(), &Access::here("sales", secrets)).await?;
    let context = SessionContext::new();
    context.register_table("t", Arc::new(SourceTable::new(source, Face::Plain))).expect("registers");
    let batches = context.sql("SELECT name, id FROM t ORDER BY id").await.expect("plans").collect().await;
    let batches = batches.map_err(|error| crate::write::own_error(&error).expect("an error of ours"))?;
    let table = pretty_format_batches(&batches).expect("prints").to_string();
    let ids = table.lines().filter(|line| line.starts_with("| n") && !line.contains("name"));
    Ok(ids.map(|line| line.replace(['|', ' '], "")).collect::<Vec<_>>().join(" "))
}

#[tokio::test]
async fn the_newest_version_or_a_pinned_one() {
    let folder = tempfile::tempdir().expect("temp");
    let table = folder.path().join("t");
    let first = data(&table, "a.parquet", ["id", "name"], &[1, 2]);
    commit(&table, 0, &[protocol(&[]), metadata(&plain_fields(), &json!({})), add("a.parquet", first)]);
    let second = data(&table, "b.parquet", ["id", "name"], &[3]);
    let removed = json!({"remove": {"path": "a.parquet", "dataChange": true, "deletionTimestamp": 1}});
    commit(&table, 1, &[add("b.parquet", second), removed]);
    assert_eq!(rows(folder.path(), None).await.as_deref(), Ok("n33"));
    assert_eq!(rows(folder.path(), Some(0)).await.as_deref(), Ok("n11 n22"));
    assert_eq!(rows(folder.path(), Some(9)).await.expect_err("no such version").code, "MW0537");
    std::fs::remove_file(table.join("b.parquet")).expect("removes");
    assert_eq!(rows(folder.path(), None).await.expect_err("a file is missing").code, "MW0537");
}

#[tokio::test]
async fn columns_with_other_names_in_the_files() {
    let folder = tempfile::tempdir().expect("temp");
    let table = folder.path().join("t");
    let size = data(&table, "a.parquet", ["col-1", "col-2"], &[1]);
    let mapped = |name: &str, ty: &str, id: u32| {
        json!({"name": name, "type": ty, "nullable": true, "metadata":
            {"delta.columnMapping.id": id, "delta.columnMapping.physicalName": format!("col-{id}")}})
    };
    let fields = json!([mapped("id", "long", 1), mapped("name", "string", 2)]);
    let settings = json!({"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"});
    commit(&table, 0, &[protocol(&["columnMapping"]), metadata(&fields, &settings), add("a.parquet", size)]);
    assert_eq!(rows(folder.path(), None).await.as_deref(), Ok("n11"));
}

/// The rows 1 and 3 of a file, deleted, as the protocol writes it into the log itself.
fn deleted() -> Value {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&1_681_511_377u32.to_le_bytes());
    bytes.extend_from_slice(&1u64.to_le_bytes());
    bytes.extend_from_slice(&0u32.to_le_bytes());
    // A roaring bitmap: no runs, one container of two values, which start at byte 16.
    for number in [12_346u32, 1] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for number in [0u16, 1] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&16u32.to_le_bytes());
    for row in [1u16, 3] {
        bytes.extend_from_slice(&row.to_le_bytes());
    }
    json!({"storageType": "i", "pathOrInlineDv": z85(&bytes), "sizeInBytes": bytes.len(), "cardinality": 2})
}

/// https://rfc.zeromq.org/spec/32
fn z85(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let group = |four: &[u8]| {
        let number = four.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        (0..5).rev().map(move |place| char::from(DIGITS[(number / 85u32.pow(place) % 85) as usize]))
    };
    bytes.chunks(4).flat_map(group).collect()
}

#[tokio::test]
async fn rows_that_are_deleted_but_still_in_the_file() {
    let folder = tempfile::tempdir().expect("temp");
    let table = folder.path().join("t");
    let size = data(&table, "a.parquet", ["id", "name"], &[1, 2, 3, 4, 5]);
    let mut file = add("a.parquet", size);
    file["add"]["deletionVector"] = deleted();
    let settings = json!({"delta.enableDeletionVectors": "true"});
    commit(&table, 0, &[protocol(&["deletionVectors"]), metadata(&plain_fields(), &settings), file]);
    assert_eq!(rows(folder.path(), None).await.as_deref(), Ok("n11 n33 n55"));
}

#[tokio::test]
async fn a_log_that_names_files_elsewhere_is_refused() {
    let folder = tempfile::tempdir().expect("temp");
    let outside = tempfile::tempdir().expect("temp");
    let size = data(outside.path(), "secret.parquet", ["id", "name"], &[1]);
    let (table, secret) = (folder.path().join("t"), outside.path().join("secret.parquet"));
    let parent = outside.path().file_name().and_then(|name| name.to_str()).expect("a name");
    for path in [format!("file://{}", secret.display()), format!("../../{parent}/secret.parquet")] {
        commit(&table, 0, &[protocol(&[]), metadata(&plain_fields(), &json!({})), add(&path, size)]);
        let error = rows(folder.path(), None).await.expect_err("outside");
        assert!(matches!(error.code.as_str(), "MW0503" | "MW0537"), "{path}: {error}");
    }
    std::os::unix::fs::symlink(&secret, table.join("link.parquet")).expect("links");
    commit(&table, 0, &[protocol(&[]), metadata(&plain_fields(), &json!({})), add("link.parquet", size)]);
    assert_eq!(rows(folder.path(), None).await.expect_err("a link").code, "MW0503");
    let escape = FilesSpec::Folder { folder: folder.path().to_owned(), path: "../x".into() };
    assert_eq!(
        open("lake", &escape, None, Reading::default(), &Access::here("sales", Secrets::default()))
            .await
            .expect_err("outside")
            .code,
        "MW0503"
    );
}

#[tokio::test]
async fn a_table_in_a_bucket() {
    let server = S3::start(&["lake"]).expect("versitygw");
    let table = server.bucket("lake").join("tables/t");
    let first = data(&table, "a.parquet", ["id", "name"], &[1, 2]);
    commit(&table, 0, &[protocol(&[]), metadata(&plain_fields(), &json!({})), add("a.parquet", first)]);
    let second = data(&table, "b.parquet", ["id", "name"], &[3]);
    commit(&table, 1, &[add("b.parquet", second)]);
    let at = |url: &str, key: &str| FilesSpec::S3 {
        url: url.to_owned(),
        connection: S3Connection {
            endpoint: Some(server.endpoint()),
            access_key_id: Some("${secret:id}".into()),
            secret_access_key: Some(format!("${{secret:{key}}}")),
            ..S3Connection::default()
        },
        egress: Egress(Some(vec![Destination::parse("127.0.0.1").expect("a destination")])),
    };
    assert_eq!(rows_of(&at("s3://lake/tables/t", "key"), None).await.as_deref(), Ok("n11 n22 n33"));
    assert_eq!(rows_of(&at("s3://lake/tables/t/", "key"), Some(0)).await.as_deref(), Ok("n11 n22"));
    assert_eq!(rows_of(&at("s3://lake/tables/none", "key"), None).await.expect_err("none").code, "MW0537");
    assert_eq!(rows_of(&at("s3://lake/tables/t", "id"), None).await.expect_err("denied").code, "MW0546");
    let outside = json!({"add": {"path": "s3://other/x.parquet", "size": 1, "partitionValues": {}, "modificationTime": 0,
        "dataChange": true}});
    commit(&table, 2, &[outside]);
    assert_eq!(rows_of(&at("s3://lake/tables/t", "key"), None).await.expect_err("outside").code, "MW0503");
}
