//! MW1100 to MW1149.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW1100",
        title: "Nothing to start from",
        help: "`--from` takes a file (CSV, JSON, Parquet), a folder of files, a database URL such as \
               `postgres://user@host:5432/database`, or a dbt project's `target/manifest.json`. What was named is not there, or holds \
               no table that can be read.",
    },
    CodeInfo {
        code: "MW1101",
        title: "The kind of file is not known",
        help: "Files are told by their content: CSV, JSON (lines, an array, or records inside a document), Parquet. Convert other \
               files to one of these first.",
    },
    CodeInfo {
        code: "MW1102",
        title: "The database URL cannot be used",
        help: "A URL names what is connected to: `postgres://user:password@host:port/database`. `?schema=sales` limits it to one \
               schema. Characters such as `@` or `/` in a password are written percent-encoded: `%40`, `%2F`.",
    },
    CodeInfo {
        code: "MW1103",
        title: "The catalog of the database cannot be read",
        help: "`init --from` asks the database which tables, columns, keys and comments there are. The user of the connection must \
               be allowed to read its catalog and tables.",
    },
    CodeInfo {
        code: "MW1104",
        title: "The dbt manifest cannot be read",
        help: "`dbt compile` (dbt 1.6 or later) writes `target/manifest.json` with schema version 10 or later. Models, seeds, \
               snapshots and sources become outputs; the tests `not_null`, `unique`, `accepted_values` and `relationships` become \
               clauses of their contracts.",
    },
    CodeInfo {
        code: "MW1105",
        title: "The proposal does not fit into the mesh",
        help: "What was inferred did not pass `check` together with the rest of the mesh, so nothing was written. The findings say \
               what is in the way.",
    },
    CodeInfo {
        code: "MW1110",
        title: "The contract cannot be tested",
        help: "`contract test` takes a contract's file (`file.yaml#table` where it describes several tables) that has no errors of its \
               own.",
    },
    CodeInfo {
        code: "MW1111",
        title: "It is not clear which data to test",
        help: "Name the data: `--data FILE`, `--data postgres://user@host/database?table=schema.table`, `--product domain.output`, or \
               `--server NAME` for one of the contract's own `servers`. Kinds of servers that are read: local, postgres.",
    },
    CodeInfo {
        code: "MW1112",
        title: "The data does not hold to the contract",
        help: "At least one clause of severity `error` failed or could not be checked. Each is listed with the rows that fail it.",
    },
];
