//! MW0600 to MW0699.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW0601",
        title: "SQL that does not plan",
        help: "The transformation of an output, or the query of a clause, is not valid: its syntax, a table or a function \
               is unknown, or types do not fit. Inputs are tables by their input name.",
    },
    CodeInfo {
        code: "MW0602",
        title: "a contract field that the SQL does not yield",
        help: "Every field of the output's contract must be a column of the SELECT, by its exact name. SQL turns names \
               without quotes into lower case: write `AS \"leadId\"`.",
    },
    CodeInfo {
        code: "MW0603",
        title: "a column that the contract does not declare",
        help: "The SELECT yields a column that the contract does not have; it would be data without a promise. Declare it, \
               or leave it out. With `SELECT *` this also happens when the source gets a new column: name the columns.",
    },
    CodeInfo {
        code: "MW0604",
        title: "not available yet",
        help: "The manifest asks for something that this version cannot do. The error names it and what can be used instead.",
    },
    CodeInfo {
        code: "MW0605",
        title: "a column of a type that cannot be stored as declared",
        help: "What the SQL yields for a column can never become the contract's type, such as a boolean for a date. Cast \
               it in the SQL. (Single values that do not fit are not this error: they fail the column's `type` clause.)",
    },
    CodeInfo {
        code: "MW0606",
        title: "not a query",
        help: "A transformation is one SELECT (with CTEs if need be). Statements that create, change or copy are refused.",
    },
    CodeInfo {
        code: "MW0610",
        title: "a query that failed while running",
        help: "A value met something that SQL cannot compute: a division by zero, an overflow, a cast that does not work. \
               The value is not shown, because errors are read by people who may not see the data. Use `try_cast` and \
               `nullif` and let the contract's clauses find the rows.",
    },
    CodeInfo {
        code: "MW0611",
        title: "a run that needs more memory or disk than it may use",
        help: "Sorting, joining or grouping needs more than the run's limits. Joins are tried again in a way that spills \
               to disk before this error comes.",
    },
    CodeInfo {
        code: "MW0612",
        title: "a run that takes too long",
        help: "The run met its time limit and was stopped. Nothing was published.",
    },
    CodeInfo {
        code: "MW0613",
        title: "a run that stopped unexpectedly",
        help: "A bug: building the product panicked. Nothing was published. Please report it with the run's log.",
    },
    CodeInfo {
        code: "MW0620",
        title: "a storage that is not available",
        help: "The storage root has a scheme that this version cannot write to. Local folders work.",
    },
    CodeInfo {
        code: "MW0621",
        title: "storage that cannot be used",
        help: "Reading or writing the storage root failed: it does not exist, it is not writable, or the disk is faulty. \
               Publications are not affected.",
    },
    CodeInfo {
        code: "MW0622",
        title: "the disk is full",
        help: "There is no space left where the run writes. Nothing was published, and what the attempt wrote is removed \
               by the next collection. Free space, then run again.",
    },
    CodeInfo {
        code: "MW0623",
        title: "a table's log is not whole",
        help: "Entries of the table's `_delta_log` are missing or unreadable, or the folder was replaced. Meshwork never \
               deletes log entries. Restore the folder from a backup.",
    },
    CodeInfo {
        code: "MW0630",
        title: "somebody else has written to the table",
        help: "The table's log has a version that no run of meshwork made: a compaction by another tool, or a stray \
               writer. Such a version is never served, and never silently overwritten. Stop the other writer, move its log \
               entry away (the error names the file; also a checkpoint of that version, if there is one), and run again.",
    },
    CodeInfo {
        code: "MW0631",
        title: "another run was first",
        help: "Another run of the same product has committed the version that this one had prepared. Run again: it will \
               build on the newest version.",
    },
    CodeInfo {
        code: "MW0632",
        title: "staged data is gone",
        help: "What a run had staged is no longer there or no longer readable, so it cannot be committed. Run again.",
    },
    CodeInfo {
        code: "MW0640",
        title: "a fail point",
        help: "A fault that a test asked for with `MESHWORK_FAILPOINT`. If you see this outside a test, unset that variable.",
    },
];
