//! The example mesh: manifests as they stand in `examples/acme`, and data that is made up, the same for everybody.

mod customers;
mod finance;
mod leads;
mod random;
mod sales;

use std::path::Path;

use meshwork_core::{Error, Result};

/// A file of `examples/acme`, by its path there, compiled in.
macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../examples/acme/", $path)))),*]
    };
}

const MANIFESTS: &[(&str, &str)] = files![
    ".gitignore",
    "README.md",
    "mesh.yaml",
    "governance/classifications.yaml",
    "domains/marketing/domain.yaml",
    "domains/marketing/leads/product.yaml",
    "domains/marketing/leads/marketing_leads.contract.yaml",
    "domains/marketing/leads/marketing_leads.sql",
    "domains/sales/domain.yaml",
    "domains/sales/orders/product.yaml",
    "domains/sales/orders/orders.contract.yaml",
    "domains/sales/orders/orders.sql",
    "domains/sales/orders/order_items.sql",
    "domains/customers/domain.yaml",
    "domains/customers/customers/product.yaml",
    "domains/customers/customers/customers.contract.yaml",
    "domains/customers/customers/customers.sql",
    "domains/finance/domain.yaml",
    "domains/finance/invoices/product.yaml",
    "domains/finance/invoices/invoices.contract.yaml",
    "domains/finance/invoices/invoices.sql",
    "domains/finance/ad_spend/product.yaml",
    "domains/finance/ad_spend/ad_spend.contract.yaml",
    "domains/finance/ad_spend/ad_spend.sql",
    "domains/analytics/domain.yaml",
    "domains/analytics/customer_360/product.yaml",
    "domains/analytics/customer_360/customer_360.contract.yaml",
    "domains/analytics/customer_360/customer_360.sql",
];

/// Where the export of leads lies that a first run refuses, and its corrected version, relative to the mesh folder.
pub const BAD_LEADS: &str = "domains/marketing/files/leads-2026-02.csv";
pub const CORRECTED_LEADS: &str = "domains/marketing/files/corrected/leads-2026-02.csv";

/// Writes the mesh into a folder. At scale 1 there are 1,000 customers with 4,000 orders; `scale` multiplies both.
pub fn write(folder: &Path, scale: u32) -> Result<()> {
    for (path, text) in MANIFESTS {
        write_file(folder, path, text)?;
    }
    for (path, text) in data(scale.max(1)) {
        write_file(folder, path, &text)?;
    }
    Ok(())
}

/// The generated files, by path relative to the mesh folder.
fn data(scale: u32) -> Vec<(&'static str, String)> {
    let customers = customers::generate(scale);
    let orders = sales::generate(&customers);
    vec![
        ("domains/marketing/files/leads-2026-01.csv", leads::january(scale)),
        (BAD_LEADS, leads::february(scale, leads::Quality::AsExported)),
        (CORRECTED_LEADS, leads::february(scale, leads::Quality::Corrected)),
        ("domains/customers/files/customers.csv", customers::csv(&customers)),
        ("domains/sales/files/orders.csv", sales::orders_csv(&orders)),
        ("domains/sales/files/order-lines.jsonl", sales::lines_json(&orders)),
        ("domains/finance/files/invoices.csv", finance::invoices(&orders)),
        ("domains/finance/files/ad-spend.csv", finance::ad_spend()),
    ]
}

/// Puts the corrected leads in the place of the bad ones, as a domain engineer would.
pub fn correct_leads(folder: &Path) -> Result<()> {
    let failed =
        |error: std::io::Error| Error::environment("MW1040", format!("the leads could not be corrected: {error}"));
    std::fs::copy(folder.join(CORRECTED_LEADS), folder.join(BAD_LEADS)).map_err(failed)?;
    Ok(())
}

fn write_file(folder: &Path, path: &str, text: &str) -> Result<()> {
    let target = folder.join(path);
    let written = target.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&target, text));
    written.map_err(|error| {
        Error::environment("MW1040", format!("{} could not be written: {error}", target.display()))
            .hint("Choose a folder that can be written, on a disk with space.")
    })
}

/// A CSV field, in quotes where it needs them.
fn csv_field(text: &str, delimiter: char) -> String {
    if text.contains([delimiter, '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use meshwork_core::Severity;

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
}
