use std::sync::Arc;

use arrow::array::{
    BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int64Array, ListArray,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;
use meshwork_core::types::ColumnType;
use meshwork_testkit::field;

use super::*;

/// The rows that fail a rule, on a column `c`.
fn failing(rule: Rule, native: ColumnType, array: impl Array + 'static) -> Result<Vec<usize>, Untestable> {
    let fields = [Field { native, ..field("c") }];
    let (column, test) = compile(&rule, &fields).expect("row-local")?;
    assert_eq!(column, "c");
    let array: ArrayRef = Arc::new(array);
    Ok(test.failing(&array)?.set_indices().collect())
}

fn number(text: &str) -> Option<Literal> {
    Some(Literal::number(text).expect(text))
}

fn range(min: Option<Literal>, max: Option<Literal>) -> Rule {
    Rule::Range { column: "c".into(), min, max, exclusive_min: false, exclusive_max: false }
}

fn decimals(values: Vec<Option<i128>>, scale: i8) -> Decimal128Array {
    Decimal128Array::from(values).with_precision_and_scale(20, scale).expect("fits")
}

const DECIMAL: ColumnType = ColumnType::Decimal { precision: 20, scale: 4 };

#[test]
fn ranges_on_native_types() {
    let at_least_zero = || range(number("0"), None);
    let zero_to_hundred = || range(number("0"), number("100"));
    let tenths = || range(number("0.1"), number("0.3"));
    // −0.0001 is below 0, and null is not.
    assert_eq!(failing(at_least_zero(), DECIMAL, decimals(vec![Some(-1), Some(0), None], 4)), Ok(vec![0]));
    assert_eq!(
        failing(at_least_zero(), ColumnType::Float64, Float64Array::from(vec![-0.0001, -0.0, 0.0])),
        Ok(vec![0])
    );
    // NaN passes no range, not even one that is open upwards.
    let floats = Float64Array::from(vec![Some(f64::NAN), Some(f64::INFINITY), None, Some(5.0)]);
    assert_eq!(failing(at_least_zero(), ColumnType::Float64, floats), Ok(vec![0]));
    assert_eq!(
        failing(zero_to_hundred(), ColumnType::Float64, Float64Array::from(vec![f64::NAN, f64::INFINITY])),
        Ok(vec![0, 1])
    );
    assert_eq!(failing(zero_to_hundred(), ColumnType::Int8, Int8Array::from(vec![-1, 0, 100, 127])), Ok(vec![0, 3]));
    // Bounds beyond the column's width, and between its steps.
    assert_eq!(
        failing(range(number("-1e30"), number("1e30")), ColumnType::Int64, Int64Array::from(vec![i64::MIN, i64::MAX])),
        Ok(vec![])
    );
    assert_eq!(
        failing(range(number("0.5"), number("1.5")), ColumnType::Int64, Int64Array::from(vec![0, 1, 2])),
        Ok(vec![0, 2])
    );
    assert_eq!(
        failing(tenths(), DECIMAL, decimals(vec![Some(999), Some(1000), Some(3000), Some(3001)], 4)),
        Ok(vec![0, 3])
    );
    assert_eq!(
        failing(range(number("9007199254740993"), None), ColumnType::Int64, Int64Array::from(vec![9007199254740992])),
        Ok(vec![0])
    );
}

#[test]
fn exclusive_bounds() {
    let open = Rule::Range {
        column: "c".into(),
        min: number("0"),
        max: number("1"),
        exclusive_min: true,
        exclusive_max: true,
    };
    assert_eq!(
        failing(open.clone(), DECIMAL, decimals(vec![Some(0), Some(1), Some(9999), Some(10000)], 4)),
        Ok(vec![0, 3])
    );
    assert_eq!(failing(open.clone(), ColumnType::Float64, Float64Array::from(vec![0.0, 0.5, 1.0])), Ok(vec![0, 2]));
    assert_eq!(failing(open, ColumnType::Int64, Int64Array::from(vec![0, 1])), Ok(vec![0, 1]));
}

#[test]
fn ranges_of_dates_and_text() {
    let text = |t: &str| Some(Literal::Text(t.into()));
    // 2024-01-01 is day 19723.
    assert_eq!(
        failing(range(text("2024-01-01"), None), ColumnType::Date, Date32Array::from(vec![19722, 19723])),
        Ok(vec![0])
    );
    let stamps =
        TimestampMicrosecondArray::from(vec![1_704_067_199_999_999, 1_704_067_200_000_000]).with_timezone("UTC");
    assert_eq!(failing(range(text("2024-01-01T00:00:00Z"), None), ColumnType::Timestamp, stamps), Ok(vec![0]));
    assert_eq!(
        failing(range(text("b"), text("d")), ColumnType::Text, StringArray::from(vec!["a", "b", "d", "da"])),
        Ok(vec![0, 3])
    );
    assert!(failing(range(number("1"), None), ColumnType::Text, StringArray::from(vec!["a"])).is_err());
}

#[test]
fn enums() {
    let one_of = |values: Vec<Literal>| Rule::Enum { column: "c".into(), values };
    let words = one_of(vec![Literal::Text("organic".into()), Literal::Text("paid".into())]);
    let texts = StringArray::from(vec![Some("organic"), Some("Paid"), None, Some("")]);
    assert_eq!(failing(words, ColumnType::Text, texts), Ok(vec![1, 3]));
    let numbers = || one_of(vec![Literal::number("1.5").expect("number"), Literal::Integer(2)]);
    assert_eq!(failing(numbers(), DECIMAL, decimals(vec![Some(15000), Some(20000), Some(15001)], 4)), Ok(vec![2]));
    assert_eq!(failing(numbers(), ColumnType::Float64, Float64Array::from(vec![1.5, 2.0, f64::NAN])), Ok(vec![2]));
    assert_eq!(failing(numbers(), ColumnType::Int64, Int64Array::from(vec![1, 2])), Ok(vec![0]));
    let tenth = one_of(vec![Literal::number("0.1").expect("number")]);
    assert_eq!(failing(tenth, ColumnType::Float32, Float32Array::from(vec![0.1, 0.2])), Ok(vec![1]));
    let dates = one_of(vec![Literal::Text("2024-01-01".into())]);
    assert_eq!(failing(dates, ColumnType::Date, Date32Array::from(vec![19723, 0])), Ok(vec![1]));
    let yes = one_of(vec![Literal::Boolean(true)]);
    assert_eq!(failing(yes, ColumnType::Boolean, BooleanArray::from(vec![Some(true), Some(false), None])), Ok(vec![1]));
}

#[test]
fn patterns_and_lengths() {
    let pattern = |p: &str| Rule::Pattern { column: "c".into(), pattern: p.into() };
    let texts = || StringArray::from(vec![Some("ab1"), Some("xyz"), None]);
    assert_eq!(failing(pattern("[0-9]"), ColumnType::Text, texts()), Ok(vec![1]));
    assert_eq!(failing(pattern("^[0-9]"), ColumnType::Text, texts()), Ok(vec![0, 1]));
    assert!(failing(pattern("("), ColumnType::Text, texts()).is_err());
    assert!(failing(pattern("a"), ColumnType::Int64, Int64Array::from(vec![1])).is_err());
    let length = |min, max| Rule::Length { column: "c".into(), min, max };
    // In characters, not bytes.
    let unicode = || StringArray::from(vec![Some("été"), Some("日本"), Some(""), None]);
    assert_eq!(failing(length(Some(1), Some(2)), ColumnType::Text, unicode()), Ok(vec![0, 2]));
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), Some(vec![]), None]);
    let list = ColumnType::List(Box::new(ColumnType::Int32));
    assert_eq!(failing(length(Some(1), None), list, lists), Ok(vec![1]));
}

