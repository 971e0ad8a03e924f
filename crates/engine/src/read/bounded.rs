//! Functions whose result can be far larger than their arguments, bounded before they allocate: the memory pool counts what
//! operators hold, not what one expression makes.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Bytes that one call may make of one batch.
const LIMIT: i128 = 256 << 20;

/// The function, bounded where it can grow.
pub fn bounded(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let growth = match function.name() {
        "repeat" => Growth::Repeat,
        "lpad" | "rpad" => Growth::Count { at: 1, each: 4 },
        "array_repeat" | "array_resize" => Growth::Count { at: 1, each: 16 },
        "range" | "generate_series" => Growth::Series,
        _ => return function,
    };
    Arc::new(ScalarUDF::new_from_impl(Bounded { function, growth }))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// Length of the first argument times the second.
    Repeat,
    /// As many as an argument says, of so many bytes.
    Count { at: usize, each: i128 },
    /// From the first to the second argument by the third.
    Series,
}

#[derive(Debug)]
struct Bounded {
    function: Arc<ScalarUDF>,
    growth: Growth,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}
impl Eq for Bounded {}
impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }
    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }
    fn signature(&self) -> &Signature {
        self.function.signature()
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.function.return_type(arguments)
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }
    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(arguments)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if grown(self.growth, &args)? > LIMIT {
            let message = format!("{} would make more than may be held in memory", self.name());
            return Err(DataFusionError::ResourcesExhausted(message));
        }
        self.function.invoke_with_args(args)
    }
}

fn grown(growth: Growth, args: &ScalarFunctionArgs) -> Result<i128> {
    let rows = if args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) { 1 } else { args.number_rows };
    let numbers = |at: usize| -> Result<Vec<i128>> {
        let Some(arg) = args.args.get(at) else { return Ok(Vec::new()) };
        let values = arg.to_array(rows)?;
        let safe = CastOptions { safe: true, ..Default::default() };
        // Dates and other series are bounded by their own calendars.
        let Ok(values) = cast_with_options(&values, &DataType::Int64, &safe) else { return Ok(Vec::new()) };
        Ok(values.as_primitive::<Int64Type>().iter().map(|value| i128::from(value.unwrap_or(0))).collect())
    };
    Ok(match growth {
        Growth::Count { at, each } => numbers(at)?.into_iter().map(|count| count.max(0) * each).sum(),
        Growth::Repeat => {
            let Some(text) = args.args.first() else { return Ok(0) };
            let text = datafusion::arrow::compute::cast(&text.to_array(rows)?, &DataType::Utf8View)?;
            let text = text.as_string_view();
            let length = |at: usize| if text.is_null(at) { 0 } else { text.value(at).len() as i128 };
            numbers(1)?.into_iter().enumerate().map(|(at, count)| count.max(0) * length(at)).sum()
        }
        Growth::Series => {
            let (first, second, third) = (numbers(0)?, numbers(1)?, numbers(2)?);
            let span = |at: usize, start: i128| match (second.get(at), third.get(at)) {
                (Some(end), step) => (end - start).abs() / step.map_or(1, |step| step.abs().max(1)),
                (None, _) => start.abs(),
            };
            first.into_iter().enumerate().map(|(at, start)| span(at, start) * 8).sum()
        }
    })
}
