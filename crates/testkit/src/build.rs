use std::collections::BTreeMap;

use meshwork_core::agreement::Agreement;
use meshwork_core::contract::{Contract, Dialect, Field, Table};
use meshwork_core::egress::Egress;
use meshwork_core::filter::RowFilter;
use meshwork_core::id::{AgreementId, OutputId, ProductId, PublicationId, RunId};
use meshwork_core::mesh::{Domain, Mesh};
use meshwork_core::name::{Name, TeamName};
use meshwork_core::principal::{Grantee, Principal};
use meshwork_core::product::{
    Archetype, CsvOptions, Files, Input, Merge, Mode, OnViolation, Output, OutputVersion, Product, Source, SourceKind,
    SqlFile, Status,
};
use meshwork_core::publication::{Body, Publication, PublishedOutput, TableLocation};
use meshwork_core::run::{OutputReport, Run, RunReport, RunState, RunTask};
use meshwork_core::types::{ColumnType, LogicalType};

use crate::clock::moment;

pub fn name(text: &str) -> Name {
    Name::new(text).expect("a test's name is valid")
}

pub fn team(text: &str) -> TeamName {
    TeamName::new(text).expect("a test's team is valid")
}

/// `acme` with these domains.
pub fn mesh(domains: impl IntoIterator<Item = Domain>) -> Mesh {
    Mesh {
        id: None,
        name: name("acme"),
        description: None,
        storage: "storage".into(),
        storage_place: None,
        former_storage: Vec::new(),
        egress: Egress::default(),
        retention: None,
        limits: Default::default(),
        classifications: Vec::new(),
        policies: Vec::new(),
        domains: domains.into_iter().map(|domain| (domain.name.clone(), domain)).collect(),
    }
}

/// A domain `d` owned by the team `d_team`, in which nobody is yet.
pub fn domain(called: &str, products: impl IntoIterator<Item = Product>) -> Domain {
    Domain {
        id: None,
        name: name(called),
        renamed_from: None,
        description: None,
        owner: team(&format!("{called}_team")),
        members: Vec::new(),
        storage: None,
        storage_place: None,
        retention: None,
        connections: BTreeMap::new(),
        products: products.into_iter().map(|product| (product.name.clone(), product)).collect(),
        path: format!("domains/{called}"),
        place: None,
    }
}

/// An active product 1.0.0 with one CSV input `raw`.
pub fn product(called: &str, outputs: impl IntoIterator<Item = Output>) -> Product {
    let kind = SourceKind::Csv { files: Files::at("files/*.csv"), options: CsvOptions::default() };
    Product {
        id: None,
        name: name(called),
        renamed_from: None,
        version: semver::Version::new(1, 0, 0),
        status: Status::Active,
        archetype: Archetype::SourceAligned,
        description: None,
        retention: None,
        limits: Default::default(),
        inputs: BTreeMap::from([(name("raw"), Input::Source(Source { kind, incremental: None, place: None }))]),
        outputs: outputs.into_iter().map(|output| (output.name.clone(), output)).collect(),
        path: format!("domains/d/{called}"),
        place: None,
    }
}

/// One major of a contract as an output.
pub fn output(called: &str, contract: Contract) -> Output {
    let major = u32::try_from(contract.version.major).expect("a test's major is small");
    let table = contract.tables[0].name.clone();
    let sql = SqlFile { path: format!("{called}.sql"), text: "SELECT * FROM raw".to_owned() };
    Output {
        id: None,
        name: name(called),
        renamed_from: None,
        versions: BTreeMap::from([(major, OutputVersion { contract, table, sql, sunset: None })]),
        mode: Mode::Full,
        key: Vec::new(),
        merge: Merge::default(),
        on_violation: OnViolation::Block,
        quarantine_limit: Default::default(),
        row_filters: Vec::new(),
        place: None,
    }
}

