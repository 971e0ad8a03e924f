use super::*;
use crate::quality::{Metric, Rule, Scope, Threshold, Unit};
use crate::{Severity, yaml};

/// The contract of a text without problems.
fn contract(text: &str) -> Contract {
    let (contract, found) = read(text);
    assert!(found.is_empty(), "{found:#?}");
    contract.expect("a contract")
}

fn read(text: &str) -> (Option<Contract>, Vec<Diagnostic>) {
    let node = yaml::parse("c.yaml", text).unwrap_or_else(|found| panic!("{found:#?}"));
    parse("c.yaml", text, &node)
}

/// `code line:column message / hint` of every finding.
fn problems(text: &str) -> Vec<String> {
    let shown = read(text).1.into_iter().map(|d| {
        let hint = d.hints.first().map_or(String::new(), |hint| format!(" / {hint}"));
        format!("{} {}:{} {}{hint}", d.code, d.place.line, d.place.column, d.message)
    });
    shown.collect()
}

fn rules(contract: &Contract) -> Vec<(Rule, Severity)> {
    contract.tables[0].clauses.iter().map(|clause| (clause.rule.clone(), clause.severity)).collect()
}

const MARKETING_LEADS: &str = r"schema: marketing_leads
version: 2.1.0
owner: marketing-team
sla:
  freshness: 15 minutes
  availability: 99.5%
fields:
  - name: lead_id
    type: string
    required: true
    description: Unique identifier for the lead
  - name: source
    type: string
    required: true
    enum: [organic, paid, referral, direct]
  - name: score
    type: integer
    required: false
    description: Lead quality score (0-100)
quality:
  - no_nulls: [lead_id, source]
  - unique: [lead_id]
  - range: { field: score, min: 0, max: 100 }
";

const MARKETING_LEADS_ODCS: &str = r"apiVersion: v3.2.0
kind: DataContract
id: 0b0c0f46-9d1c-4a3b-8d57-95f2d3b5a001
name: marketing_leads
version: 2.1.0
status: active
team: { name: marketing-team }
slaProperties:
  - { property: freshness, value: 15, unit: minutes }
  - { property: availability, value: 99.5, unit: percent }
schema:
  - name: marketing_leads
    properties:
      - name: lead_id
        logicalType: string
        required: true
        description: Unique identifier for the lead
      - name: source
        logicalType: string
        required: true
        enum: [{ value: organic }, { value: paid }, { value: referral }, { value: direct }]
      - name: score
        logicalType: integer
        required: false
        description: Lead quality score (0-100)
    quality:
      - { type: custom, engine: meshwork, implementation: { no_nulls: [lead_id, source] } }
      - { metric: duplicateValues, mustBe: 0, arguments: { properties: [lead_id] } }
      - { type: custom, engine: meshwork, implementation: { range: { field: score, min: 0, max: 100 } } }
";

#[test]
fn the_short_form_says_what_odcs_says() {
    let (short, odcs) = (contract(MARKETING_LEADS), contract(MARKETING_LEADS_ODCS));
    assert_eq!(rules(&short), rules(&odcs));
    assert_eq!(short.digest, odcs.digest);
    assert_eq!((short.dialect, odcs.dialect), (Dialect::Short, Dialect::Odcs("v3.2.0".to_owned())));
    assert_eq!(short.text, MARKETING_LEADS);
}

#[test]
fn the_short_form_in_full() {
    let contract = contract(MARKETING_LEADS);
    assert_eq!(contract.name, "marketing_leads");
    assert_eq!(contract.version, semver::Version::new(2, 1, 0));
    assert_eq!(contract.owner.as_deref(), Some("marketing-team"));
    let sla: Vec<_> = contract.sla.iter().map(|sla| (sla.property.clone(), sla.value)).collect();
    assert_eq!(sla, [(SlaProperty::Freshness, 900.0), (SlaProperty::Availability, 0.995)]);
    let ids: Vec<&str> = contract.tables[0].clauses.iter().map(|clause| clause.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "lead_id.type",
            "lead_id.required",
            "source.type",
            "source.required",
            "source.enum",
            "score.type",
            "quality[0].no_nulls(lead_id)",
            "quality[0].no_nulls(source)",
            "quality[1].unique(lead_id)",
            "quality[2].range(score)",
        ]
    );
    let place = contract.tables[0].clauses[9].place.clone().unwrap();
    assert_eq!((place.line, place.column), (23, 5));
}

