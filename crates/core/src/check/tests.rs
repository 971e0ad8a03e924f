use super::*;
use crate::product::{Archetype, Input, Mode, Status};

/// Three domains: orders and customers come from sources, revenue is made of both.
const ACME: &[(&str, &str)] = &[
    ("mesh.yaml", "name: acme\nstorage: data\n"),
    (
        "governance/classifications.yaml",
        "pii:\n  mask: hmac-sha-256\n  by_type: { date: truncate-to-year }\nhealth:\n  parent: pii\n",
    ),
    ("governance/access/base.cedar", "// nothing\n"),
    (
        "domains/sales/domain.yaml",
        "\
domain: sales
owner: sales_team
members: [ana, ben]
connections:
  shop:
    type: postgres
    host: localhost
    database: shop
    user: reader
    password: ${secret:shop}
",
    ),
    (
        "domains/sales/orders/product.yaml",
        "\
product: orders
version: 1.2.0
status: active
inputs:
  shop: { source: { type: postgres, connection: shop, table: public.orders } }
outputs:
  orders:
    contract: orders.contract.yaml
    sql: orders.sql
    key: [order_id]
    row_filters:
      - name: eu_only
        where:
          - { column: region, op: in, values: [EU, UK] }
          - { column: placed_on, op: gt_eq, value: '2020-01-01' }
        except: [sales_team]
",
    ),
    ("domains/sales/orders/orders.sql", "SELECT * FROM shop\n"),
    (
        "domains/sales/orders/orders.contract.yaml",
        "\
schema: orders
version: 1.2.0
fields:
  - { name: order_id, type: integer, required: true }
  - { name: customer_id, type: integer, references: customers.customers.customer_id }
  - { name: region, type: string }
  - { name: placed_on, type: date }
  - { name: amount, type: 'decimal(10,2)' }
",
    ),
    ("domains/customers/domain.yaml", "domain: customers\nowner: crm_team\n"),
    (
        "domains/customers/customers/product.yaml",
        "\
product: customers
version: 2.0.0
status: active
inputs:
  file: { source: { type: csv, path: data/*.csv, options: { delimiter: ';' } } }
outputs:
  customers:
    versions:
      1: { contract: v1.contract.yaml, sunset: '2027-01-31' }
      2: { contract: v2.contract.yaml }
",
    ),
    (
        "domains/customers/customers/v1.contract.yaml",
        "\
schema: customers
version: 1.0.0
fields:
  - { name: customer_id, type: integer, required: true }
  - { name: email, type: string, classification: pii }
",
    ),
    (
        "domains/customers/customers/v2.contract.yaml",
        "\
schema: customers
version: 2.0.0
fields:
  - { name: customer_id, type: integer, required: true }
  - { name: email, type: string, classification: pii }
  - { name: born_on, type: date, classification: pii }
",
    ),
    ("domains/finance/domain.yaml", "domain: finance\nowner: finance_team\n"),
    (
        "domains/finance/revenue/product.yaml",
        "\
product: revenue
version: 1.0.0
inputs:
  orders: { product: sales.orders, version: 1, purpose: reporting }
  people: { product: customers.customers, output: customers, version: 2 }
outputs:
  revenue: { contract: revenue.contract.yaml, sql: revenue.sql }
",
    ),
    (
        "domains/finance/revenue/revenue.sql",
        "SELECT o.amount AS amount FROM orders o JOIN \"people\" p ON p.customer_id = o.customer_id\n",
    ),
    (
        "domains/finance/revenue/revenue.contract.yaml",
        "schema: revenue\nversion: 1.0.0\nfields:\n  - { name: amount, type: 'decimal(10,2)' }\n",
    ),
];

fn acme() -> Files {
    ACME.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

/// A change of one file: a part of it replaced. An empty part stands for the whole file.
type Change<'c> = (&'c str, &'c str, &'c str);

/// What `check` finds after some changes, as `code path:line:column+length message / hints`.
fn found(changes: &[Change<'_>]) -> Vec<String> {
    let mut files = acme();
    for (path, old, new) in changes {
        let text = files.entry((*path).to_owned()).or_default();
        if old.is_empty() {
            *text = (*new).to_owned();
        } else {
            assert!(text.contains(old), "{path} does not hold {old}");
            *text = text.replacen(old, new, 1);
        }
    }
    files.retain(|_, text| text != "REMOVED");
    let checked = check(&files);
    let errors = checked.diagnostics.iter().any(|d| d.severity == Severity::Error);
    assert_eq!(checked.mesh.is_none(), errors, "the mesh is there exactly when there is no error");
    let shown = checked.diagnostics.into_iter().map(|d| {
        let severity = if d.severity == Severity::Error { "" } else { "~" };
        let hints: Vec<String> = d.hints.iter().map(|hint| format!(" / {hint}")).collect();
        format!("{severity}{} {}+{} {}{}", d.code, d.place, d.length, d.message, hints.concat())
    });
    shown.collect()
}

#[track_caller]
fn expect(changes: &[Change<'_>], expected: &[&str]) {
    let found = found(changes);
    assert_eq!(found, expected, "\n{}", found.join("\n"));
}

const ORDERS: &str = "domains/sales/orders/product.yaml";
const ORDERS_CONTRACT: &str = "domains/sales/orders/orders.contract.yaml";
const SALES: &str = "domains/sales/domain.yaml";
const CUSTOMERS: &str = "domains/customers/customers/product.yaml";
const CUSTOMERS_V2: &str = "domains/customers/customers/v2.contract.yaml";
const REVENUE: &str = "domains/finance/revenue/product.yaml";
const REVENUE_SQL: &str = "domains/finance/revenue/revenue.sql";
const REVENUE_CONTRACT: &str = "domains/finance/revenue/revenue.contract.yaml";
const CLASSIFICATIONS: &str = "governance/classifications.yaml";

#[test]
fn a_sound_mesh_passes_and_is_resolved() {
    expect(&[], &[]);
    let checked = check(&acme());
    assert_eq!(checked.counts, Counts { domains: 3, products: 3, outputs: 3, contracts: 4 });
    let mesh = checked.mesh.unwrap();
    assert_eq!((mesh.name.as_str(), mesh.storage.as_str(), mesh.policies.len()), ("acme", "data", 1));

    let sales = mesh.domain("sales").unwrap();
    assert_eq!((sales.owner.as_str(), sales.members.len(), sales.path.as_str()), ("sales_team", 2, "domains/sales"));
    let crate::mesh::Connection::Postgres(shop) = &sales.connections["shop"] else { panic!("{:?}", sales.connections) };
    assert_eq!(shop.password.as_deref(), Some("${secret:shop}"));
    let orders = &sales.products["orders"];
    assert_eq!((orders.status, orders.archetype), (Status::Active, Archetype::SourceAligned));
    let output = &orders.outputs["orders"];
    assert_eq!((output.mode, output.key.as_slice()), (Mode::Full, ["order_id".to_owned()].as_slice()));
    assert_eq!(output.row_filters[0].predicates[0].values.len(), 2);
    assert_eq!(output.place.as_ref().unwrap().to_string(), "domains/sales/orders/product.yaml:7:3");

    let (_, customers) = mesh.output("customers", "customers").unwrap();
    assert_eq!(customers.versions.keys().collect::<Vec<_>>(), [&1, &2]);
    assert_eq!(customers.versions[&1].sunset.unwrap().to_string(), "2027-01-31");
    assert_eq!(customers.versions[&2].sql.text, r#"SELECT "customer_id", "email", "born_on" FROM "file""#);

    let revenue = &mesh.domain("finance").unwrap().products["revenue"];
    assert_eq!((revenue.status, revenue.archetype), (Status::Draft, Archetype::Aggregate));
    let Input::Product(input) = &revenue.inputs["orders"] else { panic!("{:?}", revenue.inputs) };
    assert_eq!((input.output.as_str(), input.version, input.purpose.as_deref()), ("orders", 1, Some("reporting")));
    assert_eq!(checked.transformations.len(), 4);
    let last = checked.transformations.iter().find(|t| t.place.path == REVENUE_SQL).unwrap();
    assert_eq!(last.inputs["people"].as_ref().unwrap().len(), 3);
}

#[test]
fn the_resolved_mesh_survives_json() {
    let mesh = check(&acme()).mesh.unwrap();
    let json = serde_json::to_string(&mesh).unwrap();
    assert_eq!(serde_json::from_str::<Mesh>(&json).unwrap(), mesh);
}

#[test]
fn classifications_inherit() {
    let mesh = check(&acme()).mesh.unwrap();
    let health = mesh.classifications.iter().find(|c| c.name == "health").unwrap();
    assert_eq!(health.mask, crate::mask::Mask::HmacSha256);
    assert_eq!(health.mask_for(&ColumnType::Date), crate::mask::Mask::TruncateToYear);
    // Without any mask: hashed where that is possible, else hidden.
    let mut files = acme();
    files.insert(
        CLASSIFICATIONS.into(),
        "- name: pii\n- { name: secret, parent: pii, mask: replace-with-null }\n".into(),
    );
    let mesh = check(&files).mesh.unwrap();
    assert_eq!(mesh.classifications[0].mask_for(&ColumnType::Text), crate::mask::Mask::HmacSha256);
    assert_eq!(mesh.classifications[0].mask_for(&ColumnType::Date), crate::mask::Mask::ReplaceWithNull);
    assert_eq!(mesh.classifications[1].mask_for(&ColumnType::Text), crate::mask::Mask::ReplaceWithNull);
}

#[test]
fn all_errors_come_at_once_by_place() {
    expect(
        &[
            (ORDERS, "status: active", "status: actve"),
            (ORDERS, "key: [order_id]", "key: [ordr_id]"),
            (REVENUE, "purpose: reporting", "purpos: reporting"),
            ("mesh.yaml", "storage: data", "storage: data\nstorrage: x"),
        ],
        &[
            "MW0113 domains/finance/revenue/product.yaml:4:48+6 the input `orders` has no key `purpos` / Did you mean `purpose`?",
            "MW0114 domains/sales/orders/product.yaml:3:9+5 `actve` is not a value of `status` / Did you mean `active`?",
            "MW0147 domains/sales/orders/product.yaml:10:11+7 the contract of `orders` has no field `ordr_id` / Did you mean `order_id`?",
            "MW0113 mesh.yaml:3:1+8 the mesh has no key `storrage` / Did you mean `storage`?",
        ],
    );
}

#[test]
fn the_mesh_file() {
    expect(
        &[("mesh.yaml", "", "REMOVED")],
        &[
            "MW0120 mesh.yaml:1:1+0 there is no mesh.yaml: this folder is not a mesh / Run `meshwork init` to make one here, or name the mesh's folder by `-C DIR`.",
        ],
    );
    expect(
        &[("mesh.yaml", "storage: data", "storage: s3://bucket/x")],
        &[
            "MW0112 mesh.yaml:2:10+13 a storage on S3 says with which credentials it is written / Write `storage: { url: s3://bucket/prefix, access_key_id: ${secret:NAME}, secret_access_key: ${secret:NAME} }`.",
        ],
    );
    expect(
        &[("mesh.yaml", "storage: data", "storage: gs://bucket/x")],
        &[
            "MW0118 mesh.yaml:2:10+13 storage on `gs://` is not available in this version / Use a folder, or `s3://bucket/prefix`.",
        ],
    );
    expect(
        &[("mesh.yaml", "storage: data", "storage: ../data")],
        &["MW0122 mesh.yaml:2:10+7 the storage root `../data` leaves the mesh by `..`"],
    );
    expect(
        &[("mesh.yaml", "storage: data", "storage: ${HOME}/data")],
        &[
            "MW0131 mesh.yaml:2:10+12 `${…}` is not expanded here / Write the value itself. `${secret:name}` stands only as a connection's `password`.",
        ],
    );
}

#[test]
fn storage_roots_lie_apart() {
    expect(
        &[(SALES, "owner: sales_team", "owner: sales_team\nstorage: ./data/sales")],
        &[
            "MW0132 domains/sales/domain.yaml:3:10+12 the storage root `./data/sales` overlaps with `data` of the mesh / Give each its own folder, none inside another; or leave `storage` out to use the mesh's.",
        ],
    );
    expect(&[(SALES, "owner: sales_team", "owner: sales_team\nstorage: data2")], &[]);
    // Prefixes of one bucket, whatever the address is spelled like.
    let keys = "access_key_id: \"${secret:id}\", secret_access_key: \"${secret:key}\"";
    let of_mesh = format!("storage: {{ url: s3://lake/all, endpoint: https://minio, {keys} }}");
    let of_sales =
        |url: &str| format!("owner: sales_team\nstorage: {{ url: \"{url}\", endpoint: https://MINIO:443, {keys} }}");
    for (url, apart) in [
        ("s3://lake/all", false),
        ("s3://lake//all/sales/", false),
        ("s3://lake", false),
        ("s3://lake/alles", true),
        ("s3://lake/sales", true),
        ("s3://other/all", true),
    ] {
        let found = codes(&[("mesh.yaml", "storage: data", &of_mesh), (SALES, "owner: sales_team", &of_sales(url))]);
        assert_eq!(found, if apart { vec![] } else { vec!["MW0132"] }, "{url}");
    }
}

#[test]
fn a_storage_on_s3() {
    let of = |storage: &str| codes(&[("mesh.yaml", "storage: data", &format!("storage: {storage}"))]);
    let keys = "access_key_id: \"${secret:id}\", secret_access_key: \"${secret:key}\"";
    assert_eq!(of(&format!("{{ url: s3://lake, {keys} }}")), [""; 0]);
    assert_eq!(of("{ url: s3://lake }"), ["MW0112"], "without credentials");
    assert_eq!(of("{ url: s3://lake, access_key_id: AKIA, secret_access_key: hunter2 }"), ["MW0130", "MW0130"]);
    for url in ["s3://l", "s3://lake/../x", "s3://lake/a b", "https://lake", "s3://", "lake"] {
        assert_eq!(of(&format!("{{ url: \"{url}\", {keys} }}")), ["MW0123"], "{url}");
    }
    assert_eq!(of(&format!("{{ url: s3://lake, connection: lake, {keys} }}")), ["MW0113"]);
    let listed = |egress: &str| {
        let storage =
            format!("storage: {{ url: s3://lake, endpoint: http://127.0.0.1:9000, {keys} }}\negress: {egress}");
        codes(&[("mesh.yaml", "storage: data", &storage)])
    };
    assert_eq!(listed("[\"127.0.0.1:9000\", localhost]"), [""; 0]);
    assert_eq!(listed("[\"127.0.0.1:9001\", localhost]"), ["MW0165"]);
}

#[test]
fn secrets_are_references() {
    for password in ["hunter2", "'12345'", "12345", "${env:PW}", "${secret:Shop}", "x${secret:shop}"] {
        let found = found(&[(SALES, "${secret:shop}", password)]);
        assert_eq!(found.len(), 1, "{password}: {found:?}");
        assert!(found[0].starts_with("MW0130 domains/sales/domain.yaml:10:15"), "{found:?}");
        assert!(!found[0].contains("hunter2") && !found[0].contains("12345"), "{found:?}");
    }
    expect(
        &[(SALES, "host: localhost", "host: reader:pw@localhost")],
        &[
            "MW0123 domains/sales/domain.yaml:7:5+4 `host` must be a host name or an address alone / Write host, port, database and user each under its own key, and the password as `${secret:name}`.",
        ],
    );
    expect(
        &[(SALES, "user: reader", "user: ${env:USER}")],
        &[
            "MW0131 domains/sales/domain.yaml:9:11+11 `${…}` is not expanded here / Write the value itself. `${secret:name}` stands only as a connection's `password`.",
        ],
    );
}

#[test]
fn connections() {
    expect(
        &[(ORDERS, "connection: shop", "connection: shp")],
        &[
            "MW0141 domains/sales/orders/product.yaml:5:49+3 the domain `sales` has no connection `shp` / Did you mean `shop`? / Connections stand in domains/sales/domain.yaml.",
        ],
    );
    expect(
        &[(SALES, "type: postgres", "type: mysql"), (SALES, "user: reader", "port: 70000\n    user: reader")],
        &[
            "MW0117 domains/sales/domain.yaml:9:11+5 `port` must be between 1 and 65535",
            "MW0164 domains/sales/orders/product.yaml:5:49+4 the connection `shop` is of type `mysql`; this source needs `postgres` / Name another connection.",
        ],
    );
    expect(
        &[(ORDERS, ", table: public.orders", "")],
        &["MW0112 domains/sales/orders/product.yaml:5:11+6 a postgres source has either a `table` or a `query`"],
    );
}

fn codes(changes: &[Change<'_>]) -> Vec<String> {
    found(changes).iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn sources_on_other_machines() {
    let of = |source: &str| codes(&[(CUSTOMERS, "type: csv, path: data/*.csv", source)]);
    let none: [&str; 0] = [];
    assert_eq!(of("type: csv, path: \"https://example.com/a.csv\""), none);
    assert_eq!(of("type: csv, path: \"s3://lake/a/*.csv\""), ["MW0164"], "without a connection");
    assert_eq!(of("type: csv, path: data/*.csv, connection: lake"), ["MW0164"], "a connection without need");
    for address in ["https://user:secret@example.com/a", "https://example.com", "s3://lake/../a", "https:///a"] {
        assert!(of(&format!("type: csv, path: {address:?}")).contains(&"MW0122".to_owned()), "{address}");
    }
    assert_eq!(of("type: csv, path: \"ftp://example.com/a.csv\""), ["MW0118"]);
    let egress = |list: &str| codes(&[("mesh.yaml", "storage: data", &format!("storage: data\negress: {list}"))]);
    assert_eq!(egress("[\"*.example.com\"]"), ["MW0165"], "the database of `sales`");
    assert_eq!(egress("[\"https://x/\"]"), ["MW0165", "MW0163"]);
    let encoding = |label: &str| codes(&[(CUSTOMERS, "delimiter: ';'", &format!("delimiter: ';', encoding: {label}"))]);
    assert_eq!(encoding("windows-1252"), none);
    assert_eq!(encoding("windows-9999"), ["MW0161"]);
    let options = "delimiter: ';'";
    assert_eq!(codes(&[(CUSTOMERS, options, "delimiter: ';', comment: ';'")]), ["MW0123"]);
    assert_eq!(codes(&[(CUSTOMERS, "type: csv", "type: json"), (CUSTOMERS, options, "records: a.b")]), ["MW0162"]);
    assert_eq!(codes(&[(CUSTOMERS, "type: csv", "type: json"), (CUSTOMERS, options, "records: $.a")]), none);
}

#[test]
fn sources() {
    expect(
        &[(CUSTOMERS, "type: csv", "type: kafka")],
        &[
            "MW0118 domains/customers/customers/product.yaml:5:27+5 sources of type `kafka` are not available in this version / Available: `csv`, `json`, `parquet`, `avro`, `sqlite`, `delta`, `postgres`, `mysql`.",
        ],
    );
    expect(
        &[(CUSTOMERS, "data/*.csv", "../../../etc/passwd")],
        &[
            "MW0122 domains/customers/customers/product.yaml:5:38+19 the path `../../../etc/passwd` leaves the folder by `..` / Paths are relative to the folder and stay inside it.",
        ],
    );
    expect(
        &[(CUSTOMERS, "delimiter: ';'", "delimiter: ';;'")],
        &[
            "MW0123 domains/customers/customers/product.yaml:5:72+4 `delimiter` must be one ASCII character / A tab is written \"\\t\".",
        ],
    );
    expect(
        &[(CUSTOMERS, "delimiter: ';'", "delimeter: ';'")],
        &[
            "MW0113 domains/customers/customers/product.yaml:5:61+9 `options` of `source` of the input `file` has no key `delimeter` / Did you mean `delimiter`?",
        ],
    );
}

#[test]
fn inputs_of_another_shape() {
    expect(
        &[
            (
                CUSTOMERS,
                "",
                "product: customers\nversion: 2.0.0\nstatus: active\ninputs: [a]\noutputs: { customers: { contract: v2.contract.yaml } }\n",
            ),
            ("domains/customers/customers/v1.contract.yaml", "", "REMOVED"),
        ],
        &["MW0111 domains/customers/customers/product.yaml:4:9+1 `inputs` must be a map of names, not a list"],
    );
}

#[test]
fn dangling_inputs() {
    for (reference, expected) in [
        (
            "product: sale.orders",
            "MW0140 domains/finance/revenue/product.yaml:4:22+11 there is no domain `sale` / Did you mean `sales`?",
        ),
        (
            "product: sales.order",
            "MW0140 domains/finance/revenue/product.yaml:4:22+11 the domain `sales` has no product `order` / Did you mean `orders`?",
        ),
        (
            "product: sales.orders, output: order",
            "MW0140 domains/finance/revenue/product.yaml:4:44+5 the product `sales.orders` has no output `order` / Did you mean `orders`?",
        ),
        (
            "product: orders",
            "MW0115 domains/finance/revenue/product.yaml:4:22+6 `orders` does not name a product / Write `domain.product`.",
        ),
    ] {
        expect(&[(REVENUE, "product: sales.orders", reference)], &[expected]);
    }
    expect(
        &[(REVENUE, "version: 1, purpose", "version: 3, purpose")],
        &["MW0140 domains/finance/revenue/product.yaml:4:45+1 `sales.orders` has no major 3 / It has 1."],
    );
    expect(
        &[(REVENUE, "version: 1, purpose", "version: 1.2.0, purpose")],
        &[
            "MW0117 domains/finance/revenue/product.yaml:4:45+5 `version` of an input is the major of a contract / Write the major alone: `version: 1`.",
        ],
    );
}

#[test]
fn what_cannot_be_read_is_not_also_missing() {
    // The product is broken: those who read it are not told that it does not exist.
    let found = found(&[(ORDERS, "", "[]")]);
    let errors: Vec<_> = found.iter().filter(|f| !f.starts_with('~')).collect();
    assert_eq!(
        errors,
        ["MW0111 domains/sales/orders/product.yaml:1:1+1 the product must be a map of keys and values, not a list"]
    );
}

#[test]
fn lifecycle_of_inputs() {
    for (status, expected) in [
        (
            "draft",
            Some(
                "MW0143 domains/finance/revenue/product.yaml:4:22+12 `sales.orders` is a draft: other domains cannot read it / Ask the owners of `sales` to make it `status: active`.",
            ),
        ),
        (
            "retired",
            Some(
                "MW0143 domains/finance/revenue/product.yaml:4:22+12 `sales.orders` is retired: it can no longer be read / Read another product, or retire this one.",
            ),
        ),
        (
            "deprecated",
            Some(
                "~MW0143 domains/finance/revenue/product.yaml:4:22+12 `sales.orders` is deprecated / Plan to read its successor.",
            ),
        ),
        ("active", None),
    ] {
        let expected: Vec<&str> = expected.into_iter().collect();
        expect(&[(ORDERS, "status: active", &format!("status: {status}"))], &expected);
    }
    // A retired product may go on naming what it read.
    expect(
        &[
            (ORDERS, "status: active", "status: retired"),
            (REVENUE, "version: 1.0.0", "version: 1.0.0\nstatus: retired"),
        ],
        &[],
    );
}

#[test]
fn circles() {
    let circle = (ORDERS, "outputs:", "  back: { product: finance.revenue, version: 1 }\noutputs:");
    let found = found(&[
        circle,
        ("domains/sales/orders/orders.sql", "shop", "shop, back"),
        (REVENUE, "version: 1.0.0", "version: 1.0.0\nstatus: active"),
    ]);
    assert_eq!(
        found,
        [
            "MW0142 domains/sales/orders/product.yaml:6:20+15 products read each other in a circle: finance.revenue → sales.orders → finance.revenue / Split one of them, so that what the others need does not depend on them."
        ]
    );
    expect(
        &[
            (ORDERS, "outputs:", "  own: { product: sales.orders, version: 1 }\noutputs:"),
            ("domains/sales/orders/orders.sql", "shop", "shop, own"),
        ],
        &[
            "MW0142 domains/sales/orders/product.yaml:6:19+12 products read each other in a circle: sales.orders → sales.orders / Split one of them, so that what the others need does not depend on them.",
        ],
    );
}

#[test]
fn a_long_chain_of_products_is_no_circle_and_no_stack_overflow() {
    let mut files: Files = [
        ("mesh.yaml".to_owned(), "name: m\n".to_owned()),
        ("domains/d/domain.yaml".into(), "domain: d\nowner: t\n".into()),
    ]
    .into();
    for n in 0..300 {
        let input = match n {
            0 => "{ source: { type: csv, path: a.csv } }".to_owned(),
            n => format!("{{ product: d.p{}, version: 1 }}", n - 1),
        };
        files.insert(
            format!("domains/d/p{n}/product.yaml"),
            format!("product: p{n}\nversion: 1.0.0\ninputs: {{ i: {input} }}\noutputs: {{ o{n}: {{ contract: c.contract.yaml }} }}\n"),
        );
        files.insert(
            format!("domains/d/p{n}/c.contract.yaml"),
            "schema: o\nversion: 1.0.0\nfields: [{name: a, type: string}]\n".into(),
        );
    }
    assert_eq!(check(&files).diagnostics, []);
}

#[test]
fn names() {
    expect(
        &[(REVENUE, "  revenue: { contract", "  revenue_v2: { contract")],
        &[
            "MW0136 domains/finance/revenue/product.yaml:7:3+10 an output's name may not end like a version: in SQL `revenue_v2` means a major of `revenue` / Call it `revenue`; the major comes from its contract.",
        ],
    );
    expect(
        &[(REVENUE, "  revenue: { contract", "  order: { contract")],
        &[
            "MW0136 domains/finance/revenue/product.yaml:7:3+5 `order` cannot name an output: it is a reserved word of SQL / Such as `order_data`.",
        ],
    );
    expect(
        &[("domains/finance/domain.yaml", "domain: finance", "domain: pg_catalog")],
        &[
            "MW0136 domains/finance/domain.yaml:1:9+10 `pg_catalog` cannot name a domain: it is a schema of the SQL catalog / Such as `pg_catalog_data`.",
        ],
    );
    expect(
        &[("domains/finance/domain.yaml", "domain: finance", "domain: sales")],
        &[
            "MW0135 domains/sales/domain.yaml:1:9+5 the domain `sales` is already declared in domains/finance/domain.yaml / Give one of the two another name.",
        ],
    );
    expect(
        &[(REVENUE, "product: revenue", "product: Revenue")],
        &[
            "MW0115 domains/finance/revenue/product.yaml:1:10+7 `Revenue` is not a name: it must start with a letter a to z / Such as `revenue`.",
        ],
    );
}

#[test]
fn renames() {
    expect(&[(ORDERS, "version: 1.2.0", "version: 1.2.0\nrenamed_from: purchases")], &[]);
    expect(
        &[(ORDERS, "version: 1.2.0", "version: 1.2.0\nrenamed_from: orders")],
        &[
            "MW0138 domains/sales/orders/product.yaml:3:15+6 `renamed_from: orders`, but there still is a `orders` / Remove `renamed_from`, or what still bears the old name.",
        ],
    );
}

#[test]
fn defaults_of_the_mesh() {
    let without = (ORDERS, "status: active\n", "");
    assert_eq!(found(&[without]).len(), 1);
    expect(&[without, ("mesh.yaml", "storage: data", "defaults: { status: active }")], &[]);
}

#[test]
fn an_output_stands_once_in_its_domain() {
    let second = "domains/sales/second/product.yaml";
    let text = "product: second\nversion: 1.0.0\ninputs: { f: { source: { type: csv, path: f.csv } } }\noutputs: { orders: { contract: o.contract.yaml } }\n";
    let contract = "schema: o\nversion: 1.0.0\nfields: [{ name: a, type: string }]\n";
    expect(
        &[(second, "", text), ("domains/sales/second/o.contract.yaml", "", contract)],
        &[
            "MW0135 domains/sales/second/product.yaml:4:12+6 the output `sales.orders` is already declared in domains/sales/orders/product.yaml:7 / Output names are unique in their domain, because in SQL they are `domain.output`.",
        ],
    );
    expect(
        &[
            (second, "", &text.replace("product: second", "product: orders").replace("{ orders:", "{ others:")),
            ("domains/sales/second/o.contract.yaml", "", contract),
        ],
        &[
            "MW0135 domains/sales/second/product.yaml:1:10+6 the product `sales.orders` is already declared in domains/sales/orders/product.yaml / Give one of the two another name.",
        ],
    );
}

#[test]
fn contracts_of_outputs() {
    expect(
        &[(REVENUE, "contract: revenue.contract.yaml", "contract: revenu.contract.yaml")],
        &[
            "MW0124 domains/finance/revenue/product.yaml:7:24+20 there is no contract `domains/finance/revenue/revenu.contract.yaml` / Did you mean `revenue.contract.yaml`?",
            "~MW0156 domains/finance/revenue/revenue.contract.yaml:1:1+0 no output uses this contract / Name it by `contract:` of an output in the product.yaml beside it, or remove it.",
        ],
    );
    expect(
        &[(REVENUE, "sql: revenue.sql", "sql: revenu.sql")],
        &[
            "MW0124 domains/finance/revenue/product.yaml:7:52+10 there is no SQL file `domains/finance/revenue/revenu.sql` / Did you mean `revenue.sql`?",
            "~MW0121 domains/finance/revenue/revenue.sql:1:1+0 nothing reads this file / Expected: `domains/<domain>/domain.yaml`, `domains/<domain>/<product>/product.yaml`, `*.contract.yaml`, and the SQL that outputs name.",
        ],
    );
    expect(
        &[(REVENUE, "revenue.contract.yaml", "revenue.contract.yaml#costs")],
        &[
            "MW0144 domains/finance/revenue/product.yaml:7:24+27 `domains/finance/revenue/revenue.contract.yaml` has no table `costs` / Known here: `revenue`.",
        ],
    );
    expect(
        &[(REVENUE, "{ contract: revenue.contract.yaml, sql: revenue.sql }", "{ sql: revenue.sql }")],
        &[
            "MW0112 domains/finance/revenue/product.yaml:7:3+7 the output `revenue` has no `contract` / Add `contract: …`.",
            "~MW0156 domains/finance/revenue/revenue.contract.yaml:1:1+0 no output uses this contract / Name it by `contract:` of an output in the product.yaml beside it, or remove it.",
        ],
    );
    expect(
        &[(REVENUE, ", sql: revenue.sql", ""), (REVENUE_SQL, "", "REMOVED")],
        &[
            "MW0157 domains/finance/revenue/product.yaml:7:3+7 the output `revenue` has no `sql`, and the product has 2 inputs / Add `sql: revenue.sql` with the query that makes its rows.",
        ],
    );
    expect(
        &[(REVENUE_SQL, "", " \n")],
        &[
            "MW0124 domains/finance/revenue/product.yaml:7:52+11 `revenue.sql` is empty / Write the query that makes the output's rows, or remove `sql:` to take the input as it is.",
        ],
    );
}

#[test]
fn versions() {
    expect(
        &[
            (CUSTOMERS, "2: { contract", "3: { contract"),
            (REVENUE, "output: customers, version: 2", "output: customers, version: 3"),
        ],
        &[
            "MW0145 domains/customers/customers/product.yaml:10:7+1 version 3 names a contract of major 2: `domains/customers/customers/v2.contract.yaml` has version 2.0.0 / Name a contract of version 3.x.y, or write `2:` here.",
        ],
    );
    expect(
        &[(CUSTOMERS, "version: 2.0.0", "version: 1.9.0")],
        &[
            "~MW0146 domains/customers/customers/product.yaml:2:10+5 the product's version 1.9.0 is below major 2 of the contract of its output `customers` / A product's version rises with its outputs: `version: 2.0.0` or more.",
        ],
    );
    expect(
        &[(ORDERS, "version: 1.2.0", "version: 1.2")],
        &[
            "MW0116 domains/sales/orders/product.yaml:2:10+3 `1.2` is not a semantic version: unexpected end of input while parsing minor version number / Write `1.2.0`: major, minor and patch.",
        ],
    );
    expect(
        &[(CUSTOMERS, "'2027-01-31'", "soon")],
        &["MW0123 domains/customers/customers/product.yaml:9:48+4 `soon` is not a date / Write it as `2026-12-31`."],
    );
    expect(
        &[(CUSTOMERS, "1: { contract", "v1: { contract")],
        &[
            "MW0117 domains/customers/customers/product.yaml:9:7+2 `v1` is not a major version / Write the major alone, such as `1:`.",
            "~MW0156 domains/customers/customers/v1.contract.yaml:1:1+0 no output uses this contract / Name it by `contract:` of an output in the product.yaml beside it, or remove it.",
        ],
    );
    expect(
        &[(CUSTOMERS, "    versions:", "    sql: x.sql\n    versions:")],
        &[
            "MW0112 domains/customers/customers/product.yaml:8:5+3 the output `customers` has both `sql` and `versions` / Move it into one of the versions.",
        ],
    );
}

#[test]
fn modes_and_keys() {
    expect(
        &[(ORDERS, "key: [order_id]", "mode: merge")],
        &[
            "MW0148 domains/sales/orders/product.yaml:10:11+5 the output `orders` has `mode: merge` and no `key` / Add `key: [column]` with the columns that identify a row.",
            "MW0170 domains/sales/orders/product.yaml:10:11+5 the output `orders` has `mode: merge`, and no input says how to tell what is new in it / Add `incremental: cursor(column)` to the input `shop`, with a column that only rises.",
        ],
    );
    let source = "shop, table: public.orders } }";
    let incremental = |way: &str| format!("shop, table: public.orders }}, incremental: {way} }}");
    let (files, cursor) = (incremental("files"), incremental("cursor(order_id)"));
    expect(
        &[(ORDERS, source, &files), (ORDERS, "key: [order_id]", "mode: append\n    missing_rows: delete")],
        &[
            "MW0171 domains/sales/orders/product.yaml:5:92+5 the input `shop` is a table of a database: `files` cannot tell what is new in it / Use `cursor(column)`.",
            "MW0173 domains/sales/orders/product.yaml:11:19+6 `missing_rows` has no effect with `mode: append` / Remove it, or use `mode: merge` with a `key`.",
        ],
    );
    expect(
        &[
            (ORDERS, source, &cursor),
            (ORDERS, "key: [order_id]", "mode: merge\n    key: [region]\n    missing_rows: delete"),
        ],
        &[
            "MW0177 domains/sales/orders/product.yaml:11:11+6 `region` is in the key of a merge, and `domains/sales/orders/orders.contract.yaml` lets it be null / Declare it in the contract: `required: true` at `region`.",
            "MW0175 domains/sales/orders/product.yaml:12:19+6 `missing_rows: delete` needs the whole input `shop`, of which `cursor(order_id)` reads new rows only / Use `delete_when`, or `mode: full`, which reads everything.",
        ],
    );
    expect(
        &[(ORDERS, source, &cursor)],
        &[
            "MW0174 domains/sales/orders/product.yaml:5:92+16 `incremental` of the input `shop` has no effect: every output has `mode: full` / Remove it, or give an output `mode: append` or `mode: merge`.",
        ],
    );
    expect(
        &[
            (ORDERS, source, &cursor),
            (ORDERS, "key: [order_id]", "mode: merge\n    key: [order_id]\n    order_by: placed_on"),
        ],
        &[],
    );
    expect(
        &[(ORDERS, "key: [order_id]", "key: [order_id, order_id]\n    on_violation: quarantine")],
        &[
            "MW0147 domains/sales/orders/product.yaml:10:21+8 `order_id` stands twice in the key / Remove one of the two.",
            "~MW0181 domains/sales/orders/product.yaml:11:19+10 rows that break a clause of `domains/sales/orders/orders.contract.yaml` block the run, quarantine or not: `customer_id.references` (it looks at other tables, not at the row)",
        ],
    );
    expect(
        &[(ORDERS, "key: [order_id]", "key: [order_id]\n    quarantine_limit: 1%")],
        &[
            "MW0179 domains/sales/orders/product.yaml:11:23+2 `quarantine_limit` has no effect with `on_violation: block` / Add `on_violation: quarantine`, or remove it.",
        ],
    );
    expect(
        &[(ORDERS, "key: [order_id]", "key: [order_id]\n    quarantine_limit: a lot")],
        &[
            "MW0178 domains/sales/orders/product.yaml:11:23+5 `a lot` is neither a share of the rows nor a number of rows / Write `1%` or `0.01` for a share of a run's rows, or `500` for a number of rows.",
        ],
    );
}

#[test]
fn row_filters() {
    for (old, new, expected) in [
        (
            "column: region",
            "column: regoin",
            "MW0133 domains/sales/orders/product.yaml:14:23+6 the contract of `orders` has no field `regoin` / Did you mean `region`?",
        ),
        (
            "values: [EU, UK]",
            "values: [1]",
            "MW0134 domains/sales/orders/product.yaml:14:48+1 `region` is a text: it compares with a text (in quotes)",
        ),
        (
            "values: [EU, UK]",
            "values: []",
            "MW0134 domains/sales/orders/product.yaml:14:13+1 this comparison takes at least one value; it has 0",
        ),
        (
            "value: '2020-01-01'",
            "value: '2020-13-01'",
            "MW0134 domains/sales/orders/product.yaml:15:52+12 `placed_on` is a date: it compares with a date such as \"2026-01-31\"",
        ),
        (
            "value: '2020-01-01'",
            "values: ['2020-01-01', '2021-01-01']",
            "MW0134 domains/sales/orders/product.yaml:15:13+1 this comparison takes exactly one value; it has 2",
        ),
        (
            "op: gt_eq",
            "op: '>='",
            "MW0114 domains/sales/orders/product.yaml:15:38+4 `>=` is not a value of `op` / Known here: `eq`, `not_eq`, `lt`, `lt_eq`, `gt`, `gt_eq`, `in`, `not_in`, `is_null`, `is_not_null`.",
        ),
        (
            "name: eu_only",
            "nam: eu_only",
            "MW0112 domains/sales/orders/product.yaml:12:9+3 the row filter has no `name` / Add `name: …`.",
        ),
    ] {
        let found = found(&[(ORDERS, old, new)]);
        assert!(found.contains(&expected.to_owned()), "{found:#?}");
    }
    for (old, new) in [
        ("{ column: region, op: in, values: [EU, UK] }", "{ column: region, op: is_not_null }"),
        ("{ column: region, op: in, values: [EU, UK] }", "{ column: order_id, op: lt, value: 5 }"),
        ("{ column: region, op: in, values: [EU, UK] }", "{ column: amount, op: gt, value: 0.50 }"),
    ] {
        expect(&[(ORDERS, old, new)], &[]);
    }
}

#[test]
fn masks() {
    expect(
        &[(CUSTOMERS_V2, "type: date, classification: pii", "type: boolean, classification: pii")],
        &[
            "MW0153 domains/customers/customers/v2.contract.yaml:6:13+0 `born_on` is a boolean and `pii`: the mask `hmac-sha-256` does not apply to this type / Give `pii` a mask for the type: `by_type: { boolean: replace-with-null }`.",
        ],
    );
    expect(
        &[(CUSTOMERS_V2, "type: date, classification: pii", "type: date, classification: pi")],
        &[
            "MW0152 domains/customers/customers/v2.contract.yaml:6:13+0 `born_on` has an unknown classification `pi` / Did you mean `pii`? / Classifications stand in governance/classifications.yaml.",
        ],
    );
    expect(
        &[(CLASSIFICATIONS, "date: truncate-to-year", "boolean: truncate-to-year, date: replace-with-null")],
        &[
            "MW0153 governance/classifications.yaml:3:23+16 the mask `truncate-to-year` does not apply to columns of type boolean / `replace-with-null` applies to every type.",
        ],
    );
    expect(
        &[(CLASSIFICATIONS, "mask: hmac-sha-256", "mask: sha256")],
        &[
            "MW0114 governance/classifications.yaml:2:9+6 `sha256` is not a value of `mask` / Known here: `show-last-4`, `show-first-4`, `truncate-to-month`, `truncate-to-year`, `mask-alphanum`, `sha-256-global`, `hmac-sha-256`, `sha-256-query-local`, `mask-to-fixed-value`, `replace-with-null`.",
        ],
    );
}

#[test]
fn a_refinement_may_only_tighten() {
    expect(
        &[(CLASSIFICATIONS, "parent: pii", "parent: pii\n  mask: show-last-4")],
        &[
            "~MW0159 governance/classifications.yaml:6:9+11 the mask `show-last-4` is weaker than `hmac-sha-256` of `pii`, which applies all the same / Remove `parent: pii`, or take a mask that is at least as strict.",
        ],
    );
    expect(&[(CLASSIFICATIONS, "parent: pii", "parent: pii\n  mask: replace-with-null")], &[]);
}

#[test]
fn access_policies_are_checked_with_the_rest() {
    let broken = ("governance/access/base.cedar", "// nothing", "permit (principal");
    let found_alone = found(&[broken]);
    assert!(found_alone[0].contains("governance/access/base.cedar:"), "{found_alone:?}");
    // Also beside other errors.
    let with_others = found(&[broken, (ORDERS, "key: [order_id]", "key: [ordr_id]")]);
    assert_eq!(with_others.len(), found_alone.len() + 1, "{with_others:?}");
}

#[test]
fn parents_of_classifications() {
    expect(
        &[(CLASSIFICATIONS, "parent: pii", "parent: pi")],
        &["MW0154 governance/classifications.yaml:5:11+2 there is no classification `pi` / Did you mean `pii`?"],
    );
    let found = found(&[(CLASSIFICATIONS, "mask: hmac-sha-256", "mask: hmac-sha-256\n  parent: health")]);
    assert!(found.iter().all(|f| f.starts_with("MW0154") && f.contains("in a circle")), "{found:?}");
    assert!(!found.is_empty());
}

#[test]
fn references_between_contracts() {
    for (to, expected) in [
        (
            "custmers.customers.customer_id",
            "MW0151 domains/sales/orders/orders.contract.yaml:5:5+0 this references `custmers.customers`: there is no domain `custmers` / Did you mean `customers`?",
        ),
        (
            "customers.customer.customer_id",
            "MW0151 domains/sales/orders/orders.contract.yaml:5:5+0 this references `customers.customer`: there is no such output / Did you mean `customers`?",
        ),
        (
            "customers.customers.custmer_id",
            "MW0151 domains/sales/orders/orders.contract.yaml:5:5+0 this references `customers.customers`: it has no field `custmer_id` / Did you mean `customer_id`?",
        ),
    ] {
        let found = found(&[(ORDERS_CONTRACT, "customers.customers.customer_id", to)]);
        assert_eq!(found.len(), 1, "{found:?}");
        let (expected_code, expected_message) = (&expected[..6], expected.split_once("+0 ").unwrap().1);
        assert!(found[0].starts_with(expected_code) && found[0].ends_with(expected_message), "{found:?}");
    }
    let clash = found(&[(ORDERS_CONTRACT, "customer_id, type: integer", "customer_id, type: string")]);
    assert!(clash[0].starts_with("MW0151") && clash[0].contains(
        "`customer_id` is of type text and references `customers.customers.customer_id` of type integer / Give both the same type"
    ), "{clash:?}");
    // Within a domain, the domain may be left out; it is resolved in the mesh.
    let mut files = acme();
    let text = files.get_mut(ORDERS_CONTRACT).unwrap();
    *text = text.replace("customers.customers.customer_id", "orders.order_id");
    let checked = check(&files);
    assert_eq!(checked.diagnostics, []);
    let mesh = checked.mesh.unwrap();
    let clauses = &mesh.output("sales", "orders").unwrap().1.versions[&1].schema().clauses;
    let to = clauses.iter().find_map(|clause| match &clause.rule {
        crate::quality::Rule::References { to, .. } => Some(to.as_str()),
        _ => None,
    });
    assert_eq!(to, Some("sales.orders"));
}

#[test]
fn ids_of_contracts() {
    let id = "id: 0b0c0f46-9d1c-4a3b-8d57-95f2d3b5a001\nschema:";
    expect(&[("domains/customers/customers/v1.contract.yaml", "schema:", id), (CUSTOMERS_V2, "schema:", id)], &[]);
    expect(
        &[(REVENUE_CONTRACT, "schema:", id), ("domains/customers/customers/v1.contract.yaml", "schema:", id)],
        &[
            "MW0137 domains/finance/revenue/revenue.contract.yaml:1:1+0 the id `0b0c0f46-9d1c-4a3b-8d57-95f2d3b5a001` is also that of domains/customers/customers/v1.contract.yaml / Give the newer of the two an id of its own; copies keep the id by mistake.",
        ],
    );
}

#[test]
fn inputs_that_nothing_uses() {
    expect(
        &[(REVENUE_SQL, "\"people\" p ON", "orders p ON -- people and 'people'\n")],
        &[
            "~MW0155 domains/finance/revenue/product.yaml:5:3+6 no SQL of this product reads the input `people` / Remove it, or use it.",
        ],
    );
    expect(
        &[
            (REVENUE, "outputs:", "  again: { product: sales.orders, version: 1 }\noutputs:"),
            (REVENUE_SQL, "orders o", "orders o, again"),
        ],
        &[
            "~MW0158 domains/finance/revenue/product.yaml:6:3+5 the inputs `orders` and `again` read the same / Use one of them twice in the SQL.",
        ],
    );
}

#[test]
fn files_without_effect() {
    expect(
        &[
            (
                "domains/sales/orders/extra.contract.yaml",
                "",
                "schema: x\nversion: 1.0.0\nfields: [{ name: a, type: string }]\n",
            ),
            ("domains/sales/returns/prodcut.yaml", "", "product: returns\n"),
            ("domains/sales/orders.cedar", "", "forbid (principal, action, resource);"),
            ("domains/sales/access/own.cedar", "", "// read"),
            ("governance/rules/owner.yaml", "", "x: 1"),
        ],
        &[
            "MW0128 domains/sales/orders.cedar:1:1+0 this policy has no effect here / Policies are read from `governance/access/` and from `domains/<domain>/access/`.",
            "~MW0156 domains/sales/orders/extra.contract.yaml:1:1+0 no output uses this contract / Name it by `contract:` of an output in the product.yaml beside it, or remove it.",
            "~MW0121 domains/sales/returns/prodcut.yaml:1:1+0 nothing reads this file / Should its name be `product.yaml`?",
            "~MW0121 governance/rules/owner.yaml:1:1+0 `governance/rules/` is not available in this version / Nothing in this file has an effect yet.",
        ],
    );
    let mut files = acme();
    files.insert("domains/sales/access/own.cedar".into(), "// own".into());
    let mesh = check(&files).mesh.unwrap();
    assert_eq!(mesh.policies[1].domain.as_ref().unwrap(), "sales");
}

#[test]
fn a_domain_needs_its_file() {
    let found = found(&[("domains/finance/domain.yaml", "", "REMOVED")]);
    assert_eq!(
        found,
        [
            "MW0127 domains/finance/domain.yaml:1:1+0 `domains/finance` has products but no domain.yaml / Add a domain.yaml with `domain:` and `owner:`."
        ]
    );
}

#[test]
fn schedules_and_the_like_are_refused_rather_than_ignored() {
    expect(
        &[
            (ORDERS, "version: 1.2.0", "version: 1.2.0\nschedule: hourly"),
            (REVENUE, "{ contract: revenue", "{ min_group: 5, contract: revenue"),
        ],
        &[
            "MW0118 domains/finance/revenue/product.yaml:7:14+9 `min_group` is not available in this version / Remove it; it would have no effect.",
            "MW0118 domains/sales/orders/product.yaml:3:1+8 `schedule` is not available in this version / Remove it; it would have no effect.",
        ],
    );
}

#[test]
fn a_product_without_outputs() {
    let found = found(&[
        (REVENUE, "outputs:\n  revenue: { contract: revenue.contract.yaml, sql: revenue.sql }\n", ""),
        (REVENUE_SQL, "", "REMOVED"),
        (REVENUE_CONTRACT, "", "REMOVED"),
    ]);
    assert_eq!(
        found,
        [
            "~MW0160 domains/finance/revenue/product.yaml:1:10+7 the product `revenue` has no outputs / Add an output with a contract; without one nobody can read the product."
        ]
    );
}

#[test]
fn every_code_that_is_used_is_explained() {
    let sources = [
        include_str!("classifications.rs"),
        include_str!("columns.rs"),
        include_str!("contracts.rs"),
        include_str!("cycles.rs"),
        include_str!("declared.rs"),
        include_str!("index.rs"),
        include_str!("inputs.rs"),
        include_str!("outputs.rs"),
        include_str!("storage.rs"),
        include_str!("../reader.rs"),
        include_str!("../yaml/parse.rs"),
        include_str!("../manifest/text.rs"),
        include_str!("../manifest/domain.rs"),
        include_str!("../manifest/product.rs"),
    ];
    for source in sources {
        for (at, _) in source.match_indices("\"MW") {
            let code = &source[at + 1..at + 7];
            assert!(crate::codes::find(code).is_some(), "{code} is not explained");
        }
    }
}

/// Whatever a file is cut to or holds instead of a word, checking ends, with places that exist.
#[test]
fn broken_files_give_findings_never_a_panic() {
    let words = ["[]", "{}", "~", "-1", "'", "*x", "ü\t"];
    for (path, text) in ACME {
        let cuts = (0..text.len()).step_by(61).filter(|at| text.is_char_boundary(*at));
        for (turn, at) in cuts.enumerate() {
            let mut files = acme();
            let rest = text[at..].find(char::is_whitespace).map_or("", |end| &text[at + end..]);
            let broken =
                if turn % 2 == 0 { text[..at].to_owned() } else { format!("{}{}{rest}", &text[..at], words[turn % 7]) };
            files.insert((*path).to_owned(), broken);
            let checked = check(&files);
            assert_eq!(checked.mesh.is_none(), tally(&checked.diagnostics).0 > 0, "{path} at {at}");
            for found in &checked.diagnostics {
                let lines = files.get(&found.place.path).map_or(1, |text| text.lines().count() + 1);
                assert!(usize::try_from(found.place.line).unwrap() <= lines, "{found:?}");
                assert!(crate::codes::find(&found.code).is_some(), "{} is not explained", found.code);
                crate::diagnostic::render(found, files.get(&found.place.path).map(String::as_str), true);
            }
        }
    }
}
