use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::empty::EmptyTable;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::prelude::SessionContext;
use meshwork_core::mask::Mask;
use meshwork_core::name::Name;

use super::*;

/// `people(id, email, born, tags)`, `email` masked pii and `born` clear pii; `orders(id, person, amount)`, `amount` financial.
async fn inherits(sql: &str) -> String {
    let context = SessionContext::new();
    let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    let columns = |columns: &[(&str, DataType)]| {
        let fields: Vec<Field> = columns.iter().map(|(name, ty)| Field::new(*name, ty.clone(), true)).collect();
        Arc::new(EmptyTable::new(Arc::new(Schema::new(fields))))
    };
    use DataType::{Date32, Float64, Int64, Utf8};
    let people = columns(&[("id", Int64), ("email", Utf8), ("born", Date32), ("tags", list)]);
    let orders = columns(&[("id", Int64), ("person", Int64), ("amount", Float64)]);
    context.register_table("people", people).unwrap();
    context.register_table("orders", orders).unwrap();
    let opaque = |args: &[ColumnarValue]| Ok(args[0].clone());
    context.register_udf(create_udf("mystery", vec![Int64], Int64, Volatility::Volatile, Arc::new(opaque)));
    let plan = context.sql(sql).await.unwrap().into_unoptimized_plan();

    let bears = |class: &str, masked_by| vec![Inherited { classification: Name::new(class).unwrap(), masked_by }];
    let none = Vec::new;
    let inputs = BTreeMap::from([
        (
            "people".to_owned(),
            vec![
                ("id".to_owned(), none()),
                ("email".to_owned(), bears("pii", Some(Mask::HmacSha256))),
                ("born".to_owned(), bears("pii", None)),
                ("tags".to_owned(), bears("marketing", None)),
            ],
        ),
        (
            "orders".to_owned(),
            vec![
                ("id".to_owned(), none()),
                ("person".to_owned(), none()),
                ("amount".to_owned(), bears("financial", None)),
            ],
        ),
    ]);
    let shown = lineage(&plan, &inputs).into_iter().map(|column| {
        let masks = column.inherited.iter().map(|i| {
            let state = i.masked_by.map_or("clear".to_owned(), |mask| format!("{mask:?}"));
            format!("{}:{state}", i.classification)
        });
        format!("{}[{}]", column.column, masks.collect::<Vec<_>>().join(" "))
    });
    shown.collect::<Vec<_>>().join(" ")
}

macro_rules! cases {
    ($($name:ident: $sql:expr => $expected:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            assert_eq!(inherits($sql).await, $expected);
        }
    )*};
}

