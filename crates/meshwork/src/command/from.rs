//! `meshwork init --from` and `meshwork new product --from`: a proposal from data that exists.

mod credential;
pub mod database;
pub mod files;
pub mod remote;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;
use meshwork_control::check::check_files;
use meshwork_core::check::{Files, Named};
use meshwork_core::diagnostic::render;
use meshwork_core::egress::Egress;
use meshwork_core::error::{Error, Result, Severity};
use meshwork_core::infer::dbt::Project;
use meshwork_core::infer::{self, Connected, Proposal, TableProfile, Target, dbt};
use meshwork_core::name::{Name, TeamName};
use meshwork_core::scaffold::{self, File};
use meshwork_engine::infer::{Bounds, Examined, contains};
use meshwork_engine::read::check::Checker;
use serde_json::json;

use super::Context;
use crate::output::{Printer, column};
use database::Database;
use remote::Remote;

#[derive(Clone, Debug, Args)]
pub struct Source {
    /// Propose products and contracts from what exists: a file, a folder of files, a Delta table, a database URL
    /// (`postgres://user:password@host/database`, `mysql://…`), files on other machines (`s3://bucket/key`,
    /// `https://host/file`), or a dbt project's target/manifest.json
    #[arg(long, value_name = "SOURCE")]
    pub from: Option<String>,
    /// With a dbt manifest: the database that holds its tables
    #[arg(long, value_name = "URL", requires = "from")]
    pub database: Option<String>,
    /// Read at most so many rows of each table; with fewer than all, what was seen of values only warns
    #[arg(long, value_name = "N", requires = "from", value_parser = clap::value_parser!(u64).range(1..))]
    pub sample: Option<u64>,
}

const AT_MOST: &str = "it takes a file, a folder, `postgres://…`, `mysql://…`, `s3://…`, `https://…`, or a dbt project's target/manifest.json";

/// Where a proposal starts.
enum Start {
    Files(files::Found),
    Remote(Remote),
    Database(Database),
    Dbt { project: Box<Project>, database: Option<Database> },
}

impl Source {
    fn start(&self, from: &str) -> Result<Start> {
        if Remote::is_meant(from) {
            return Ok(Start::Remote(Remote::parse(from)?));
        }
        if from.contains("://") {
            return Ok(Start::Database(Database::parse(from)?));
        }
        let path = Path::new(from);
        if let Some(text) = files::dbt_manifest(path)? {
            let project = Box::new(dbt::read(&text)?);
            if project.adapter != "postgres" {
                let message = format!("the tables of this dbt project lie in {}", project.adapter.escape_debug());
                return Err(Error::usage("MW1104", message).hint("only those in PostgreSQL can be taken over so far"));
            }
            let database = self.database.as_deref().map(Database::parse).transpose()?;
            return Ok(Start::Dbt { project, database });
        }
        Ok(Start::Files(files::Found::at(path)?))
    }

    fn bounds(&self) -> Bounds {
        let default = Bounds::default();
        Bounds { rows: self.sample.unwrap_or(default.rows), ..default }
    }
}

impl Start {
    fn words(&self) -> String {
        match self {
            Self::Files(found) => found.title.clone(),
            Self::Remote(remote) => remote.title(),
            Self::Database(database) => database.title(),
            Self::Dbt { project, .. } => format!("the dbt project {}", project.name),
        }
    }

    /// What the domain is called when nobody says.
    fn domain(&self) -> String {
        match self {
            Self::Files(found) => found.area.clone(),
            Self::Remote(remote) => remote.stem(),
            Self::Database(database) => database.database.clone(),
            Self::Dbt { project, .. } => project.name.clone(),
        }
    }

    fn product(&self) -> String {
        match self {
            Self::Files(found) => found.name.clone(),
            _ => self.domain(),
        }
    }