#[test]
fn multiples() {
    let of = |factor: &str| Rule::MultipleOf { column: "c".into(), factor: number(factor).expect("number") };
    assert_eq!(
        failing(of("5"), ColumnType::Int64, Int64Array::from(vec![Some(-10), Some(3), None, Some(0)])),
        Ok(vec![1])
    );
    // 0.3 is three times 0.1, whatever binary floats say.
    assert_eq!(
        failing(of("0.1"), ColumnType::Float64, Float64Array::from(vec![0.3, 0.7, 0.35, f64::NAN])),
        Ok(vec![2, 3])
    );
    assert_eq!(failing(of("0.01"), ColumnType::Float32, Float32Array::from(vec![19.99, 19.995])), Ok(vec![1]));
    assert_eq!(failing(of("0.25"), DECIMAL, decimals(vec![Some(2500), Some(2600)], 4)), Ok(vec![1]));
    assert_eq!(failing(of("0.00001"), DECIMAL, decimals(vec![Some(2500)], 4)), Ok(vec![]));
}

#[test]
fn nulls() {
    let required = Rule::Required { column: "c".into() };
    assert_eq!(failing(required, ColumnType::Text, StringArray::from(vec![Some(""), None])), Ok(vec![1]));
    let missing = Rule::Metric {
        metric: Metric::MissingValues { column: "c".into(), missing: vec![None, Some(Literal::Text("N/A".into()))] },
        unit: Default::default(),
        must: meshwork_core::quality::Threshold::MustBe(0.0),
    };
    assert_eq!(
        failing(missing, ColumnType::Text, StringArray::from(vec![Some("x"), None, Some("N/A")])),
        Ok(vec![1, 2])
    );
    let invalid = Rule::Metric {
        metric: Metric::InvalidValues { column: "c".into(), valid: vec![Literal::Text("a".into())], pattern: None },
        unit: Default::default(),
        must: meshwork_core::quality::Threshold::MustBe(0.0),
    };
    assert_eq!(failing(invalid, ColumnType::Text, StringArray::from(vec![Some("a"), None, Some("b")])), Ok(vec![2]));
    let unknown = Rule::Required { column: "d".into() };
    assert!(failing(unknown, ColumnType::Text, StringArray::from(vec!["a"])).is_err());
}