/// What the short form and ODCS have words for, all in one.
const EVERYTHING: &str = r#"schema: everything
version: 1.0.0
id: every-thing
owner: team a
description: "Lines\nand: colons"
physical_name: EVERY THING
sla:
  freshness: { value: 90 minutes, element: at }
  availability: 99.5%
  latency: PT5S
  errorRate: 0.1 percent
fields:
  - { name: id, type: string, primary_key: 1, format: uuid, physical_name: ID, description: "The id: first" }
  - { name: part, type: integer, primary_key: 2, format: u16, max: 100 }
  - { name: small, type: integer, format: i8, min: -5, exclusive_max: 10, multiple_of: 5, examples: [0, -5] }
  - { name: big, type: integer, format: u64 }
  - { name: price, type: "decimal(10,2)", min: 0.01, examples: [0.10] }
  - { name: ratio, type: number, format: f32 }
  - { name: name, type: string, unique: true, min: 2, max: 5, pattern: '^[a-z"\\]+$', classification: [pii, contact], tags: [a, "1"] }
  - { name: level, type: string, enum: [low, "1", "yes"], renamed_from: rank }
  - { name: day, type: date, format: dd.MM.yyyy, min: 01.02.2020 }
  - { name: at, type: timestamp, default_timezone: "+01:00" }
  - { name: local, type: timestamp, timezone: false }
  - { name: clock, type: time, pattern: "^1" }
  - { name: flag, type: boolean }
  - { name: tags, type: array, items: string, max_items: 3 }
  - name: address
    type: object
    fields:
      - { name: city, type: string, required: true }
      - { name: lines, type: array, items: { type: object, fields: [{ name: text, type: string }, { name: cost, type: "decimal(5,1)" }] } }
  - { name: customer_id, type: string, references: customers.customers.customer_id }
quality:
  - no_nulls: [small]
    severity: warning
  - unique: [small, name]
  - range: { field: ratio, min: 0, max: 1, exclusive_max: true }
  - enum: { field: level, values: [low] }
    severity: info
  - regex: { field: name, pattern: "^a" }
    id: starts_with_a
  - length: { field: name, max: 4 }
  - multiple_of: { field: price, factor: 0.05 }
  - format: { field: name, format: email }
  - row_count: { min: 1, max: 1000 }
    scope: batch
  - references: { fields: [id, part], to: sales.parts, to_fields: [a, b] }
  - null_values: { field: ratio, must_be_less_than: 5, unit: percent }
    dimension: completeness
  - missing_values: { field: name, values: [null, "", N/A], must_be_between: [0, 3] }
  - invalid_values: { field: level, values: [low], pattern: "^l", must_be_less_or_equal_to: 2 }
  - duplicate_values: { fields: [level, flag], must_not_be: 7 }
  - duplicate_values: { field: flag, must_be_greater_than: 1 }
  - sql: { query: 'SELECT count(*) FROM {batch} WHERE "id" = ''x''', must: { must_be_greater_or_equal_to: 0 } }
    scope: batch
  - sql: SELECT * FROM {table} WHERE price < 0
    description: No row may come.
  - text: People are polite.
"#;

#[test]
fn a_contract_survives_its_export() {
    let (original, found) = read(EVERYTHING);
    assert!(found.iter().all(|d| d.severity == Severity::Info), "{found:#?}");
    let original = original.unwrap();
    let exported = to_odcs(&original);
    let (again, found) = read(&exported);
    assert!(found.iter().all(|d| d.severity == Severity::Info), "{found:#?}\n{exported}");
    let again = again.unwrap();
    let sorted = |contract: &Contract| {
        let mut rules: Vec<String> = contract.tables[0]
            .clauses
            .iter()
            .map(|c| format!("{:?} {:?} {:?} {:?} {:?}", c.rule, c.severity, c.scope, c.description, c.dimension))
            .collect();
        rules.sort();
        rules
    };
    assert_eq!(sorted(&again), sorted(&original), "{exported}");
    let bare = |contract: &Contract| {
        let mut fields = contract.tables[0].fields.clone();
        fields.iter_mut().for_each(|field| field.place = None);
        fields
    };
    assert_eq!(bare(&again), bare(&original), "{exported}");
    assert_eq!(again.digest, original.digest, "{exported}");
    assert_eq!(compare(&original, &again), []);
    assert_eq!(export(&original), exported);
    assert_eq!(export(&again), exported);
}

