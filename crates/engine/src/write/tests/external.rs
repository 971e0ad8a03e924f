//! Files of others: what can be registered, what is refused, and that lies in footers change no answer.

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field as ArrowField, Schema};
use datafusion::prelude::SessionContext;
use meshwork_core::publication::Body;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter};
use parquet::file::statistics::Statistics;

use super::*;
use crate::read::secured;

mod bucket;
mod delta;

fn parquet(mesh: &Mesh, name: &str, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let fields = columns.iter().map(|(name, array)| ArrowField::new(*name, array.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let path = mesh.folder.path().join("domain").join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
    let mut writer =
        ArrowWriter::try_new(fs::File::create(&path).expect("creates"), Arc::clone(&schema), None).expect("a writer");
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    writer.write(&RecordBatch::try_new(schema, arrays).expect("a batch")).expect("writes");
    writer.close().expect("closes");
    path
}

fn ids(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// `id` (called `nr` in the files), `name`.
fn people() -> Vec<Field> {
    vec![Field { physical_name: Some("nr".into()), ..typed("id", ColumnType::Int64) }, field("name")]
}

fn unique() -> Vec<Rule> {
    vec![Rule::Unique { columns: vec!["id".into()] }]
}

fn spec(mesh: &Mesh, source: SourceSpec, fields: Vec<Field>) -> RunSpec {
    let mut spec = mesh.spec("run-1", None, table(fields, unique()), "");
    spec.inputs = BTreeMap::from([("raw".to_owned(), InputSpec::Source(source))]);
    spec.outputs[0].mode = Mode::External;
    spec
}

fn files(mesh: &Mesh, path: &str) -> FilesSpec {
    FilesSpec::Folder { folder: mesh.folder.path().join("domain"), path: path.into() }
}

fn of_parquet(mesh: &Mesh, path: &str) -> SourceSpec {
    SourceSpec::Parquet { files: files(mesh, path) }
}

async fn published(mesh: &Mesh, spec: &RunSpec) -> OutputReport {
    let report = mesh.stage(spec).await.expect("stages");
    assert!(gate(&report.outputs[0].clauses), "{:?}", report.outputs[0].clauses);
    let versions = mesh.writer().commit(&spec.run, &report.outputs).await.expect("commits");
    assert_eq!(versions, [0]);
    report.outputs.into_iter().next().expect("one output")
}

/// What a reader without obligations gets of `id` and `name`, or one more column.
async fn read(mesh: &Mesh, columns: Vec<GovernedColumn>, sql: &str) -> Result<Vec<String>, Error> {
    let table = GovernedTable { body: GovernedBody::External(None), ..granted(mesh, columns) };
    let snapshots = SnapshotCache::new(4, 1 << 20, Arc::new(crate::storage::Stores::local()));
    rows_of(&table, &snapshots, sql).await
}

async fn rows_of(table: &GovernedTable, snapshots: &SnapshotCache, sql: &str) -> Result<Vec<String>, Error> {
    let provider = secured::provider(table, snapshots).await?;
    let context = SessionContext::new();
    context.register_table("t", provider).expect("registers");
    let batches = context.sql(sql).await.expect("plans").collect().await;
    let batches = batches.map_err(|error| own_error(&error).expect("an error of ours"))?;
    let text = |batch: &RecordBatch, row| {
        let values = batch.columns().iter().map(|c| arrow::util::display::array_value_to_string(c, row).expect("text"));
        values.collect::<Vec<_>>().join("|")
    };
    Ok(batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| text(batch, row))).collect())
}

fn both() -> Vec<GovernedColumn> {
    vec![column("id", ColumnType::Int64, None), column("name", ColumnType::Text, None)]
}

#[tokio::test]
async fn columns_are_found_by_their_physical_names_and_folders_are_columns() {
    let mesh = Mesh::new();
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    parquet(&mesh, "p/year=2025/a.parquet", vec![("name", texts(&["a", "b"])), ("nr", narrow)]);
    parquet(&mesh, "p/year=2026/b.parquet", vec![("nr", ids(&[3])), ("name", texts(&["c"])), ("more", texts(&["x"]))]);
    let mut fields = people();
    fields.push(typed("year", ColumnType::Int64));
    let spec = spec(&mesh, of_parquet(&mesh, "p/**/*.parquet"), fields);
    let output = published(&mesh, &spec).await;
    assert_eq!(
        (output.rows, &output.body),
        (
            3,
            &Body::External(meshwork_core::publication::ExternalBody {
                format: "parquet".into(),
                version: None,
                files: 2,
                store: None,
            })
        )
    );
    assert_eq!(mesh.data_files(), 0, "nothing is copied");
    let mut columns = both();
    columns.push(column("year", ColumnType::Int64, None));
    let rows = read(&mesh, columns.clone(), "SELECT id, name, year FROM t WHERE year > 2024 ORDER BY id").await;
    assert_eq!(rows.expect("rows"), ["1|a|2025", "2|b|2025", "3|c|2026"]);
    assert_eq!(read(&mesh, columns.clone(), "SELECT count(*) FROM t").await.expect("rows"), ["3"]);
    assert_eq!(read(&mesh, columns, "SELECT name FROM t WHERE year = 2026").await.expect("rows"), ["c"]);

    // Nothing is new; another contract is looked at anew.
    let mut again = RunSpec { run: RunId::new("run-2"), ..spec };
    again.outputs[0].base = Some(0);
    again.outputs[0].served = Some(served(&output));
    assert!(mesh.stage(&again).await.expect("stages").unchanged);
    again.outputs[0].served = None;
    assert!(!mesh.stage(&again).await.expect("stages").unchanged);
}

fn served(output: &OutputReport) -> meshwork_core::publication::PublishedOutput {
    meshwork_core::publication::PublishedOutput {
        output: output.output.clone(),
        major: output.major,
        contract_version: output.contract_version.clone(),
        contract_digest: output.contract_digest.clone(),
        location: output.location.clone(),
        delta_version: 0,
        rows: output.rows,
        bytes: output.bytes,
        lineage: output.lineage.clone(),
        body: output.body.clone(),
    }
}

#[tokio::test]
async fn what_the_contract_does_not_hold_is_not_published() {
    let mesh = Mesh::new();
    let path = of_parquet(&mesh, "*.parquet");
    let refused =
        async |fields: Vec<Field>| mesh.stage(&spec(&mesh, path.clone(), fields)).await.expect_err("refused").code;
    parquet(&mesh, "a.parquet", vec![("nr", ids(&[1, 1])), ("name", texts(&["a", "b"]))]);
    let report = mesh.stage(&spec(&mesh, path.clone(), people())).await.expect("stages");
    assert!(!gate(&report.outputs[0].clauses) && report.outputs[0].staged.is_none());
    // Narrower than the files.
    let narrow = vec![Field { physical_name: Some("nr".into()), ..typed("id", ColumnType::Int32) }, field("name")];
    assert_eq!(refused(narrow).await, "MW0684");
    let number = vec![typed("id", ColumnType::Int64), typed("name", ColumnType::Float64)];
    assert_eq!(refused(number).await, "MW0684", "no `id` in the files");
    // One file of several without the column.
    parquet(&mesh, "b.parquet", vec![("nr", ids(&[7]))]);
    assert_eq!(refused(people()).await, "MW0684");
    fs::write(mesh.folder.path().join("domain/b.parquet"), "no Parquet").expect("writes");
    assert_eq!(refused(people()).await, "MW0509");
}

/// The file with another footer: what it says is not what it holds.
fn lying(path: &PathBuf, change: impl Fn(ParquetMetaData) -> ParquetMetaData) {
    let bytes = fs::read(path).expect("reads");
    let metadata =
        ParquetMetaDataReader::new().parse_and_finish(&fs::File::open(path).expect("opens")).expect("footer");
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().expect("four bytes")) as usize;
    let mut out = bytes[..bytes.len() - 8 - length].to_vec();
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &change(metadata)).finish().expect("writes");
    out.extend(footer);
    fs::write(path, out).expect("writes");
}