cases! {
    identity_and_alias: "SELECT email AS e, id FROM people" => "e[pii:HmacSha256] id[]";
    functions_and_casts: "SELECT upper(email) || 'x' AS a, cast(born AS varchar) AS b, date_part('year', born) AS c FROM people"
        => "a[pii:HmacSha256] b[pii:clear] c[pii:clear]";
    case_with_its_conditions: "SELECT CASE WHEN born > DATE '2000-01-01' THEN 1 ELSE 0 END AS young FROM people"
        => "young[pii:clear]";
    coalesce_of_two_states: "SELECT coalesce(email, cast(born AS varchar)) AS x FROM people"
        => "x[pii:clear pii:HmacSha256]";
    counts_do_not_inherit: "SELECT count(email) AS n, count(DISTINCT born) AS m, count(*) AS k FROM people" => "n[] m[] k[]";
    other_aggregates_do: "SELECT min(born) AS first, array_agg(email) AS all FROM people"
        => "first[pii:clear] all[pii:HmacSha256]";
    filters_do_not: "SELECT id FROM people WHERE email = 'x' AND born IS NOT NULL ORDER BY born" => "id[]";
    joins_do_not_but_their_columns_do:
        "SELECT p.id, o.amount FROM people p JOIN orders o ON p.id = o.person AND p.born < DATE '2000-01-01'"
        => "id[] amount[financial:clear]";
    group_by: "SELECT email, sum(amount) AS s FROM people JOIN orders ON person = people.id GROUP BY email"
        => "email[pii:HmacSha256] s[financial:clear]";
    grouping_sets: "SELECT email, born, count(*) AS n FROM people GROUP BY ROLLUP (email, born)"
        => "email[pii:HmacSha256] born[pii:clear] n[]";
    unions_meet_by_position: "SELECT email AS x, id FROM people UNION ALL SELECT 'a', id FROM orders"
        => "x[pii:HmacSha256] id[]";
    unions_of_several_classes: "SELECT cast(born AS varchar) AS x FROM people UNION SELECT cast(amount AS varchar) FROM orders"
        => "x[financial:clear pii:clear]";
    windows: "SELECT row_number() OVER (ORDER BY born) AS r, lag(email) OVER (ORDER BY id) AS l, \
              count(email) OVER (PARTITION BY born) AS n FROM people"
        => "r[] l[pii:HmacSha256] n[]";
    ctes_and_subqueries_in_from:
        "WITH a AS (SELECT id, email AS mail FROM people) SELECT * FROM (SELECT mail, id FROM a) AS b"
        => "mail[pii:HmacSha256] id[]";
    scalar_subqueries: "SELECT id, (SELECT max(amount) FROM orders WHERE person = people.id) AS most FROM people"
        => "id[] most[financial:clear]";
    correlated_values_flow: "SELECT (SELECT max(people.email) FROM orders WHERE person = people.id) AS x FROM people"
        => "x[pii:HmacSha256]";
    in_and_exists_in_filters: "SELECT id FROM people WHERE id IN (SELECT person FROM orders WHERE amount > 3) \
              AND EXISTS (SELECT 1 FROM orders WHERE person = people.id)" => "id[]";
    a_comparison_tells_of_its_value: "SELECT email = 'x' AS is_x FROM people" => "is_x[pii:HmacSha256]";
    membership_tells_of_both: "SELECT email IN (SELECT cast(amount AS varchar) FROM orders) AS x FROM people"
        => "x[financial:clear pii:HmacSha256]";
    unnested_lists: "SELECT id, unnest(tags) AS tag FROM people" => "id[] tag[marketing:clear]";
    structs: "SELECT named_struct('a', email)['a'] AS x FROM people" => "x[pii:HmacSha256]";
    recursion: "WITH RECURSIVE t AS (SELECT id, cast(id AS varchar) AS x FROM people UNION ALL \
              SELECT t.id + 1, p.email FROM t JOIN people p ON p.id = t.id WHERE t.id < 3) SELECT x, id FROM t"
        => "x[pii:HmacSha256] id[]";
    distinct_on: "SELECT DISTINCT ON (email) id, born FROM people ORDER BY email, born" => "id[] born[pii:clear]";
    values: "SELECT * FROM (VALUES (1, 'a')) AS v(x, y)" => "x[] y[]";
    opaque_functions: "SELECT mystery(id) AS x, id FROM people"
        => "x[financial:clear marketing:clear pii:clear pii:HmacSha256] id[]";
}

#[tokio::test]
async fn sources_tell_flowing_from_steering() {
    let context = SessionContext::new();
    let schema = Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)]);
    context.register_table("t", Arc::new(EmptyTable::new(Arc::new(schema)))).unwrap();
    let plan = context.sql("SELECT a + 1 AS x FROM t WHERE b > 0").await.unwrap().into_unoptimized_plan();
    let inputs = BTreeMap::from([("t".to_owned(), Vec::new())]);
    let found = lineage(&plan, &inputs);
    let from: Vec<(&str, bool)> = found[0].from.iter().map(|s| (s.column.as_str(), s.flows)).collect();
    assert_eq!(from, [("a", true), ("b", false)]);
}
