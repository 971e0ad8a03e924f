//! Predicates at the barrier: the policy's row filter, and the reader's predicates that may be evaluated with it.

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{Column, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, cast, in_list, lit};
use meshwork_core::filter::{Comparison, Predicate};
use meshwork_core::types::Literal;

/// The policy's predicate over the stored columns of `schema`. Any doubt about it is an error: no filter, no rows.
pub fn policy(predicate: &Predicate, column: &str, schema: &SchemaRef) -> Result<Expr> {
    let field = schema.field_with_name(column)?;
    let operand = || Expr::Column(Column::new_unqualified(column));
    let exact = |values: usize| {
        if predicate.values.len() == values {
            Ok(())
        } else {
            plan_err!("the row filter on `{}` has {} values", predicate.column, predicate.values.len())
        }
    };
    let compare = |op: Operator| {
        exact(1)?;
        let (left, right) = operands(operand(), &predicate.values[0], field.data_type())?;
        Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
    };
    match predicate.op {
        Comparison::Eq => compare(Operator::Eq),
        Comparison::NotEq => compare(Operator::NotEq),
        Comparison::Lt => compare(Operator::Lt),
        Comparison::LtEq => compare(Operator::LtEq),
        Comparison::Gt => compare(Operator::Gt),
        Comparison::GtEq => compare(Operator::GtEq),
        Comparison::In | Comparison::NotIn => {
            let negated = predicate.op == Comparison::NotIn;
            let values = predicate
                .values
                .iter()
                .map(|value| Ok(lit(scalar(value, field.data_type())?)))
                .collect::<Result<Vec<_>>>()?;
            if values.is_empty() { Ok(lit(negated)) } else { Ok(in_list(operand(), values, negated)) }
        }
        Comparison::IsNull => exact(0).map(|()| operand().is_null()),
        Comparison::IsNotNull => exact(0).map(|()| operand().is_not_null()),
    }
}

/// Digits after the point that a literal needs.
fn fraction(number: &str) -> usize {
    number
        .split(['e', 'E'])
        .next()
        .and_then(|text| text.split_once('.'))
        .map_or(0, |(_, digits)| digits.trim_end_matches('0').len())
}

/// Digits after the point that an exact numeric column holds.
fn scale(ty: &DataType) -> Option<usize> {
    match ty {
        DataType::Decimal128(_, scale) => usize::try_from(*scale).ok(),
        ty if ty.is_integer() => Some(0),
        _ => None,
    }
}

fn operands(column: Expr, value: &Literal, ty: &DataType) -> Result<(Expr, Expr)> {
    let needed = fraction(&value.to_string());
    match (value, scale(ty)) {
        // 1.5 against an integer, 0.105 against cents: compared as finer decimals, never by rounding the literal.
        (Literal::Number(number), Some(scale)) if needed > scale => {
            let Ok(finer @ 0..=18) = i8::try_from(needed) else {
                return plan_err!("the row filter's literal has too many digits");
            };
            let decimal = DataType::Decimal128(38, finer);
            let literal = ScalarValue::try_from_string(number.number.clone(), &decimal)?;
            Ok((cast(column, decimal), lit(literal)))
        }
        _ => Ok((column, lit(scalar(value, ty)?))),
    }
}

fn scalar(value: &Literal, ty: &DataType) -> Result<ScalarValue> {
    let fits = match (value, ty) {
        (Literal::Boolean(_), DataType::Boolean) => true,
        (Literal::Integer(_) | Literal::Number(_), ty) => {
            ty.is_numeric() && scale(ty).is_none_or(|scale| fraction(&value.to_string()) <= scale)
        }
        (Literal::Text(_), DataType::Utf8 | DataType::Utf8View | DataType::Date32 | DataType::Timestamp(..)) => true,
        _ => false,
    };
    if !fits {
        return plan_err!("the row filter compares a {ty} column with a literal that is none");
    }
    let scalar = ScalarValue::try_from_string(value.to_string(), ty)?;
    if scalar.is_null() {
        return plan_err!("the row filter's literal is not a {ty}");
    }
    Ok(scalar)
}

