//! What products read: other products' outputs and connections that must exist, and inputs that nothing uses.

use std::collections::BTreeMap;

use super::declared::{Declared, Domain, Product};
use super::index::Index;
use super::outputs::Output;
use super::report::Report;
use crate::contract::Table;
use crate::egress::{Destination, Egress};
use crate::manifest::product::{InputManifest, ProductInput, ProductManifest, SourceInput};
use crate::mesh::{Connection, ConnectionKind};
use crate::name::Name;
use crate::product::{Scheme, SourceKind, Status};
use crate::reader::Spanned;

/// What an input turned out to be.
#[derive(Debug)]
pub(super) enum Reads<'d> {
    Source,
    Output {
        domain: &'d str,
        product: &'d str,
        output: &'d Name,
        major: u32,
        /// `None` when its contract could not be read.
        table: Option<&'d Table>,
    },
}

/// By product (its file) and input name. An input whose reference is dangling is absent.
#[derive(Debug, Default)]
pub(super) struct Inputs<'d> {
    found: BTreeMap<&'d str, BTreeMap<&'d str, Reads<'d>>>,
}

impl<'d> Inputs<'d> {
    pub fn of(&self, product: &Product, input: &str) -> Option<&Reads<'d>> {
        self.found.get(product.path.as_str())?.get(input)
    }
}

pub(super) fn resolve<'d>(
    declared: &Declared,
    index: &Index<'d>,
    outputs: &[Output<'d>],
    report: &mut Report,
) -> Inputs<'d> {
    let mut inputs = Inputs::default();
    let by_name: BTreeMap<(&str, &str), &Output<'d>> =
        outputs.iter().map(|output| ((output.domain, output.at.name.value.as_str()), output)).collect();
    let egress = declared.mesh.as_ref().and_then(|mesh| mesh.egress.as_deref());
    for ((domain_name, _), product) in &index.products {
        let own = declared.domains.iter().find(|domain| {
            product.folder.strip_prefix(domain.folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
        });
        let (Some(manifest), Some(domain)) = (&product.manifest, own) else { continue };
        let site = Site { domain_name, domain, product, manifest, default_status: declared.default_status(), egress };
        for (name, input) in &manifest.inputs {
            let reads = match input {
                InputManifest::Source(source) => {
                    site.source(source, report);
                    Some(Reads::Source)
                }
                InputManifest::Product(input) => site.reference(input, index, &by_name, report),
            };
            if let Some(reads) = reads {
                inputs.found.entry(product.path.as_str()).or_default().insert(name.value.as_str(), reads);
            }
        }
        site.same_twice(report);
        site.unused(outputs, report);
    }
    inputs
}

/// The product whose inputs are looked at.
struct Site<'d, 's> {
    domain_name: &'s str,
    domain: &'s Domain,
    product: &'d Product,
    manifest: &'d ProductManifest,
    default_status: Status,
    egress: Option<&'s [Destination]>,
}

/// Host and port of a web address.
fn web_destination(address: &str) -> Option<(String, u16)> {
    let (scheme, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let default = if scheme == "https" { 443 } else { 80 };
    Some(match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host.to_owned(), port.parse().ok()?),
        _ => (authority.to_owned(), default),
    })
}