#[test]
fn a_contract_survives_json() {
    for text in [EVERYTHING, MARKETING_LEADS, MARKETING_LEADS_ODCS] {
        let contract = read(text).0.unwrap();
        let json = serde_json::to_string(&contract).unwrap();
        assert_eq!(serde_json::from_str::<Contract>(&json).unwrap(), contract);
    }
}

#[test]
fn the_digest_is_of_what_is_said() {
    let digest = |from: &str, to: &str| read(&EVERYTHING.replace(from, to)).0.unwrap().digest;
    let original = digest("", "");
    assert_eq!(original.len(), 64);
    for (from, to) in [
        ("id: every-thing", "id: other"),
        ("owner: team a", "owner: team a # comment"),
        ("version: 1.0.0\n", "version: 1.0.0\n\n"),
    ] {
        assert_eq!(digest(from, to), original, "{to}");
    }
    for (from, to) in [
        ("owner: team a", "owner: team b"),
        ("max: 1000", "max: 1001"),
        ("0.01", "0.02"),
        ("must_not_be: 7", "must_not_be: 8"),
    ] {
        assert_ne!(digest(from, to), original, "{to}");
    }
}

#[test]
fn large_numbers_tell_contracts_apart() {
    let digest = |max: &str| {
        contract(&format!("schema: t\nversion: 1.0.0\nfields:\n  - {{name: a, type: integer, max: {max}}}\n")).digest
    };
    assert_ne!(digest("9007199254740992"), digest("9007199254740993"));
    assert_ne!(digest("9223372036854775807"), digest("9223372036854775806"));
}

#[test]
fn native_types() {
    for (declared, expected) in [
        ("integer", "bigint"),
        ("integer, format: i8", "tinyint"),
        ("integer, format: u8", "smallint"),
        ("integer, format: u16", "int"),
        ("integer, format: u32", "bigint"),
        ("integer, format: u64", "decimal(20,0)"),
        ("number", "double"),
        ("number, format: f32", "real"),
        ("number, precision: 9, scale: 2", "decimal(9,2)"),
        ("number, physical_type: 'NUMERIC(7, 3)'", "decimal(7,3)"),
        ("'decimal(38,10)'", "decimal(38,10)"),
        ("string", "text"),
        ("string, format: binary", "binary"),
        ("time", "text"),
        ("date", "date"),
        ("date, format: yyyy-MM-dd HH:mm", "timestamp"),
        ("timestamp", "timestamp with time zone"),
        ("timestamp, timezone: false", "timestamp"),
        ("array, items: integer", "list of bigint"),
        ("array, items: { type: object, fields: [{ name: a, type: boolean }] }", "list of struct(a boolean)"),
    ] {
        let contract = contract(&format!("schema: t\nversion: 1.0.0\nfields:\n  - {{ name: a, type: {declared} }}\n"));
        assert_eq!(contract.tables[0].fields[0].native.to_string(), expected, "{declared}");
    }
}

