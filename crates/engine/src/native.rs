//! Column types as Arrow types (D12): how a table is stored, and how it is read.
//!
//! Stored schemas use plain `Utf8` and `Binary`, which every Delta reader knows. Readers ask for the view variants of the
//! same columns, which the Parquet reader fills without copying; results leave the engine as the plain types again.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Fields, Schema, SchemaRef, TimeUnit};
use meshwork_core::contract::Field;
use meshwork_core::types::ColumnType;

/// Field metadata of stored schemas: the column's immutable id (D1), by which readers find a renamed column.
pub const COLUMN_ID: &str = "meshwork.column_id";

/// The stored type.
pub fn arrow_type(ty: &ColumnType) -> DataType {
    match ty {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Int8 => DataType::Int8,
        ColumnType::Int16 => DataType::Int16,
        ColumnType::Int32 => DataType::Int32,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Float32 => DataType::Float32,
        ColumnType::Float64 => DataType::Float64,
        ColumnType::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
        ColumnType::Text => DataType::Utf8,
        ColumnType::Binary => DataType::Binary,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnType::LocalTimestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::List(item) => DataType::List(Arc::new(ArrowField::new("element", arrow_type(item), true))),
        ColumnType::Struct(fields) => DataType::Struct(
            fields.iter().map(|(name, ty)| ArrowField::new(name, arrow_type(ty), true)).collect::<Fields>(),
        ),
    }
}

/// The type that a query sees: as stored, with text and bytes as views at the top level.
pub fn read_type(ty: &ColumnType) -> DataType {
    match ty {
        ColumnType::Text => DataType::Utf8View,
        ColumnType::Binary => DataType::BinaryView,
        other => arrow_type(other),
    }
}

/// The column type that an Arrow type is stored as, where it has one without losing values: the inverse of
/// [`arrow_type`], which also takes the variants that readers and expressions produce (views, large and dictionary text).
pub fn column_type(ty: &DataType) -> Option<ColumnType> {
    Some(match ty {
        DataType::Boolean => ColumnType::Boolean,
        DataType::Int8 => ColumnType::Int8,
        DataType::Int16 | DataType::UInt8 => ColumnType::Int16,
        DataType::Int32 | DataType::UInt16 => ColumnType::Int32,
        DataType::Int64 | DataType::UInt32 => ColumnType::Int64,
        DataType::UInt64 => ColumnType::Decimal { precision: 20, scale: 0 },
        DataType::Float16 | DataType::Float32 => ColumnType::Float32,
        DataType::Float64 => ColumnType::Float64,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => ColumnType::Decimal { precision: *precision, scale: *scale },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ColumnType::Binary
        }
        DataType::Date32 => ColumnType::Date,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => return None,
        DataType::Timestamp(_, Some(_)) => ColumnType::Timestamp,
        DataType::Timestamp(_, None) => ColumnType::LocalTimestamp,
        DataType::Dictionary(_, value) => return column_type(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) => {
            ColumnType::List(Box::new(column_type(item.data_type())?))
        }
        DataType::Struct(fields) => ColumnType::Struct(
            fields.iter().map(|f| Some((f.name().clone(), column_type(f.data_type())?))).collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

/// Whether every value of an Arrow type is one of the column type as it stands: nothing is parsed, rounded or cut.
pub fn holds(from: &DataType, to: &ColumnType) -> bool {
    use ColumnType as T;
    let bits = |ty: &DataType| match ty {
        DataType::Int8 => Some(8),
        DataType::Int16 | DataType::UInt8 => Some(16),
        DataType::Int32 | DataType::UInt16 => Some(32),
        DataType::Int64 | DataType::UInt32 => Some(64),
        _ => None,
    };
    match (from, to) {
        (DataType::Null, _) => true,
        (DataType::Dictionary(_, value), _) => holds(value, to),
        (_, T::Int8 | T::Int16 | T::Int32 | T::Int64) => {
            bits(from).is_some_and(|from| Some(from) <= bits(&arrow_type(to)))
        }
        (DataType::Float16 | DataType::Float32, T::Float64) => true,
        (
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s),
            T::Decimal { precision, scale },
        ) => s == scale && p <= precision,
        _ => column_type(from).as_ref() == Some(to),
    }
}

/// The stored schema of a contract's table: nullable unless required, each field with its column id where it has one.
pub fn arrow_schema(fields: &[Field]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(arrow_field).collect::<Vec<_>>()))
}

pub fn arrow_field(field: &Field) -> ArrowField {
    let arrow = ArrowField::new(&field.name, arrow_type(&field.native), !field.required);
    match &field.id {
        Some(id) => arrow.with_metadata(HashMap::from([(COLUMN_ID.to_owned(), id.to_string())])),
        None => arrow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_type_maps_back_to_its_column_type() {
        let types = [
            ColumnType::Boolean,
            ColumnType::Int8,
            ColumnType::Int16,
            ColumnType::Int32,
            ColumnType::Int64,
            ColumnType::Float32,
            ColumnType::Float64,
            ColumnType::Decimal { precision: 12, scale: 2 },
            ColumnType::Text,
            ColumnType::Binary,
            ColumnType::Date,
            ColumnType::Timestamp,
            ColumnType::LocalTimestamp,
            ColumnType::List(Box::new(ColumnType::Text)),
            ColumnType::Struct(vec![("a".into(), ColumnType::Int32), ("b".into(), ColumnType::Date)]),
        ];
        for ty in types {
            assert_eq!(column_type(&arrow_type(&ty)), Some(ty.clone()));
            assert_eq!(column_type(&read_type(&ty)), Some(ty));
        }
    }

    #[test]
    fn a_type_that_would_lose_values_has_no_column_type() {
        assert_eq!(column_type(&DataType::Timestamp(TimeUnit::Nanosecond, None)), None);
        assert_eq!(column_type(&DataType::Time64(TimeUnit::Microsecond)), None);
        assert_eq!(column_type(&DataType::UInt64), Some(ColumnType::Decimal { precision: 20, scale: 0 }));
    }
}
