//! Everything a run's child process is told, from the applied mesh and the state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use meshwork_core::egress::Egress;
use meshwork_core::error::{Error, Result};
use meshwork_core::mesh::{Connection, DatabaseConnection, Domain, Mesh};
use meshwork_core::name::Name;
use meshwork_core::product::{
    Files, Input, Mode, Output, OutputVersion, Product, ProductInput, Scheme, Source, SourceKind,
};
use meshwork_core::publication::{PublishedOutput, TableLocation, ViewInput};
use meshwork_core::quality::Rule;
use meshwork_core::run::{Lease, Run};
use meshwork_core::storage::Storage;

use super::release::ReleaseRequest;
use super::{ProductRead, RunService};
use crate::port::data::{
    DatabaseSpec, FilesSpec, GovernedBody, GovernedTable, InputSpec, OutputSpec, RunSpec, ServedAs, SourceSpec,
    StorageSpec,
};
use crate::storage::storage_of;

impl RunService {
    pub(super) async fn spec(
        &self,
        mesh: &Mesh,
        domain: &Domain,
        product: &Product,
        run: &Run,
        lease: &Lease,
        (full_refresh, release): (bool, Option<&ReleaseRequest>),
    ) -> Result<RunSpec> {
        let release = match release {
            Some(request) => Some(self.release_spec(product, request).await?),
            None => None,
        };
        let (mut inputs, mut incremental, mut pins) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let has_view = product.outputs.values().any(|output| output.mode == Mode::View);
        // A release reads none of them.
        for (name, input) in product.inputs.iter().filter(|_| release.is_none()) {
            let way = match input {
                Input::Source(source) => &source.incremental,
                Input::Product(input) => &input.incremental,
            };
            incremental.extend(way.clone().map(|way| (name.to_string(), way)));
            let spec = match input {
                Input::Source(source) => InputSpec::Source(source_spec(&self.settings.folder, mesh, domain, source)?),
                Input::Product(input) => {
                    let read = self.ports.reads.input(&run.id, &domain.name, &product.name, input).await?;
                    if has_view {
                        pins.insert(name.to_string(), pin(input, &read));
                    }
                    InputSpec::Governed(read.table)
                }
            };
            inputs.insert(name.to_string(), spec);
        }
        let mut outputs = Vec::new();
        for output in product.outputs.values() {
            for (major, version) in &output.versions {
                // Of a release, what stores nothing and what was never published has nothing to leave as it is.
                if release.is_some() && matches!(output.mode, Mode::View | Mode::External) {
                    continue;
                }
                let of = (domain, product, run);
                let spec = self.output_spec(mesh, of, output, *major, version, full_refresh).await?;
                // Built anew means checked anew.
                let served = spec.served.filter(|_| !full_refresh);
                if release.is_none() || spec.base.is_some() {
                    outputs.push(OutputSpec { served, ..spec });
                }
            }
        }
        Ok(RunSpec {
            storage: storage_for(mesh, &inputs, &outputs),
            run: run.id.clone(),
            product: run.name.clone(),
            task: run.task,
            fencing_token: lease.fencing_token,
            inputs,
            pins,
            incremental,
            outputs,
            full_refresh,
            release,
            // What lies in a hidden folder was sampled when it was put there.
            sample: self.settings.sample.filter(|_| !domain.path.starts_with('.')),
            limits: self.limits_of(mesh, product),
            now: run.started_at,
        })
    }

    async fn output_spec(
        &self,
        mesh: &Mesh,
        (domain, product, run): (&Domain, &Product, &Run),
        output: &Output,
        major: u32,
        version: &OutputVersion,
        full_refresh: bool,
    ) -> Result<OutputSpec> {
        let location = self.location(mesh, domain, output, major)?;
        let id = output_id(output)?;
        let current = self.ports.publications.resolve(id, major, None).await?;
        let before = current
            .and_then(|publication| publication.outputs.into_iter().find(|o| o.output == *id && o.major == major));
        let moved = before.as_ref().filter(|before| has_moved(&before.location, &location));
        if let Some(before) = moved
            && output.mode.grows()
            && !full_refresh
        {
            return Err(elsewhere(output, &before.location, &location));
        }
        let same =
            |before: &PublishedOutput| !before.body.is_stored() && before.contract_digest == version.contract.digest;
        let unmoved = moved.is_none();
        let base = before.as_ref().filter(|_| moved.is_none()).map(|before| before.delta_version);
        if base.is_none() {
            self.ports.readers.open(&location.url());
        }
        let resting = before.as_ref().map(|output| ServedAs {
            contract_version: output.contract_version.clone(),
            contract_digest: output.contract_digest.clone(),
            lineage: output.lineage.clone(),
        });
        let table = version.schema().clone();
        Ok(OutputSpec {
            output: id.clone(),
            name: output.name.clone(),
            major,
            location,
            references: self.references(domain, product, run, version).await?,
            table,
            contract_version: version.contract.version.clone(),
            contract_digest: version.contract.digest.clone(),
            sql: version.sql.text.clone(),
            sql_path: version.sql.path.clone(),
            mode: output.mode,
            key: output.key.clone(),
            merge: output.merge.clone(),
            on_violation: output.on_violation,
            quarantine_limit: output.quarantine_limit,
            base,
            served: before.filter(same).filter(|_| unmoved),
            resting,
        })
    }

