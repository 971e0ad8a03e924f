use super::*;

fn formatted(path: &str, text: &str) -> String {
    let once = format(path, text).expect("YAML");
    assert_eq!(format(path, &once).expect("YAML"), once, "formatting again changes nothing");
    once
}

#[test]
fn keys_are_put_in_order_and_comments_stay_with_them() {
    let text = "\
outputs:
    leads:
        sql:   leads.sql   # the query
        # what it promises
        contract: leads.contract.yaml
version: 1.0.0


# Leads of all campaigns.
product: leads
inputs: {raw: {source: {path: files/*.csv, type: csv}}}
# the end
";
    let expected = "\
# Leads of all campaigns.
product: leads
version: 1.0.0
inputs: { raw: { source: { path: files/*.csv, type: csv } } }
outputs:
  leads:
    # what it promises
    contract: leads.contract.yaml
    sql: leads.sql   # the query
# the end
";
    assert_eq!(formatted("domains/m/leads/product.yaml", text), expected);
}

#[test]
fn lists_texts_and_blocks_keep_their_meaning() {
    let text = "schema: x\nversion: 1.0.0\nfields:\n- type: string\n  name: a\n\n\n- name: 'b c'\n  # why\n  description: >\n     several\n       lines\n\n     here\n  type: integer\n- name: d   \n  type: \"quoted\n    text\"\nquality: [ {unique: [a]},\n  {sql: 'x'} ]\n";
    let expected = "schema: x\nversion: 1.0.0\nfields:\n  - name: a\n    type: string\n\n  - name: 'b c'\n    type: integer\n    # why\n    description: >\n      several\n        lines\n\n      here\n  - name: d\n    type: \"quoted\n      text\"\nquality: [{ unique: [a] }, { sql: 'x' }]\n";
    let found = formatted("a.contract.yaml", text);
    assert!(means_the_same(&yaml::parse("a", text).unwrap(), &yaml::parse("a", &found).unwrap()));
    assert_eq!(found, expected);
}

#[test]
fn what_is_better_left_alone_is_only_tidied() {
    let text = "a: &x { b: 1 }   \nc: *x\n\n\n";
    assert_eq!(formatted("governance/x.yaml", text), "a: &x { b: 1 }\nc: *x\n");
    let kept = "a: |+\n  text\n\n\n";
    let found = format("governance/x.yaml", kept).unwrap();
    assert!(means_the_same(&yaml::parse("a", kept).unwrap(), &yaml::parse("a", &found).unwrap()), "{found:?}");
    assert!(format("x.yaml", "a: [").is_err());
}

#[test]
fn long_braces_become_lines_and_short_lines_stay_braces() {
    let text = "name: m\nlong: [\n  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb,\n  cccccccccccccccccccccccccccccccccccccccc ]\nshort: [\n  a,\n  b ]\n";
    let found = formatted("x.yaml", text);
    assert!(found.contains("long:\n  - aaa") && found.contains("short: [a, b]\n"), "{found}");
}

#[test]
fn own_keys_keep_their_order_and_unknown_ones_their_neighbour() {
    let text = "outputs:\n  z: { sql: z.sql }\n  a: { sql: a.sql }\nnew_key: 1\nproduct: p\nversion: 1.0.0\n";
    let found = formatted("product.yaml", text);
    assert_eq!(found, "product: p\nversion: 1.0.0\noutputs:\n  z: { sql: z.sql }\n  a: { sql: a.sql }\nnew_key: 1\n");
}

#[test]
fn empty_files_and_line_ends() {
    assert_eq!(formatted("x.yaml", "a: 1\r\nb:\r\n"), "a: 1\nb:\n");
    assert_eq!(formatted("x.yaml", "# only this\n"), "# only this\n");
}