#[tokio::test]
async fn statistics_of_others_leave_out_no_row() {
    let mesh = Mesh::new();
    let path = parquet(&mesh, "a.parquet", vec![("nr", ids(&[1, 2, 3])), ("name", texts(&["a", "b", "c"]))]);
    lying(&path, |metadata| {
        let mut builder = metadata.into_builder();
        let groups = builder.take_row_groups().into_iter().map(|group| {
            let columns = group.columns().to_vec();
            let mut columns = columns.into_iter();
            let first = columns.next().expect("a column").into_builder();
            let first = first.set_statistics(Statistics::int64(Some(50), Some(60), None, Some(0), false));
            let columns = std::iter::once(first.build().expect("builds")).chain(columns).collect();
            group.into_builder().set_column_metadata(columns).build().expect("builds")
        });
        let groups = groups.collect();
        builder.set_row_groups(groups).build()
    });
    published(&mesh, &spec(&mesh, of_parquet(&mesh, "a.parquet"), people())).await;
    for (sql, rows) in [
        ("SELECT name FROM t WHERE id = 2", vec!["b"]),
        ("SELECT name FROM t WHERE id < 3 ORDER BY 1", vec!["a", "b"]),
        ("SELECT min(id), max(id), count(*) FROM t", vec!["1|3|3"]),
        ("SELECT count(*) FROM t WHERE id > 40", vec!["0"]),
        ("SELECT name FROM t ORDER BY id LIMIT 1", vec!["a"]),
    ] {
        assert_eq!(read(&mesh, both(), sql).await.expect("rows"), rows, "{sql}");
    }
}

