//! Names of the source as names of ours (D1): snake_case, unique, nothing that SQL or Delta refuse.

use std::collections::HashSet;

use crate::check::{Named, reserved};
use crate::name::{Name, split_major};

/// `CustomerId`, `US Gross`, `Cost: Total $` → `customer_id`, `us_gross`, `cost_total`. Letters of other scripts stay.
fn snake_case(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut name = String::new();
    for (at, c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            if !name.is_empty() && !name.ends_with('_') {
                name.push('_');
            }
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let after = chars.get(at + 1);
        // A word begins where a capital follows a small letter or a digit, or ends a run of capitals: `HTTPServer`.
        let begins = c.is_uppercase()
            && before.is_some_and(|b| {
                b.is_lowercase() || b.is_ascii_digit() || (b.is_uppercase() && after.is_some_and(|a| a.is_lowercase()))
            });
        if begins && !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    name.trim_end_matches('_').to_owned()
}

/// Our names of all columns of a table, in their order. No two are the same, also not by their capitals.
pub fn column_names<'a>(columns: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut names = Vec::new();
    for (at, column) in columns.into_iter().enumerate() {
        let mut stem = snake_case(column);
        if stem.is_empty() {
            stem = format!("column_{}", at + 1);
        } else if stem.starts_with(|c: char| c.is_numeric()) {
            stem = format!("column_{stem}");
        }
        let mut name = stem.clone();
        let mut next = 2;
        while !taken.insert(name.clone()) {
            name = format!("{stem}_{next}");
            next += 1;
        }
        names.push(name);
    }
    names
}

/// Our name of a table, product or domain; not one of `taken`, no reserved word.
pub fn table_name(text: &str, fallback: &str, what: Named, taken: &HashSet<Name>) -> Name {
    let ascii: String = snake_case(text).chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(50).collect();
    let mut stem = ascii.trim_matches('_').trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').to_owned();
    if let Some((without, _)) = split_major(&stem) {
        // `orders_v2` would read as the second major of `orders`.
        stem = format!("{without}_version");
    }
    if stem.is_empty() {
        fallback.clone_into(&mut stem);
    }
    if reserved(&stem, what).is_some() {
        stem.push_str("_data");
    }
    let mut name = stem.clone();
    let mut next = 2;
    loop {
        match Name::new(name.as_str()) {
            Ok(found) if !taken.contains(&found) => return found,
            _ => name = format!("{stem}_{next}"),
        }
        next += 1;
    }
}

/// Words of a column's name, for what it hints at.
pub fn words(column: &str) -> Vec<String> {
    snake_case(column).split('_').map(str::to_owned).collect()
}

/// `artists` → `artist`, `categories` → `category`, `addresses` → `address`.
pub fn singular(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ies").filter(|stem| stem.len() > 1) {
        return format!("{stem}y");
    }
    for ending in ["sses", "xes", "ches", "shes"] {
        if word.ends_with(ending) {
            return word[..word.len() - 2].to_owned();
        }
    }
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with(['s', 'u', 'i']) => stem.to_owned(),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_in_snake_case() {
        for (from, expected) in [
            ("CustomerId", "customer_id"),
            ("US Gross", "us_gross"),
            ("Cost: Total $", "cost_total"),
            ("HTTPServerName2", "http_server_name2"),
            ("already_fine", "already_fine"),
            ("Größe (cm)", "größe_cm"),
            ("IMDB Rating", "imdb_rating"),
            ("2019", "column_2019"),
            ("$$", "column_1"),
        ] {
            assert_eq!(column_names([from]), [expected], "{from}");
        }
        assert_eq!(column_names(["Id", "ID", "id_2", "i d"]), ["id", "id_2", "id_2_2", "i_d"]);
    }

    #[test]
    fn tables_get_names_that_check_takes() {
        let taken = HashSet::from([Name::new("leads").unwrap()]);
        let name = |text| table_name(text, "data", Named::Output, &taken).to_string();
        assert_eq!(name("Order"), "order_data");
        assert_eq!(name("leads"), "leads_2");
        assert_eq!(name("2024 sales"), "sales");
        assert_eq!(name("orders_v2"), "orders_version");
        assert_eq!(name("日本"), "data");
        assert_eq!(table_name("public", "data", Named::Domain, &HashSet::new()).as_str(), "public_data");
    }

    #[test]
    fn words_in_the_singular() {
        for (many, one) in [
            ("artists", "artist"),
            ("categories", "category"),
            ("addresses", "address"),
            ("status", "status"),
            ("bus", "bus"),
        ] {
            assert_eq!(singular(many), one);
        }
    }
}
