//! Column lineage out of a logical plan (D19): which input columns' values flow into each output column, which only steer
//! what rows come, and which classifications the output column inherits with the masks its values already bear.
//!
//! Everything that is computed from a value inherits: identity, casts, string and date functions, CASE with its
//! conditions, comparisons, aggregates and windows over it. A count does not, nor does use in filters, joins, grouping of
//! others, or ordering. What this module cannot look into is opaque: it is taken to contain every classification of every input.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType};
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::logical_plan::{Distinct, RecursiveQuery, TableScan};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Expr, LogicalPlan, SortExpr};
use meshwork_core::lineage::{ColumnLineage, ColumnSource, Inherited};

#[cfg(test)]
mod tests;

/// Lineage of every output column of `plan`, in order. `inputs`: for each table that the plan scans, by name, its columns
/// with what their values bear; a column or table that is not listed bears nothing it could pass on by name, and a table
/// that is not listed at all is opaque.
pub fn lineage(plan: &LogicalPlan, inputs: &BTreeMap<String, Vec<(String, Vec<Inherited>)>>) -> Vec<ColumnLineage> {
    let mut tracer = Tracer { inputs, functions: known_functions(), work_tables: Vec::new(), outer: Vec::new() };
    let Traced { columns, steers } = tracer.plan(plan);
    let names = plan.schema().fields().iter().map(|field| field.name());
    names.zip(columns).map(|(name, trace)| tracer.column(name, &trace, &steers)).collect()
}

/// A column of an input, by name.
type Origin = (String, String);

/// Where one column came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Trace {
    flows: BTreeSet<Origin>,
    steers: BTreeSet<Origin>,
    opaque: bool,
}

impl Trace {
    fn opaque() -> Self {
        Self { opaque: true, ..Self::default() }
    }

    fn merge(&mut self, other: &Self) {
        self.flows.extend(other.flows.iter().cloned());
        self.steers.extend(other.steers.iter().cloned());
        self.opaque |= other.opaque;
    }

    /// Everything that it consists of, as far as that is known: what a filter or a count makes of it.
    fn touched(&self) -> impl Iterator<Item = Origin> + '_ {
        self.flows.iter().chain(&self.steers).cloned()
    }
}

/// A relation: its columns in order, and what steers which of its rows there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Traced {
    columns: Vec<Trace>,
    steers: BTreeSet<Origin>,
}

impl Traced {
    fn opaque(columns: usize) -> Self {
        Self { columns: vec![Trace::opaque(); columns], steers: BTreeSet::new() }
    }
}

struct Tracer<'a> {
    inputs: &'a BTreeMap<String, Vec<(String, Vec<Inherited>)>>,
    functions: HashSet<String>,
    /// Of the recursive queries around the current node.
    work_tables: Vec<(String, Vec<Trace>)>,
    /// Relations around the current subquery, innermost last.
    outer: Vec<(DFSchema, Vec<Trace>)>,
}

fn known_functions() -> HashSet<String> {
    let scalar = datafusion::functions::all_default_functions();
    let nested = datafusion::functions_nested::all_default_nested_functions();
    let names = scalar.iter().chain(&nested).map(|f| f.name().to_owned());
    let aggregates = datafusion::functions_aggregate::all_default_aggregate_functions();
    let windows = datafusion::functions_window::all_default_window_functions();
    let aggregates: Vec<String> = aggregates.iter().map(|f| f.name().to_owned()).collect();
    names.chain(aggregates).chain(windows.iter().map(|f| f.name().to_owned())).collect()
}

/// Aggregates that tell how many, not what.
fn is_count(function: &str) -> bool {
    matches!(function, "count" | "approx_distinct" | "regr_count")
}

