//! What each written column looks like: nulls, extremes, distinct values (estimated), mean. One pass, constant memory.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Int64Array, TimestampMicrosecondArray};
use arrow::compute::kernels::aggregate::{max, max_string, min, min_string};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::hash_utils::{HLL_RANDOM_STATE, create_hashes};
use meshwork_core::run::ColumnProfile;

use super::convert::texts;

/// 2^12 registers: an error of about 1.6 %.
const BITS: u32 = 12;

pub struct Profile {
    rows: u64,
    nulls: u64,
    extent: Extent,
    sum: f64,
    registers: Vec<u8>,
    hashes: Vec<u64>,
}

enum Extent {
    Unknown,
    Integer { min: i128, max: i128 },
    Float { min: f64, max: f64 },
    Text { min: String, max: String },
}

impl Default for Profile {
    fn default() -> Self {
        Self { rows: 0, nulls: 0, extent: Extent::Unknown, sum: 0.0, registers: vec![0; 1 << BITS], hashes: Vec::new() }
    }
}

impl Profile {
    pub fn add(&mut self, array: &ArrayRef) {
        self.rows += array.len() as u64;
        self.nulls += array.null_count() as u64;
        self.add_extent(array);
        self.add_hashes(array);
    }

    fn add_hashes(&mut self, array: &ArrayRef) {
        self.hashes.clear();
        self.hashes.resize(array.len(), 0);
        if create_hashes([array], &HLL_RANDOM_STATE, &mut self.hashes).is_err() {
            return;
        }
        for (row, hash) in self.hashes.iter().enumerate() {
            if array.is_valid(row) {
                let register = (hash >> (64 - BITS)) as usize;
                let rank = (hash << BITS).leading_zeros().min(64 - BITS) as u8 + 1;
                self.registers[register] = self.registers[register].max(rank);
            }
        }
    }

    fn add_extent(&mut self, array: &ArrayRef) {
        macro_rules! integers {
            ($ty:ty, $scale:expr) => {{
                let values = array.as_primitive::<$ty>();
                if let (Some(low), Some(high)) = (min(values), max(values)) {
                    self.widen(i128::from(low), i128::from(high));
                }
                self.sum += values.iter().flatten().map(|v| v as f64).sum::<f64>() / $scale;
            }};
        }
        match array.data_type() {
            DataType::Int8 => integers!(Int8Type, 1.0),
            DataType::Int16 => integers!(Int16Type, 1.0),
            DataType::Int32 => integers!(Int32Type, 1.0),
            DataType::Int64 => integers!(Int64Type, 1.0),
            DataType::Decimal128(_, scale) => integers!(Decimal128Type, 10f64.powi(i32::from(*scale))),
            DataType::Date32 => {
                let values = array.as_primitive::<Date32Type>();
                if let (Some(low), Some(high)) = (min(values), max(values)) {
                    self.widen(low.into(), high.into());
                }
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let values = array.as_primitive::<TimestampMicrosecondType>();
                if let (Some(low), Some(high)) = (min(values), max(values)) {
                    self.widen(low.into(), high.into());
                }
            }
            DataType::Float32 => self.add_floats(array.as_primitive::<Float32Type>().iter().flatten().map(f64::from)),
            DataType::Float64 => self.add_floats(array.as_primitive::<Float64Type>().iter().flatten()),
            DataType::Utf8 => {
                let values = array.as_string::<i32>();
                if let (Some(low), Some(high)) = (min_string(values), max_string(values)) {
                    match &mut self.extent {
                        Extent::Text { min, max } => {
                            if low < min.as_str() {
                                low.clone_into(min);
                            }
                            if high > max.as_str() {
                                high.clone_into(max);
                            }
                        }
                        other => *other = Extent::Text { min: low.to_owned(), max: high.to_owned() },
                    }
                }
            }
            _ => {}
        }
    }

    fn add_floats(&mut self, values: impl Iterator<Item = f64>) {
        // NaN has no place between a least and a greatest.
        for value in values.filter(|v| !v.is_nan()) {
            self.sum += value;
            match &mut self.extent {
                Extent::Float { min, max } => {
                    *min = min.min(value);
                    *max = max.max(value);
                }
                other => *other = Extent::Float { min: value, max: value },
            }
        }
    }

