//! What the author of a mesh writes: the shape of each file, the JSON Schema that editors complete it with, and the way
//! from YAML to the declared values with all problems at once.
//!
//! Nothing here looks at a second file; what must agree across files is decided by [`crate::check`].

pub mod classifications;
mod connection;
pub mod domain;
mod incremental;
pub mod limits;
pub mod mesh;
pub mod product;
mod quarantine;
pub mod row_filter;
mod source;
mod storage;
pub mod test;
pub mod text;

use schemars::JsonSchema;
use serde_json::Value;

/// The files of a mesh that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Mesh,
    Domain,
    Product,
    Classifications,
    Contract,
    Test,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Mesh, Self::Domain, Self::Product, Self::Classifications, Self::Contract, Self::Test];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::Domain => "domain",
            Self::Product => "product",
            Self::Classifications => "classifications",
            Self::Contract => "contract",
            Self::Test => "test",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The JSON Schema (2020-12) of a file, made from the types that it is read into.
pub fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Mesh => of::<mesh::MeshManifest>("mesh.yaml"),
        Kind::Domain => of::<domain::DomainManifest>("domain.yaml"),
        Kind::Product => of::<product::ProductManifest>("product.yaml"),
        Kind::Classifications => of::<classifications::ClassificationsManifest>("governance/classifications.yaml"),
        Kind::Contract => crate::contract::schema(),
        Kind::Test => of::<test::Shape>("*.test.yaml"),
    }
}

fn of<T: JsonSchema>(title: &str) -> Value {
    let mut schema = schemars::schema_for!(T);
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_refuses_unknown_keys_and_describes_each_key() {
        for kind in [Kind::Mesh, Kind::Domain, Kind::Product] {
            let schema = schema(kind);
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
            assert_eq!(schema["additionalProperties"], false, "{kind:?}");
            for (key, property) in schema["properties"].as_object().unwrap() {
                assert!(property["description"].is_string() || property["$ref"].is_string(), "{kind:?} {key}");
            }
        }
    }

    #[test]
    fn whatever_a_schema_names_is_read() {
        use crate::reader::Findings;
        use crate::yaml;

        let unknown = |schema: &Value, read: &dyn Fn(&Findings<'_>, &yaml::Node)| {
            let keys: Vec<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
            let text: String = keys.iter().map(|key| format!("{key}:\n")).collect();
            let node = yaml::parse("f.yaml", &text).unwrap();
            let findings = Findings::new("f.yaml");
            read(&findings, &node);
            let found = findings.into_diagnostics();
            found.into_iter().filter(|d| d.code == "MW0113").map(|d| d.message).collect::<Vec<_>>()
        };
        let none: Vec<String> = Vec::new();
        assert_eq!(unknown(&schema(Kind::Mesh), &|f, n| drop(mesh::read(f, n))), none);
        assert_eq!(unknown(&schema(Kind::Domain), &|f, n| drop(domain::read(f, n, "d"))), none);
        let product = schema(Kind::Product);
        assert_eq!(unknown(&product, &|f, n| drop(product::read(f, n, "p"))), none);
        let nested = |outer: &'static str, inner: &str| {
            let definition = &product["$defs"][inner];
            assert!(definition.is_object(), "{inner} in {product:#}");
            unknown(definition, &|f, n| {
                let span = n.span;
                let key = |text: &str| yaml::Key { text: text.to_owned(), span };
                let map = |text: &str, node| yaml::Node { span, kind: yaml::NodeKind::Map(vec![(key(text), node)]) };
                let root = map(outer, map("x", n.clone()));
                let inner = Findings::new("f.yaml");
                drop(product::read(&inner, &root, "p"));
                inner.into_diagnostics().into_iter().for_each(|d| f.push(d));
            })
        };
        assert_eq!(nested("outputs", "OutputManifest"), none);
        assert_eq!(nested("inputs", "SourceInput"), none);
    }

    #[test]
    fn schemas_name_what_is_required() {
        assert_eq!(schema(Kind::Mesh)["required"], serde_json::json!(["name"]));
        assert_eq!(schema(Kind::Domain)["required"], serde_json::json!(["domain", "owner"]));
        assert_eq!(schema(Kind::Product)["required"], serde_json::json!(["product", "version"]));
        assert_eq!(schema(Kind::Product)["properties"]["product"]["$ref"], "#/$defs/Name");
        assert_eq!(schema(Kind::Product)["$defs"]["Name"]["pattern"], "^[a-z][a-z0-9_]{0,62}$");
    }
}