/// A contract of one table with these fields. The digest follows from version and fields.
pub fn contract(called: &str, version: &str, fields: impl IntoIterator<Item = Field>) -> Contract {
    let fields: Vec<Field> = fields.into_iter().collect();
    let shape: Vec<_> = fields.iter().map(|f| format!("{} {:?} {}", f.name, f.native, f.required)).collect();
    Contract {
        id: None,
        name: called.to_owned(),
        version: version.parse().expect("a test's version is valid"),
        dialect: Dialect::Short,
        owner: None,
        description: None,
        tables: vec![table(called, fields)],
        sla: Vec::new(),
        digest: format!("{version}: {}", shape.join(", ")),
        path: format!("{called}.contract.yaml"),
        text: String::new(),
    }
}

pub fn table(called: &str, fields: Vec<Field>) -> Table {
    Table { name: called.to_owned(), physical_name: None, description: None, fields, clauses: Vec::new() }
}

/// An optional text field.
pub fn field(called: &str) -> Field {
    Field {
        id: None,
        name: called.to_owned(),
        physical_name: None,
        renamed_from: None,
        logical_type: LogicalType::String,
        physical_type: None,
        native: ColumnType::Text,
        required: false,
        unique: false,
        primary_key: None,
        classifications: Vec::new(),
        description: None,
        tags: Vec::new(),
        examples: Vec::new(),
        default_timezone: None,
        format: None,
        place: None,
    }
}

pub fn run(id: &str, product: &str) -> Run {
    Run {
        id: RunId::new(id),
        product: ProductId::new(product),
        name: format!("d.{product}"),
        task: RunTask::Build,
        state: RunState::Running,
        actor: Principal::User("ana".to_owned()),
        started_at: moment(0),
        finished_at: None,
        publication: None,
        error: None,
    }
}

/// One output, staged and without clauses.
pub fn report(output: &str) -> RunReport {
    let output = OutputReport {
        output: OutputId::new(output),
        name: output.to_owned(),
        major: 1,
        contract_version: semver::Version::new(1, 0, 0),
        contract_digest: "digest".to_owned(),
        location: TableLocation::of("file:///storage/", &OutputId::new(output), 1),
        rows: 3,
        bytes: 100,
        changes: None,
        rebuilt: false,
        quarantine: None,
        release: None,
        clauses: Vec::new(),
        profile: Vec::new(),
        lineage: Vec::new(),
        body: Body::Stored,
        staged: Some(serde_json::json!([{ "add": { "path": "part-0.parquet" } }])),
    };
    RunReport { outputs: vec![output], rows_read: 3, bytes_read: 100, ..RunReport::default() }
}

/// What `run` publishes at a moment: one output of the same name as the product, major 1.
pub fn publication(id: &str, run: &Run, seconds: i64, delta_version: u64) -> Publication {
    let output = OutputId::new(run.product.as_str());
    Publication {
        id: PublicationId::new(id),
        product: run.product.clone(),
        run: run.id.clone(),
        at: moment(seconds),
        outputs: vec![PublishedOutput {
            location: TableLocation::of("file:///storage/", &output, 1),
            output,
            major: 1,
            contract_version: semver::Version::new(1, 0, 0),
            contract_digest: "digest".to_owned(),
            delta_version,
            rows: 3,
            bytes: 100,
            lineage: Vec::new(),
            body: Body::Stored,
        }],
    }
}

/// A live agreement on an output's first major, for `reporting`.
pub fn agreement(id: &str, grantee: Grantee, output: &str) -> Agreement {
    Agreement {
        id: AgreementId::new(id),
        grantee,
        output: OutputId::new(output),
        table: format!("d.{output}"),
        major: 1,
        purpose: "reporting".to_owned(),
        columns: None,
        clear: Vec::new(),
        rows: RowFilter::default(),
        granted_by: Principal::User("ana".to_owned()),
        granted_at: moment(0),
        expires_at: None,
        revoked_at: None,
        reason: None,
    }
}
