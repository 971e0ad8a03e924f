//! The last look before execution: every data source of the physical plan is behind a barrier that this statement's
//! policy put there, belongs to a table without obligations, or is no data of ours at all.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use meshwork_core::error::{Error, Result};
use object_store::path::Path;

use super::barrier::BarrierExec;
use super::secured::SecuredTable;

/// What the statement's tables allow.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// Digests of the decisions whose barriers may stand in the plan.
    pub digests: HashSet<String>,
    /// Folders of tables without obligations.
    pub open: Vec<Path>,
    /// The catalog emulation streams its rows.
    pub emulated: bool,
}

impl Allowed {
    /// What a statement over these tables may read.
    pub fn of<'a>(tables: impl IntoIterator<Item = &'a Arc<SecuredTable>>) -> Self {
        let mut allowed = Self::default();
        for table in tables {
            allowed.digests.insert(table.governed().decision_digest.clone());
            allowed.open.extend(table.open_folder().cloned());
        }
        allowed
    }
}

pub fn attest(plan: &Arc<dyn ExecutionPlan>, allowed: &Allowed) -> Result<()> {
    let mut refused: Option<String> = None;
    let walked = plan.apply(|node| {
        let node = node.as_ref();
        if let Some(barrier) = node.downcast_ref::<BarrierExec>() {
            if !allowed.digests.contains(barrier.digest()) {
                refused = Some("a barrier of another decision".to_owned());
                return Ok(TreeNodeRecursion::Stop);
            }
            return Ok(TreeNodeRecursion::Jump);
        }
        if node.children().is_empty() && !harmless(node, allowed) {
            refused = Some(node.name().to_owned());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if walked.is_err() || refused.is_some() {
        tracing::error!(source = refused.as_deref(), "attestation refused a plan");
        return Err(Error::internal("MW0815", "the plan of this statement was refused: it reads past a policy")
            .hint("this is a bug of ours; the server's log has the details"));
    }
    Ok(())
}

fn harmless(leaf: &dyn ExecutionPlan, allowed: &Allowed) -> bool {
    match leaf.name() {
        "EmptyExec" | "PlaceholderRowExec" | "WorkTableExec" | "LazyMemoryExec" | "ScalarSubqueryExec" => true,
        "StreamingTableExec" => allowed.emulated,
        "DataSourceExec" => leaf.downcast_ref::<DataSourceExec>().is_some_and(|source| source_allowed(source, allowed)),
        _ => false,
    }
}

fn source_allowed(source: &DataSourceExec, allowed: &Allowed) -> bool {
    if source.data_source().as_ref().downcast_ref::<MemorySourceConfig>().is_some() {
        return true;
    }
    let Some(files) = source.data_source().as_ref().downcast_ref::<FileScanConfig>() else { return false };
    files.file_groups.iter().flat_map(|group| group.iter()).all(|file| {
        let location = &file.object_meta.location;
        allowed.open.iter().any(|folder| location.prefix_matches(folder))
    })
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::Schema;
    use datafusion::datasource::listing::PartitionedFile;
    use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
    use datafusion::execution::object_store::ObjectStoreUrl;
    use datafusion::physical_plan::limit::GlobalLimitExec;

    use super::super::barrier::Disclosure;
    use super::*;

    fn scan(file: &str) -> Arc<dyn ExecutionPlan> {
        let source = ParquetSource::new(Arc::new(Schema::empty()));
        let mut partitioned = PartitionedFile::new(String::new(), 1);
        partitioned.object_meta.location = Path::parse(file).unwrap();
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file(partitioned)
            .build();
        DataSourceExec::from_data_source(config)
    }

    fn behind(digest: &str, child: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let disclosure = Disclosure { statistics: false, masked: Vec::new() };
        let schema = child.schema();
        Arc::new(BarrierExec::new("a.b".into(), digest.into(), disclosure, schema, child))
    }

    fn passes(plan: Arc<dyn ExecutionPlan>) -> bool {
        let allowed = Allowed {
            digests: HashSet::from(["mine".to_owned()]),
            open: vec![Path::parse("root/open/v1").unwrap()],
            emulated: false,
        };
        let plan: Arc<dyn ExecutionPlan> = Arc::new(GlobalLimitExec::new(plan, 0, Some(1)));
        attest(&plan, &allowed).is_ok()
    }

    #[test]
    fn only_files_of_open_tables_may_be_read_without_a_barrier() {
        assert!(passes(scan("root/open/v1/part.parquet")));
        assert!(!passes(scan("root/open/v10/part.parquet")));
        assert!(!passes(scan("root/secret/v1/part.parquet")));
    }

    #[test]
    fn a_barrier_covers_its_files_if_it_is_of_this_statement() {
        assert!(passes(behind("mine", scan("root/secret/v1/part.parquet"))));
        assert!(!passes(behind("another", scan("root/secret/v1/part.parquet"))));
    }
}
