use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meshwork_control::port::data::{
    FilesSpec, InputSpec, OutputSpec, RunEngine, RunEvent, RunLimits, RunObserver, RunSpec, SourceSpec,
};
use meshwork_core::Severity;
use meshwork_core::id::{OutputId, RunId};
use meshwork_core::mesh::Mesh;
use meshwork_core::product::{Files, Input, SourceKind};
use meshwork_core::publication::TableLocation;
use meshwork_core::quality::Outcome;
use meshwork_core::run::{RunReport, RunTask};
use meshwork_engine::write::{Writer, WriterConfig};
use meshwork_testkit::{TestClock, moment};

use super::*;

#[test]
fn every_file_of_the_example_is_compiled_in() {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true if relative.ends_with("/files") || relative == ".meshwork" => {}
                true => walk(&path, root, found),
                false => found.push(relative),
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/acme");
    let mut on_disk = Vec::new();
    walk(&root, &root, &mut on_disk);
    on_disk.sort();
    let mut compiled: Vec<&str> = MANIFESTS.iter().map(|(path, _)| *path).collect();
    compiled.sort_unstable();
    assert_eq!(on_disk, compiled);
}

#[test]
fn the_example_passes_check_without_a_word() {
    let files = MANIFESTS.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let report = meshwork_control::check::check_files(files, None);
    assert_eq!(report.diagnostics, []);
    assert!(report.passed());
    assert_eq!((report.counts.domains, report.counts.products, report.counts.outputs), (5, 6, 7));
}

#[test]
fn data_is_the_same_for_everybody_and_grows_with_the_scale() {
    let sizes = |scale| -> BTreeMap<&str, usize> {
        data(scale).into_iter().map(|(path, text)| (path, text.lines().count())).collect()
    };
    assert_eq!(data(1), data(1));
    let (one, three) = (sizes(1), sizes(3));
    assert!(one["domains/customers/files/customers.csv"] > 1000);
    assert!(three["domains/sales/files/orders.csv"] > 2 * one["domains/sales/files/orders.csv"]);
}

#[test]
fn data_has_the_oddities_of_real_data() {
    let files: BTreeMap<&str, String> = data(1).into_iter().collect();
    let customers = &files["domains/customers/files/customers.csv"];
    for odd in ["Zoë", "李", "\"", "O'Brien", ",,"] {
        assert!(customers.contains(odd), "{odd}");
    }
    assert!(files["domains/sales/files/orders.csv"].contains("\"\""));
    assert_ne!(files[BAD_LEADS], files[CORRECTED_LEADS]);
}

#[test]
fn contracts_of_the_example_survive_export() {
    for (path, text) in MANIFESTS.iter().filter(|(path, _)| path.ends_with(".contract.yaml")) {
        let read = |text: &str| {
            let node = meshwork_core::yaml::parse(path, text).unwrap();
            let (contract, found) = meshwork_core::contract::parse(path, text, &node);
            assert!(found.iter().all(|d| d.severity != Severity::Error), "{path}: {found:#?}\n{text}");
            contract.unwrap()
        };
        let contract = read(text);
        assert_eq!(read(&meshwork_core::contract::to_odcs(&contract)).digest, contract.digest, "{path}");
    }
}

fn mesh() -> Mesh {
    let files = MANIFESTS.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    meshwork_control::check::check_files(files, None).mesh.expect("the example passes check")
}

struct Silent;

impl RunObserver for Silent {
    fn event(&self, _: RunEvent) {}
}

