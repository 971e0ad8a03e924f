use std::sync::Arc;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::{ArrayRef, Decimal128Array, Int64Array, StringArray, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::ipc::reader::StreamReader;
use axum::body::to_bytes;
use futures::stream;

use super::*;

fn sample() -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("note", DataType::Utf8View, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("price", DataType::Decimal128(10, 2), true),
        Field::new("id", DataType::Utf8, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![-1, 2])),
        Arc::new(StringViewArray::from(vec![Some("=1+1"), None])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1_700_000_000_000_000), None]).with_timezone("UTC")),
        Arc::new(Decimal128Array::from(vec![Some(1250), Some(-3)]).with_precision_and_scale(10, 2).unwrap()),
        Arc::new(StringArray::from(vec!["a,b", "\"q\""])),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

async fn encode(format: Format, items: Vec<Result<RecordBatch>>, options: Options) -> Result<Bytes, axum::Error> {
    let schema = sample().schema();
    let batches: BatchStream = Box::pin(stream::iter(items));
    let response = respond(format, schema, batches, options, Arc::new(Metrics::default())).await.unwrap();
    to_bytes(response.into_body(), usize::MAX).await
}

fn options() -> Options {
    Options { query_id: "q1".into(), ..Options::default() }
}

#[tokio::test]
async fn json_has_columns_rows_and_a_count() {
    let text = encode(Format::Json, vec![Ok(sample()), Ok(sample())], options()).await.unwrap();
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(value["query_id"], "q1");
    assert_eq!(value["row_count"], 4);
    assert_eq!(value["columns"][2], serde_json::json!({"name": "at", "type": "timestamp", "nullable": true}));
    assert_eq!(
        value["rows"][0],
        serde_json::json!({"id": -1, "note": "=1+1", "at": "2023-11-14T22:13:20Z", "price": 12.5, "id_2": "a,b"})
    );
    assert_eq!(value["rows"][3]["note"], serde_json::Value::Null);
    assert!(value.get("next").is_none());
}

#[tokio::test]
async fn json_links_to_the_next_page_only_when_full() {
    let next = |limit| Options { next: Some((limit, "/next".into())), ..options() };
    let text = encode(Format::Json, vec![Ok(sample())], next(2)).await.unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).unwrap()["next"], "/next");
    let text = encode(Format::Json, vec![Ok(sample())], next(3)).await.unwrap();
    assert!(serde_json::from_slice::<serde_json::Value>(&text).unwrap().get("next").is_none());
}

#[tokio::test]
async fn warnings_come_with_the_answer() {
    let warned = Options { warnings: vec!["sales.orders is deprecated".into()], ..options() };
    let batches: BatchStream = Box::pin(stream::empty());
    let metrics = Arc::new(Metrics::default());
    let response = respond(Format::Json, sample().schema(), batches, warned, metrics).await.unwrap();
    assert_eq!(response.headers()["meshwork-warning"], "sales.orders is deprecated");
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(value["warnings"], serde_json::json!(["sales.orders is deprecated"]));
}

#[tokio::test]
async fn an_empty_result_is_well_formed_everywhere() {
    let text = encode(Format::Json, vec![], options()).await.unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).unwrap()["rows"], serde_json::json!([]));
    assert_eq!(encode(Format::NdJson, vec![], options()).await.unwrap(), "");
    assert_eq!(encode(Format::Csv, vec![], options()).await.unwrap(), "id,note,at,price,id_2\n");
    let file = encode(Format::Parquet, vec![], options()).await.unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    assert_eq!(reader.schema().fields().len(), 5);
}

#[tokio::test]
async fn csv_defuses_formulas_in_text_only() {
    let text = encode(Format::Csv, vec![Ok(sample())], options()).await.unwrap();
    assert_eq!(text, "id,note,at,price,id_2\n-1,'=1+1,2023-11-14T22:13:20Z,12.50,\"a,b\"\n2,,,-0.03,\"\"\"q\"\"\"\n");
    let raw = encode(Format::Csv, vec![Ok(sample())], Options { csv_raw: true, ..options() }).await.unwrap();
    assert!(std::str::from_utf8(&raw).unwrap().contains("-1,=1+1,"));
}

#[tokio::test]
async fn arrow_and_parquet_come_back_the_same() {
    let bytes = encode(Format::ArrowStream, vec![Ok(sample()), Ok(sample())], options()).await.unwrap();
    let batches: Vec<_> = StreamReader::try_new(bytes.as_ref(), None).unwrap().map(|b| b.unwrap()).collect();
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[0].schema().field(1).data_type(), &DataType::Utf8, "no view types leave");
    assert_eq!(batches[0].column(0), sample().column(0));

    let file = encode(Format::Parquet, vec![Ok(sample()), Ok(sample())], options()).await.unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 4);
}

#[tokio::test]
async fn a_late_failure_breaks_the_stream_off() {
    let failing = || vec![Ok(sample()), Err(Error::limit("MW0810", "out of memory"))];
    for format in [Format::Json, Format::Csv, Format::ArrowStream, Format::Parquet] {
        assert!(encode(format, failing(), options()).await.is_err(), "{format:?}");
    }
    let text = encode(Format::NdJson, failing(), options()).await.unwrap();
    let last = std::str::from_utf8(&text).unwrap().lines().last().unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["$problem"]["code"], "MW0810");
}

#[tokio::test]
async fn an_early_failure_is_not_a_stream() {
    let batches: BatchStream = Box::pin(stream::iter([Err(Error::limit("MW0810", "out of memory"))]));
    let answer = respond(Format::Json, sample().schema(), batches, options(), Arc::new(Metrics::default())).await;
    assert_eq!(answer.unwrap_err().code, "MW0810");
}

#[test]
fn accept_is_read_as_the_standard_says() {
    let offers = OFFERS.map(Format::media_type);
    let check = |accept: &str, expected: Option<Format>| {
        assert_eq!(choose(accept, &offers).map(|at| OFFERS[at]), expected, "{accept}");
    };
    check("", Some(Format::Json));
    check("*/*", Some(Format::Json));
    check("text/csv", Some(Format::Csv));
    check("TEXT/CSV;q=0.5, application/json;q=0.4", Some(Format::Csv));
    check("text/*, application/json;q=0.9", Some(Format::Csv));
    check("*/*;q=0.1, application/vnd.apache.parquet", Some(Format::Parquet));
    check("application/json;q=0, */*", Some(Format::Csv));
    check("text/html, application/xhtml+xml, */*;q=0.8", Some(Format::Json));
    check("image/png", None);
    check("application/json;q=0", None);
    check("nonsense", None);
}