    /// The connection that domain.yaml gets.
    fn connection(&self, domain: &Name) -> Option<Connected> {
        match self {
            Self::Files(_) => None,
            Self::Remote(remote) => remote.connection(domain),
            Self::Database(database) | Self::Dbt { database: Some(database), .. } => Some(database.connection(domain)),
            Self::Dbt { database: None, .. } => Some(database::unknown(domain)),
        }
    }

    fn keep_secrets(&self, state: &Path, domain: &Name, printer: &Printer) -> Result<()> {
        match self {
            Self::Remote(remote) => remote.keep_secrets(state, domain, printer),
            Self::Database(database) | Self::Dbt { database: Some(database), .. } => {
                database.keep_password(state, domain, printer)
            }
            Self::Files(_) | Self::Dbt { database: None, .. } => Ok(()),
        }
    }
}

/// What is there already.
struct Around {
    folder: PathBuf,
    egress: Egress,
    files: Files,
    taken: HashSet<Name>,
    classifications: Vec<String>,
}

/// `init --from`: a mesh of one domain with one product.
pub async fn init(
    context: &Context,
    source: &Source,
    from: &str,
    folder: &Path,
    mesh: &Name,
    domain: Option<Name>,
    product: Option<Name>,
) -> Result<()> {
    let start = source.start(from)?;
    let none = HashSet::new();
    let domain = domain.unwrap_or_else(|| infer::table_name(&start.domain(), "data", Named::Domain, &none));
    let product = product.unwrap_or_else(|| infer::table_name(&start.product(), "data", Named::Output, &none));
    let mut files: Files = scaffold::mesh(mesh).into_iter().collect();
    // What listens on this machine is reached only where the mesh names it.
    let here = match &start {
        Start::Remote(remote) => remote.here(),
        _ => None,
    };
    if let (Some(here), Some(text)) = (&here, files.get_mut("mesh.yaml")) {
        text.push_str(&format!("# Where sources may connect to: nowhere else.\negress: [\"{here}\"]\n"));
    }
    let around = Around {
        folder: folder.to_owned(),
        files,
        egress: Egress(here.map(|here| vec![here])),
        taken: HashSet::new(),
        classifications: vec!["pii".to_owned(), "special_category".to_owned()],
    };
    propose(context, source, &start, around, domain, product).await
}

/// `new product --from`: one more product in a domain that exists.
pub async fn product(
    context: &Context,
    source: &Source,
    from: &str,
    folder: &Path,
    domain: Name,
    product: Name,
) -> Result<()> {
    let start = source.start(from)?;
    let (files, _) = meshwork_control::checkout::read(folder, meshwork_control::checkout::Limits::DEFAULT);
    let checked = check_files(files, None);
    let Some(mesh) = &checked.mesh else {
        return Err(Error::check("MW1027", "the mesh folder does not check, so nothing is added to it")
            .hint("`meshwork check` shows what is wrong"));
    };
    let of_domain = mesh.domain(&domain).into_iter().flat_map(|d| d.products.values());
    let around = Around {
        folder: folder.to_owned(),
        egress: mesh.egress.clone(),
        taken: of_domain.flat_map(|p| p.outputs.keys().cloned()).collect(),
        classifications: mesh.classifications.iter().map(|c| c.name.to_string()).collect(),
        files: checked.files,
    };
    propose(context, source, &start, around, domain, product).await
}