#[test]
fn texts_in_dictionaries_and_views_are_judged_as_plain_ones_are() {
    let texts = vec![Some("open"), None, Some("lost"), Some("paid at last, after all"), Some("open"), Some("")];
    let plain: ArrayRef = Arc::new(StringArray::from(texts.clone()));
    let view: ArrayRef = Arc::new(arrow::array::StringViewArray::from(texts.clone()));
    let dictionary: ArrayRef = Arc::new(texts.into_iter().collect::<DictionaryArray<Int32Type>>());
    let text = |value: &str| Literal::Text(value.into());
    let column = || "c".to_owned();
    for rule in [
        Rule::Required { column: column() },
        Rule::Enum { column: column(), values: vec![text("open"), text("")] },
        Rule::Pattern { column: column(), pattern: "^[a-z]+$".into() },
        Rule::Length { column: column(), min: Some(1), max: Some(4) },
        Rule::Format { column: column(), format: "email".into() },
        range(Some(text("m")), None),
        Rule::Metric {
            metric: Metric::MissingValues { column: column(), missing: vec![None, Some(text("lost"))] },
            unit: meshwork_core::quality::Unit::Rows,
            must: meshwork_core::quality::Threshold::MustBe(0.0),
        },
        Rule::Metric {
            metric: Metric::InvalidValues { column: column(), valid: vec![text("open")], pattern: Some("^o".into()) },
            unit: meshwork_core::quality::Unit::Rows,
            must: meshwork_core::quality::Threshold::MustBe(0.0),
        },
    ] {
        let fields = [Field { native: ColumnType::Text, ..field("c") }];
        let (_, test) = compile(&rule, &fields).expect("row-local").expect("testable");
        let expected = test.failing(&plain).expect("testable");
        assert!(expected.count_set_bits() > 0, "{rule:?} fails nowhere");
        assert_eq!(test.failing(&view), Ok(expected.clone()), "{rule:?}");
        assert_eq!(test.failing(&dictionary), Ok(expected), "{rule:?}");
    }
}