#[test]
fn one_field_is_wrong() {
    for (field, expected) in [
        (
            "name: a b, type: string",
            "MW0205 the column name `a b` holds ` `, which a table cannot store / Call it `a_b`, and keep this one as its physical name.",
        ),
        ("type: string", "MW0112 the field has no `name` / Add `name: …`."),
        ("name: a", "MW0207 the column `a` has no type / Add one, such as `string` or `integer`."),
        ("name: a, type: strin", "MW0114 `strin` is not a type / Did you mean `string`?"),
        ("name: a, type: varchar", "MW0114 `varchar` is not a type / Write `string`."),
        ("name: a, type: string, requred: true", "MW0113 the field has no key `requred` / Did you mean `required`?"),
        (
            "name: a, type: string, required: yes",
            "MW0111 `required` must be true or false, not a text / Write `true` or `false`.",
        ),
        (
            "name: a, type: string, pattern: '('",
            "MW0211 `(` is not a regular expression: unclosed group / See https://docs.rs/regex for the syntax; in YAML a pattern stands best in single quotes.",
        ),
        (
            "name: a, type: string, pattern: '(?=x)'",
            "MW0211 `(?=x)` is not a regular expression: look-around, including look-ahead and look-behind, is not supported / Regular expressions here have neither look-around nor backreferences, so that they always end in time.",
        ),
        ("name: a, type: integer, min: 5, max: 1", "MW0215 the minimum 5 is above the maximum 1"),
        (
            "name: a, type: integer, exclusive_min: 5, max: 5",
            "MW0215 no value is between 5 and 5, as they are excluded",
        ),
        ("name: a, type: integer, enum: [1, two]", "MW0212 `two` cannot be a value of `a`: it is of another type"),
        ("name: a, type: string, enum: [1]", "MW0212 `1` cannot be a value of `a`: it is not a text: put it in quotes"),
        ("name: a, type: string, enum: [x, x]", "MW0216 `x` stands twice in the enum of `a`"),
        ("name: a, type: string, enum: []", "MW0216 the enum of `a` has no values, so nothing could ever pass"),
        (
            "name: a, type: integer, format: i8, enum: [300]",
            "MW0212 `300` cannot be a value of `a`: it does not fit into tinyint",
        ),
        (
            "name: a, type: string, enum: [red], examples: [rde]",
            "MW0214 the example of `a` is against the contract itself: it is not in the enum. Did you mean `red`?",
        ),
        (
            "name: a, type: integer, max: 5, examples: [7]",
            "MW0214 the example of `a` is against the contract itself: it is above the maximum",
        ),
        (
            "name: a, type: integer, examples: [x]",
            "MW0214 the example does not fit the column `a`: it is of another type",
        ),
        (
            "name: a, type: date, min: tomorrow",
            "MW0212 `tomorrow` cannot bound `a`: it is not a date such as 2026-01-31",
        ),
        (
            "name: a, type: date, format: qqq",
            "MW0221 `qqq` is not a date pattern: `qqq` is not read here / Write it as `yyyy-MM-dd HH:mm:ss`, or in strftime as `%Y-%m-%d`.",
        ),
        (
            "name: a, type: string, format: emali",
            "MW0222 `emali` is not a text format that can be checked / Did you mean `email`?",
        ),
        (
            "name: a, type: integer, format: i128",
            "MW0222 `i128` is wider than any type that is stored / Use `number` with the physical type `decimal(38,0)`, or a string.",
        ),
        (
            "name: a, type: number, precision: 40",
            "MW0223 decimal(40,0) does not exist: the precision is 1 to 38, the scale at most as much",
        ),
        (
            "name: a, type: timestamp, default_timezone: Europe/Berlin",
            "MW0224 the zone `Europe/Berlin` is neither UTC nor a fixed offset / Write `UTC` or an offset such as `+01:00`; convert times of a zone with summer time in the SQL.",
        ),
        (
            "name: a, type: date, physical_type: INT",
            "MW0225 the physical type `INT` cannot be the logical type date / Its logical type would be `integer`.",
        ),
        ("name: a, type: boolean, min: 1", "MW0220 `minimum` means nothing for the type boolean"),
        (
            "name: a, type: string, references: customers",
            "MW0226 `customers` names no column of a table / Write `output.column` or `domain.output.column`.",
        ),
        (
            "name: a, type: string, classification: '!'",
            "MW0115 `!` cannot be the name of a classification / Name one of governance/classifications.yaml.",
        ),
        ("name: a, type: integer, multiple_of: 0", "MW0215 the factor of a multiple must be above 0"),
        (
            "name: a, type: integer, primary_key: 2",
            "MW0217 `a` stands at position 2 of a key of 1 / Positions go from 1 without gaps.",
        ),
    ] {
        let found = problems(&format!("schema: t\nversion: 1.0.0\nfields:\n  - {{ {field} }}\n"));
        let first = found.first().map(|first| {
            first.split(' ').enumerate().filter(|(at, _)| *at != 1).map(|(_, word)| word).collect::<Vec<_>>().join(" ")
        });
        assert_eq!(first.as_deref(), Some(expected), "{field}: {found:#?}");
    }
}