async fn propose(
    context: &Context,
    source: &Source,
    start: &Start,
    around: Around,
    domain: Name,
    product: Name,
) -> Result<()> {
    let printer = &context.printer;
    let folder = around.folder.join("domains").join(domain.as_str());
    let place = Place { folder: &folder, domain: &domain, product: &product, egress: &around.egress };
    let examined = examine(context, source, start, &place).await?;
    let profiles: Vec<TableProfile> = examined.iter().map(|e| e.profile.clone()).collect();
    let manifest = format!("domains/{domain}/domain.yaml");
    let owner = TeamName::new(format!("{domain}_team")).unwrap_or_else(|_| domain.clone().into());
    let (manifest_text, connected) =
        with_connection(around.files.get(&manifest), &domain, &owner, start.connection(&domain));
    let target =
        Target { domain: domain.clone(), product: product.clone(), owner, connection: connected, from: start.words() };
    let inside = |of: (usize, usize), to: (usize, usize)| contains(&examined, of, to);
    let proposal = infer::propose(&target, &profiles, &around.taken, &around.classifications, &inside);

    // The mesh as it would be must check, or nothing is written.
    let mut all = around.files.clone();
    all.insert(manifest.clone(), manifest_text.clone());
    all.extend(proposal.files.clone());
    let report = check_files(all.clone(), Some(&Checker));
    if let Some(wrong) = report.diagnostics.iter().find(|d| d.severity == Severity::Error) {
        let shown = render(wrong, all.get(&wrong.place.path).map(String::as_str), false);
        return Err(Error::check("MW1105", format!("the proposal does not check:\n{}", shown.trim_end()))
            .with_diagnostics(report.diagnostics.clone())
            .hint("nothing was written"));
    }
    let mut new: Vec<File> = all.into_iter().filter(|(path, text)| around.files.get(path) != Some(text)).collect();
    // A mesh that begins here has its own files as well.
    if !around.folder.join("mesh.yaml").exists() {
        new.extend(around.files.clone());
        new.sort();
        new.dedup();
    }
    let replaced: Vec<File> = new.extract_if(.., |(path, _)| around.folder.join(path.as_str()).exists()).collect();
    if let Some((path, _)) = replaced.iter().find(|(path, _)| *path != manifest) {
        return Err(Error::conflict("MW1023", format!("{path} exists already; nothing was written")));
    }
    if let Start::Files(found) = start {
        found.take_over(&folder, &product).await?;
    }
    super::init::write_new(&around.folder, &new)?;
    for (path, text) in &replaced {
        super::init::write(&around.folder.join(path), text)?;
    }
    start.keep_secrets(&around.folder.join(".meshwork"), &domain, printer)?;
    show(context, start, &target, &proposal);
    Ok(())
}

/// Where the proposal goes.
struct Place<'a> {
    folder: &'a Path,
    domain: &'a Name,
    product: &'a Name,
    egress: &'a Egress,
}

async fn examine(context: &Context, source: &Source, start: &Start, place: &Place<'_>) -> Result<Vec<Examined>> {
    let heard = |table: &str| context.printer.note(&format!("reading {table}"));
    let Place { domain, egress, .. } = *place;
    match start {
        Start::Files(found) => {
            for folder in &found.left {
                context.printer.note(&format!("the folder {folder} holds files of its own: left out"));
            }
            found.examine(place.folder, place.product, source.bounds(), &heard).await
        }
        Start::Remote(remote) => {
            let scratch = tempfile::tempdir()
                .map_err(|error| Error::environment("MW1004", format!("there is no temporary folder: {error}")))?;
            remote.examine(domain, egress, scratch.path(), source.bounds(), &heard).await
        }
        Start::Database(database) => database.examine(domain, &[], egress, source.bounds(), &heard).await,
        Start::Dbt { project, database: Some(database) } => {
            let said: Vec<&TableProfile> = project.models.iter().chain(&project.sources).collect();
            let names: Vec<String> = said.iter().map(|table| table.name.clone()).collect();
            let mut examined = database.examine(domain, &names, egress, source.bounds(), &heard).await?;
            for one in &mut examined {
                if let Some(of) = said.iter().find(|table| table.name == one.profile.name) {
                    Project::describe(of, &mut one.profile);
                }
            }
            for missing in names.iter().filter(|name| !examined.iter().any(|e| e.profile.name == **name)) {
                context.printer.note(&format!("the database has no {missing}: left out (has dbt built it?)"));
            }
            Ok(examined)
        }
        Start::Dbt { project, database: None } => {
            let tables = project.models.iter().chain(&project.sources).filter(|table| !table.columns.is_empty());
            let examined: Vec<Examined> = tables.cloned().map(Examined::unread).collect();
            if examined.is_empty() {
                return Err(Error::not_found("MW1100", "no model of this dbt project names its columns")
                    .hint("describe the columns in the project's YAML files, or let them be read: `--database URL`"));
            }
            Ok(examined)
        }
    }
}

