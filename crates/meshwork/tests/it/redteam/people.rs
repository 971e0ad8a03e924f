//! A table of people with masks and a row filter, and its oracle: the same, masked and filtered before it was published.

use std::fmt::Write;

use serde_json::Value;

use crate::mesh::Mesh;

/// id, name, email, ssn, salary, region.
const ROWS: [(i64, &str, &str, &str, &str, &str); 6] = [
    (1, "ann", "ann@x.eu", "111-22-3333", "50000", "EU"),
    (2, "bob", "bob@x.us", "222-33-4444", "60000", "US"),
    (3, "cid", "cid@x.eu", "333-44-5555", "70000", "EU"),
    (4, "dee", "dee@x.us", "444-55-6666", "80000", "US"),
    (5, "eve", "ann@x.eu", "555-66-7777", "90000", "EU"),
    (6, "fay", "", "", "", "EU"),
];

/// What must never be seen by whom the masks and the filter bind.
pub const SECRETS: [&str; 10] =
    ["111-22-3333", "333-44-5555", "ann@x.eu", "cid@x.eu", "50000", "70000", "bob", "222-33-4444", "bob@x.us", "60000"];

const CLASSIFICATIONS: &str =
    "address: { mask: sha-256-global }\nnational_id: { mask: show-last-4 }\npay: { mask: replace-with-null }\n";

pub const FILTER: &str =
    "    row_filters:\n      - { name: europe, where: [{ column: region, op: eq, values: [EU] }] }\n";

pub const PASSWORD: &str = "a long enough password";

/// `vault.c` is governed, `oracle.c` is its oracle; `eve` may read both, for the purpose `test`.
pub fn mesh() -> Mesh {
    let mesh = Mesh::shop();
    mesh.write("governance/classifications.yaml", CLASSIFICATIONS);
    for (domain, governed) in [("vault", true), ("oracle", false)] {
        write_product(&mesh, domain, "1.0.0", governed);
        write_rows(&mesh, domain, governed, 1);
    }
    mesh
}

/// Applied, published, and open to eve.
pub fn published() -> Mesh {
    let mesh = mesh();
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "vault"]);
    mesh.ok(&["run", "oracle"]);
    mesh.user("eve");
    for table in ["vault.c", "oracle.c"] {
        mesh.grant("eve", table, &[]);
    }
    mesh
}

pub fn write_product(mesh: &Mesh, domain: &str, version: &str, governed: bool) {
    let home = format!("domains/{domain}");
    mesh.write(&format!("{home}/domain.yaml"), format!("domain: {domain}\nowner: {domain}_team\n"));
    let filter = if governed { FILTER } else { "" };
    mesh.write(
        &format!("{home}/people/product.yaml"),
        format!(
            "product: people\nversion: {version}\nstatus: active\ninputs:\n  raw: {{ source: {{ type: csv, path: raw.csv }} }}\n\
             outputs:\n  c:\n    contract: c.contract.yaml\n{filter}"
        ),
    );
    mesh.write(&format!("{home}/people/c.contract.yaml"), contract(domain, version, governed));
}

/// `domain.output`, built from `from`: the same columns, under no classification of its own.
pub fn derived(mesh: &Mesh, domain: &str, output: &str, from: (&str, &str, &str)) {
    made(mesh, domain, output, from, "full");
}

/// The same as a view.
pub fn view(mesh: &Mesh, domain: &str, output: &str, from: (&str, &str, &str)) {
    made(mesh, domain, output, from, "view");
}

fn made(
    mesh: &Mesh,
    domain: &str,
    output: &str,
    (from_domain, from_product, from_output): (&str, &str, &str),
    mode: &str,
) {
    let home = format!("domains/{domain}/{output}");
    mesh.write(&format!("domains/{domain}/domain.yaml"), format!("domain: {domain}\nowner: {domain}_team\n"));
    mesh.write(
        &format!("{home}/product.yaml"),
        format!(
            "product: {output}\nversion: 1.0.0\nstatus: active\narchetype: aggregate\ninputs:\n  \
             people: {{ product: {from_domain}.{from_product}, output: {from_output}, version: 1, purpose: test }}\n\
             outputs:\n  {output}: {{ contract: {output}.contract.yaml, sql: {output}.sql, mode: {mode} }}\n"
        ),
    );
    let contract = contract(domain, "1.0.0", false).replace("schema: c", &format!("schema: {output}"));
    mesh.write(&format!("{home}/{output}.contract.yaml"), contract);
    mesh.write(
        &format!("{home}/{output}.sql"),
        "SELECT id, name, concat(email, '') AS email, coalesce(ssn, NULL) AS ssn, salary, region FROM people\n",
    );
}

pub fn contract(domain: &str, version: &str, governed: bool) -> String {
    let class = |name: &str| if governed { format!(", classification: {name}") } else { String::new() };
    format!(
        "schema: c\nversion: {version}\nowner: {domain}\nfields:\n  - {{ name: id, type: integer, required: true }}\n  \
         - {{ name: name, type: string }}\n  - {{ name: email, type: string{} }}\n  - {{ name: ssn, type: string{} }}\n  \
         - {{ name: salary, type: number{} }}\n  - {{ name: region, type: string }}\n",
        class("address"),
        class("national_id"),
        class("pay")
    )
}

/// The source, its ids `first`, `first + 1`, …; for the oracle as it is shown: SHA-256 of the address, the last four
/// digits, no salary, no row outside the EU.
pub fn write_rows(mesh: &Mesh, domain: &str, governed: bool, first: i64) {
    let mut text = String::from("id,name,email,ssn,salary,region\n");
    for (id, name, email, ssn, salary, region) in ROWS {
        let id = id - 1 + first;
        let line = if governed {
            writeln!(text, "{id},{name},{email},{ssn},{salary},{region}")
        } else if region == "EU" {
            let last = ssn.rsplit('-').next().unwrap_or_default();
            let masked = if ssn.is_empty() { String::new() } else { format!("nnn-nn-{last}") };
            writeln!(text, "{id},{name},{},{masked},,{region}", digest(email))
        } else {
            Ok(())
        };
        line.expect("text");
    }
    mesh.write(&format!("domains/{domain}/raw.csv"), text);
}

/// Of the `sha256sum` command, so that the oracle does not share our code.
fn digest(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let script = format!("printf %s '{text}' | sha256sum");
    let said = std::process::Command::new("sh").args(["-c", &script]).output().expect("sha256sum");
    String::from_utf8_lossy(&said.stdout).split_whitespace().next().expect("a digest").to_owned()
}

impl Mesh {
    /// With [`PASSWORD`].
    pub fn user(&self, name: &str) {
        self.write("password", PASSWORD);
        let password = self.path().join("password");
        self.ok(&["user", "add", name, "--password-file", password.to_str().expect("text")]);
    }

    /// For the purpose `test`; the agreement's id.
    pub fn grant(&self, user: &str, table: &str, more: &[&str]) -> String {
        let user = if user.contains(':') { user.to_owned() } else { format!("user:{user}") };
        let id = self.ok(&[&["access", "grant", &user, table, "--purpose", "test"], more].concat());
        id.trim().to_owned()
    }

    pub fn revoke(&self, agreement: &str) {
        self.ok(&["access", "revoke", agreement]);
    }
}

/// The ids that the oracle shows, to be sure that it is one.
pub fn ids(rows: &Value) -> Vec<i64> {
    rows.as_array().expect("rows").iter().map(|row| row["id"].as_i64().expect("an id")).collect()
}
