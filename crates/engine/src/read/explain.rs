//! EXPLAIN and EXPLAIN ANALYZE, rendered here: the plan as the reader's own statement shaped it, and nothing below a
//! table — no file, statistic, literal of a policy, or count of what it hides.

use std::fmt::Write;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};

use super::barrier::BarrierExec;
use super::stop::CheckedExec;

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("QUERY PLAN", DataType::Utf8, false)]))
}

pub fn batch(text: &str) -> Result<RecordBatch> {
    let lines: ArrayRef = Arc::new(StringArray::from(text.lines().collect::<Vec<_>>()));
    Ok(RecordBatch::try_new(schema(), vec![lines])?)
}

/// Names the table without obligations that a file belongs to.
type Open<'a> = &'a dyn Fn(&object_store::path::Path) -> Option<String>;

/// One line a node.
pub fn render(plan: &Arc<dyn ExecutionPlan>, analyzed: bool, open: Open<'_>) -> String {
    let mut out = String::new();
    node(plan.as_ref(), 0, analyzed, open, &mut out);
    out
}

fn node(plan: &dyn ExecutionPlan, depth: usize, analyzed: bool, open: Open<'_>, out: &mut String) {
    if plan.is::<CheckedExec>() {
        plan.children().into_iter().for_each(|inner| node(inner.as_ref(), depth, analyzed, open, out));
        return;
    }
    let barrier = plan.is::<BarrierExec>();
    let line = match plan.downcast_ref::<DataSourceExec>() {
        Some(source) => scan(source, plan, open),
        None => one_line(plan),
    };
    let _ = write!(out, "{:indent$}{line}", "", indent = depth * 2);
    if analyzed && let Some(metrics) = plan.metrics() {
        let metrics = metrics.aggregate_by_name();
        let rows = metrics.output_rows().map(|rows| format!("rows={rows}"));
        let time = metrics.iter().find_map(|metric| match metric.value() {
            MetricValue::ElapsedCompute(time) => Some(format!("time={:.3}ms", millis(time.value()))),
            _ => None,
        });
        let shown: Vec<String> = rows.into_iter().chain(time.filter(|_| !barrier)).collect();
        if !shown.is_empty() {
            let _ = write!(out, " ({})", shown.join(", "));
        }
    }
    out.push('\n');
    if !barrier {
        for child in plan.children() {
            node(child.as_ref(), depth + 1, analyzed, open, out);
        }
    }
}

fn millis(nanos: usize) -> f64 {
    nanos as f64 / 1e6
}

fn one_line(plan: &dyn ExecutionPlan) -> String {
    struct Line<'a>(&'a dyn ExecutionPlan);
    impl std::fmt::Display for Line<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.fmt_as(DisplayFormatType::Default, f)
        }
    }
    Line(plan).to_string().replace('\n', " ")
}

fn scan(source: &DataSourceExec, plan: &dyn ExecutionPlan, open: Open<'_>) -> String {
    let schema = plan.schema();
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let table = source
        .data_source()
        .as_ref()
        .downcast_ref::<FileScanConfig>()
        .and_then(|files| files.file_groups.iter().flat_map(|group| group.iter()).next())
        .and_then(|file| open(&file.object_meta.location));
    match table {
        Some(table) => format!("Scan: {table} columns=[{}]", columns.join(", ")),
        None => format!("Values: columns=[{}]", columns.join(", ")),
    }
}
