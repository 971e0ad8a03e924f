//! MW0800 to MW0899: statements, their planning and their running; SQL in `check`.

use super::CodeInfo;

const fn code(code: &'static str, title: &'static str, help: &'static str) -> CodeInfo {
    CodeInfo { code, title, help }
}

pub const CODES: &[CodeInfo] = &[
    code(
        "MW0801",
        "the SQL text is too long",
        "A statement's text is limited. Send data as parameters (`$1`), load it through a product, or split the statement.",
    ),
    code(
        "MW0802",
        "the SQL does not parse",
        "The place points at what the parser did not expect. The dialect is PostgreSQL's; names with capitals need double quotes, text needs single quotes.",
    ),
    code(
        "MW0803",
        "unknown or ambiguous column",
        "The column is in none of the tables of the statement, or in several. `\\d domain.output` shows a table's columns.",
    ),
    code(
        "MW0804",
        "unknown table",
        "No table of this name can be queried by you. A table is named `domain.output`, or `domain.output_v1` for a major version. Names without a domain do not resolve. A table that you may not know of looks the same as one that does not exist.",
    ),
    code(
        "MW0805",
        "not a query",
        "Readers send one query (or EXPLAIN of one) at a time. Data changes through the runs of products, access through agreements: there is no INSERT, UPDATE, DELETE, COPY, CREATE or SET.",
    ),
    code(
        "MW0806",
        "the statement is too complex",
        "Chains of operators, joins and nesting are bounded, so that one statement cannot exhaust the server. Replace `a = 1 OR a = 2 OR …` by `a IN (1, 2, …)` or by a join with VALUES.",
    ),
    code(
        "MW0807",
        "unknown function",
        "The function does not exist, or not for these argument types, or it is closed to queries because it would show files.",
    ),
    code(
        "MW0808",
        "not supported",
        "The clause is valid SQL that this engine does not carry out. It is refused rather than ignored.",
    ),
    code(
        "MW0809",
        "the statement cannot be planned",
        "The statement parses but makes no sense for these tables: types that do not compare, a column outside GROUP BY, a subquery of several columns.",
    ),
    code(
        "MW0810",
        "time limit",
        "The statement ran longer than a statement may. Select fewer rows, aggregate earlier, or have a product compute the result once.",
    ),
    code(
        "MW0811",
        "memory or spill limit",
        "Sorts, joins and aggregates share a bounded amount of memory and disk. Select fewer rows or columns, or aggregate before joining.",
    ),
    code(
        "MW0812",
        "row limit",
        "The answer has more rows than may be returned. Add a LIMIT, aggregate, or export the product.",
    ),
    code(
        "MW0813",
        "a governed table could not be read",
        "Reading failed behind the policy of a table. The reason could tell of rows that you may not see, so it stands in the server's log under the given incident id.",
    ),
    code(
        "MW0814",
        "the query failed while running",
        "An expression failed on a row: division by zero, a cast of text that is no number, an overflow. Values are left out of the message. `TRY_CAST` and `NULLIF` help.",
    ),
    code(
        "MW0815",
        "the plan was refused",
        "Before a statement runs, its plan is walked; one that reads a file outside a policy is refused. This is a bug of Meshwork: please report the statement.",
    ),
    code(
        "MW0816",
        "internal error of the query engine",
        "The engine could not run the statement although nothing is wrong with it. Writing it another way often helps; please report it.",
    ),
    code("MW0817", "wrong parameters", "`$1`, `$2`, … need one value each, of the type that the statement gives them."),
    code(
        "MW0818",
        "published data cannot be opened",
        "The files of a published version are missing or damaged. The product's owner finds the reason in the log; running the product publishes a new version.",
    ),
    code(
        "MW0819",
        "a table feature that is not read",
        "The table uses a feature of Delta (such as deletion vectors or column mapping) that Meshwork does not write and does not read.",
    ),
    code(
        "MW0820",
        "the moment of a time travel is not clear",
        "`FOR SYSTEM_TIME AS OF` takes a literal: `'2026-01-31T12:00:00Z'`, `'2026-01-31 12:00:00'` or `'2026-01-31'`, in UTC unless it says otherwise.",
    ),
    code(
        "MW0821",
        "the policy cannot be applied",
        "A mask or a row filter does not fit the version of the table that is asked for, for example because a filter names a column that did not exist yet. Nothing is shown rather than too much.",
    ),
    code(
        "MW0822",
        "the query engine cannot start",
        "The folder for spilled data cannot be used, or threads cannot be started.",
    ),
    code(
        "MW0830",
        "a transformation does not parse",
        "The SQL of an output port has a syntax error at the given place.",
    ),
    code(
        "MW0831",
        "a transformation is not one query",
        "An output port's SQL is a single SELECT (with WITH, UNION and so on). What it produces is written by the platform.",
    ),
    code(
        "MW0832",
        "unknown input",
        "A transformation reads the inputs that product.yaml declares, by their names, and nothing else.",
    ),
    code(
        "MW0833",
        "unknown column in a transformation",
        "The column is in none of the inputs as their contracts declare them.",
    ),
    code(
        "MW0834",
        "a contract column is not produced",
        "Every column of an output's contract must come out of its SQL under exactly its name.",
    ),
    code(
        "MW0835",
        "a column has another type than its contract",
        "The SQL produces a type that cannot be stored as declared. Cast it, or correct the contract.",
    ),
    code(
        "MW0836",
        "a transformation or quality query cannot be planned",
        "The SQL parses but does not fit its tables: types, functions or clauses. In a quality query, `{table}` and `{batch}` name the table and the rows being written.",
    ),
    code(
        "MW0837",
        "a column that the contract does not have",
        "The SQL produces a column that the contract does not declare; it is not stored.",
    ),
    code(
        "MW0843",
        "not a table to compare",
        "`meshwork diff` compares a table `domain.output` as it was published at two moments.",
    ),
    code(
        "MW0844",
        "not a column of the table",
        "`--key` names the columns that tell rows apart, as you may read them.",
    ),
    code(
        "MW0845",
        "nothing to compare with",
        "Both sides of `meshwork diff` are publications of the table, named by their id, their run, their Delta version or a moment. Without names they are the newest one and the one before it.",
    ),
    code(
        "MW0851",
        "a view calls a function whose value changes",
        "A run checks the rows of a view, and every read answers it anew. With `random()`, `uuid()` and their like the reader would get other rows than those that were checked. `now()` is fine: it is the moment of the run. Use `mode: full` to keep values as a run made them.",
    ),
    code(
        "MW0852",
        "a view yields another type than its contract says",
        "A run that stores a table converts each value to the contract's type and counts the ones that do not fit. A view stores nothing, so its query must yield the contract's types itself: cast where they differ.",
    ),
    code(
        "MW0853",
        "a view reads a source",
        "An output of mode `view` is a query over other products' outputs. Sources are read by runs only: take them in with an output of mode `full`, `append` or `merge`, or register Delta and Parquet with `mode: external`.",
    ),
    code(
        "MW0855",
        "a view cannot be answered",
        "The query of a published view does not plan any more over what it was checked over. The server's log has the reason. Its owner runs it again: `meshwork run` says what does not fit.",
    ),
    code(
        "MW0856",
        "a file of an external table is not the one that was checked",
        "Readers see an external table as a run has checked it. One of its files was replaced, rewritten, touched or removed since (for a Delta table: vacuumed), so it is refused instead of served unchecked. The owner runs the product again, which checks the files as they are now.",
    ),
];
