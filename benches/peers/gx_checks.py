"""The eight checks with Great Expectations on pandas, counts only: no samples, no documents."""

import sys

import great_expectations as gx
import pandas

COLUMNS = ["order_id", "customer_id", "status", "quantity", "price", "sku"]
frame = pandas.read_parquet(sys.argv[1], columns=COLUMNS)
context = gx.get_context(mode="ephemeral")
asset = context.data_sources.add_pandas("files").add_dataframe_asset("orders")
batch = asset.add_batch_definition_whole_dataframe("whole")
of = gx.expectations
suite = context.suites.add(
    gx.ExpectationSuite(
        name="orders",
        expectations=[
            of.ExpectTableRowCountToBeBetween(min_value=1),
            of.ExpectColumnValuesToNotBeNull(column="order_id"),
            of.ExpectColumnValuesToNotBeNull(column="customer_id"),
            of.ExpectColumnValuesToBeUnique(column="order_id"),
            of.ExpectColumnValuesToBeInSet(column="status", value_set=["placed", "paid", "shipped", "delivered", "returned"]),
            of.ExpectColumnValuesToBeBetween(column="quantity", min_value=1, max_value=100),
            of.ExpectColumnValuesToBeBetween(column="price", min_value=0, max_value=10000),
            of.ExpectColumnValuesToMatchRegex(column="sku", regex="^[A-Z]{3}-[0-9]{5}$"),
        ],
    )
)
validation = context.validation_definitions.add(gx.ValidationDefinition(name="orders", data=batch, suite=suite))
result = validation.run(batch_parameters={"dataframe": frame}, result_format="BOOLEAN_ONLY")
assert result.success and len(result.results) == 8, result
