//! MW0200 to MW0299.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW0200",
        title: "The file is not a contract",
        help: "A contract is written in the Open Data Contract Standard (it starts with `apiVersion` and `kind: DataContract`) \
               or in the short form (it starts with `schema: name` and has `fields`). `meshwork new contract` writes one.",
    },
    CodeInfo {
        code: "MW0201",
        title: "An edition of ODCS that is not read",
        help: "ODCS 3.0, 3.1 and 3.2 are read. A contract of edition 2 has another structure: move it to 3.1 first, for \
               instance with the migration guide of the standard.",
    },
    CodeInfo {
        code: "MW0202",
        title: "Nothing to serve",
        help: "ODCS leaves open whether a contract has a `schema`. Here each output is one schema object of a contract, so there \
               must be one, with at least one column.",
    },
    CodeInfo {
        code: "MW0203",
        title: "Two tables of one name",
        help: "Outputs name a table of a contract as `file.yaml#table`; so each has a name of its own.",
    },
    CodeInfo {
        code: "MW0204",
        title: "Two columns of one name",
        help: "Column names must differ by more than upper and lower case: tables and many readers do not tell such apart. A \
               column that is `renamed_from` another replaces it, so the old one no longer stands in the contract.",
    },
    CodeInfo {
        code: "MW0205",
        title: "A column name that a table cannot store",
        help: "Delta tables refuse blanks and the characters `,;{}()=`, tabs and line breaks in column names. Give the column a \
               plain name and keep the source's as `physicalName` (short form: `physical_name`).",
    },
    CodeInfo {
        code: "MW0206",
        title: "Newer than the edition of the contract",
        help: "The property or type came with a later edition of ODCS than `apiVersion` says, so other tools would refuse the \
               file. Raise `apiVersion`.",
    },
    CodeInfo {
        code: "MW0207",
        title: "A column without type",
        help: "Declare a `logicalType` (short form: `type`). It may be left out only where the physical type tells it.",
    },
    CodeInfo {
        code: "MW0210",
        title: "A clause names a column that does not exist",
        help: "Quality clauses name columns of their own table, exactly as the contract declares them.",
    },
    CodeInfo {
        code: "MW0211",
        title: "Not a regular expression",
        help: "Patterns are regular expressions of Rust's `regex`, which always end in time: no look-around, no backreferences. A \
               pattern matches anywhere in the text unless it is anchored with `^` and `$`. In YAML, single quotes keep \
               backslashes as they are.",
    },
    CodeInfo {
        code: "MW0212",
        title: "A value of the wrong type",
        help: "Values of an enum and bounds of a range have the type of their column: texts in quotes where they look like \
               something else, dates as `2026-01-31`, timestamps as `2026-01-31T13:45:00Z`.",
    },
    CodeInfo {
        code: "MW0214",
        title: "An example against the contract",
        help: "Examples show readers what to expect, so each must fit the type and hold to the enum, range, pattern and length \
               that the contract declares for its column. One of the two is wrong.",
    },
    CodeInfo {
        code: "MW0215",
        title: "Bounds that nothing can meet",
        help: "The minimum is above the maximum, or the only value between them is excluded.",
    },
    CodeInfo {
        code: "MW0216",
        title: "An enum with a value twice, or without values",
        help: "Each value of an enum stands once, and there is at least one.",
    },
    CodeInfo {
        code: "MW0217",
        title: "Positions of the primary key do not fit",
        help: "In a primary key of several columns either no column has a position, and their order in the contract counts, or \
               each has one, from 1 without gaps.",
    },
    CodeInfo {
        code: "MW0218",
        title: "A clause that means nothing for its column",
        help: "Ranges stand on numbers, dates and timestamps; patterns and text formats on texts; lengths on texts and arrays; \
               multiples on numbers. Arrays and objects cannot be part of a key.",
    },
    CodeInfo {
        code: "MW0220",
        title: "An option that means nothing for the type",
        help: "Each logical type has options of its own: lengths and patterns for strings, bounds for numbers, dates and \
               timestamps, items for arrays.",
    },
    CodeInfo {
        code: "MW0221",
        title: "Not a date pattern",
        help: "The format of a date or timestamp is a pattern as ODCS has it (`yyyy-MM-dd'T'HH:mm:ssXXX`, letters as in Java's \
               DateTimeFormatter) or strftime (`%Y-%m-%dT%H:%M:%S%z`).",
    },
    CodeInfo {
        code: "MW0222",
        title: "A format that is not known",
        help: "Strings: email, uuid, uri, hostname, ipv4, ipv6, byte, binary, password. Integers: i8, i16, i32, i64, u8, u16, u32, \
               u64. Numbers: f32, f64.",
    },
    CodeInfo {
        code: "MW0223",
        title: "A decimal that does not exist",
        help: "A decimal has 1 to 38 digits, of which at most all stand after the point: `decimal(10,2)`.",
    },
    CodeInfo {
        code: "MW0224",
        title: "A time zone that does not fit",
        help: "Timestamps are stored in UTC. Source text without an offset needs a default zone: `UTC` or an offset such as \
               `+01:00`. Zones with summer time depend on tables that change, and some local times in them are ambiguous: \
               convert such in the SQL.",
    },
    CodeInfo {
        code: "MW0225",
        title: "Logical and physical type clash",
        help: "The physical type (of the source) cannot hold what the logical type says, such as `varchar` for a text but `int` \
               for a date. One of the two is wrong.",
    },
    CodeInfo {
        code: "MW0226",
        title: "A reference that names no table",
        help: "References name `output.column` of the same domain or `domain.output.column` of another, with as many columns as \
               the key has.",
    },
    CodeInfo {
        code: "MW0227",
        title: "An SLA on a column that cannot carry it",
        help: "The `element` of an SLA is a column of the contract; freshness and latency need a date or a timestamp.",
    },
    CodeInfo {
        code: "MW0228",
        title: "Not a duration or share",
        help: "Durations: `15 minutes`, `2 days`, `PT15M`. In units, `m` is minutes, a month is 30 days and a year 365. \
               Availability: `99.5%`.",
    },
    CodeInfo {
        code: "MW0229",
        title: "A type that is not stored yet",
        help: "ODCS 3.2 has maps; they are not stored yet. An object with named properties, or an array of objects with a key and \
               a value, says nearly the same.",
    },
    CodeInfo {
        code: "MW0230",
        title: "A clause that says nothing, or two things",
        help: "Each entry of `quality` says one thing: `no_nulls`, `unique`, `range`, `enum`, `pattern`, `length`, `multiple_of`, \
               `format`, `row_count`, `references`, `freshness`, `null_values`, `missing_values`, `invalid_values`, \
               `duplicate_values`, `sql` or `text`.",
    },
    CodeInfo {
        code: "MW0231",
        title: "An operator that cannot be read",
        help: "Checks compare a number: mustBe, mustNotBe, mustBeGreaterThan, mustBeGreaterOrEqualTo, mustBeLessThan, \
               mustBeLessOrEqualTo with one number, mustBeBetween and mustNotBeBetween with two, the smaller first. Several \
               operators in one check must all hold.",
    },
    CodeInfo {
        code: "MW0232",
        title: "Not a percentage",
        help: "With the unit percent, operators compare with 0 to 100. The number of rows has no percentage.",
    },
    CodeInfo {
        code: "MW0233",
        title: "Operators that nothing can meet",
        help: "No number lets all operators of the check pass, so every publication would be blocked.",
    },
    CodeInfo {
        code: "MW0234",
        title: "A severity that is not known",
        help: "ODCS leaves severities open. Known are error (also critical, blocker, fatal, high, major), warning (warn, medium, \
               minor) and info (information, low, notice). Any other counts as error.",
    },
    CodeInfo {
        code: "MW0235",
        title: "A metric that is not known, or out of place",
        help: "nullValues, missingValues, invalidValues and duplicateValues stand at a property; rowCount, and duplicateValues over \
               several properties, at the schema object.",
    },
    CodeInfo {
        code: "MW0236",
        title: "A metric without its arguments",
        help: "missingValues needs `arguments: { missingValues: […] }`, invalidValues needs `validValues` or `pattern`, and \
               duplicateValues of a table needs `properties`.",
    },
    CodeInfo {
        code: "MW0237",
        title: "A placeholder that stands for nothing",
        help: "`{object}` (or `{table}`) is the table, `{property}` the column that the check stands at.",
    },
    CodeInfo {
        code: "MW0238",
        title: "A clause that is not evaluated",
        help: "Text clauses, checks of other engines and constraints inside nested columns are part of the contract, but nothing \
               here can check them. They are listed in each run's report as not evaluated and never block.",
    },
    CodeInfo {
        code: "MW0239",
        title: "A measure is not a column",
        help: "ODCS 3.2 lets a schema describe measures (`semanticType: measure`), which readers compute from columns. They stay in \
               the contract; the table does not hold them.",
    },
];