impl<'d> Site<'d, '_> {
    fn source(&self, source: &SourceInput, report: &mut Report) {
        let (kind, span) = (&source.source.value, source.connection);
        let (name, wanted) = match kind {
            SourceKind::Postgres { connection, .. } => (Some(connection), ConnectionKind::Postgres),
            SourceKind::Mysql { connection, .. } => (Some(connection), ConnectionKind::Mysql),
            _ => match kind.files() {
                Some(files) if files.scheme() == Scheme::S3 => (files.connection.as_ref(), ConnectionKind::S3),
                Some(files) if files.scheme() == Scheme::Http => (files.connection.as_ref(), ConnectionKind::Http),
                _ => (None, ConnectionKind::Http),
            },
        };
        let connection = name.and_then(|name| self.connection(&Spanned { value: name, span }, wanted, report));
        let destination = match (connection, kind.files()) {
            (Some(connection), _) if connection.kind() != ConnectionKind::Http => connection.destination(),
            (_, Some(files)) if files.scheme() == Scheme::Http => web_destination(&files.path),
            _ => None,
        };
        let listed = |(host, port): &(String, u16)| Egress(self.egress.map(<[_]>::to_vec)).host(host, *port);
        if let Some((host, port)) = destination.filter(|destination| !listed(destination)) {
            let message = format!("`{host}:{port}` is not in the mesh's `egress`");
            let hint = "The mesh's owners list in mesh.yaml which hosts sources may connect to.";
            report.error("MW0165", &self.product.path, source.source.span, message).hint(hint);
        }
    }

    fn connection(&self, name: &Spanned<&Name>, wanted: ConnectionKind, report: &mut Report) -> Option<&Connection> {
        let known = || self.domain.manifest.iter().flat_map(|domain| &domain.connections);
        let Some((_, connection)) = known().find(|(connection, _)| connection.value == *name.value) else {
            let message = format!("the domain `{}` has no connection `{}`", self.domain_name, name.value);
            let noted = report.error("MW0141", &self.product.path, name.span, message);
            let noted = noted.meant(name.value, known().map(|(connection, _)| connection.value.as_str()));
            noted.hint(format!("Connections stand in {}.", self.domain.path));
            return None;
        };
        if connection.kind() != wanted {
            let (is, wanted) = (connection.kind().as_str(), wanted.as_str());
            let message = format!("the connection `{}` is of type `{is}`; this source needs `{wanted}`", name.value);
            report.error("MW0164", &self.product.path, name.span, message).hint("Name another connection.");
            return None;
        }
        Some(connection)
    }

    fn reference(
        &self,
        input: &'d ProductInput,
        index: &Index<'d>,
        outputs: &BTreeMap<(&str, &str), &Output<'d>>,
        report: &mut Report,
    ) -> Option<Reads<'d>> {
        let path = &self.product.path;
        let (domain, product) = &input.product.value;
        let span = input.product.span;
        let Some((domain_key, found_domain)) = index.domains.get_key_value(domain.as_str()) else {
            let message = format!("there is no domain `{domain}`");
            report.error("MW0140", path, span, message).meant(domain, index.domains.keys().copied());
            return None;
        };
        let Some(((_, product_key), found)) = index.products.get_key_value(&(domain.as_str(), product.as_str())) else {
            if found_domain.is_complete() {
                let known = index.products.keys().filter(|(d, _)| d == domain_key).map(|(_, product)| *product);
                let message = format!("the domain `{domain}` has no product `{product}`");
                report.error("MW0140", path, span, message).meant(product, known);
            }
            return None;
        };
        let manifest = found.manifest.as_ref()?;
        let (output, at) = match &input.output {
            Some(output) => (&output.value, output.span),
            None => match manifest.outputs.as_slice() {
                [(only, _)] => (&only.value, span),
                several => {
                    let message = format!("`{domain}.{product}` has {} outputs: name one", several.len());
                    let names: Vec<&str> = several.iter().map(|(name, _)| name.value.as_str()).collect();
                    report.error("MW0140", path, span, message).meant("", names);
                    return None;
                }
            },
        };
        let Some((name, _)) = manifest.outputs.iter().find(|(name, _)| name.value == *output) else {
            let known = manifest.outputs.iter().map(|(name, _)| name.value.as_str());
            report
                .error("MW0140", path, at, format!("the product `{domain}.{product}` has no output `{output}`"))
                .meant(output, known);
            return None;
        };
        let version = &input.version;
        let resolved = outputs.get(&(domain.as_str(), output.as_str()));
        let table = resolved.and_then(|o| o.versions.iter().find(|v| v.major == version.value)).map(|v| v.table);
        if table.is_none()
            && let Some(resolved) = resolved.filter(|output| output.complete)
        {
            let majors: Vec<String> = resolved.versions.iter().map(|version| version.major.to_string()).collect();
            let message = format!("`{domain}.{output}` has no major {}", version.value);
            report.error("MW0140", path, version.span, message).hint(format!("It has {}.", majors.join(", ")));
            return None;
        }
        self.lifecycle(domain, manifest, input, report);
        Some(Reads::Output {
            domain: domain_key,
            product: product_key,
            output: &name.value,
            major: version.value,
            table,
        })
    }

    /// Whether the product that it reads is in a state in which it can be read (promise 9).
    fn lifecycle(&self, domain: &Name, other: &ProductManifest, input: &ProductInput, report: &mut Report) {
        let own = *domain == *self.domain_name;
        let ended = self.manifest.status.as_ref().is_some_and(|status| status.value == Status::Retired);
        let name = format!("{domain}.{}", other.product.value);
        let (path, span) = (&self.product.path, input.product.span);
        match other.status.as_ref().map_or(self.default_status, |status| status.value) {
            _ if ended => {}
            Status::Retired => {
                let message = format!("`{name}` is retired: it can no longer be read");
                report.error("MW0143", path, span, message).hint("Read another product, or retire this one.");
            }
            state @ (Status::Proposed | Status::Draft) if !own => {
                let state = if state == Status::Draft { "a draft" } else { "only proposed" };
                report
                    .error("MW0143", path, span, format!("`{name}` is {state}: other domains cannot read it"))
                    .hint(format!("Ask the owners of `{domain}` to make it `status: active`."));
            }
            Status::Deprecated => {
                report
                    .warning("MW0143", path, span, format!("`{name}` is deprecated"))
                    .hint("Plan to read its successor.");
            }
            _ => {}
        }
    }

    fn same_twice(&self, report: &mut Report) {
        let inputs = &self.manifest.inputs;
        for (at, (name, input)) in inputs.iter().enumerate() {
            let same = |other: &InputManifest| match (input, other) {
                (InputManifest::Source(a), InputManifest::Source(b)) => a.source.value == b.source.value,
                (InputManifest::Product(a), InputManifest::Product(b)) => {
                    a.product.value == b.product.value
                        && a.version.value == b.version.value
                        && a.output.as_ref().map(|o| &o.value) == b.output.as_ref().map(|o| &o.value)
                }
                _ => false,
            };
            if let Some((first, _)) = inputs[..at].iter().find(|(_, other)| same(other)) {
                let message = format!("the inputs `{}` and `{}` read the same", first.value, name.value);
                report
                    .warning("MW0158", &self.product.path, name.span, message)
                    .hint("Use one of them twice in the SQL.");
            }
        }
    }

    /// Only where all SQL could be read.
    fn unused(&self, outputs: &[Output<'d>], report: &mut Report) {
        let own: Vec<_> = outputs.iter().filter(|output| std::ptr::eq(output.at.product, self.product)).collect();
        let known =
            own.iter().all(|o| o.complete && o.versions.iter().all(|v| v.sql_path.is_some() == v.sql.is_some()));
        if own.is_empty() || !known || own.len() != self.manifest.outputs.len() {
            return;
        }
        let texts: Vec<&str> = own.iter().flat_map(|o| &o.versions).filter_map(|v| v.sql.as_deref()).collect();
        let by_default = own.iter().flat_map(|o| &o.versions).any(|v| v.sql_path.is_none());
        let words: Vec<Vec<String>> = texts.iter().map(|sql| words(sql)).collect();
        for (name, _) in &self.manifest.inputs {
            let used = by_default || words.iter().any(|words| words.iter().any(|word| *word == *name.value));
            if !used {
                let message = format!("no SQL of this product reads the input `{}`", name.value);
                report.warning("MW0155", &self.product.path, name.span, message).hint("Remove it, or use it.");
            }
        }
    }
}

/// The words of a SQL text in lower case, outside comments and string literals. Quoted identifiers count as words.
fn words(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            word.extend(c.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        match (c, chars.peek()) {
            ('\'', _) => while chars.next().is_some_and(|c| c != '\'') {},
            ('-', Some('-')) => while chars.next().is_some_and(|c| c != '\n') {},
            ('/', Some('*')) => {
                chars.next();
                let mut last = ' ';
                for c in chars.by_ref() {
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
            }
            _ => {}
        }
    }
    words.push(word);
    words
}