    /// The tables that `references` clauses look into, each as this product may read it.
    async fn references(
        &self,
        domain: &Domain,
        product: &Product,
        run: &Run,
        version: &OutputVersion,
    ) -> Result<BTreeMap<String, GovernedTable>> {
        let mut tables = BTreeMap::new();
        for clause in &version.schema().clauses {
            let Rule::References { to, .. } = &clause.rule else { continue };
            // A reference to a table that this run builds needs no publication.
            if tables.contains_key(to) || is_own(domain, product, to) {
                continue;
            }
            let table = self.ports.reads.reference(&run.id, &domain.name, &product.name, to).await;
            let table = table.map_err(|error| Error {
                message: format!("clause `{}` refers to `{to}`: {}", clause.id, error.message),
                ..error
            })?;
            tables.insert(to.clone(), table);
        }
        Ok(tables)
    }

    pub(super) fn location(&self, mesh: &Mesh, domain: &Domain, output: &Output, major: u32) -> Result<TableLocation> {
        let storage = domain.storage.as_ref().unwrap_or(&mesh.storage);
        Ok(TableLocation::of(&storage_root(&self.settings.folder, storage)?, output_id(output)?, major))
    }
}

/// To or from a bucket, or from one to another. A folder that is found under another name is the same folder.
pub(super) fn has_moved(before: &TableLocation, now: &TableLocation) -> bool {
    before.root != now.root && [before, now].iter().any(|location| !location.root.starts_with("file:"))
}

fn elsewhere(output: &Output, before: &TableLocation, now: &TableLocation) -> Error {
    let message = format!(
        "the table of output `{}` lies in {}, and its domain now stores in {}",
        output.name, before.root, now.root
    );
    Error::conflict("MW0618", message)
        .hint("run it once with `--full-refresh`, which builds the table there from everything that its sources have")
        .hint("if they have no longer all of it, set `storage` back: the table can be read and grows where it is")
}

/// The version that a view reads, with what its product sees of it.
fn pin(input: &ProductInput, read: &ProductRead) -> ViewInput {
    ViewInput {
        domain: input.domain.clone(),
        output: input.output.clone(),
        purpose: input.purpose.clone(),
        publication: read.publication.clone(),
        effect: read.table.effect(),
        table: read.published.clone(),
    }
}

pub(super) fn output_id(output: &Output) -> Result<&meshwork_core::id::OutputId> {
    let missing = || Error::internal("MW0666", format!("output `{}` was applied without an id", output.name));
    output.id.as_ref().ok_or_else(missing)
}

fn is_own(domain: &Domain, product: &Product, to: &str) -> bool {
    to.split_once('.').is_some_and(|(d, output)| domain.name == *d && product.outputs.contains_key(output))
}

/// The roots on S3 that the run's tables lie in, those below views included, and buckets of external tables (D11).
pub(super) fn storage_for(
    mesh: &Mesh,
    inputs: &BTreeMap<String, InputSpec>,
    outputs: &[OutputSpec],
) -> Vec<StorageSpec> {
    let read = inputs.values().filter_map(|input| match input {
        InputSpec::Governed(table) => Some(table),
        InputSpec::Source(_) => None,
    });
    let referred = outputs.iter().flat_map(|output| output.references.values());
    let tables: Vec<&GovernedTable> =
        read.chain(referred).flat_map(|table| std::iter::once(table).chain(table.below())).collect();
    let written = outputs.iter().map(|output| &output.location.root);
    let roots: BTreeSet<&String> = tables.iter().map(|table| &table.location.root).chain(written).collect();
    let mut storage: Vec<StorageSpec> = roots.into_iter().filter_map(|root| storage_of(mesh, root)).collect();
    // Behind the roots, which are looked for by their addresses: a root may be a whole bucket.
    for table in tables {
        if let GovernedBody::External(Some(source)) = &table.body
            && !storage.contains(source)
        {
            storage.push(source.as_ref().clone());
        }
    }
    storage
}

