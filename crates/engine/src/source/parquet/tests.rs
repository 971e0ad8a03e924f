use std::path::Path;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use ::parquet::file::properties::WriterProperties;
use arrow::array::Int64Array;
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use meshwork_core::contract::Field;
use meshwork_core::types::ColumnType;
use meshwork_testkit::field;

use super::*;
use crate::source::{Face, SourceTable, file};

fn write(path: &Path, values: &[i64], codec: Compression) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
    let schema = Arc::new(Schema::new(vec![ArrowField::new("id", DataType::Int64, false)]));
    let properties = WriterProperties::builder().set_compression(codec).build();
    let out = std::fs::File::create(path).expect("creates");
    let mut writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties)).expect("a writer");
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    writer.write(&RecordBatch::try_new(schema, vec![column]).expect("a batch")).expect("writes");
    writer.close().expect("closes");
}

async fn rows(folder: &Path, path: &str, fields: &[Field], sql: &str, reading: &Reading) -> Result<String> {
    let source = open(file::find("in", folder, path)?, &Typing::of(fields), reading.clone())?;
    let context = SessionContext::new();
    context.register_table("t", Arc::new(SourceTable::new(source, Face::WithOrigin))).expect("registers");
    let batches = context.sql(sql).await.expect("plans").collect().await;
    let batches = batches.map_err(|error| crate::write::own_error(&error).expect("an error of ours"))?;
    Ok(pretty_format_batches(&batches).expect("prints").to_string())
}

#[tokio::test]
async fn every_codec() {
    let folder = tempfile::tempdir().expect("temp");
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ];
    for (at, codec) in codecs.into_iter().enumerate() {
        write(&folder.path().join(format!("{at}.parquet")), &[7, 8], codec);
    }
    let reading = Reading::default();
    let found = rows(folder.path(), "*.parquet", &[], "SELECT count(*) AS n, sum(id) AS s FROM t", &reading);
    assert!(found.await.expect("reads").contains("| 14 | 105 |"));
}

#[tokio::test]
async fn folders_that_name_values_become_columns() {
    let folder = tempfile::tempdir().expect("temp");
    let at = |path: &str| folder.path().join("lake").join(path);
    write(&at("year=2023/city=K%C3%B6ln/a.parquet"), &[1, 2], Compression::SNAPPY);
    write(&at("year=2024/city=__HIVE_DEFAULT_PARTITION__/a.parquet"), &[3], Compression::SNAPPY);
    let year = [Field { native: ColumnType::Int32, ..field("year") }];
    let sql = "SELECT year + 1 AS next, city, id, __mw_row AS row FROM t ORDER BY id";
    let expected = "\
+------+------+----+-----+
| next | city | id | row |
+------+------+----+-----+
| 2024 | Köln | 1  | 1   |
| 2024 | Köln | 2  | 2   |
| 2025 |      | 3  | 1   |
+------+------+----+-----+";
    for path in ["lake/**/*.parquet", "lake/year=*/city=*/*.parquet"] {
        let found = rows(folder.path(), path, &year, sql, &Reading::default()).await;
        assert_eq!(found.as_deref(), Ok(expected), "{path}");
    }
    let reading = Reading::default();
    let only = rows(folder.path(), "lake/**/*.parquet", &year, "SELECT max(year) AS y, count(*) AS n FROM t", &reading);
    assert!(only.await.expect("reads").contains("| 2024 | 3 |"));

    write(&at("year=soon/city=x/a.parquet"), &[4], Compression::SNAPPY);
    let reading = Reading::default();
    rows(folder.path(), "lake/**/*.parquet", &year, "SELECT year FROM t", &reading).await.expect("reads");
    assert_eq!(reading.unfit.of("year").0, 1);
    write(&at("month=5/a.parquet"), &[5], Compression::SNAPPY);
    let mixed = rows(folder.path(), "lake/**/*.parquet", &year, "SELECT 1", &Reading::default()).await;
    assert_eq!(mixed.expect_err("other folders").code, "MW0507");
}
