use std::path::Path;

use datafusion::prelude::SessionContext;
use meshwork_core::types::ColumnType;
use meshwork_testkit::field;

use super::*;
use crate::source::{Face, SourceTable, file};

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), bytes).expect("writes");
}

fn opened(folder: &Path, options: &CsvOptions, reading: &Reading) -> Result<Arc<dyn Source>> {
    let score = meshwork_core::contract::Field { native: ColumnType::Int64, ..field("score") };
    open("leads", file::find("leads", folder, "*.csv")?, options, &Typing::of(&[score]), reading.clone())
}

/// All rows with their origin, one text each; or the error.
async fn rows(folder: &Path, options: &CsvOptions, reading: &Reading) -> Result<Vec<String>> {
    let source = opened(folder, options, reading)?;
    let context = SessionContext::new();
    context.register_table("t", Arc::new(SourceTable::new(source, Face::WithOrigin))).expect("registers");
    let frame = context.sql("SELECT * FROM t ORDER BY __mw_origin, __mw_row").await.expect("plans");
    let batches = frame.collect().await.map_err(|error| crate::write::own_error(&error).expect("an error of ours"))?;
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| {
                if column.is_null(row) {
                    "-".to_owned()
                } else {
                    arrow::util::display::array_value_to_string(column, row).expect("displays")
                }
            });
            rows.push(values.collect::<Vec<_>>().join("|"));
        }
    }
    Ok(rows)
}

async fn read(text: impl AsRef<[u8]>) -> Result<Vec<String>> {
    let folder = tempfile::tempdir().expect("temp");
    write(folder.path(), "a.csv", text);
    rows(folder.path(), &CsvOptions::default(), &Reading::default()).await
}

#[tokio::test]
async fn records_with_the_line_where_they_start() {
    let text = "\u{FEFF}id,note,score\r\n1,\"a, \"\"b\"\"\r\nand more\",5\r\n\r\n2,,\r\n3,été, 7 \r\n";
    assert_eq!(
        read(text).await,
        Ok(vec!["1|a, \"b\"\r\nand more|5|0|2".to_owned(), "2|-|-|0|5".to_owned(), "3|été|7|0|6".to_owned()])
    );
    // A last line without a line break counts as well.
    assert_eq!(read("id,score\n1,2").await, Ok(vec!["1|2|0|2".to_owned()]));
    assert_eq!(read("id,score\n").await, Ok(vec![]));
}

#[tokio::test]
async fn what_does_not_fit_is_recorded_with_its_place() {
    let folder = tempfile::tempdir().expect("temp");
    write(folder.path(), "a.csv", "id,score\n1,5\n2,abc\n3,9999999999999999999\n4,NULL\n");
    let reading = Reading::default();
    let options = CsvOptions { null: vec!["NULL".into()], ..CsvOptions::default() };
    let found = rows(folder.path(), &options, &reading).await.expect("reads");
    assert_eq!(found, ["1|5|0|2", "2|-|0|3", "3|-|0|4", "4|-|0|5"]);
    let (count, samples) = reading.unfit.of("score");
    let places: Vec<_> =
        samples.into_rows().into_iter().map(|s| (s.source.unwrap_or_default(), s.row, s.values[0].1.clone())).collect();
    assert_eq!(count, 2);
    assert_eq!(
        places,
        [
            ("a.csv".to_owned(), Some(3), Some("abc".to_owned())),
            ("a.csv".to_owned(), Some(4), Some("9999999999999999999".to_owned()))
        ]
    );
    assert_eq!((reading.meter.rows(), reading.meter.bytes() > 30), (4, true));
}

#[tokio::test]
async fn faults_name_file_and_line() {
    for (text, code, part) in [
        (&b""[..], "MW0506", "`a.csv` is empty"),
        (b"id,score\n1\n", "MW0505", "line 2: 1 fields, but there are 2 columns"),
        (b"id,score\n1,2\n1,2,3\n", "MW0505", "line 3: 3 fields"),
        (b"id,score\n\"1,2\n3,4\n", "MW0505", "line 2"),
        (b"id,id\n1,2\n", "MW0506", "`id` stands there twice"),
        (b"id,\n1,2\n", "MW0506", "column 2 has no name"),
        (b"id,score\nM\xFCller,2\n", "MW0504", "line 2, column `id`"),
        (b"i\xFCd,score\n", "MW0504", "line 1"),
        (b"\xFF\xFEi\0d\0", "MW0504", "UTF-16"),
    ] {
        let error = read(text).await.expect_err(part);
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(part), "{error}");
        assert!(!error.hints.is_empty());
        assert!(!error.message.contains("ller"), "no value in {error}");
    }
}