#[tokio::test]
async fn a_footer_that_counts_wrongly_is_refused() {
    let mesh = Mesh::new();
    let path = parquet(&mesh, "a.parquet", vec![("nr", ids(&[1, 2, 3])), ("name", texts(&["a", "b", "c"]))]);
    lying(&path, |metadata| {
        let mut builder = metadata.into_builder();
        let groups = builder.take_row_groups().into_iter();
        let groups = groups.map(|group| group.into_builder().set_num_rows(5).build().expect("builds")).collect();
        builder.set_row_groups(groups).build()
    });
    let error = mesh.stage(&spec(&mesh, of_parquet(&mesh, "a.parquet"), people())).await.expect_err("refused");
    assert!(["MW0687", "MW0610"].contains(&error.code.as_str()), "{error}");
}

#[tokio::test]
async fn a_row_filter_and_masks_stand_before_files_of_others() {
    let mesh = Mesh::new();
    parquet(&mesh, "a.parquet", vec![("nr", ids(&[1, 2, 3])), ("name", texts(&["a", "b", "c"]))]);
    published(&mesh, &spec(&mesh, of_parquet(&mesh, "a.parquet"), people())).await;
    let columns =
        vec![column("id", ColumnType::Int64, None), column("name", ColumnType::Text, Some(Mask::ReplaceWithNull))];
    let mut table = GovernedTable { body: GovernedBody::External(None), ..granted(&mesh, columns) };
    table.rows =
        RowFilter(vec![Predicate { column: "id".into(), op: Comparison::Gt, values: vec![Literal::Integer(1)] }]);
    let provider =
        secured::provider(&table, &SnapshotCache::new(4, 1 << 20, Arc::new(crate::storage::Stores::local())))
            .await
            .expect("opens");
    assert!(!provider.is_open());
    let context = SessionContext::new();
    context.register_table("t", provider).expect("registers");
    let count = context.sql("SELECT id FROM t WHERE name IS NULL").await.expect("plans").count().await;
    assert_eq!(count.expect("rows"), 2);
}