/// Whether a reader's predicate can neither fail nor tell anything beyond what its result shows: a column of `open`
/// (name → type), unmasked, compared with literals of exactly its type.
pub fn leak_proof(expr: &Expr, open: &dyn Fn(&str) -> Option<DataType>) -> bool {
    let column = |expr: &Expr| match expr {
        Expr::Column(column) => open(&column.name),
        _ => None,
    };
    let literal = |expr: &Expr, ty: &DataType| match expr {
        Expr::Literal(value, _) => same_kind(&value.data_type(), ty) && !value.is_null(),
        _ => false,
    };
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            matches!(op, Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
                && match (column(left), column(right)) {
                    (Some(ty), None) => literal(right, &ty),
                    (None, Some(ty)) => literal(left, &ty),
                    _ => false,
                }
        }
        Expr::InList(InList { expr, list, .. }) => {
            column(expr).is_some_and(|ty| list.iter().all(|value| literal(value, &ty)))
        }
        Expr::IsNull(expr) | Expr::IsNotNull(expr) => column(expr).is_some(),
        // What is left of a predicate that the optimizer decided by itself: `id IS NOT NULL` on a required column.
        Expr::Literal(ScalarValue::Boolean(_), _) => true,
        _ => false,
    }
}

fn same_kind(literal: &DataType, column: &DataType) -> bool {
    let simple = !matches!(column, DataType::List(_) | DataType::Struct(_));
    simple && literal == column
}

/// Renames the columns of a reader's predicate to those of the stored schema.
pub fn renamed(expr: Expr, stored: &dyn Fn(&str) -> Option<String>) -> Result<Expr> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    expr.transform(|expr| match expr {
        Expr::Column(column) => match stored(&column.name) {
            Some(name) => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name)))),
            None => plan_err!("a pushed predicate on a column that is not stored"),
        },
        other => Ok(Transformed::no(other)),
    })
    .map(|done| done.data)
}

/// `a AND b AND …`, if any.
pub fn all(predicates: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    predicates.into_iter().reduce(datafusion::logical_expr::and)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::logical_expr::col;
    use meshwork_core::types::NumberText;

    use super::*;

    fn built(column: &str, op: Comparison, values: Vec<Literal>) -> Result<String> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("region", DataType::Utf8View, true),
            Field::new("score", DataType::Int64, true),
            Field::new("day", DataType::Date32, true),
        ]));
        policy(&Predicate { column: column.into(), op, values }, column, &schema).map(|expr| expr.to_string())
    }

    #[test]
    fn literals_take_the_type_of_their_column() {
        assert_eq!(
            built("region", Comparison::Eq, vec![Literal::Text("EU".into())]).unwrap(),
            "region = Utf8View(\"EU\")"
        );
        assert_eq!(built("score", Comparison::Gt, vec![Literal::Integer(3)]).unwrap(), "score > Int64(3)");
        assert_eq!(
            built("day", Comparison::LtEq, vec![Literal::Text("2024-02-29".into())]).unwrap(),
            "day <= Date32(\"2024-02-29\")"
        );
        let half = Literal::Number(NumberText { number: "1.5".into() });
        assert!(built("score", Comparison::Lt, vec![half]).unwrap().starts_with("CAST(score AS Decimal128(38, 1))"));
    }

    #[test]
    fn a_filter_in_doubt_is_refused() {
        assert!(built("score", Comparison::Eq, vec![Literal::Text("3".into())]).is_err());
        assert!(built("day", Comparison::Eq, vec![Literal::Text("soon".into())]).is_err());
        assert!(built("region", Comparison::Eq, vec![]).is_err());
        assert!(built("gone", Comparison::IsNull, vec![]).is_err());
    }

    #[test]
    fn an_empty_list_holds_for_nothing() {
        assert_eq!(built("region", Comparison::In, vec![]).unwrap(), "Boolean(false)");
        assert_eq!(built("region", Comparison::NotIn, vec![]).unwrap(), "Boolean(true)");
    }

    #[test]
    fn only_plain_comparisons_of_open_columns_are_leak_proof() {
        let open = |name: &str| (name == "score").then_some(DataType::Int64);
        for safe in [
            col("score").eq(lit(1i64)),
            lit(1i64).lt(col("score")),
            col("score").is_null(),
            col("score").in_list(vec![lit(1i64), lit(2i64)], false),
            lit(true),
        ] {
            assert!(leak_proof(&safe, &open), "{safe}");
        }
        for unsafe_ in [
            col("ssn").eq(lit("x")),
            col("score").eq(lit(1i32)),
            col("score").eq(col("score")),
            cast(col("score"), DataType::Utf8).eq(lit("1")),
            (lit(1i64) / col("score")).eq(lit(1i64)),
            col("score").eq(lit(1i64)).or(col("score").eq(lit(2i64))),
        ] {
            assert!(!leak_proof(&unsafe_, &open), "{unsafe_}");
        }
    }
}