/// `domain.yaml` with the connection in it, and what that is called. One that exists keeps its comments.
fn with_connection(
    existing: Option<&String>,
    domain: &Name,
    owner: &TeamName,
    connection: Option<Connected>,
) -> (String, Option<Name>) {
    let Some(text) = existing else {
        let text = scaffold::domain_with(domain, owner, connection.as_ref());
        return (text, connection.map(|c| c.name));
    };
    let Some(mut connection) = connection else { return (text.clone(), None) };
    let has = |name: &Name| text.lines().any(|line| line.trim_end() == format!("  {name}:"));
    let stem = connection.name.clone();
    let mut next = 2;
    while has(&connection.name) && !text.contains(&connection.yaml()) {
        connection.name = Name::new(format!("{stem}_{next}")).unwrap_or_else(|_| stem.clone());
        next += 1;
    }
    let name = Some(connection.name.clone());
    if text.contains(&connection.yaml()) {
        return (text.clone(), name);
    }
    let lines: Vec<&str> = text.lines().collect();
    let text = match lines.iter().position(|line| line.trim_end() == "connections:") {
        Some(at) => {
            let (before, after) = lines.split_at(at + 1);
            format!("{}\n{}{}\n", before.join("\n"), connection.yaml(), after.join("\n"))
        }
        None => format!("{}\nconnections:\n{}", text.trim_end(), connection.yaml()),
    };
    (text, name)
}

fn show(context: &Context, start: &Start, target: &Target, proposal: &Proposal) {
    let printer = &context.printer;
    let items: Vec<_> = proposal
        .outputs
        .iter()
        .map(|output| {
            json!({
                "table": format!("{}.{}", target.domain, output.name), "rows": output.rows, "all_read": output.complete,
                "columns": output.columns, "key": output.key.join(", "), "references": output.references,
                "personal": output.personal.join(", "),
            })
        })
        .collect();
    let columns = [
        column("table", "table"),
        column("rows", "rows"),
        column("columns", "columns"),
        column("key", "key"),
        column("references", "references"),
        column("likely personal", "personal"),
    ];
    printer.list(&items, &columns);
    let mut notes = proposal.notes.clone();
    if let Start::Dbt { project, .. } = start {
        notes.extend(project.notes.iter().cloned());
    }
    notes.iter().for_each(|note| printer.note(note));
    printer.note(&format!(
        "proposed: {}.{} from {}; each guess stands in its contract with its evidence",
        target.domain, target.product, target.from
    ));
    let table = proposal.outputs.first().map(|o| format!("{}.{}", target.domain, o.name)).unwrap_or_default();
    printer.note(&format!(
        "next: `meshwork apply`, `meshwork run {}.{}`, `meshwork sql -c 'SELECT * FROM {table} LIMIT 10'`",
        target.domain, target.product
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_added_once_and_comments_stay() {
        let name = |text: &str| Name::new(text).unwrap();
        let start = Start::Database(Database::parse("postgres://ana:x@db.example:5433/crm").unwrap());
        let add = |text: &str| {
            let connection = start.connection(&name("sales"));
            with_connection(Some(&text.to_owned()), &name("sales"), &name("sales_team").into(), connection)
        };
        let (once, called) = add("domain: sales   # ours\nowner: sales_team\n");
        assert!(once.starts_with("domain: sales   # ours\n") && once.contains("connections:\n  crm:\n"), "{once}");
        assert_eq!(called, Some(name("crm")));
        assert_eq!(add(&once), (once.clone(), called));
        let (two, called) = add("domain: sales\nconnections:\n  crm:\n    type: postgres\n    host: other\n");
        assert_eq!(called, Some(name("crm_2")));
        assert!(two.contains("    host: other\n"), "{two}");
        assert!(!two.contains("x@"), "{two}");
    }
}
