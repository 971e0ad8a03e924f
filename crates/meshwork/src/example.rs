//! The example mesh: manifests as they stand in `examples/acme`, and data that is made up, the same for everybody.

mod customers;
mod finance;
mod leads;
mod random;
mod sales;
#[cfg(test)]
mod tests;

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
