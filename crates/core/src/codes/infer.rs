//! MW1100 to MW1149.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW1100",
        title: "Nothing to start from",
        help: "`--from` takes a file (CSV, JSON, Parquet, Avro, SQLite), a folder of files, a Delta table, a database URL such as \
               `postgres://user@host:5432/database` or `mysql://…`, files on other machines (`s3://…`, `https://…`), or a dbt \
               project's `target/manifest.json`. What was named is not there, or holds no table that can be read.",
    },
    CodeInfo {
        code: "MW1101",
        title: "The kind of file is not known",
        help: "Files are told by their content: CSV, JSON (lines, an array, or records inside a document), Parquet, Avro, SQLite; \
               a Delta table by its `_delta_log`. Convert other files to one of these first.",
    },
    CodeInfo {
        code: "MW1102",
        title: "The database URL cannot be used",
        help: "A URL names what is connected to: `postgres://user:password@host:port/database`, or `mysql://…` for MySQL and \
               MariaDB. `?schema=sales` limits PostgreSQL to one schema. Characters such as `@` or `/` in a password are written percent-encoded: `%40`, `%2F`.",
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
               `--of-server NAME` for one of the contract's own `servers`. Kinds of servers that are read: local, s3, postgres, mysql.",
    },
    CodeInfo {
        code: "MW1112",
        title: "The data does not hold to the contract",
        help: "At least one clause of severity `error` failed or could not be checked. Each is listed with the rows that fail it.",
    },
    CodeInfo {
        code: "MW1125",
        title: "The address of the files cannot be used",
        help: "Files on other machines: `s3://bucket/key` (globs, or a folder that ends in `/`; `?endpoint=https://host:port` for a \
               store other than AWS; the key as `s3://ID:SECRET@bucket/…`, else from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), or \
               `https://host/file` (`https://user:password@host/file` where the server wants a login).",
    },
];
