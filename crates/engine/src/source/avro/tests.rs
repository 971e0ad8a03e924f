use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroOcfFormat;
use datafusion::prelude::SessionContext;

use super::*;
use crate::source::{Face, SourceTable};

fn write(path: &std::path::Path, codec: Option<CompressionCodec>) {
    let zone = DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into()));
    let schema = Schema::new(vec![
        ArrowField::new("id", DataType::Int64, false),
        ArrowField::new("name", DataType::Utf8, true),
        ArrowField::new("at", zone, true),
    ]);
    let moments = TimestampMillisecondArray::from(vec![Some(1_709_208_000_123), None]).with_timezone("+00:00");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, i64::MAX])),
        Arc::new(StringArray::from(vec![Some("é"), None])),
        Arc::new(moments),
    ];
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), columns).expect("a batch");
    let file = std::fs::File::create(path).expect("creates");
    let mut writer =
        WriterBuilder::new(schema).with_compression(codec).build::<_, AvroOcfFormat>(file).expect("a writer");
    writer.write(&batch).expect("writes");
    writer.finish().expect("writes");
}

async fn rows(folder: &std::path::Path) -> Result<String> {
    let files = crate::source::file::find("in", folder, "*.avro")?;
    let source = open(files, Reading::default())?;
    let context = SessionContext::new();
    context.register_table("t", Arc::new(SourceTable::new(source, Face::WithOrigin))).expect("registers");
    let sql = "SELECT id, name, at, __mw_row AS row FROM t ORDER BY id";
    let batches = context.sql(sql).await.expect("plans").collect().await;
    let batches = batches.map_err(|error| crate::write::own_error(&error).expect("an error of ours"))?;
    Ok(pretty_format_batches(&batches).expect("prints").to_string())
}

#[tokio::test]
async fn every_codec() {
    let expected = "\
+---------------------+------+--------------------------+-----+
| id                  | name | at                       | row |
+---------------------+------+--------------------------+-----+
| 1                   | é    | 2024-02-29T12:00:00.123Z | 1   |
| 9223372036854775807 |      |                          | 2   |
+---------------------+------+--------------------------+-----+";
    let codecs = [
        None,
        Some(CompressionCodec::Deflate),
        Some(CompressionCodec::Snappy),
        Some(CompressionCodec::ZStandard),
        Some(CompressionCodec::Bzip2),
        Some(CompressionCodec::Xz),
    ];
    for codec in codecs {
        let folder = tempfile::tempdir().expect("temp");
        write(&folder.path().join("a.avro"), codec);
        assert_eq!(rows(folder.path()).await.as_deref(), Ok(expected), "{codec:?}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let folder = tempfile::tempdir().expect("temp");
    let path = folder.path().join("a.avro");
    write(&path, Some(CompressionCodec::Deflate));
    let whole = std::fs::read(&path).expect("reads");
    for bytes in [&whole[..whole.len() - 20], &whole[..10], b"Obj\x01", b"no avro"] {
        std::fs::write(&path, bytes).expect("writes");
        let error = rows(folder.path()).await.expect_err("damaged");
        assert_eq!(error.code, "MW0536", "{error}");
        assert!(error.message.contains("`a.avro`"), "{error}");
    }
}