#[test]
fn one_clause_is_wrong() {
    let base = "schema: t\nversion: 1.0.0\nfields:\n  - {name: a, type: integer}\n  - {name: s, type: string}\n  - {name: l, type: array, items: string}\nquality:\n";
    for (clause, expected) in [
        ("no_nulls: [b]", "MW0210 8:5 there is no column `b` / Known here: `a`, `s`, `l`."),
        ("unique: []", "MW0210 8:5 the clause names no column / Name one with `field: …` or `fields: […]`."),
        ("unique: [a, a]", "MW0218 8:5 `a` stands twice in one key"),
        ("unique: [l]", "MW0218 8:5 `l` is array and cannot be part of a key"),
        ("range: {field: s, min: 1}", "MW0218 8:5 a range means nothing for `s`, which is string"),
        ("range: {field: a}", "MW0230 8:5 the range has no bound / Add `min`, `max` or both."),
        ("range: {field: a, min: x}", "MW0212 8:5 `x` cannot bound `a`: it is of another type"),
        ("length: {field: a, max: 1}", "MW0218 8:5 a length means nothing for `a`, which is integer"),
        ("length: {field: s, min: 3, max: 1}", "MW0215 8:5 the length has a minimum of 3 above its maximum of 1"),
        ("pattern: {field: a, pattern: x}", "MW0218 8:5 a pattern means nothing for `a`, which is integer"),
        (
            "format: {field: s, format: iban}",
            "MW0222 8:5 `iban` is not a text format that can be checked / Known here: `email`, `uuid`, `uri`, `hostname`, `ipv4`, `ipv6`, `byte`.",
        ),
        ("row_count: {min: 5, max: 1}", "MW0215 8:22 the row count has a minimum of 5 above its maximum of 1"),
        ("row_count: {}", "MW0230 8:16 the row count has no bound / Add `min`, `max` or both."),
        ("row_count: {must_be_less_than: 0}", "MW0233 8:36 no count of rows can ever be less than 0"),
        (
            "null_values: {field: a, unit: percent, must_be: 120}",
            "MW0232 8:53 120 is not a percentage: it must be from 0 to 100",
        ),
        (
            "null_values: {field: a, must_be_greater_than: 5, must_be_less_than: 3}",
            "MW0233 8:51 no count of rows can ever be more than 5 and less than 3",
        ),
        (
            "null_values: {field: a, must_be_between: [5, 3]}",
            "MW0231 8:46 `must_be_between` goes from 5 down to 3 / The smaller number stands first.",
        ),
        (
            "sql: {query: SELECT 1, must: soon}",
            "MW0231 8:34 `must` is neither a number nor an operator / Write `must: 0` or `must: { must_be_less_than: 5 }`.",
        ),
        ("sql: ' '", "MW0230 8:5 the SQL clause has no query"),
        (
            "severity: error",
            "MW0230 8:5 the clause says nothing to check / Say what must hold, such as `no_nulls: [id]`.",
        ),
        (
            "no_nulls: [a]\n    unique: [a]",
            "MW0230 9:5 one clause says both `no_nulls` and `unique` / Give each an entry of its own.",
        ),
        ("no_nuls: [a]", "MW0113 8:5 the quality clause has no key `no_nuls` / Did you mean `no_nulls`?"),
        (
            "references: {field: a, to: a.b.c.d}",
            "MW0226 8:32 `a.b.c.d` names no table / Write `output.column` or `domain.output.column`.",
        ),
        (
            "no_nulls: [a]\n    severity: deadly",
            "MW0234 9:15 the severity `deadly` is not known; it counts as `error` / Write `error`, `warning` or `info`.",
        ),
        ("text: Be nice.", "MW0238 8:5 this clause is not evaluated: it is said in words"),
        ("freshness: soon", "MW0228 8:16 `soon` is not a duration / Write it as `15 minutes`, `2 days` or `PT15M`."),
        ("freshness: {field: a, max: 1 day}", "MW0227 8:24 `a` is integer; an SLA in time needs a date or a timestamp"),
        (
            "freshness: {field: b, max: 1 day}",
            "MW0227 8:24 the SLA stands on `b`, which is not a column / Known here: `a`, `s`, `l`.",
        ),
    ] {
        let found = problems(&format!("{base}  - {clause}\n"));
        assert_eq!(found.first().map(String::as_str), Some(expected), "{clause}: {found:#?}");
    }
}

