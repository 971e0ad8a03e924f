//! MW0100 to MW0199: YAML, manifests and `check`.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW0100",
        title: "The file is not YAML",
        help: "The file could not be read as YAML 1.2 at the marked place.\n\n\
               The most frequent causes: a text that holds `: ` or starts with `@`, `` ` ``, `*`, `&`, `!`, `%` or `[` \
               and stands without quotes; a tab in the indentation; a quote or bracket that is not closed; a line that is \
               indented otherwise than its neighbours.",
    },
    CodeInfo {
        code: "MW0101",
        title: "The file is not UTF-8",
        help: "Manifests are UTF-8 texts. Save the file in UTF-8 encoding; editors call it \"save with encoding\".",
    },
    CodeInfo {
        code: "MW0102",
        title: "The file is too large",
        help: "A manifest may have up to 1 MiB. A file that is larger usually holds data, which belongs to a source.",
    },
    CodeInfo {
        code: "MW0103",
        title: "A control character stands in the file",
        help: "NUL and other characters that cannot be printed are refused, because they hide what a manifest says from \
               the person who reviews it. Remove the character at the marked place.",
    },
    CodeInfo {
        code: "MW0104",
        title: "A text in the file is too large",
        help: "One value may have up to 256 KiB. Move long SQL to a `.sql` file and name it.",
    },
    CodeInfo {
        code: "MW0105",
        title: "The file is too deep or has too many values",
        help: "Up to 64 levels and 100,000 values are read from one file, with aliases (`*name`) written out. The limits \
               stop files that grow without bound when they are read.",
    },
    CodeInfo {
        code: "MW0106",
        title: "A key stands twice",
        help: "YAML maps have each key once. Of two equal keys one would be lost without a word, so both are refused. Keep one.",
    },
    CodeInfo {
        code: "MW0107",
        title: "The file has several documents",
        help: "A manifest is one YAML document. Give what stands after `---` a file of its own.",
    },
    CodeInfo {
        code: "MW0108",
        title: "A tag is not read",
        help: "Tags such as `!env` or `!!binary` run code or change types elsewhere; here only the tags of the core schema \
               (`!!str`, `!!int`, `!!float`, `!!bool`, `!!null`, `!!seq`, `!!map`) are read. Secrets are written as \
               `${secret:name}`.",
    },
    CodeInfo {
        code: "MW0109",
        title: "A key is not a text",
        help: "Keys are texts. Merge keys (`<<`) are not part of YAML 1.2 and are not read; write the keys out.",
    },
    CodeInfo {
        code: "MW0111",
        title: "A value is of the wrong kind",
        help: "The key wants another kind of value: a text, a number, true or false, a list, or a map. Numbers and words \
               such as `true` that are meant as texts stand in quotes. `yes` and `no` are texts in YAML 1.2.",
    },
    CodeInfo {
        code: "MW0112",
        title: "A key is missing",
        help: "Something that must be declared is not, or its value is empty. `meshwork schema print` shows what each file holds.",
    },
    CodeInfo {
        code: "MW0113",
        title: "A key is not known",
        help: "Nothing reads this key, so it would have no effect. It is usually misspelt, or stands at another level than \
               it should. `meshwork schema print` shows the keys of each file.",
    },
    CodeInfo {
        code: "MW0114",
        title: "A value is not one of those that the key takes",
        help: "The key takes one of a few words; the hint names them.",
    },
    CodeInfo {
        code: "MW0115",
        title: "Not a name",
        help: "Names of domains, products, outputs, inputs, connections and classifications start with a letter a to z and \
               go on with a to z, 0 to 9 and `_`, up to 63 characters: they become parts of SQL names and paths. Names of \
               teams, which stand in neither, may also have `-` and `.` between.",
    },
    CodeInfo {
        code: "MW0116",
        title: "Not a semantic version",
        help: "Versions are `major.minor.patch`, such as `2.1.0` (https://semver.org). The major of a contract is the major of \
               its table, so `2.1` is not enough.",
    },
    CodeInfo {
        code: "MW0117",
        title: "A number is out of its range",
        help: "The key takes a whole number in a certain range; the message names it.",
    },
    CodeInfo {
        code: "MW0118",
        title: "Not available in this version",
        help: "The design of Meshwork has this, but this version does not carry it out. It is refused rather than ignored, so that nobody relies on something that has no effect. The hint names what can be used instead.",
    },
    CodeInfo {
        code: "MW0120",
        title: "The folder is not a mesh",
        help: "A mesh is a folder with a `mesh.yaml` at its top, a folder `governance` and a folder `domains`. `meshwork init` makes one; `-C DIR` names another folder than the current one.",
    },
    CodeInfo {
        code: "MW0121",
        title: "Nothing reads this file",
        help: "The file lies where manifests are looked for, but under a name that means nothing, so it has no effect. Usually its name is misspelt or it lies one folder too high or too low:\n\n```\ndomains/<domain>/domain.yaml\ndomains/<domain>/<product>/product.yaml\ndomains/<domain>/<product>/<any>.contract.yaml\n```",
    },
    CodeInfo {
        code: "MW0122",
        title: "A path leaves its folder",
        help: "Paths in manifests are relative, use `/`, and stay inside the folder: `..`, absolute paths and `\\` are refused. A domain's folder may come from people who must not read other files of the machine that runs the mesh.\n\nContracts and SQL are relative to the product's folder, the paths of sources to the domain's folder.",
    },
    CodeInfo {
        code: "MW0123",
        title: "A value is malformed",
        help: "The value is of the right kind, but not written as it must be; the message says how.",
    },
    CodeInfo {
        code: "MW0124",
        title: "A file does not exist",
        help: "The manifest names a file that is not there, or is empty. Contracts and SQL are looked for relative to the folder of product.yaml.",
    },
    CodeInfo {
        code: "MW0125",
        title: "A file was not read",
        help: "Only regular files inside the mesh folder are read. Symbolic links that lead out of the folder, pipes, devices and sockets are refused, and so are files that cannot be opened.",
    },
    CodeInfo {
        code: "MW0126",
        title: "The folder is too large",
        help: "There are limits on the number of files and on their size together, which no honest mesh comes near. Move data that is not needed out of the folders `domains` and `governance`.",
    },
    CodeInfo {
        code: "MW0127",
        title: "A domain has no domain.yaml",
        help: "Each folder below `domains` that holds products is a domain and says in its domain.yaml who owns it:\n\n```yaml\ndomain: marketing\nowner: marketing_team\n```",
    },
    CodeInfo {
        code: "MW0128",
        title: "A policy has no effect where it lies",
        help: "Access policies are read from `governance/access/*.cedar` and from `domains/<domain>/access/*.cedar` only. One that lies elsewhere would look as if it protected something.",
    },
    CodeInfo {
        code: "MW0130",
        title: "A password stands in a manifest",
        help: "Manifests are kept in git and shown in plans, so they never hold secrets. Write a reference, and give the value to the machine that runs the product:\n\n```yaml\npassword: ${secret:crm_password}\n```\n\nThe value comes from a file in the secrets folder or from the variable `MW_SECRET_<DOMAIN>_<NAME>`. Change the password that stood in the file: whoever has the history has it.",
    },
    CodeInfo {
        code: "MW0131",
        title: "A template is not expanded",
        help: "Manifests are data. They read no environment and expand no variables; only a connection's `password` may be `${secret:name}`.",
    },
    CodeInfo {
        code: "MW0132",
        title: "Storage roots overlap",
        help: "Each storage root belongs to one domain (or to the mesh). If one lies inside another, a domain could write where another's tables are. Of buckets the name and the prefix are compared and not the address, because two addresses may lead to one store.",
    },
    CodeInfo {
        code: "MW0133",
        title: "A row filter names an unknown column",
        help: "Row filters compare columns of the output, by the names that its contract gives them. A filter on a column that does not exist protects nothing, so it is an error.",
    },
    CodeInfo {
        code: "MW0134",
        title: "A row filter compares what cannot be compared",
        help: "The literal must be of the column's type, and there must be as many as the comparison takes: one for `eq`, `not_eq`, `lt`, `lt_eq`, `gt`, `gt_eq`; one or more for `in`, `not_in`; none for `is_null`, `is_not_null`.",
    },
    CodeInfo {
        code: "MW0135",
        title: "A name stands twice",
        help: "Domains have different names in a mesh, products and outputs in a domain. Outputs must differ even between products of a domain, because in SQL they are called `domain.output`.",
    },
    CodeInfo {
        code: "MW0136",
        title: "A name that SQL reserves",
        help: "Domains are schemas and outputs are tables in SQL. Reserved words (`order`, `user`, …) and the schemas of the SQL catalog would have to be quoted in every query or would not work at all; a name that ends in `_v1` means the first major of another table.",
    },
    CodeInfo {
        code: "MW0137",
        title: "An id stands twice",
        help: "The `id` of a contract means one contract for ever. Two files with the same id and version usually come from copying.",
    },
    CodeInfo {
        code: "MW0138",
        title: "Renamed from what still exists",
        help: "`renamed_from` hands the id, the data and the agreements of the old name over to the new one. While something still bears the old name, both would claim them.",
    },
    CodeInfo {
        code: "MW0140",
        title: "An input names what does not exist",
        help: "The input refers to a domain, product, output or contract major that is not in the mesh.",
    },
    CodeInfo {
        code: "MW0141",
        title: "An unknown connection",
        help: "A postgres source names a connection of its own domain's domain.yaml.",
    },
    CodeInfo {
        code: "MW0142",
        title: "Products read each other in a circle",
        help: "A product is built from the last publication of what it reads. In a circle none could ever be first. Split one of the products into the part that the others need and the part that needs the others.",
    },
    CodeInfo {
        code: "MW0143",
        title: "An input is not in a state to be read",
        help: "A proposed or draft product can be read by its own domain only, a retired one by nobody; a deprecated one still can, with this warning.",
    },
    CodeInfo {
        code: "MW0144",
        title: "Which table of the contract",
        help: "A contract with several tables needs the name of one: `contract: file.yaml#table`. The table called like the output is taken by itself.",
    },
    CodeInfo {
        code: "MW0145",
        title: "A version names a contract of another major",
        help: "The key in `versions` is the major of the contract (D2): each major is a table of its own.",
    },
    CodeInfo {
        code: "MW0146",
        title: "The product's version is behind its contract",
        help: "A product's version rises at least as much as its largest change of an output, so its major is normally not below that of a contract.",
    },
    CodeInfo {
        code: "MW0147",
        title: "The key names an unknown column",
        help: "`key` lists fields of the output's contract, each once.",
    },
    CodeInfo {
        code: "MW0148",
        title: "A merge without key",
        help: "`mode: merge` updates the rows that have the same key, so it needs `key`.",
    },
    CodeInfo {
        code: "MW0150",
        title: "A clause is not evaluated",
        help: "The contract declares something that this version cannot evaluate, such as a check in prose or for another engine. It is listed here and with every run, and does not gate publication.",
    },
    CodeInfo {
        code: "MW0151",
        title: "A reference to what does not exist",
        help: "A field refers to an output or field that is not in the mesh.",
    },
    CodeInfo {
        code: "MW0152",
        title: "An unknown classification",
        help: "A field's classification must stand in `governance/classifications.yaml`: the mask comes from there, and a misspelt one would leave the column in the clear.",
    },
    CodeInfo {
        code: "MW0153",
        title: "A mask does not apply to the type",
        help: "Hashes apply to texts and whole numbers; `mask-alphanum` and `show-…` to texts; `truncate-…` to dates and timestamps; `mask-to-fixed-value` to all but lists and objects; `replace-with-null` to everything. Give the classification another mask for the type by `by_type`.",
    },
    CodeInfo {
        code: "MW0154",
        title: "A classification refines nothing",
        help: "The `parent` of a classification must exist, and parents must not form a circle.",
    },
    CodeInfo {
        code: "MW0155",
        title: "An unused input",
        help: "No SQL of the product reads the input. It would still be read by each run and registered as a dependency.",
    },
    CodeInfo {
        code: "MW0156",
        title: "An unused contract",
        help: "No output names the contract, so nothing is checked against it.",
    },
    CodeInfo {
        code: "MW0157",
        title: "An output without SQL",
        help: "Without `sql`, an output takes the columns of its contract from the only input of its product. With several inputs, or none, it needs SQL.",
    },
    CodeInfo {
        code: "MW0158",
        title: "Two inputs that read the same",
        help: "The source would be read twice in each run.",
    },
    CodeInfo {
        code: "MW0159",
        title: "A mask that is weaker than its parent's",
        help: "A classification that refines another may only be stricter. Of its own mask and its parent's the stricter one \
               applies, so this mask has no effect. Remove `parent`, or take a stricter mask.",
    },
    CodeInfo {
        code: "MW0160",
        title: "A product without outputs",
        help: "A product is what it offers. Without an output with a contract there is nothing to read.",
    },
    CodeInfo {
        code: "MW0161",
        title: "Not a text encoding",
        help: "`encoding` of a CSV source is one of the labels of the WHATWG Encoding Standard: `utf-8` (the default), `utf-16`, `windows-1252`, `iso-8859-15`, `shift_jis`, `gb18030` and so on.",
    },
    CodeInfo {
        code: "MW0162",
        title: "Not a path to records",
        help: "`records` of a JSON source names the array that holds the records: `$` for the document itself, or keys from its top, as `$.data.items` or as the JSON pointer `/data/items`. Wildcards and places in arrays are not part of it.",
    },
    CodeInfo {
        code: "MW0163",
        title: "Not a host",
        help: "`egress` of mesh.yaml lists where sources may connect to: a host name (`db.internal`), with a port (`db.internal:5432`), all hosts below a name (`*.example.com`), or an address. It is no URL.",
    },
    CodeInfo {
        code: "MW0164",
        title: "The connection does not fit the source",
        help: "A `postgres` source needs a connection of type `postgres`, a `mysql` source one of type `mysql`, a path `s3://…` one of type `s3`. A path `https://…` may name one of type `http`, which holds the credentials for its host. Files of the domain's own folder need none.",
    },
    CodeInfo {
        code: "MW0165",
        title: "The mesh does not let connections go there",
        help: "`egress` of mesh.yaml lists the hosts that sources and storage may connect to, and this one is not among them. The list belongs to the mesh's owners: a domain cannot widen it.",
    },
    CodeInfo {
        code: "MW0170",
        title: "Nothing tells what is new",
        help: "An output of mode `append` or `merge` reads only what is new since the last run. One of its inputs says how to tell: `incremental: files` (files that were not there), `incremental: publication` (what another product has published since) or `incremental: cursor(column)` (rows with a greater value in a column that only rises).",
    },
    CodeInfo {
        code: "MW0171",
        title: "A way to tell what is new that does not fit the input",
        help: "`files` is for sources of files, `publication` for another product's output, `cursor(column)` for both and for databases. `incremental` stands at the input, not at the output.",
    },
    CodeInfo {
        code: "MW0172",
        title: "Appending from a table whose rows change",
        help: "Rows that were appended are never changed again, so an output of mode `append` cannot follow an output whose rows are updated or deleted. `merge` follows updates by key; `full` follows everything.",
    },
    CodeInfo {
        code: "MW0173",
        title: "A key that only a merge has",
        help: "`delete_when`, `missing_rows` and `order_by` say what a merge does; outputs of mode `full` and `append` have no use for them.",
    },
    CodeInfo {
        code: "MW0174",
        title: "`incremental` without effect",
        help: "An input says how to tell what is new in it, but every output of the product has `mode: full`, which reads everything.",
    },
    CodeInfo {
        code: "MW0175",
        title: "Deleting missing rows needs the whole input",
        help: "`missing_rows: delete` deletes the rows that the input no longer has. A cursor reads new rows only, so every other row would seem to be missing.",
    },
    CodeInfo {
        code: "MW0177",
        title: "A key that may be null",
        help: "A merge finds the row of a key, so every column of `key` must be `required` in the contract, with severity error.",
    },
    CodeInfo {
        code: "MW0178",
        title: "Not a limit of the quarantine",
        help: "`quarantine_limit` says how much of a run's rows may be set aside: a share (`1%`, `0.01`) or a number of rows (`500`).",
    },
    CodeInfo {
        code: "MW0179",
        title: "A limit without a quarantine",
        help: "`quarantine_limit` only has an effect with `on_violation: quarantine`.",
    },
    CodeInfo {
        code: "MW0180",
        title: "A column name that the quarantine takes",
        help: "Rows in quarantine have columns beside their own, such as `_quarantine_row` and `_quarantine_reason`. A column of the contract may not begin with `_quarantine_` where rows are quarantined.",
    },
    CodeInfo {
        code: "MW0181",
        title: "Clauses that block all the same",
        help: "With `on_violation: quarantine`, rows that break a clause about single rows (required, type, enum, range, pattern, length, format) or share a key are set aside. Clauses about the table as a whole (row counts, metrics, SQL, references) cannot say which rows to set aside: a run that breaks one is blocked. This note lists them; nothing has to be done.",
    },
    CodeInfo {
        code: "MW0183",
        title: "A view over something else than products",
        help: "An output of mode `view` is a query over other products' outputs, which every read answers anew. A source is read by runs only: let an output of mode `full` take its rows in, or register Delta and Parquet with `mode: external`.",
    },
    CodeInfo {
        code: "MW0184",
        title: "A key that means nothing for an output without data of its own",
        help: "Outputs of mode `view` and `external` store nothing: there are no rows to find by `key`, and none to put aside by `on_violation: quarantine`. Where the contract does not hold, nothing is published.",
    },
    CodeInfo {
        code: "MW0185",
        title: "Not a table that can be registered",
        help: "`mode: external` registers a Delta table or Parquet files where they lie: the product's only input is a source of type `delta` or `parquet` with a path in the domain's own folder, or in a bucket through one of its connections. Other sources are taken in by `mode: full`, `append` or `merge`.",
    },
    CodeInfo {
        code: "MW0186",
        title: "SQL for an external table",
        help: "An external table is served as it lies: its columns are those of the contract, by their `physicalName` where they are called otherwise in the files. To compute something, add an output of mode `view` to another product, or use `mode: full`.",
    },
    CodeInfo {
        code: "MW0187",
        title: "Following a table that has no files of its own",
        help: "`incremental: publication` tells what is new by the data files that the other product's runs added. A view has none, and those of an external table are not written by a run. Use `incremental: cursor(column)`, or `mode: full`.",
    },
    CodeInfo {
        code: "MW0188",
        title: "Views over views, too deep",
        help: "Views may read views, up to eight of them one over another: each read answers all of them. Make one in between a stored table with `mode: full`.",
    },
    CodeInfo {
        code: "MW0193",
        title: "Not a retention",
        help: "`retention` of mesh.yaml, domain.yaml or product.yaml says how long old publications stay readable: time travel reaches back so far, and the files that only they need are removed after it. Write a number and a unit (`30 days`, `12 hours`), an hour at least. The product's wins over its domain's, that over the mesh's; the default is 30 days.",
    },
    CodeInfo {
        code: "MW0188",
        title: "Not a limit",
        help: "`limits` takes `memory` and `spill` as sizes (`4 GiB`, `500 MB`, or bytes; at least 32 MiB of memory), `time` \
               as a duration (`30 s`, `2 h`), and `rows` as a number. In mesh.yaml they stand under `query` and `run`, in \
               product.yaml they are those of its runs.",
    },
    CodeInfo {
        code: "MW0189",
        title: "A product's limit is above the mesh's",
        help: "`limits.run` of mesh.yaml holds for every product; a product may only lower it. Raise it there, or leave it \
               away in product.yaml.",
    },
];
