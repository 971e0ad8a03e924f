//! The inputs of one output: opened, and made tables of its session. The one by which the output grows shows what is new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{SessionContext, lit};
use meshwork_control::port::data::{GovernedBody, InputSpec, OutputSpec, RunSpec, Sample};
use meshwork_core::lineage::Inherited;
use meshwork_core::product::{Incremental, Mode};
use meshwork_core::{Error, Result};

use super::fresh::{Fresh, Part, Taking, only_one};
use super::position::Stored;
use super::sample::{self, Cut, First};
use super::{WriterConfig, origin, session};
use crate::read::secured;
use crate::source::{self, Access, Identity, Range, Reading, Source};

/// Inputs of one output, opened.
#[derive(Default)]
pub struct Inputs {
    pub sources: BTreeMap<String, Arc<dyn Source>>,
    /// What the values of each column bear, for lineage. A source's values bear nothing: what they are is for the
    /// contract of the output to say.
    pub bears: BTreeMap<String, Vec<(String, Vec<Inherited>)>>,
    /// For an output that grows: what there is to take up, and by which input.
    pub fresh: Option<(String, Fresh)>,
    /// Files of this machine as they were before they were read, by input.
    pub files: BTreeMap<String, Vec<Identity>>,
    /// Of which of them only part is read.
    pub cut: Cut,
}

/// Where inputs are opened for.
pub struct Opening<'a> {
    pub config: &'a WriterConfig,
    pub spec: &'a RunSpec,
    pub access: &'a Access,
    pub output: &'a OutputSpec,
    pub reading: &'a Reading,
    /// Where the last commit stopped.
    pub before: Option<&'a Stored>,
}