/// A storage root as an absolute URL. Folders may be relative to the mesh's.
pub fn storage_root(folder: &Path, storage: &Storage) -> Result<String> {
    let storage = match storage {
        Storage::S3(store) => return Ok(store.url.clone()),
        Storage::Folder(storage) => storage,
    };
    let path = match storage.split_once("://") {
        Some(("file", path)) => PathBuf::from(path),
        Some((scheme, _)) => {
            return Err(Error::usage("MW0650", format!("storage `{scheme}://` is not supported"))
                .hint("use a local folder, relative to the mesh folder or absolute"));
        }
        None => folder.join(storage),
    };
    let absolute = std::path::absolute(&path)
        .map_err(|error| Error::environment("MW0650", format!("storage folder {}: {error}", path.display())))?;
    Ok(format!("file://{}/", encode(&plain(&absolute))))
}

/// Without `.` and `..`, as text only: the folder need not exist yet.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// Percent-encodes what a URL's path cannot hold.
fn encode(path: &Path) -> String {
    let mut out = String::new();
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn source_spec(mesh_folder: &Path, mesh: &Mesh, domain: &Domain, source: &Source) -> Result<SourceSpec> {
    let files = |files: &Files| files_spec(mesh_folder, mesh, domain, files);
    let egress = mesh.egress.clone();
    Ok(match &source.kind {
        SourceKind::Csv { files: at, options } => SourceSpec::Csv { files: files(at)?, options: options.clone() },
        SourceKind::Json { files: at, options } => SourceSpec::Json { files: files(at)?, options: options.clone() },
        SourceKind::Parquet { files: at } => SourceSpec::Parquet { files: files(at)? },
        SourceKind::Avro { files: at } => SourceSpec::Avro { files: files(at)? },
        SourceKind::Sqlite { files: at, table, query } => {
            SourceSpec::Sqlite { files: files(at)?, table: table.clone(), query: query.clone() }
        }
        SourceKind::Delta { files: at, version } => SourceSpec::Delta { files: files(at)?, version: *version },
        SourceKind::Mysql { connection, table, query } => match connection_of(domain, connection)? {
            Connection::Mysql(database) => SourceSpec::Mysql(database_spec(database, table, query, egress)),
            other => return Err(wrong_kind(domain, connection, other)),
        },
        SourceKind::Postgres { connection, table, query } => match connection_of(domain, connection)? {
            Connection::Postgres(database) => SourceSpec::Postgres(database_spec(database, table, query, egress)),
            other => return Err(wrong_kind(domain, connection, other)),
        },
    })
}

fn database_spec(
    connection: &DatabaseConnection,
    table: &Option<String>,
    query: &Option<String>,
    egress: Egress,
) -> DatabaseSpec {
    DatabaseSpec { connection: connection.clone(), table: table.clone(), query: query.clone(), egress }
}

fn files_spec(mesh_folder: &Path, mesh: &Mesh, domain: &Domain, files: &Files) -> Result<FilesSpec> {
    let (url, egress) = (files.path.clone(), mesh.egress.clone());
    let named = files.connection.as_ref().map(|name| Ok((name, connection_of(domain, name)?))).transpose()?;
    Ok(match (files.scheme(), named) {
        (Scheme::Folder, _) => FilesSpec::Folder { folder: mesh_folder.join(&domain.path), path: url },
        (Scheme::S3, Some((_, Connection::S3(connection)))) => {
            FilesSpec::S3 { url, connection: connection.clone(), egress }
        }
        (Scheme::Http, None) => FilesSpec::Http { url, connection: None, egress },
        (Scheme::Http, Some((_, Connection::Http(connection)))) => {
            FilesSpec::Http { url, connection: Some(connection.clone()), egress }
        }
        (_, Some((name, other))) => return Err(wrong_kind(domain, name, other)),
        (Scheme::S3, None) => {
            return Err(Error::check("MW0666", format!("the source `{url}` names no connection"))
                .hint(format!("declare it in {}/domain.yaml and apply", domain.path)));
        }
    })
}

fn wrong_kind(domain: &Domain, name: &Name, found: &Connection) -> Error {
    let kind = found.kind().as_str();
    Error::check("MW0666", format!("the connection `{name}` of domain `{}` is of type `{kind}`", domain.name))
        .hint(format!("mend it in {}/domain.yaml and apply", domain.path))
}

fn connection_of<'a>(domain: &'a Domain, name: &Name) -> Result<&'a Connection> {
    domain.connections.get(name).ok_or_else(|| {
        Error::check("MW0666", format!("domain `{}` has no connection `{name}`", domain.name))
            .hint(format!("declare it in {}/domain.yaml and apply", domain.path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_an_absolute_folder_url() {
        let root = |storage: &str| storage_root(Path::new("/srv/my mesh"), &storage.into()).unwrap();
        assert_eq!(root("data"), "file:///srv/my%20mesh/data/");
        assert_eq!(root("./a/../b/"), "file:///srv/my%20mesh/b/");
        assert_eq!(root("/var/lake"), "file:///var/lake/");
        assert_eq!(root("file:///var/lake/"), "file:///var/lake/");
        assert_eq!(storage_root(Path::new("/srv"), &"gs://bucket/x".into()).unwrap_err().code, "MW0650");
    }
}
