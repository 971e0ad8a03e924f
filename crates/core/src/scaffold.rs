//! The files that `meshwork init` and `meshwork new` write. What they write passes `check` as it is.

use crate::infer::Connected;
use crate::name::{Name, TeamName};

/// Path relative to the mesh folder, and text.
pub type File = (String, String);

/// A mesh with nothing in it but its governance.
pub fn mesh(name: &Name) -> Vec<File> {
    vec![
        (
            "mesh.yaml".into(),
            format!(
                "name: {name}\ndescription: A data mesh.\n# Where the tables lie. Relative to this folder, or absolute.\nstorage: .meshwork/data\n"
            ),
        ),
        (
            "governance/classifications.yaml".into(),
            "\
# What columns hold, and how they are masked for readers who may not see them in the clear.
# A contract's field names one: `classification: pii`.
pii:
  description: Tells who a person is.
  mask: hmac-sha-256          # the same value gives the same hash, so joins still work
  by_type:
    date: truncate-to-year    # a birth date
    timestamp: truncate-to-year
    number: replace-with-null
    boolean: replace-with-null
    nested: replace-with-null
special_category:
  description: Health, belief, origin and the like.
  parent: pii
  mask: replace-with-null
"
            .into(),
        ),
        (".gitignore".into(), "# State, data and secrets of this machine.\n.meshwork/\n".into()),
    ]
}

/// A domain without products.
pub fn domain(name: &Name, owner: &TeamName) -> Vec<File> {
    vec![(format!("domains/{name}/domain.yaml"), domain_with(name, owner, None))]
}

/// The text of `domain.yaml`, with a connection where there is one.
pub fn domain_with(name: &Name, owner: &TeamName, connection: Option<&Connected>) -> String {
    let connections = match connection {
        Some(connection) => format!("connections:\n{}", connection.yaml()),
        None => "\
# connections:
#   crm:
#     type: postgres
#     host: localhost
#     database: crm
#     user: reader
#     password: ${secret:crm_password}
"
        .to_owned(),
    };
    format!(
        "\
domain: {name}
description: What {name} is responsible for.
owner: {owner}
members: []                   # user names of the team {owner}
{connections}"
    )
}

/// A product with one output, its contract, its SQL and a CSV source of one row.
pub fn product(domain: &Name, name: &Name) -> Vec<File> {
    let input = input_name(name);
    let folder = format!("domains/{domain}/{name}");
    let manifest = format!(
        "\
product: {name}
version: 1.0.0
status: draft                 # draft: only {domain} can read it; active: others, too
archetype: source-aligned     # or aggregate, consumer-aligned
description: What {name} holds, one row per what.
inputs:
  {input}:
    source: {{ type: csv, path: {name}/data/{name}.csv }}    # relative to domains/{domain}
outputs:
  {name}:
    contract: {name}.contract.yaml
    sql: {name}.sql
    mode: full
    on_violation: block
"
    );
    let sql = format!("-- Inputs are tables by their name in product.yaml.\nSELECT id, name, amount\nFROM {input}\n");
    let mut files = vec![
        (format!("{folder}/product.yaml"), manifest),
        (format!("{folder}/{name}.sql"), sql),
        (format!("{folder}/data/{name}.csv"), "id,name,amount\n1,first,9.50\n".to_owned()),
    ];
    files.extend(contract(domain, name, name));
    files
}

/// A contract in the short form, for an output called `name`.
pub fn contract(domain: &Name, product: &Name, name: &Name) -> Vec<File> {
    let text = format!(
        "\
schema: {name}
version: 1.0.0
owner: {domain}
sla:
  freshness: 24 hours
fields:
  - name: id
    type: integer
    required: true
    description: Identifies the row
  - name: name
    type: string
    required: true
    description: What it is called
  - name: amount
    type: number
    required: false
    description: How much
quality:
  - unique: [id]
  - range: {{ field: amount, min: 0 }}
"
    );
    vec![(format!("domains/{domain}/{product}/{name}.contract.yaml"), text)]
}

/// The input's table must not be called by a word of SQL.
fn input_name(product: &Name) -> String {
    format!("{}_source", product.as_str().chars().take(56).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{self, Files};

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn what_is_scaffolded_passes_check() {
        let mut files: Files = mesh(&name("acme")).into_iter().collect();
        let checked = check::check(&files);
        assert_eq!(checked.diagnostics, []);
        assert_eq!(checked.mesh.unwrap().name, "acme");

        files.extend(domain(&name("marketing"), &name("marketing_team").into()));
        files.extend(product(&name("marketing"), &name("leads")));
        files.retain(|path, _| !path.ends_with(".csv"));
        let checked = check::check(&files);
        assert_eq!(checked.diagnostics, []);
        let mesh = checked.mesh.unwrap();
        let (product, output) = mesh.output("marketing", "leads").unwrap();
        assert_eq!(product.version, semver::Version::new(1, 0, 0));
        assert_eq!(output.versions[&1].schema().fields.len(), 3);
        assert_eq!(checked.transformations.len(), 1);
    }

    #[test]
    fn even_with_the_longest_name() {
        let long = name(&"a".repeat(63));
        let mut files: Files = mesh(&long).into_iter().collect();
        files.extend(domain(&long, &long.clone().into()));
        files.extend(product(&long, &long));
        files.retain(|path, _| !path.ends_with(".csv"));
        assert_eq!(check::check(&files).diagnostics, []);
    }
}