    fn widen(&mut self, low: i128, high: i128) {
        match &mut self.extent {
            Extent::Integer { min, max } => {
                *min = low.min(*min);
                *max = high.max(*max);
            }
            other => *other = Extent::Integer { min: low, max: high },
        }
    }

    fn distinct(&self) -> u64 {
        let m = f64::from(1u32 << BITS);
        let sum: f64 = self.registers.iter().map(|r| 2f64.powi(-i32::from(*r))).sum();
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        let empty = self.registers.iter().filter(|r| **r == 0).count();
        let estimate = if raw <= 2.5 * m && empty > 0 { m * (m / empty as f64).ln() } else { raw };
        (estimate.round() as u64).min(self.rows - self.nulls)
    }

    pub fn finish(self, column: &str, ty: &DataType) -> ColumnProfile {
        let values = self.rows - self.nulls;
        let numeric = ty.is_numeric();
        let (low, high) = match &self.extent {
            Extent::Unknown => (None, None),
            Extent::Integer { min, max } => (shown(*min, ty), shown(*max, ty)),
            Extent::Float { min, max } => (Some(min.to_string()), Some(max.to_string())),
            Extent::Text { min, max } => (Some(cut(min)), Some(cut(max))),
        };
        ColumnProfile {
            column: column.to_owned(),
            nulls: self.nulls,
            distinct_estimate: Some(self.distinct()),
            min: low,
            max: high,
            mean: (numeric && values > 0).then(|| self.sum / values as f64),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

/// An integer as a value of its column's type.
fn shown(value: i128, ty: &DataType) -> Option<String> {
    let array: ArrayRef = match ty {
        DataType::Decimal128(precision, scale) => {
            Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(*precision, *scale).ok()?)
        }
        DataType::Date32 => Arc::new(Date32Array::from(vec![i32::try_from(value).ok()?])),
        DataType::Timestamp(..) => {
            let micros = TimestampMicrosecondArray::from(vec![i64::try_from(value).ok()?]);
            Arc::new(micros.with_data_type(ty.clone()))
        }
        _ => Arc::new(Int64Array::from(vec![i64::try_from(value).ok()?])),
    };
    texts(&array, &[0]).pop().flatten()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, StringArray};

    use super::*;

    fn profile(array: ArrayRef) -> ColumnProfile {
        let mut profile = Profile::default();
        profile.add(&array);
        profile.finish("c", array.data_type())
    }

    #[test]
    fn extremes_and_mean() {
        let found = profile(Arc::new(Int64Array::from(vec![Some(3), None, Some(-1), Some(3)])));
        assert_eq!((found.nulls, found.min.as_deref(), found.max.as_deref()), (1, Some("-1"), Some("3")));
        assert_eq!((found.distinct_estimate, found.mean.map(|m| (m * 3.0).round())), (Some(2), Some(5.0)));
        let found = profile(Arc::new(Float64Array::from(vec![f64::NAN, 1.5])));
        assert_eq!((found.min.as_deref(), found.max.as_deref()), (Some("1.5"), Some("1.5")));
        let decimals = Decimal128Array::from(vec![150, -25]).with_precision_and_scale(10, 2).expect("fits");
        let found = profile(Arc::new(decimals));
        assert_eq!(
            (found.min.as_deref(), found.max.as_deref(), found.mean),
            (Some("-0.25"), Some("1.50"), Some(0.625))
        );
        let found = profile(Arc::new(Date32Array::from(vec![0, 366])));
        assert_eq!(
            (found.min.as_deref(), found.max.as_deref(), found.mean),
            (Some("1970-01-01"), Some("1971-01-02"), None)
        );
    }

    #[test]
    fn distinct_is_close() {
        let values: Vec<String> = (0..50_000).map(|n| format!("v{}", n % 20_000)).collect();
        let found = profile(Arc::new(StringArray::from(values))).distinct_estimate.expect("estimated");
        assert!((19_000..21_000).contains(&found), "{found}");
    }
}