#[test]
fn everything_wrong_comes_at_once() {
    let found = problems(
        "schema: t\nversion: '1.0'\nfields:\n  - {name: a, type: int}\n  - {name: A, type: string, max: -1}\nquality:\n  - no_nulls: [c]\nqualty: []\n",
    );
    let codes: Vec<&str> = found.iter().map(|f| &f[..6]).collect();
    for code in ["MW0113", "MW0114", "MW0116", "MW0204", "MW0210"] {
        assert!(codes.contains(&code), "{code}: {found:#?}");
    }
    assert_eq!(problems("[]"), ["MW0200 1:1 a contract is a map of keys and values, not a list"]);
    assert_eq!(problems("a: 1").len(), 1);
}

/// An ODCS file around a property's keys.
fn odcs(version: &str, property: &str) -> String {
    format!(
        "apiVersion: {version}\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: active\nschema:\n  - name: t\n    properties:\n      - name: a\n{}",
        property.lines().map(|line| format!("        {line}\n")).collect::<String>()
    )
}

#[test]
fn odcs_by_edition() {
    for (version, property, expected) in [
        (
            "v3.0.2",
            "logicalType: timestamp",
            "MW0206 10:22 the type `timestamp` came with ODCS 3.1; this contract says 3.0 / Raise `apiVersion` to `v3.1.0`.",
        ),
        (
            "v3.1.0",
            "logicalType: string\nenum: [{value: x}]",
            "MW0206 11:9 `enum` came with ODCS 3.2; this contract says 3.1 / Raise `apiVersion` to `v3.2.0`.",
        ),
        (
            "v2.2.2",
            "logicalType: string",
            "MW0201 1:13 `v2.2.2` is not an edition of ODCS that is read here / Editions v3.0.0 to v3.2.0 are read.",
        ),
        (
            "v3.1.0",
            "logicalTyp: string",
            "MW0113 10:9 the property has no key `logicalTyp` / Did you mean `logicalType`?",
        ),
        (
            "v3.1.0",
            "logicalType: strng",
            "MW0114 10:22 `strng` is not a value of `logicalType` / Did you mean `string`?",
        ),
        (
            "v3.1.0",
            "logicalType: string\nlogicalTypeOptions: {minimum: 1}",
            "MW0220 11:39 `minimum` means nothing for the type string",
        ),
        (
            "v3.1.0",
            "logicalType: string\nquality: [{metric: nulValues, mustBe: 0}]",
            "MW0235 11:28 `nulValues` is not a metric / Did you mean `nullValues`?",
        ),
        (
            "v3.1.0",
            "logicalType: string\nquality: [{metric: nullValues}]",
            "MW0231 11:28 the check has no operator / Add one, such as `mustBe: 0` or `mustBeGreaterThan: 100`.",
        ),
        (
            "v3.1.0",
            "logicalType: string\nquality: [{metric: invalidValues, mustBe: 0}]",
            "MW0236 11:28 invalidValues does not say which values are valid / Add `arguments: { validValues: [a, b] }` or `arguments: { pattern: '^…$' }`.",
        ),
        (
            "v3.1.0",
            "logicalType: string\nquality: [{metric: rowCount, mustBe: 0}]",
            "MW0235 11:28 rowCount counts a table, but stands at a property / Move it to the `quality` of the schema object.",
        ),
        (
            "v3.0.0",
            "logicalType: string\nquality: [{rule: weirdRule, mustBe: 0}]",
            "MW0235 11:26 the rule `weirdRule` is not known; it is not evaluated / The metrics of ODCS 3.1 are nullValues, missingValues, invalidValues, duplicateValues, rowCount.",
        ),
        (
            "v3.2.0",
            "logicalType: map\nmap: {}",
            "MW0229 10:22 maps are not stored yet / Use an object with named properties, or an array of objects with a key and a value.",
        ),
        (
            "v3.1.0",
            "logicalType: string\nprimaryKeyPosition: 1",
            "MW0217 11:29 `a` has a place in the primary key, but is not part of it / Add `primaryKey: true`, or remove the position.",
        ),
        (
            "v3.1.0",
            "logicalType: string\nquality: [{type: custom, engine: soda, implementation: x}]",
            "MW0238 11:19 this clause is not evaluated: the engine soda does not run here",
        ),
    ] {
        let found = problems(&odcs(version, property));
        assert_eq!(found.first().map(String::as_str), Some(expected), "{found:#?}");
    }
}

