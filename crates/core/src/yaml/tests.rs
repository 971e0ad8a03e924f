use super::*;

fn tree(text: &str) -> Node {
    parse("f.yaml", text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// `code line:column message` of every finding.
fn problems(text: &str) -> Vec<String> {
    match parse("f.yaml", text) {
        Ok(node) => panic!("parsed: {node:?}"),
        Err(found) => {
            found.into_iter().map(|d| format!("{} {}:{} {}", d.code, d.place.line, d.place.column, d.message)).collect()
        }
    }
}

#[test]
fn core_schema_scalars() {
    let node =
        tree("[no, on, 1_000, 2024-01-01, 012, 0x1F, 0o17, -1.50, 1e3, .5, '1', ~, true, .inf, 1.2.3, +4, 0.10]");
    let shown: Vec<String> = node
        .as_list()
        .unwrap()
        .iter()
        .map(|n| match &n.kind {
            NodeKind::Text(t) => format!("text {t}"),
            NodeKind::Number(t) => format!("number {t}"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        shown,
        [
            "text no",
            "text on",
            "text 1_000",
            "text 2024-01-01",
            "number 012",
            "number 0x1F",
            "number 0o17",
            "number -1.50",
            "number 1e3",
            "number .5",
            "text 1",
            "Null",
            "Bool(true)",
            "number .inf",
            "text 1.2.3",
            "number +4",
            "number 0.10"
        ]
    );
    assert_eq!(tree("0x1F").as_i64(), Some(31));
    assert_eq!(tree("+4").as_i64(), Some(4));
    assert_eq!(tree("99999999999999999999").as_i64(), None);
    assert_eq!(
        tree("{a: [1, 2.5, .inf, 99999999999999999999], b: {c: null}}").to_json(),
        serde_json::json!({"a": [1, 2.5, ".inf", "99999999999999999999"], "b": {"c": null}})
    );
}

#[test]
fn places_count_characters_not_bytes() {
    let node = tree("größe: ä\nlist:\n  - näme: \"x y\"\n    sql: |\n      SELECT 1\n");
    assert_eq!(node.get("größe").unwrap().span, Span { line: 1, column: 8, length: 1 });
    assert_eq!(node.entry("größe").unwrap().0.span, Span { line: 1, column: 1, length: 5 });
    assert_eq!(node.pointer("/list/0/näme").unwrap().span, Span { line: 3, column: 11, length: 5 });
    assert_eq!(node.pointer("/list/0").unwrap().span, Span { line: 3, column: 5, length: 4 });
    assert_eq!(node.pointer("/list/0/sql").unwrap().as_text(), Some("SELECT 1\n"));
    assert_eq!(node.pointer("/list/1"), None);
    assert_eq!(node.pointer("list"), None);
}

#[test]
fn keys_are_texts_as_written() {
    let node = tree("null: 1\ntrue: 2\n012: 3\n1.0: 4\n");
    let keys: Vec<&str> = node.entries().iter().map(|(key, _)| key.text.as_str()).collect();
    assert_eq!(keys, ["null", "true", "012", "1.0"]);
}

#[test]
fn pointers_unescape() {
    assert_eq!(tree("{a/b: {m~n: 1}}").pointer("/a~1b/m~0n").and_then(Node::as_i64), Some(1));
}

#[test]
fn aliases_are_expanded_at_the_place_of_the_alias() {
    let node = tree("a: &x [1, 2]\nb: *x\n");
    assert_eq!(node.get("b").unwrap().to_json(), serde_json::json!([1, 2]));
    assert_eq!(node.get("b").unwrap().span, Span { line: 2, column: 4, length: 2 });
}

#[test]
fn empty_files_are_null() {
    for text in ["", "\n", "# only a comment\n", "---\n", "\u{feff}"] {
        assert!(tree(text).is_null(), "{text:?}");
    }
}

#[test]
fn what_a_manifest_does_not_need_is_refused() {
    for (text, expected) in [
        ("a: \0b", "MW0103 1:4 the control character U+0000 may not stand in a manifest"),
        ("a: \"\\0\"", "MW0103 1:4 the control character U+0000 may not stand in a manifest"),
        ("a: \u{1b}[31m", "MW0103 1:4 the control character U+001B may not stand in a manifest"),
        ("a: 1\nb: 2\na: 3", "MW0106 3:1 the key `a` stands twice in one map; it first stands in line 1"),
        ("a: 1\n\"a\": 3", "MW0106 2:1 the key `a` stands twice in one map; it first stands in line 1"),
        ("a: 1\n---\nb: 2", "MW0107 2:1 a second document starts here; a manifest is one document"),
        ("a: !env HOME", "MW0108 1:4 the tag `!env` is not read here"),
        ("a: !!binary aGk=", "MW0108 1:4 the tag `!!binary` is not read here"),
        ("a: !!python/object:os.system {}", "MW0108 1:4 the tag `!!python/object:os.system` is not read here"),
        ("a: !!int x", "MW0108 1:4 the tag `!!int` is not read here"),
        ("? [1, 2]\n: x", "MW0109 1:3 a key must be a text"),
        ("~: x", "MW0109 1:1 a key must be a text"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "MW0109 3:3 merge keys (`<<`) are not read"),
        ("a: &x [*x]", "MW0105 1:8 an alias stands inside the value that it names"),
        ("a: *nowhere", "MW0100 1:4 this alias names no anchor that stands before it"),
        ("a: 'open", "MW0100 1:4 this is not YAML: unclosed quote"),
        ("a:\n\tb: 1", "MW0100 2:2 this is not YAML: tabs disallowed within this context (block indentation)"),
        ("a: b: c", "MW0100 1:5 this is not YAML: mapping values are not allowed in this context"),
    ] {
        assert_eq!(problems(text), [expected], "{text:?}");
    }
}

#[test]
fn several_findings_come_at_once() {
    assert_eq!(
        problems("a: 1\na: 2\nb: !x 1\nb: 3\n"),
        [
            "MW0106 2:1 the key `a` stands twice in one map; it first stands in line 1",
            "MW0108 3:4 the tag `!x` is not read here",
            "MW0106 4:1 the key `b` stands twice in one map; it first stands in line 3",
        ]
    );
    let many: String = (0..1000).map(|_| "a: 1\n").collect();
    assert_eq!(problems(&many).len(), Budget::DEFAULT.findings);
}

#[test]
fn core_tags_are_read() {
    assert_eq!(tree("[!!str 1, !!int 2, ! 3, !!seq [], !!map {}]").to_json(), serde_json::json!(["1", 2, "3", [], {}]));
}

#[test]
fn bytes_that_are_not_text() {
    let found = parse_bytes("f.yaml", b"a: 1\nb: \xff\xfe").unwrap_err();
    assert_eq!((found[0].code.as_str(), found[0].place.line, found[0].place.column), ("MW0101", 2, 4));
    // UTF-16
    let utf16: Vec<u8> = "a: 1".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(parse_bytes("f.yaml", &utf16).unwrap_err()[0].code, "MW0103");
}

#[test]
fn billion_laughs() {
    let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for n in 1..12 {
        let previous = n - 1;
        let refs = vec![format!("*a{previous}"); 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{refs}]\n"));
    }
    let found = problems(&text);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("MW0105") && found[0].contains("100000 values"), "{found:?}");
}

#[test]
fn quadratic_text_by_aliases() {
    let text = format!("a: &a {}\nb: [{}]", "x".repeat(200_000), vec!["*a"; 1000].join(", "));
    assert!(problems(&text)[0].contains("bytes of text with its aliases written out"));
}

#[test]
fn depth_by_aliases_counts_too() {
    // Each line is one level deep as written; expanded, the last is 200 deep.
    let mut text = String::from("a0: &a0 [x]\n");
    for n in 1..200 {
        text.push_str(&format!("a{n}: &a{n} [*a{}]\n", n - 1));
    }
    assert!(problems(&text)[0].contains("nested deeper than 64 levels"));
}

#[test]
fn nested_anchors_do_not_copy_without_limit() {
    let items = vec!["x"; 3000].join(", ");
    let text = format!("{}[{items}]{}", (0..50).map(|n| format!("&n{n} [")).collect::<String>(), "]".repeat(50));
    assert!(problems(&text)[0].contains("100000 values"));
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), block_maps(100_000 / 100)] {
        let found = problems(&text);
        assert!(found[0].contains("nested deeper than 64 levels"), "{found:?}");
    }
}

fn block_maps(levels: usize) -> String {
    (0..levels).map(|n| format!("{}a:\n", " ".repeat(n))).collect()
}

#[test]
fn sixty_four_levels_are_fine_and_sixty_five_are_not() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    tree(&nested(64));
    assert!(problems(&nested(65))[0].starts_with("MW0105 1:65"), "{:?}", problems(&nested(65)));
}

#[test]
fn huge_scalars_and_files() {
    let ten_megabytes = "x".repeat(10 << 20);
    assert!(problems(&ten_megabytes)[0].starts_with("MW0102 1:1"));
    assert!(problems(&format!("a: {}", "x".repeat(300 << 10)))[0].starts_with("MW0104 1:4"));
    let long_key = format!("{}: 1", "k".repeat(5000));
    assert!(problems(&long_key)[0].starts_with("MW0100"));
}

#[test]
fn any_cut_of_a_manifest_ends_in_a_tree_or_in_findings() {
    let text = "product: leads\ninputs:\n  crm: { source: { type: csv, path: \"ä/*.csv\" } }\nlist:\n  - &a [1, 'x']\n  - *a\nsql: |\n  SELECT 1\n";
    for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
        if let Err(found) = parse("f.yaml", &text[..end]) {
            assert!(!found.is_empty());
            assert!(found.iter().all(|d| d.place.line >= 1 && d.place.column >= 1));
        }
    }
}
