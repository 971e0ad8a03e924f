//! Who is called what. Reports names that stand twice or may not be used; of two equal names the first one counts.

use std::collections::BTreeMap;

use super::declared::{Declared, Domain, Product};
use super::report::Report;
use crate::manifest::product::{OutputManifest, ProductManifest};
use crate::name::{Name, split_major};
use crate::reader::Spanned;

#[derive(Debug, Default)]
pub(super) struct Index<'d> {
    pub domains: BTreeMap<&'d str, &'d Domain>,
    /// (domain, product)
    pub products: BTreeMap<(&'d str, &'d str), &'d Product>,
    /// (domain, output)
    pub outputs: BTreeMap<(&'d str, &'d str), IndexedOutput<'d>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct IndexedOutput<'d> {
    pub product: &'d Product,
    pub product_manifest: &'d ProductManifest,
    pub name: &'d Spanned<Name>,
    pub manifest: &'d OutputManifest,
}

impl<'d> Index<'d> {
    pub fn build(declared: &'d Declared, report: &mut Report) -> Self {
        let mut index = Self::default();
        for domain in &declared.domains {
            let Some(manifest) = &domain.manifest else { continue };
            let name = &manifest.domain;
            check_word(&domain.path, name, Named::Domain, report);
            match index.domains.get(name.value.as_str()) {
                None => {
                    index.domains.insert(name.value.as_str(), domain);
                }
                Some(first) => {
                    let message = format!("the domain `{}` is already declared in {}", name.value, first.path);
                    report.error("MW0135", &domain.path, name.span, message).hint("Give one of the two another name.");
                }
            }
            for product in &domain.products {
                index.add_product(&name.value, product, report);
            }
        }
        index.renames(report);
        index
    }

    /// What was renamed is no longer there under its old name: else two would lay claim to one id and its data.
    fn renames(&self, report: &mut Report) {
        let mut refuse = |path: &str, from: &Spanned<Name>| {
            let message = format!("`renamed_from: {0}`, but there still is a `{0}`", from.value);
            report
                .error("MW0138", path, from.span, message)
                .hint("Remove `renamed_from`, or what still bears the old name.");
        };
        for domain in self.domains.values() {
            let from = domain.manifest.as_ref().and_then(|manifest| manifest.renamed_from.as_ref());
            if let Some(from) = from.filter(|from| self.domains.contains_key(from.value.as_str())) {
                refuse(&domain.path, from);
            }
        }
        for ((domain, _), product) in &self.products {
            let from = product.manifest.as_ref().and_then(|manifest| manifest.renamed_from.as_ref());
            if let Some(from) = from.filter(|from| self.products.contains_key(&(*domain, from.value.as_str()))) {
                refuse(&product.path, from);
            }
        }
        for ((domain, _), output) in &self.outputs {
            let from = output.manifest.renamed_from.as_ref();
            if let Some(from) = from.filter(|from| self.outputs.contains_key(&(*domain, from.value.as_str()))) {
                refuse(&output.product.path, from);
            }
        }
    }

    fn add_product(&mut self, domain: &'d Name, product: &'d Product, report: &mut Report) {
        let Some(manifest) = &product.manifest else { return };
        let name = &manifest.product;
        if let Some(first) = self.products.get(&(domain.as_str(), name.value.as_str())) {
            let message = format!("the product `{domain}.{}` is already declared in {}", name.value, first.path);
            report.error("MW0135", &product.path, name.span, message).hint("Give one of the two another name.");
        } else {
            self.products.insert((domain.as_str(), name.value.as_str()), product);
        }
        if manifest.outputs.is_empty() {
            report
                .warning("MW0160", &product.path, name.span, format!("the product `{}` has no outputs", name.value))
                .hint("Add an output with a contract; without one nobody can read the product.");
        }
        for (name, output) in &manifest.outputs {
            check_word(&product.path, name, Named::Output, report);
            if let Some((stem, _)) = split_major(&name.value) {
                let message = format!(
                    "an output's name may not end like a version: in SQL `{}` means a major of `{stem}`",
                    name.value
                );
                report
                    .error("MW0136", &product.path, name.span, message)
                    .hint(format!("Call it `{stem}`; the major comes from its contract."));
            }
            let key = (domain.as_str(), name.value.as_str());
            if let Some(first) = self.outputs.get(&key) {
                let message = format!(
                    "the output `{domain}.{}` is already declared in {}:{}",
                    name.value, first.product.path, first.name.span.line
                );
                let hint = "Output names are unique in their domain, because in SQL they are `domain.output`.";
                report.error("MW0135", &product.path, name.span, message).hint(hint);
            } else {
                self.outputs.insert(key, IndexedOutput { product, product_manifest: manifest, name, manifest: output });
            }
        }
        for (name, _) in &manifest.inputs {
            check_word(&product.path, name, Named::Input, report);
        }
    }
}

fn check_word(path: &str, name: &Spanned<Name>, what: Named, report: &mut Report) {
    let word = name.value.as_str();
    if let Some(why) = reserved(word, what) {
        report
            .error("MW0136", path, name.span, format!("`{word}` cannot name {}: it is {why}", what.article()))
            .hint(format!("Such as `{word}_data`."));
    }
}

/// What a name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Domain,
    Output,
    Input,
}

impl Named {
    fn article(self) -> &'static str {
        match self {
            Self::Domain => "a domain",
            Self::Output => "an output",
            Self::Input => "an input",
        }
    }
}

/// Why a word cannot be a name, where it cannot.
pub fn reserved(word: &str, what: Named) -> Option<&'static str> {
    if what == Named::Domain && (SCHEMAS.contains(&word) || word.starts_with("pg_")) {
        return Some("a schema of the SQL catalog");
    }
    RESERVED.contains(&word).then_some("a reserved word of SQL")
}

/// Schemas that catalogs of SQL clients expect for themselves.
const SCHEMAS: [&str; 5] = ["information_schema", "public", "meshwork", "system", "main"];

/// Words that would have to be quoted everywhere in SQL.
const RESERVED: [&str; 83] = [
    "all",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "check",
    "column",
    "constraint",
    "create",
    "cross",
    "current_date",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "delete",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "in",
    "inner",
    "insert",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "lateral",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "primary",
    "references",
    "right",
    "row",
    "rows",
    "select",
    "set",
    "some",
    "table",
    "then",
    "to",
    "true",
    "union",
    "unique",
    "update",
    "user",
    "using",
    "values",
    "when",
    "where",
    "window",
    "with",
    "batch",
    "unnest",
];