/// Builds and checks a product that reads files, as a run does.
async fn stage(folder: &Path, mesh: &Mesh, domain: &str, product: &str) -> RunReport {
    let domain = mesh.domain(domain).expect("a domain");
    let product = &domain.products[product];
    let inputs = product.inputs.iter().map(|(name, input)| {
        let Input::Source(source) = input else { panic!("{name} is not a source") };
        let at = |files: Files| FilesSpec::Folder { folder: folder.join(&domain.path), path: files.path };
        let spec = match source.kind.clone() {
            SourceKind::Csv { files, options } => SourceSpec::Csv { files: at(files), options },
            SourceKind::Json { files, options } => SourceSpec::Json { files: at(files), options },
            other => panic!("{other:?}"),
        };
        (name.to_string(), InputSpec::Source(spec))
    });
    let storage = folder.join("storage");
    std::fs::create_dir_all(&storage).unwrap();
    let root = format!("file://{}/", storage.display());
    let outputs = product.outputs.iter().map(|(name, output)| {
        let (major, version) = output.newest().expect("a version");
        let id = OutputId::new(format!("output-{name}"));
        OutputSpec {
            location: TableLocation::of(&root, &id, major),
            output: id,
            name: name.clone(),
            major,
            table: version.schema().clone(),
            contract_version: version.contract.version.clone(),
            contract_digest: version.contract.digest.clone(),
            sql: version.sql.text.clone(),
            sql_path: version.sql.path.clone(),
            mode: output.mode,
            key: output.key.clone(),
            merge: output.merge.clone(),
            on_violation: output.on_violation,
            quarantine_limit: output.quarantine_limit,
            base: None,
            served: None,
            resting: None,
            references: BTreeMap::new(),
        }
    });
    let spec = RunSpec {
        run: RunId::new("run"),
        product: format!("{}.{}", domain.name, product.name),
        task: RunTask::Build,
        fencing_token: 1,
        inputs: inputs.collect(),
        pins: BTreeMap::new(),
        incremental: BTreeMap::new(),
        storage: Vec::new(),
        outputs: outputs.collect(),
        full_refresh: false,
        release: None,
        sample: None,
        limits: RunLimits {
            memory_bytes: 1 << 30,
            spill_bytes: 1 << 30,
            time: Duration::from_secs(120),
            rows: None,
            cores: 2,
        },
        now: moment(0),
    };
    let scratch = folder.join("scratch");
    std::fs::create_dir_all(&scratch).unwrap();
    let writer = Writer::new(WriterConfig::new(scratch, Arc::new(TestClock::new())));
    writer.stage(&spec, Arc::new(Silent)).await.unwrap_or_else(|error| panic!("{}: {error:#?}", spec.product))
}

/// The clauses that did not pass, with how many rows failed.
fn failures(report: &RunReport) -> Vec<(String, Option<u64>)> {
    let all = report.outputs.iter().flat_map(|output| &output.clauses);
    all.filter(|clause| clause.outcome != Outcome::Pass).map(|c| (c.clause.clone(), c.failing_rows)).collect()
}

#[tokio::test]
async fn the_data_holds_to_the_contracts() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1).unwrap();
    let mesh = mesh();
    for (domain, product) in
        [("customers", "customers"), ("sales", "orders"), ("finance", "invoices"), ("finance", "ad_spend")]
    {
        let report = stage(folder.path(), &mesh, domain, product).await;
        assert_eq!(failures(&report), [], "{domain}.{product}");
        assert!(report.outputs.iter().all(|output| output.rows > 100), "{domain}.{product}");
    }
}

#[tokio::test]
async fn the_first_leads_are_blocked_and_the_corrected_ones_pass() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1).unwrap();
    let mesh = mesh();
    let blocked = stage(folder.path(), &mesh, "marketing", "leads").await;
    let expected = [
        ("lead_id.required", 1),
        ("source.required", 1),
        ("source.enum", 1),
        ("score.type", 1),
        ("quality[0].no_nulls(lead_id)", 1),
        ("quality[0].no_nulls(source)", 1),
        ("quality[1].unique(lead_id)", 2),
        ("quality[2].range(score)", 2),
    ];
    let expected: Vec<_> = expected.iter().map(|(id, rows)| ((*id).to_owned(), Some(*rows))).collect();
    assert_eq!(failures(&blocked), expected);
    correct_leads(folder.path()).unwrap();
    let passed = stage(folder.path(), &mesh, "marketing", "leads").await;
    assert_eq!(failures(&passed), []);
    assert_eq!(passed.outputs[0].rows, 2_000);
}
