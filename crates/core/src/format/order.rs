//! The order of keys, by kind of file and place in it. Keys that are not named here stay behind the key that they
//! followed; maps whose keys are the author's own names keep their order.

use crate::yaml::Node;

use super::tree::Entry;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Mesh,
    Domain,
    Product,
    ShortContract,
    StandardContract,
    Test,
    Other,
}

impl FileKind {
    /// By the file's name, and by what stands in it.
    pub fn of(path: &str, root: &Node) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        match name {
            "mesh.yaml" => Self::Mesh,
            "domain.yaml" => Self::Domain,
            "product.yaml" => Self::Product,
            _ if name.ends_with(".test.yaml") => Self::Test,
            _ if root.get("apiVersion").is_some() => Self::StandardContract,
            _ if root.get("fields").is_some() && root.get("schema").is_some() => Self::ShortContract,
            _ => Self::Other,
        }
    }
}

/// (place, keys): `*` in a place stands for any key or item.
type Rules = &'static [(&'static str, &'static [&'static str])];

const STORAGE: (&str, &[&str]) = ("/storage", &["url", "endpoint", "region", "path_style"]);
const MESH: Rules = &[("", &["name", "description", "storage", "egress", "retention", "limits", "defaults"]), STORAGE];
const DOMAIN: Rules = &[
    ("", &["domain", "renamed_from", "description", "owner", "members", "storage", "retention", "connections"]),
    STORAGE,
];
const PRODUCT: Rules = &[
    (
        "",
        &[
            "product",
            "renamed_from",
            "version",
            "status",
            "archetype",
            "description",
            "retention",
            "limits",
            "inputs",
            "outputs",
        ],
    ),
    ("/inputs/*", &["source", "product", "output", "version", "purpose", "contract"]),
    ("/inputs/*/source", &["type", "connection", "table", "query", "path", "url"]),
    (
        "/outputs/*",
        &[
            "renamed_from",
            "contract",
            "sql",
            "versions",
            "mode",
            "key",
            "order_by",
            "on_violation",
            "quarantine_limit",
            "row_filters",
        ],
    ),
    ("/outputs/*/versions/*", &["contract", "sql", "sunset"]),
];
const FIELD: &[&str] = &["name", "type", "required", "unique", "description", "classification", "classifications"];
const SHORT: Rules = &[
    ("", &["schema", "version", "id", "owner", "description", "sla", "fields", "quality"]),
    ("/fields/*", FIELD),
    ("/fields/*/fields/*", FIELD),
];
const PROPERTY: &[&str] = &["name", "physicalName", "logicalType", "physicalType"];
const STANDARD: Rules = &[
    (
        "",
        &[
            "apiVersion",
            "kind",
            "id",
            "name",
            "version",
            "status",
            "tenant",
            "domain",
            "dataProduct",
            "team",
            "description",
            "tags",
            "slaProperties",
            "schema",
        ],
    ),
    ("/schema/*", &["name", "physicalName", "logicalType", "physicalType", "description"]),
    ("/schema/*/properties/*", PROPERTY),
    ("/schema/*/properties/*/properties/*", PROPERTY),
];
const TEST: Rules = &[
    ("", &["product", "tests"]),
    ("/tests/*", &["name", "description", "now", "existing", "inputs", "expect"]),
    ("/tests/*/expect/*", &["rows", "file", "order", "match", "violations"]),
];

/// The rules of a file, seen from one place in it.
#[derive(Clone, Debug)]
pub struct Order {
    rules: Rules,
    place: String,
}

impl Order {
    pub fn of(kind: FileKind) -> Self {
        let rules = match kind {
            FileKind::Mesh => MESH,
            FileKind::Domain => DOMAIN,
            FileKind::Product => PRODUCT,
            FileKind::ShortContract => SHORT,
            FileKind::StandardContract => STANDARD,
            FileKind::Test => TEST,
            FileKind::Other => &[],
        };
        Self { rules, place: String::new() }
    }

    pub fn below(&self, key: &str) -> Self {
        Self { rules: self.rules, place: format!("{}/{key}", self.place) }
    }

    pub fn sorted<'e>(&self, entries: &'e [Entry]) -> Vec<&'e Entry> {
        let mut sorted: Vec<&Entry> = entries.iter().collect();
        let Some((_, keys)) = self.rules.iter().find(|(place, _)| matches(place, &self.place)) else { return sorted };
        let mut rank = 0;
        let ranks: Vec<usize> = entries
            .iter()
            .map(|entry| {
                rank = keys.iter().position(|key| *key == entry.name).map_or(rank, |at| at + 1);
                rank
            })
            .collect();
        let mut numbered: Vec<(usize, &Entry)> = ranks.into_iter().zip(sorted).collect();
        numbered.sort_by_key(|(rank, _)| *rank);
        sorted = numbered.into_iter().map(|(_, entry)| entry).collect();
        sorted
    }
}

fn matches(rule: &str, place: &str) -> bool {
    rule.split('/').count() == place.split('/').count()
        && rule.split('/').zip(place.split('/')).all(|(rule, part)| rule == "*" || rule == part)
}
