use std::path::Path as FsPath;

use datafusion::prelude::SessionContext;
use meshwork_core::contract::Field;
use meshwork_testkit::field;

use super::*;
use crate::source::{Face, SourceTable, file};

fn fields() -> Vec<Field> {
    let point = ColumnType::Struct(vec![("x".into(), ColumnType::Int32), ("y".into(), ColumnType::Int32)]);
    vec![
        field("name"),
        Field { native: ColumnType::Int64, physical_name: Some("properties.mag".into()), ..field("mag") },
        Field { native: point, ..field("at") },
    ]
}

fn opened(folder: &FsPath, options: &JsonOptions, reading: &Reading) -> Result<Arc<dyn Source>> {
    let files = file::find("in", folder, "*.json")?;
    open("in", files, &Typing::source_names(&fields()), options, &Typing::of(&fields()), reading.clone())
}

async fn rows(text: &str, options: &JsonOptions, reading: &Reading) -> Result<Vec<String>> {
    let folder = tempfile::tempdir().expect("temp");
    std::fs::write(folder.path().join("a.json"), text).expect("writes");
    let source = opened(folder.path(), options, reading)?;
    let context = SessionContext::new();
    context.register_table("t", Arc::new(SourceTable::new(source, Face::WithOrigin))).expect("registers");
    let sql = r#"SELECT name, "properties.mag", at, __mw_row FROM t ORDER BY __mw_row"#;
    let batches = context.sql(sql).await.expect("plans").collect().await;
    let batches = batches.map_err(|error| crate::write::own_error(&error).expect("an error of ours"))?;
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let value = |column: &ArrayRef| match column.is_null(row) {
                true => "-".to_owned(),
                false => arrow::util::display::array_value_to_string(column, row).expect("displays"),
            };
            rows.push(batch.columns().iter().map(value).collect::<Vec<_>>().join("|"));
        }
    }
    Ok(rows)
}

fn at(path: &str) -> JsonOptions {
    JsonOptions { records: Some(path.to_owned()), ..JsonOptions::default() }
}

const A: &str = r#"{"name":"a","properties":{"mag":1,"z":[{"k":"]"}]},"at":{"x":1,"y":2}}"#;
const B: &str = "{ \"name\": 300,\n  \"properties\": {\"mag\": null}, \"at\": null }";

#[tokio::test]
async fn the_same_records_however_they_lie() {
    let none = JsonOptions::default();
    let nested = format!(
        "{{\"type\":\"x\",\"skip\":[1,{{\"features\":[]}}],\n\"data\":{{\"features\":[\n{A},\n{B}\n], \"n\":2}},\"more\":\"}}\"}}\n"
    );
    for (text, options, lines) in [
        (format!("{A}\n\n{}\n", B.replace('\n', "")), none.clone(), (1, 3)),
        (format!("[{A},\n{B}]"), none, (1, 2)),
        (format!("\n[\n{A} ,{B}\n]\n"), at("$"), (3, 3)),
        (nested.clone(), at("$.data.features"), (3, 4)),
        (nested, at("/data/features"), (3, 4)),
    ] {
        let found = rows(&text, &options, &Reading::default()).await;
        let expected = vec![format!("a|1|{{x: 1, y: 2}}|{}", lines.0), format!("300|-|-|{}", lines.1)];
        assert_eq!(found, Ok(expected), "{text}");
    }
    assert_eq!(rows(A, &at("$"), &Reading::default()).await, Ok(vec!["a|1|{x: 1, y: 2}|1".to_owned()]));
    assert_eq!(rows("[]", &JsonOptions::default(), &Reading::default()).await, Ok(vec![]));
    assert_eq!(rows("{\"a\":[ ]}", &at("$.a"), &Reading::default()).await, Ok(vec![]));
}

#[tokio::test]
async fn faults_name_file_and_line() {
    let none = JsonOptions::default();
    for (text, options, code, part) in [
        (format!("{A}\n{{\"name\""), &none, "MW0508", "line 2: not valid JSON at column"),
        (format!("[{A},\n{{\"name\":"), &none, "MW0508", "ends on line 2"),
        (format!("[{A}\n{A}]"), &none, "MW0508", "line 2: not valid JSON: a `,`"),
        (format!("[{A},\n7]"), &none, "MW0508", "line 2: not a JSON object"),
        (format!("[{A}] x"), &none, "MW0508", "something follows"),
        (format!("{{\"a\":[{A}]"), &at("$.a"), "MW0508", "ends on line 1"),
        (format!("{{\"a\":[{A}]}}"), &at("$.b"), "MW0534", "`$` has no key `b`"),
        (format!("{{\"a\":{{\"b\":[{A}]}}}}"), &at("$.a.c"), "MW0534", "`$.a` has no key `c`"),
        ("{\"a\":7}".to_owned(), &at("$.a"), "MW0508", "neither an array nor an object"),
        ("[1,".to_owned(), &at("a[*]"), "MW0534", "not a path to records"),
    ] {
        let error = rows(&text, options, &Reading::default()).await.expect_err(part);
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(part), "{error}");
        assert!(!error.hints.is_empty());
    }
}

#[tokio::test]
async fn a_column_that_has_gone_is_an_error_not_nulls() {
    let gone = "{\"name\":\"a\",\"props\":{\"mag\":1},\"at\":null}\n{\"name\":\"b\",\"at\":null}\n";
    let reading = Reading::default();
    let error = rows(gone, &JsonOptions::default(), &reading).await.expect_err("gone");
    assert_eq!(error.code, "MW0533");
    assert!(error.message.starts_with("`a.json`, lines 1 to 2: the column `properties.mag`"), "{error}");
    let lenient = JsonOptions { absent: Absent::Null, ..JsonOptions::default() };
    let found = rows(gone, &lenient, &Reading::default()).await;
    assert_eq!(found, Ok(vec!["a|-|-|1".to_owned(), "b|-|-|2".to_owned()]));
}

#[tokio::test]
async fn a_value_that_changed_its_type_is_named_with_its_place() {
    let text = format!("{A}\n{{\"name\":{{\"first\":\"x\"}},\"properties\":{{\"mag\":\"high\"}},\"at\":7}}\n");
    let reading = Reading::default();
    assert_eq!(rows(&text, &JsonOptions::default(), &reading).await.expect("reads")[1], "-|-|-|2");
    for column in ["name", "properties.mag", "at"] {
        let (count, samples) = reading.unfit.of(column);
        assert_eq!((count, samples.into_rows()[0].row), (1, Some(2)), "{column}");
    }
}

#[tokio::test]
async fn a_new_column_is_reported() {
    let mut text = format!("{A}\n").repeat(SAMPLED);
    text.push_str("{\"name\":\"a\",\"properties\":{\"mag\":1},\"at\":null,\"novel\":1}\n");
    let reading = Reading::default();
    rows(&text, &JsonOptions::default(), &reading).await.expect("reads");
    assert_eq!(reading.news.lines(), ["input in: new column `novel`, first in a.json, line 1001; it is not read"]);
}
