//! The TPC-H files as Delta tables, without copying: a log that refers to a hard link of each file.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::path::Path;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Schema};
use async_trait::async_trait;
use datafusion::scalar::ScalarValue;
use meshwork_control::port::data::{Catalog, GovernedColumn, GovernedTable, ListedTable};
use meshwork_core::effect::Timestamp;
use meshwork_core::error::Result;
use meshwork_core::filter::RowFilter;
use meshwork_core::id::{ColumnId, OutputId};
use meshwork_core::name::Name;
use meshwork_core::publication::TableLocation;
use meshwork_core::types::ColumnType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use serde_json::json;

use crate::Failure;

pub const NAMES: [&str; 8] = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"];

/// A reader without obligations: no mask, no filter, nothing withheld.
pub struct Governed {
    pub tables: Vec<GovernedTable>,
    pub now: Timestamp,
}

impl Governed {
    pub fn link(folder: &Path) -> std::result::Result<Self, Failure> {
        let tables = NAMES.iter().map(|name| table(folder, name)).collect::<std::result::Result<_, _>>()?;
        Ok(Self { tables, now: Timestamp::UNIX_EPOCH })
    }
}

#[async_trait]
impl Catalog for Governed {
    async fn resolve(&self, domain: &str, table: &str, _as_of: Option<Timestamp>) -> Result<Option<GovernedTable>> {
        let found = |t: &&GovernedTable| t.domain == domain && t.output == table;
        Ok(self.tables.iter().find(found).cloned())
    }
    async fn list(&self) -> Result<Vec<ListedTable>> {
        Ok(Vec::new())
    }
    fn user(&self) -> String {
        "bench".into()
    }
}

fn table(folder: &Path, name: &str) -> std::result::Result<GovernedTable, Failure> {
    let source = folder.join(format!("{name}.parquet"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&source)?)?;
    let schema = reader.schema().clone();
    let location = TableLocation::of(&format!("file://{}/", folder.join("delta").display()), &OutputId::new(name), 1);
    let home = folder.join("delta").join(&location.path);
    let log = home.join("_delta_log");
    fs::create_dir_all(&log)?;
    let part = home.join("part-0.parquet");
    if !part.exists() {
        fs::hard_link(&source, &part)?;
    }
    let actions = [
        json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 2 } }),
        json!({ "metaData": {
            "id": "00000000-0000-0000-0000-000000000000", "format": { "provider": "parquet", "options": {} },
            "schemaString": delta_schema(&schema)?.to_string(), "partitionColumns": [], "configuration": {}, "createdTime": 0 } }),
        json!({ "add": {
            "path": "part-0.parquet", "partitionValues": {}, "size": fs::metadata(&part)?.len(), "modificationTime": 0,
            "dataChange": true, "stats": stats(&reader)?.to_string() } }),
    ];
    let text: Vec<String> = actions.iter().map(ToString::to_string).collect();
    fs::write(log.join("00000000000000000000.json"), text.join("\n") + "\n")?;
    let columns = schema.fields().iter().map(|field| {
        Ok(GovernedColumn {
            id: ColumnId::new(format!("{name}.{}", field.name())),
            name: field.name().clone(),
            native: native(field.data_type())?,
            nullable: true,
            mask: None,
            bears: Vec::new(),
        })
    });
    Ok(GovernedTable {
        body: meshwork_control::port::data::GovernedBody::Stored,
        domain: Name::new("tpch")?,
        output: Name::new(name)?,
        output_id: OutputId::new(name),
        major: 1,
        location,
        delta_version: 0,
        columns: columns.collect::<std::result::Result<_, Failure>>()?,
        withheld: Vec::new(),
        rows: RowFilter::default(),
        decision_digest: String::new(),
        valid_until: None,
    })
}

/// What our writer says about a file in its log: rows, and of each column the extremes and nulls.
fn stats(reader: &ParquetRecordBatchReaderBuilder<File>) -> std::result::Result<serde_json::Value, Failure> {
    let (mut least, mut most, mut nulls) = (serde_json::Map::new(), serde_json::Map::new(), serde_json::Map::new());
    let groups = reader.metadata().row_groups();
    for field in reader.schema().fields() {
        let of = StatisticsConverter::try_new(field.name(), reader.schema(), reader.parquet_schema())?;
        let extreme = |array: &ArrayRef, wanted: Ordering| {
            let values = (0..array.len()).map(|row| ScalarValue::try_from_array(array, row));
            let mut found: Option<ScalarValue> = None;
            for value in values {
                let value = value?;
                if found.as_ref().is_none_or(|found| value.partial_cmp(found) == Some(wanted)) {
                    found = Some(value);
                }
            }
            found.map(|value| shown(&value)).transpose()
        };
        let low = extreme(&of.row_group_mins(groups)?, Ordering::Less)?;
        let high = extreme(&of.row_group_maxes(groups)?, Ordering::Greater)?;
        least.insert(field.name().clone(), low.into());
        most.insert(field.name().clone(), high.into());
        let none: u64 = of.row_group_null_counts(groups)?.iter().flatten().sum();
        nulls.insert(field.name().clone(), none.into());
    }
    let rows = reader.metadata().file_metadata().num_rows();
    Ok(json!({ "numRecords": rows, "minValues": least, "maxValues": most, "nullCount": nulls }))
}

fn shown(value: &ScalarValue) -> std::result::Result<serde_json::Value, Failure> {
    Ok(match value {
        ScalarValue::Int64(Some(number)) => json!(number),
        ScalarValue::Int32(Some(number)) => json!(number),
        ScalarValue::Decimal128(Some(number), _, scale) => json!(*number as f64 / 10f64.powi((*scale).into())),
        other => json!(other.to_string()),
    })
}

fn native(ty: &DataType) -> std::result::Result<ColumnType, Failure> {
    Ok(match ty {
        DataType::Int64 => ColumnType::Int64,
        DataType::Int32 => ColumnType::Int32,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => ColumnType::Text,
        DataType::Date32 => ColumnType::Date,
        DataType::Decimal128(precision, scale) => ColumnType::Decimal { precision: *precision, scale: *scale },
        other => return Err(format!("a TPC-H column of type {other}?").into()),
    })
}

fn delta_schema(schema: &Schema) -> std::result::Result<serde_json::Value, Failure> {
    let fields = schema.fields().iter().map(|field| {
        let ty = match native(field.data_type())? {
            ColumnType::Int64 => "long".to_owned(),
            ColumnType::Int32 => "integer".to_owned(),
            ColumnType::Date => "date".to_owned(),
            ColumnType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            _ => "string".to_owned(),
        };
        Ok(json!({ "name": field.name(), "type": ty, "nullable": true, "metadata": {} }))
    });
    Ok(json!({ "type": "struct", "fields": fields.collect::<std::result::Result<Vec<_>, Failure>>()? }))
}