impl Tracer<'_> {
    fn plan(&mut self, plan: &LogicalPlan) -> Traced {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Projection(node) => {
                let input = self.plan(&node.input);
                self.project(&node.expr, node.input.schema(), input)
            }
            LogicalPlan::Filter(node) => {
                let mut input = self.plan(&node.input);
                self.steer(&mut input, std::iter::once(&node.predicate), node.input.schema());
                input
            }
            LogicalPlan::Sort(node) => {
                let mut input = self.plan(&node.input);
                self.steer(&mut input, node.expr.iter().map(|sort| &sort.expr), node.input.schema());
                input
            }
            LogicalPlan::Window(node) => {
                let input = self.plan(&node.input);
                let computed: Vec<Trace> =
                    node.window_expr.iter().map(|e| self.value(e, node.input.schema(), &input.columns)).collect();
                Traced { columns: input.columns.into_iter().chain(computed).collect(), steers: input.steers }
            }
            LogicalPlan::Aggregate(node) => {
                let input = self.plan(&node.input);
                let Ok(groups) = grouping_set_to_exprlist(&node.group_expr) else {
                    return Traced::opaque(plan.schema().fields().len());
                };
                let schema = node.input.schema();
                let mut columns: Vec<Trace> =
                    groups.into_iter().map(|e| self.value(e, schema, &input.columns)).collect();
                let of_groups = plan.schema().fields().len().saturating_sub(node.aggr_expr.len());
                // Grouping sets add a column that says which of the sets a row belongs to.
                columns.resize(of_groups, Trace::default());
                columns.extend(node.aggr_expr.iter().map(|e| self.value(e, schema, &input.columns)));
                Traced { columns, steers: input.steers }
            }
            LogicalPlan::Join(node) => {
                let (left, right) = (self.plan(&node.left), self.plan(&node.right));
                let mut both = Traced {
                    columns: left.columns.iter().chain(&right.columns).cloned().collect(),
                    steers: left.steers.union(&right.steers).cloned().collect(),
                };
                let Ok(schema) = node.left.schema().join(node.right.schema()) else {
                    return Traced::opaque(plan.schema().fields().len());
                };
                let conditions = node.on.iter().flat_map(|(l, r)| [l, r]).chain(&node.filter);
                self.steer(&mut both, conditions, &schema);
                both.columns = match node.join_type {
                    JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => both.columns,
                    JoinType::LeftSemi | JoinType::LeftAnti => left.columns,
                    JoinType::RightSemi | JoinType::RightAnti => right.columns,
                    JoinType::LeftMark => marked(left.columns, &both.steers),
                    JoinType::RightMark => marked(right.columns, &both.steers),
                };
                both
            }
            LogicalPlan::Union(node) => {
                let mut inputs = node.inputs.iter();
                let mut all = inputs.next().map(|input| self.plan(input)).unwrap_or_default();
                for input in inputs {
                    let other = self.plan(input);
                    unite(&mut all, &other);
                }
                all
            }
            LogicalPlan::Distinct(Distinct::All(input)) => self.plan(input),
            LogicalPlan::Distinct(Distinct::On(node)) => {
                let mut input = self.plan(&node.input);
                let sorts = node.sort_expr.iter().flatten().map(|sort| &sort.expr);
                self.steer(&mut input, node.on_expr.iter().chain(sorts), node.input.schema());
                self.project(&node.select_expr, node.input.schema(), input)
            }
            LogicalPlan::Unnest(node) => {
                let input = self.plan(&node.input);
                let of = |at: &usize| input.columns.get(*at).cloned().unwrap_or_else(Trace::opaque);
                Traced { columns: node.dependency_indices.iter().map(of).collect(), steers: input.steers }
            }
            LogicalPlan::Values(node) => {
                let mut columns = vec![Trace::default(); node.schema.fields().len()];
                for row in &node.values {
                    for (column, value) in columns.iter_mut().zip(row) {
                        column.merge(&self.value(value, &DFSchema::empty(), &[]));
                    }
                }
                Traced { columns, steers: BTreeSet::new() }
            }
            LogicalPlan::EmptyRelation(node) => {
                Traced { columns: vec![Trace::default(); node.schema.fields().len()], steers: BTreeSet::new() }
            }
            LogicalPlan::SubqueryAlias(node) => self.plan(&node.input),
            LogicalPlan::Subquery(node) => self.plan(&node.subquery),
            LogicalPlan::Limit(node) => self.plan(&node.input),
            LogicalPlan::Repartition(node) => self.plan(&node.input),
            LogicalPlan::RecursiveQuery(node) => self.recursive(node),
            other => Traced::opaque(other.schema().fields().len()),
        }
    }

    fn scan(&mut self, scan: &TableScan) -> Traced {
        let table = scan.table_name.table();
        let fields = scan.projected_schema.fields();
        let mut traced = if let Some((_, columns)) = self.work_tables.iter().rev().find(|(name, _)| name == table) {
            let at = |i: usize| scan.projection.as_ref().map_or(Some(i), |projection| projection.get(i).copied());
            let of = |i: usize| at(i).and_then(|i| columns.get(i)).cloned().unwrap_or_else(Trace::opaque);
            Traced { columns: (0..fields.len()).map(of).collect(), steers: BTreeSet::new() }
        } else if self.inputs.contains_key(table) {
            let origin = |name: &String| BTreeSet::from([(table.to_owned(), name.clone())]);
            let trace = |name: &String| Trace { flows: origin(name), ..Trace::default() };
            Traced { columns: fields.iter().map(|f| trace(f.name())).collect(), steers: BTreeSet::new() }
        } else if let Some(view) = scan.source.get_logical_plan() {
            let all = self.plan(&view);
            let projection: Vec<usize> = scan.projection.clone().unwrap_or_else(|| (0..fields.len()).collect());
            let of = |at: &usize| all.columns.get(*at).cloned().unwrap_or_else(Trace::opaque);
            Traced { columns: projection.iter().map(of).collect(), steers: all.steers }
        } else {
            Traced::opaque(fields.len())
        };
        // Filters that were pushed down name columns of the table, whether or not they are projected.
        let columns = scan.filters.iter().flat_map(Expr::column_refs).map(|column| column.name.clone());
        if self.inputs.contains_key(table) {
            traced.steers.extend(columns.map(|column| (table.to_owned(), column)));
        }
        traced
    }

    /// The recursive term reads what it has produced so far: repeated until nothing new flows.
    fn recursive(&mut self, node: &RecursiveQuery) -> Traced {
        let mut all = self.plan(&node.static_term);
        loop {
            self.work_tables.push((node.name.clone(), all.columns.clone()));
            let step = self.plan(&node.recursive_term);
            self.work_tables.pop();
            let before = all.clone();
            unite(&mut all, &step);
            if all == before {
                return all;
            }
        }
    }

    fn project(&mut self, exprs: &[Expr], schema: &DFSchema, input: Traced) -> Traced {
        let columns = exprs.iter().map(|expr| self.value(expr, schema, &input.columns)).collect();
        Traced { columns, steers: input.steers }
    }

    fn steer<'e>(&mut self, input: &mut Traced, exprs: impl Iterator<Item = &'e Expr>, schema: &DFSchema) {
        for expr in exprs {
            let trace = self.value(expr, schema, &input.columns);
            input.steers.extend(trace.touched());
        }
    }

    /// What flows into the value of an expression over a relation.
    fn value(&mut self, expr: &Expr, schema: &DFSchema, columns: &[Trace]) -> Trace {
        let mut trace = Trace::default();
        // The walk keeps the stack in bounds for long chains of operators.
        let walked = expr.apply(|node| {
            Ok(match node {
                Expr::Column(column) => {
                    trace.merge(&lookup(column, schema, columns).unwrap_or_else(Trace::opaque));
                    TreeNodeRecursion::Jump
                }
                Expr::OuterReferenceColumn(_, column) => {
                    let found = self.outer.iter().rev().find_map(|(schema, columns)| lookup(column, schema, columns));
                    trace.merge(&found.unwrap_or_else(Trace::opaque));
                    TreeNodeRecursion::Jump
                }
                Expr::AggregateFunction(call) => {
                    let name = call.func.name();
                    let steering = call.params.filter.iter().map(|f| &**f).chain(sorts(&call.params.order_by));
                    let call = self.call(name, &call.params.args, steering, schema, columns);
                    trace.merge(&call);
                    TreeNodeRecursion::Jump
                }
                Expr::WindowFunction(call) => {
                    let name = match &call.fun {
                        WindowFunctionDefinition::AggregateUDF(f) => f.name(),
                        WindowFunctionDefinition::WindowUDF(f) => f.name(),
                    };
                    let params = &call.params;
                    let steering = params.partition_by.iter().chain(params.filter.iter().map(|f| &**f));
                    let steering = steering.chain(sorts(&params.order_by));
                    let call = self.call(name, &params.args, steering, schema, columns);
                    trace.merge(&call);
                    TreeNodeRecursion::Jump
                }
                Expr::ScalarFunction(call) => {
                    trace.opaque |= !self.functions.contains(call.func.name());
                    TreeNodeRecursion::Continue
                }
                Expr::ScalarSubquery(subquery) => {
                    let first = self.subquery(&subquery.subquery, schema, columns);
                    trace.merge(&first);
                    TreeNodeRecursion::Jump
                }
                Expr::InSubquery(test) => {
                    let first = self.subquery(&test.subquery.subquery, schema, columns);
                    trace.merge(&first);
                    TreeNodeRecursion::Continue
                }
                Expr::SetComparison(test) => {
                    let first = self.subquery(&test.subquery.subquery, schema, columns);
                    trace.merge(&first);
                    TreeNodeRecursion::Continue
                }
                Expr::Exists(test) => {
                    let first = self.subquery(&test.subquery.subquery, schema, columns);
                    trace.steers.extend(first.touched());
                    TreeNodeRecursion::Jump
                }
                #[expect(deprecated, reason = "a wildcard that nobody expanded hides its columns")]
                Expr::Wildcard { .. } => {
                    trace.opaque = true;
                    TreeNodeRecursion::Jump
                }
                _ => TreeNodeRecursion::Continue,
            })
        });
        if walked.is_err() {
            trace.opaque = true;
        }
        trace
    }

    /// An aggregate or window function over its arguments.
    fn call<'e>(
        &mut self,
        name: &str,
        args: &[Expr],
        steering: impl Iterator<Item = &'e Expr>,
        schema: &DFSchema,
        columns: &[Trace],
    ) -> Trace {
        let mut trace = Trace::default();
        for arg in args {
            let value = self.value(arg, schema, columns);
            if is_count(name) {
                trace.steers.extend(value.touched());
            } else {
                trace.merge(&value);
            }
        }
        for expr in steering {
            let value = self.value(expr, schema, columns);
            trace.steers.extend(value.touched());
        }
        trace.opaque |= !self.functions.contains(name);
        trace
    }

    /// The first column of a subquery, with what steers its rows.
    fn subquery(&mut self, plan: &LogicalPlan, schema: &DFSchema, columns: &[Trace]) -> Trace {
        self.outer.push((schema.clone(), columns.to_vec()));
        let traced = self.plan(plan);
        self.outer.pop();
        let mut first = traced.columns.into_iter().next().unwrap_or_default();
        first.steers.extend(traced.steers);
        first
    }

    fn bears(&self, (input, column): &Origin) -> &[Inherited] {
        let columns = self.inputs.get(input).map_or(&[][..], Vec::as_slice);
        columns.iter().find(|(name, _)| name == column).map_or(&[], |(_, bears)| bears)
    }

    fn column(&self, name: &str, trace: &Trace, steers: &BTreeSet<Origin>) -> ColumnLineage {
        let mut inherited: BTreeSet<Inherited> =
            trace.flows.iter().flat_map(|origin| self.bears(origin)).cloned().collect();
        let mut flows = trace.flows.clone();
        if trace.opaque {
            let all = self.inputs.iter().flat_map(|(input, columns)| columns.iter().map(move |(c, _)| (input, c)));
            flows.extend(all.map(|(input, column)| (input.clone(), column.clone())));
            inherited.extend(self.inputs.values().flatten().flat_map(|(_, bears)| bears).cloned());
        }
        let source = |origin: &Origin, flows| ColumnSource {
            input: origin.0.clone(),
            column: origin.1.clone(),
            flows,
            bears: if flows { self.bears(origin).to_vec() } else { Vec::new() },
        };
        let steering: BTreeSet<&Origin> = trace.steers.iter().chain(steers).filter(|o| !flows.contains(o)).collect();
        let from = flows.iter().map(|o| source(o, true)).chain(steering.into_iter().map(|o| source(o, false)));
        ColumnLineage { column: name.to_owned(), from: from.collect(), inherited: inherited.into_iter().collect() }
    }
}

fn lookup(column: &Column, schema: &DFSchema, columns: &[Trace]) -> Option<Trace> {
    columns.get(schema.maybe_index_of_column(column)?).cloned()
}

fn sorts(sorts: &[SortExpr]) -> impl Iterator<Item = &Expr> {
    sorts.iter().map(|sort| &sort.expr)
}

fn marked(mut columns: Vec<Trace>, steers: &BTreeSet<Origin>) -> Vec<Trace> {
    columns.push(Trace { steers: steers.clone(), ..Trace::default() });
    columns
}

/// Column by column; a relation that turns out wider makes the rest opaque.
fn unite(all: &mut Traced, other: &Traced) {
    all.columns.resize(all.columns.len().max(other.columns.len()), Trace::opaque());
    for (column, more) in all.columns.iter_mut().zip(&other.columns) {
        column.merge(more);
    }
    all.steers.extend(other.steers.iter().cloned());
}