#[tokio::test]
async fn files_of_one_source_agree() {
    let folder = tempfile::tempdir().expect("temp");
    write(folder.path(), "a.csv", "id,score\n1,2\n");
    write(folder.path(), "b.csv", "id,score\n3,4\n");
    let both = rows(folder.path(), &CsvOptions::default(), &Reading::default()).await;
    assert_eq!(both, Ok(vec!["1|2|0|2".to_owned(), "3|4|1|2".to_owned()]));
    write(folder.path(), "c.csv", "id,points\n3,4\n");
    let error = rows(folder.path(), &CsvOptions::default(), &Reading::default()).await.expect_err("differs");
    assert_eq!(error.to_string(), "MW0507: `c.csv` lacks score and adds points compared with `a.csv`");
}

#[tokio::test]
async fn other_dialects() {
    let folder = tempfile::tempdir().expect("temp");
    write(folder.path(), "a.csv", "1;'x;y'\n");
    let options = CsvOptions { delimiter: ';', quote: Some('\''), header: false, ..CsvOptions::default() };
    assert_eq!(rows(folder.path(), &options, &Reading::default()).await, Ok(vec!["1|x;y|0|1".to_owned()]));
    let wrong = opened(folder.path(), &CsvOptions::default(), &Reading::default()).expect("opens");
    assert!(wrong.hint().expect("a hint").contains("';'"));
    let broken = CsvOptions { delimiter: 'é', ..CsvOptions::default() };
    assert_eq!(opened(folder.path(), &broken, &Reading::default()).expect_err("refused").code, "MW0506");
}

#[tokio::test]
async fn lines_that_are_no_records() {
    let folder = tempfile::tempdir().expect("temp");
    write(folder.path(), "a.csv", "Report, \"of May\n\nid,note\n# a remark, \"unbalanced\n1,\"a\\\"b\"\n#\n2,x\n");
    let options = CsvOptions { skip: 2, comment: Some('#'), escape: Some('\\'), ..CsvOptions::default() };
    let found = rows(folder.path(), &options, &Reading::default()).await;
    assert_eq!(found, Ok(vec!["1|a\"b|0|5".to_owned(), "2|x|0|7".to_owned()]));
    let unquoted = CsvOptions { skip: 2, comment: Some('#'), quote: None, ..CsvOptions::default() };
    let found = rows(folder.path(), &unquoted, &Reading::default()).await;
    assert_eq!(found.expect("reads")[0], "1|\"a\\\"b\"|0|5");
}

#[tokio::test]
async fn compressed_and_in_another_encoding() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().expect("temp");
    let (text, _, _) = encoding_rs::WINDOWS_1252.encode("id,score\nMüller,1\n");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&text).expect("packs");
    write(folder.path(), "a.csv", packed.finish().expect("packs"));
    let options = CsvOptions { encoding: "windows-1252".into(), ..CsvOptions::default() };
    assert_eq!(rows(folder.path(), &options, &Reading::default()).await, Ok(vec!["Müller|1|0|2".to_owned()]));
    let undeclared = rows(folder.path(), &CsvOptions::default(), &Reading::default()).await.expect_err("not UTF-8");
    assert_eq!(undeclared.code, "MW0504");
}

#[tokio::test]
async fn only_wanted_columns_are_parsed() {
    let folder = tempfile::tempdir().expect("temp");
    write(folder.path(), "a.csv", "id,score\n1,abc\n");
    let reading = Reading::default();
    let source = opened(folder.path(), &CsvOptions::default(), &reading).expect("opens");
    let context = SessionContext::new();
    context.register_table("t", Arc::new(SourceTable::new(source, Face::Plain))).expect("registers");
    let counted = context.sql("SELECT count(*), max(id) FROM t").await.expect("plans").collect().await.expect("runs");
    assert_eq!(counted[0].num_rows(), 1);
    assert_eq!(reading.unfit.of("score").0, 0);
}