#[test]
fn odcs_metrics_and_options() {
    let rule = |version: &str, property: &str| {
        let (contract, found) = read(&odcs(version, property));
        assert!(found.is_empty(), "{property}: {found:#?}");
        contract.unwrap().tables[0].clauses.last().unwrap().rule.clone()
    };
    let a = || "a".to_owned();
    let literal = |n| Some(Literal::Integer(n));
    assert_eq!(
        rule("v3.0.2", "logicalType: integer\nlogicalTypeOptions: {minimum: 1, exclusiveMinimum: true}"),
        Rule::Range { column: a(), min: literal(1), max: None, exclusive_min: true, exclusive_max: false }
    );
    assert_eq!(
        rule("v3.1.0", "logicalType: integer\nlogicalTypeOptions: {exclusiveMaximum: 9}"),
        Rule::Range { column: a(), min: None, max: literal(9), exclusive_min: false, exclusive_max: true }
    );
    assert_eq!(
        rule("v3.0.2", "logicalType: string\nquality: [{type: library, rule: duplicateCount}]"),
        Rule::Unique { columns: vec![a()] }
    );
    assert_eq!(
        rule("v3.1.0", "logicalType: string\nquality: [{metric: nullValues, mustBeLessThan: 1, unit: percent}]"),
        Rule::Metric {
            metric: Metric::NullValues { column: a() },
            unit: Unit::Percent,
            must: Threshold::MustBeLessThan(1.0)
        }
    );
    assert_eq!(
        rule(
            "v3.1.0",
            "logicalType: string\nquality: [{metric: missingValues, mustBe: 0, arguments: {missingValues: [null, '']}}]"
        ),
        Rule::Metric {
            metric: Metric::MissingValues { column: a(), missing: vec![None, Some(Literal::Text(String::new()))] },
            unit: Unit::Rows,
            must: Threshold::MustBe(0.0)
        }
    );
    assert_eq!(
        rule(
            "v3.1.0",
            "logicalType: string\nquality: [{type: sql, query: 'SELECT count(*) FROM {object} WHERE {property} IS NULL', mustBe: 0}]"
        ),
        Rule::Sql {
            query: "SELECT count(*) FROM {table} WHERE \"a\" IS NULL".to_owned(),
            must: Some(Threshold::MustBe(0.0))
        }
    );
    assert_eq!(
        rule("v3.2.0", "logicalType: vector\nlogicalTypeOptions: {dimensions: 3}"),
        Rule::Length { column: a(), min: Some(3), max: Some(3) }
    );
    assert_eq!(
        rule("v3.1.0", "logicalType: string\nrelationships: [{to: customers.customers.id}]"),
        Rule::References {
            columns: vec![a()],
            to: "customers.customers".to_owned(),
            to_columns: vec!["id".to_owned()]
        }
    );
    let scoped = read(&odcs("v3.1.0", "logicalType: string\nquality:\n  - {name: n, metric: nullValues, mustBeLessThan: 9, severity: warn, customProperties: [{property: scope, value: batch}]}")).0.unwrap();
    let clause = scoped.tables[0].clauses.last().unwrap();
    assert_eq!((clause.id.as_str(), clause.severity, clause.scope), ("a.quality.n", Severity::Warning, Scope::Batch));
}

#[test]
fn a_date_of_odcs_3_0_may_be_a_timestamp_by_the_type_of_its_source() {
    for (physical, expected) in
        [("timestamp", "timestamp"), ("timestamptz", "timestamp with time zone"), ("time", "text"), ("date", "date")]
    {
        let property = format!("logicalType: date\nphysicalType: {physical}");
        assert_eq!(contract(&odcs("v3.0.0", &property)).tables[0].fields[0].native.to_string(), expected);
        assert_eq!(contract(&odcs("v3.2.0", "logicalType: date")).tables[0].fields[0].native.to_string(), "date");
    }
}