impl Opening<'_> {
    /// Opens the inputs that the SQL names and makes tables of them.
    pub async fn register(&self, context: &SessionContext) -> Result<Inputs> {
        let named = referred_tables(context, &self.output.sql);
        let is_named = |name: &String| named.as_ref().is_none_or(|named| named.contains(name));
        let grows = match self.output.mode {
            Mode::Full | Mode::View | Mode::External => None,
            Mode::Append | Mode::Merge => {
                let ways = self.spec.incremental.iter().filter(|(name, _)| is_named(name));
                Some(only_one(&self.output.name, ways)?)
            }
        };
        let mut inputs = Inputs::default();
        for (name, input) in self.spec.inputs.iter().filter(|(name, _)| is_named(name)) {
            let way = grows.filter(|(growing, _)| growing == name).map(|(_, way)| way);
            let mut provider = self.open(context, name, input, way, &mut inputs).await?;
            match (self.spec.sample, input) {
                (Some(Sample::Share(share)), InputSpec::Source(_)) => {
                    inputs.cut.source(name).note();
                    provider = sample::share(context, name, provider, share, &self.output.table).await?;
                }
                (Some(_), InputSpec::Governed(_)) => inputs.cut.table(name),
                (Some(Sample::Rows(_)) | None, _) => {}
            }
            session::register(context, name, provider, &format!("input `{name}`"))?;
        }
        Ok(inputs)
    }

    async fn open(
        &self,
        context: &SessionContext,
        name: &str,
        input: &InputSpec,
        way: Option<&Incremental>,
        inputs: &mut Inputs,
    ) -> Result<Arc<dyn TableProvider>> {
        let taking = self.taking(name);
        let mut fresh = match (way, input) {
            (Some(Incremental::Files), InputSpec::Source(spec)) => {
                Some(taking.files(spec, self.config.clock.now()).await?)
            }
            (Some(Incremental::Publication), InputSpec::Governed(table))
                if !matches!(table.body, GovernedBody::Stored) =>
            {
                return Err(Error::check("MW0672", format!("input `{name}`: its table has no data files to follow"))
                    .hint("it is a view or an external table: use `incremental: cursor(column)` or `mode: full`"));
            }
            (Some(Incremental::Publication), InputSpec::Governed(table)) => Some(taking.publication(table).await?),
            _ => None,
        };
        let provider: Arc<dyn TableProvider> = match input {
            InputSpec::Source(spec) => {
                let found = match fresh.as_ref().map(|fresh| &fresh.part) {
                    Some(Part::Files(files)) => Some(files.clone()),
                    _ if source::is_local(spec) => source::files(name, spec, self.access).await?,
                    _ => None,
                };
                inputs.files.extend(found.map(|files| (name.to_owned(), files)));
                let only = match fresh.as_ref().map(|fresh| &fresh.part) {
                    Some(Part::Files(files)) => Some(files.iter().map(|file| file.name.clone()).collect()),
                    Some(Part::NoFiles { face }) => Some(BTreeSet::from([face.clone()])),
                    _ => None,
                };
                let fields = &self.output.table.fields;
                let mut opened = source::open_some(name, spec, &only, fields, self.reading, self.access).await?;
                if let Some(Sample::Rows(rows)) = self.spec.sample {
                    opened = First::of(opened, rows, inputs.cut.source(name));
                }
                let columns = opened.schema().fields().iter().map(|f| (f.name().clone(), Vec::new())).collect();
                inputs.bears.insert(name.to_owned(), columns);
                inputs.sources.insert(name.to_owned(), Arc::clone(&opened));
                origin::face(&opened)
            }
            InputSpec::Governed(table) => {
                let columns = table.columns.iter().map(|c| (c.name.clone(), c.bears.clone())).collect();
                inputs.bears.insert(name.to_owned(), columns);
                match fresh.as_ref().map(|fresh| &fresh.part) {
                    Some(Part::Added(adds)) => secured::provider_of(table, adds, &self.config.snapshots).await?,
                    _ => super::governed(table, self.config).await?,
                }
            }
        };
        let mut provider = provider;
        if let Some(Incremental::Cursor(column)) = way {
            // A source that understands it is asked for nothing else; every row is looked at all the same.
            let asked = |range: Range| inputs.sources.get(name)?.within(&range).map(|source| origin::face(&source));
            let since = taking.since(column)?;
            if let Some(narrower) = since.clone().and_then(asked) {
                provider = narrower;
            }
            session::register(context, name, Arc::clone(&provider), &format!("input `{name}`"))?;
            let found = taking.rows(context, column).await?;
            if let Part::Rows(rows) = &found.part {
                let from = since.and_then(|since| since.from);
                let until = Some(found.position.cursor().to_owned());
                if let Some(narrower) = asked(Range { column: column.clone(), from, until, nulls: false }) {
                    provider = narrower;
                }
                let failed = |error| session::execution_error(&error, &format!("input `{name}`"));
                let scan = LogicalPlanBuilder::scan(
                    TableReference::bare(name),
                    datafusion::catalog::default_table_source::provider_as_source(provider),
                    None,
                );
                let plan = scan.and_then(|scan| scan.filter((**rows).clone())).and_then(LogicalPlanBuilder::build);
                provider = Arc::new(ViewTable::new(plan.map_err(failed)?, None));
            }
            fresh = Some(found);
        }
        if let Some(fresh) = fresh {
            inputs.fresh = Some((name.to_owned(), fresh));
        }
        Ok(provider)
    }

    fn taking<'a>(&'a self, input: &'a str) -> Taking<'a> {
        Taking {
            output: &self.output.name,
            input,
            mode: self.output.mode,
            missing: self.output.merge.missing_rows,
            before: self.before,
            stores: &self.config.stores,
            access: self.access,
        }
    }

    /// After reading: what was read is what was looked at.
    pub async fn verify(&self, inputs: &Inputs) -> Result<()> {
        for (name, files) in &inputs.files {
            let Some(InputSpec::Source(spec)) = self.spec.inputs.get(name) else { continue };
            self.taking(name).verify(spec, files).await?;
        }
        Ok(())
    }
}

impl Inputs {
    pub fn nothing_new(&self) -> bool {
        matches!(&self.fresh, Some((_, Fresh { part: Part::Nothing | Part::NoFiles { .. }, .. })))
    }
}

/// The plan of no rows with the same columns.
pub fn of_no_rows(plan: LogicalPlan) -> Result<LogicalPlan> {
    let failed = |error| session::execution_error(&error, "an input of which nothing is new");
    LogicalPlanBuilder::from(plan).filter(lit(false)).and_then(LogicalPlanBuilder::build).map_err(failed)
}

/// The tables that a text names; `None` when it does not parse, which planning will say.
fn referred_tables(context: &SessionContext, sql: &str) -> Option<BTreeSet<String>> {
    let state = crate::read::session::state(context);
    let dialect = state.config().options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect).ok()?;
    let tables = state.resolve_table_references(&statement).ok()?;
    Some(tables.into_iter().map(|table| table.table().to_owned()).collect())
}
