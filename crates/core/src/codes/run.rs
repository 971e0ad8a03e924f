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
        code: "MW0614",
        title: "a query without a valid plan",
        help: "The query engine found no valid plan for correct SQL, neither in the fast way nor in a simpler one. Write \
               the query in steps, each a CTE, or move a part of it into an output of its own. Please report the SQL.",
    },
    CodeInfo {
        code: "MW0617",
        title: "a store that does not create an object only once",
        help: "Every commit of a table creates one object of the log, on condition that it is not there yet \
               (`If-None-Match: *`). The store behind this storage root let several writers do it, or put a second object over \
               the first: two runs could overwrite each other's commit unseen, so nothing is written there, and `apply` does not \
               take it as storage. Use a store that \
               honours the condition: AWS S3, MinIO, Ceph, Cloudflare R2, versitygw. A gateway or proxy before it may drop the \
               header. `meshwork doctor` asks the store again.",
    },
    CodeInfo {
        code: "MW0618",
        title: "a table that grows lies in another storage",
        help: "The storage root of the domain (or of the mesh) is another one than when the table was published. The new \
               root has no table yet, and one of mode `append` or `merge` cannot be built from what is new alone. Run it with \
               `--full-refresh`: it is built there from everything that its sources have. Until then the table is read where \
               it was.",
    },
    CodeInfo {
        code: "MW0619",
        title: "a storage root that the mesh does not know",
        help: "A table lies in a bucket of which the applied mesh does not say how it is reached. Name it as `storage` in \
               mesh.yaml or domain.yaml, with `access_key_id` and `secret_access_key`, and apply. Roots that were in use \
               before stay known, so that what was published there can be read.",
    },
    CodeInfo {
        code: "MW0620",
        title: "a storage that is not available",
        help: "The storage root has a scheme that this version cannot write to, or no credentials. Local folders and \
               S3-compatible stores work.",
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
    CodeInfo {
        code: "MW0650",
        title: "The storage root cannot be used",
        help: "Data lies under `storage` of `mesh.yaml` or `domain.yaml`: a folder, absolute or relative to the mesh folder, or a prefix of a bucket (`s3://…`). Other kinds of storage are refused, so that nothing is written where it is not expected.",
    },
    CodeInfo {
        code: "MW0651",
        title: "No product is meant by this selector",
        help: "A selector is `domain.product`, `domain` or `all`, and means *applied* products: what stands in the checkout only is not known to runs yet. Apply first, then run.",
    },
    CodeInfo {
        code: "MW0652",
        title: "Another domain's product",
        help: "A domain's products are run by members of its owner team (and by administrators). A run never triggers another domain's product: it reads that product's last publication.",
    },
    CodeInfo {
        code: "MW0653",
        title: "This lifecycle state does not run",
        help: "`retired` products are gone from every port and do not run.",
    },
    CodeInfo {
        code: "MW0654",
        title: "Nothing is applied",
        help: "Runs work on the applied mesh. `meshwork plan` shows what would be applied, `meshwork apply` applies it.",
    },
    CodeInfo {
        code: "MW0655",
        title: "The run's process ended before it was done",
        help: "Every run is a process of its own with a memory ceiling. It ended by itself: often because memory ran out. `meshwork logs RUN` shows its last lines. Nothing was published; the previous publication is still served.",
    },
    CodeInfo {
        code: "MW0656",
        title: "The run took too long",
        help: "Runs have a time limit. Nothing was published; the previous publication is still served.",
    },
    CodeInfo {
        code: "MW0657",
        title: "The lease was lost",
        help: "Each product is run by one holder at a time. This one could not keep its lease alive (it was stopped, or the state was unreachable) and another took over, so it must not publish any more.",
    },
    CodeInfo {
        code: "MW0658",
        title: "The run was stopped",
        help: "A person stopped it, or the client that started it went away. Nothing was published; the previous publication is still served.",
    },
    CodeInfo {
        code: "MW0659",
        title: "Blocked by the contract",
        help: "At least one clause of severity error did not pass, so nothing was committed and the previous publication is still served. The report names each clause, how many rows fail it, and where such rows stand in the source. Mend the source, the transformation or the contract and run again.",
    },
    CodeInfo {
        code: "MW0661",
        title: "Not run, because an input did not publish",
        help: "Products run after those that they read from. When one of these is blocked or fails, those that depend on it are built from its last publication, and the output says so. Where it has never published anything there is nothing to build from, and they are skipped.",
    },
    CodeInfo {
        code: "MW0662",
        title: "Products read from each other",
        help: "A product cannot, over any number of steps, read from itself.",
    },
    CodeInfo {
        code: "MW0663",
        title: "The run's process died",
        help: "The process that held this run ended without finishing it. Recovery found no commit to complete, so what it had staged was removed.",
    },
    CodeInfo {
        code: "MW0664",
        title: "The run's process could not be started",
        help: "Runs are child processes of the same binary. Starting one failed: see the message of the operating system.",
    },
    CodeInfo {
        code: "MW0665",
        title: "The run's process broke its protocol",
        help: "A bug of ours: the process that builds a product said something unexpected. Nothing was published by it.",
    },
    CodeInfo {
        code: "MW0666",
        title: "The applied mesh is not complete",
        help: "A product names a connection that its domain does not declare, or was applied without ids. Check and apply again.",
    },
    CodeInfo {
        code: "MW0670",
        title: "Not one incremental input",
        help: "An output of mode `append` or `merge` grows by one input: among those that its SQL reads, exactly one has `incremental`. The others are read whole each time, to look things up in.",
    },
    CodeInfo {
        code: "MW0671",
        title: "A file changed after its rows were appended",
        help: "Rows that were appended are never changed, so a file that is no longer what it was cannot be taken up again: its rows would stand there twice. Put new rows into new files; or use `mode: merge`; or run once with `--full-refresh`.",
    },
    CodeInfo {
        code: "MW0672",
        title: "The table that is followed has changed rows",
        help: "An output of mode `append` follows a table to which rows are only added. Rows of it were updated or deleted, or it is another table now. Use `mode: merge`, or run once with `--full-refresh`.",
    },
    CodeInfo {
        code: "MW0673",
        title: "What had not been taken up yet is gone",
        help: "The table that is followed was compacted, and the files of the rows that this output has not seen have been removed since. Run once with `--full-refresh`, and run more often than the retention of that product.",
    },
    CodeInfo {
        code: "MW0674",
        title: "A file changed while it was read",
        help: "A file of the source was written to, replaced or removed during the run, so nobody can say which rows it had. Nothing was published. Write files under another name and rename them when they are complete.",
    },
    CodeInfo {
        code: "MW0675",
        title: "A cursor that cannot tell what is new",
        help: "`cursor(column)` takes up rows with a greater value than every one seen. The column must be a whole number, a decimal, a date or a timestamp, and every row must have a value in it. With `mode: append` a row that comes later with the greatest value seen is not taken up: use a column whose values never repeat, or `mode: merge`.",
    },
    CodeInfo {
        code: "MW0676",
        title: "The rows that are there do not fit the contract's columns",
        help: "A column was renamed, retyped or removed. The files that are there keep the old one, so the table must be written anew once: `--full-refresh`. Columns that are added need no such run.",
    },
    CodeInfo {
        code: "MW0677",
        title: "Another way to tell what is new",
        help: "How far the table has come was recorded for another input, or for another way to tell what is new. What has been taken up cannot be known from it: run once with `--full-refresh`.",
    },
    CodeInfo {
        code: "MW0678",
        title: "A merge that cannot be carried out",
        help: "`delete_when` or `order_by` is not valid over the columns that the SQL yields, or rows that delete say no key.",
    },
    CodeInfo {
        code: "MW0679",
        title: "Rows of this output are not released",
        help: "An output of mode `full` is built anew from its inputs by every run: rows that were released into it would be gone with the next one. Correct the source, the SQL or the contract and run the product; its quarantine then holds what still does not pass.",
    },
    CodeInfo {
        code: "MW0680",
        title: "Repaired rows that cannot be read",
        help: "The file has no usable `_quarantine_row` column, names rows that are not in this quarantine, names one twice, or has columns that the output does not have. Start from `meshwork quarantine show RUN -o csv` and keep its `_quarantine_` columns.",
    },
    CodeInfo {
        code: "MW0681",
        title: "Nothing to release",
        help: "The run has set no rows aside, they were all released, a later run has built the table anew and judged them again, or they were kept for 30 days and removed. `meshwork quarantine list` shows what there is.",
    },
    CodeInfo {
        code: "MW0682",
        title: "A contract that has changed too much for the rows",
        help: "The quarantined rows were set aside under columns that the output no longer has. Run the product, which judges its input again.",
    },
    CodeInfo {
        code: "MW0684",
        title: "A table that cannot be registered as the contract says",
        help: "An output of mode `external` is served as its files lie: every column of the contract must be in them, by its name or its `physicalName`, with a type that holds nothing but values of the contract's type. Nothing is parsed, rounded or cut. Declare what is there, or take the table in with `mode: full`, which converts.",
    },
    CodeInfo {
        code: "MW0685",
        title: "A Delta table with features that cannot be registered",
        help: "Some newer features of Delta change what the data files of a table say, in ways that are not known here; so do columns that files know only by a number, under other names. Such a table cannot be pinned and served. `mode: full` reads it if Delta's own reader here does; its writer can also rewrite it without the feature.",
    },
    CodeInfo {
        code: "MW0686",
        title: "Files changed while they were registered",
        help: "A run looks at the files of an external table twice before it reads them. Between the two, something changed. Run again when nothing writes there; writers of Delta tables only add files and do not disturb.",
    },
    CodeInfo {
        code: "MW0687",
        title: "A Parquet footer that says another number of rows",
        help: "The footers of an external table's files say how many rows they have, and reading them gave another number. Such files would answer `count(*)` wrongly, so they are not published.",
    },
    CodeInfo {
        code: "MW0688",
        title: "A view that would not yield what was checked",
        help: "A view reads published versions of other products and calls nothing whose value changes with each call, such as `random()`: then what a run has checked is what every reader gets. `now()` is the moment of the run.",
    },
    CodeInfo {
        code: "MW0689",
        title: "A view over too many tables",
        help: "Each read of a view answers every view and reads every table below it. Make one of the views in between a stored table with `mode: full`.",
    },
    CodeInfo {
        code: "MW0694",
        title: "Others kept committing first",
        help: "A commit is tried again on top of each one that came before it, for half a minute. Others kept coming first. Nothing was lost; run again when fewer write to the table.",
    },
    CodeInfo {
        code: "MW0695",
        title: "Rows cannot be appended here",
        help: "Small appends check the rows that they bring. The rows that are there were checked under another contract, so a run must look at all of them first.",
    },
    CodeInfo {
        code: "MW0696",
        title: "A very short retention",
        help: "Removing what is younger than an hour takes time travel away at once. Where that is meant, as when somebody's data must be gone, say so with `--force`. The newest publication always stays.",
    },
    CodeInfo {
        code: "MW0697",
        title: "A version was given up in this moment",
        help: "Between looking a table up and reading it, its old version fell out of the retention. Run the statement again.",
    },
    CodeInfo {
        code: "MW0698",
        title: "As of a time that is no longer kept",
        help: "Old publications stay readable for the retention that product.yaml, domain.yaml or mesh.yaml declares, 30 days unless they say otherwise. What is older has been removed. The error names the earliest moment that still works.",
    },
    CodeInfo {
        code: "MW0641",
        title: "The run would write too many rows",
        help: "`limits` of mesh.yaml or product.yaml, or whoever serves, set how many `rows` a run may write to one output. \
               Nothing was published. A join that multiplies rows is the usual cause where it surprises.",
    },
    CodeInfo {
        code: "MW0642",
        title: "A join needs more memory than the run may use",
        help: "A join on anything but equal columns (`a.x < b.y`) keeps one side in memory. It was tried again in a way that \
               writes to temporary files. Raise `limits.run.memory` of mesh.yaml, make one side smaller, or join on equal keys.",
    },
];