#[test]
fn what_odcs_describes_without_storing() {
    let open = odcs("v3.1.0", "logicalType: object\nphysicalType: json\nlogicalTypeOptions: {maxProperties: 5}");
    assert_eq!(read(&open).0.unwrap().tables[0].fields[0].native.to_string(), "text");
    assert_eq!(
        problems(&open),
        ["MW0238 12:30 this clause is not evaluated: which properties an object has is not evaluated yet"]
    );
    let measure =
        odcs("v3.2.0", "logicalType: string") + "      - {name: m, logicalType: number, semanticType: measure}\n";
    assert_eq!(read(&measure).0.unwrap().tables[0].fields.len(), 1);
    assert_eq!(problems(&measure), ["MW0239 11:9 a measure is computed by readers and is not a column of the table"]);
}

#[test]
fn an_sla_may_name_the_column_of_the_source() {
    let text = odcs("v3.0.2", "logicalType: date\nphysicalName: txn_dt")
        + "slaDefaultElement: t.txn_dt\nslaProperties:\n  - {property: latency, value: 4, unit: d}\n  - {property: endOfLife, value: \"2042-05-12\"}\n";
    let sla: Vec<_> = contract(&text).sla.into_iter().map(|sla| (sla.element, sla.value)).collect();
    assert_eq!(sla, [(Some("a".to_owned()), 345_600.0), (None, 0.0)]);
}

#[test]
fn a_date_of_odcs_3_0_may_be_a_timestamp() {
    for (format, expected) in [
        ("yyyy-MM-dd", "date"),
        ("yyyy-MM-dd HH:mm:ss", "timestamp"),
        ("yyyy-MM-dd HH:mm:ssXXX", "timestamp with time zone"),
        ("HH:mm:ss", "text"),
    ] {
        let contract =
            contract(&odcs("v3.0.2", &format!("logicalType: date\nlogicalTypeOptions: {{format: '{format}'}}")));
        assert_eq!(contract.tables[0].fields[0].native.to_string(), expected, "{format}");
    }
}

#[test]
fn references_inside_a_domain_are_written_out() {
    let text = "schema: t\nversion: 1.0.0\nfields:\n  - {name: a, type: string, references: other.id}\n  - {name: b, type: string, references: sales.orders.id}\n";
    let domain = Name::new("shop").unwrap();
    let contract = contract(text).in_domain(&domain);
    let to: Vec<&str> = contract.tables[0]
        .clauses
        .iter()
        .filter_map(|c| match &c.rule {
            Rule::References { to, .. } => Some(to.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(to, ["shop.other", "sales.orders"]);
}

#[test]
fn the_schema_names_what_is_read() {
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap();
    for (object, key) in [
        ("short-contract", "schema"),
        ("short-field", "enum"),
        ("odcs-contract", "apiVersion"),
        ("odcs-property", "logicalTypeOptions"),
        ("odcs-quality-check", "mustBe"),
    ] {
        assert!(definitions[object]["properties"].get(key).is_some(), "{object}.{key}");
    }
    assert_eq!(definitions["short-field"]["additionalProperties"], serde_json::json!(false));
    let text = schema.to_string();
    for reference in text.split("#/$defs/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(definitions.get(reference).is_some_and(|found| !found.is_null()), "{reference}");
    }
}

#[test]
fn a_contract_of_a_thousand_columns_is_read_whole() {
    let values: Vec<String> = (0..20_000).map(|n| n.to_string()).collect();
    let fields: String = (0..1_000)
        .map(|n| format!("  - {{name: c{n}, type: string, primary_key: true, renamed_from: x{n}, examples: [a]}}\n"))
        .collect();
    let clauses: String = (0..1_000).map(|n| format!("  - {{no_nulls: [q{n}], id: same}}\n")).collect();
    let text = format!(
        "schema: t\nversion: 1.0.0\nfields:\n  - {{name: e, type: integer, enum: [{}]}}\n{fields}quality:\n{clauses}",
        values.join(", ")
    );
    let node = yaml::parse("c.yaml", &text).unwrap();
    let (contract, found) = parse("c.yaml", &text, &node);
    assert_eq!((contract.unwrap().tables[0].fields.len(), found.len()), (1_001, 1_000));
}
