//! MW0500 to MW0599.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW0501",
        title: "no source file",
        help: "The path or glob of an input matches no file. A source that has gone is an error, not an empty source: \
               otherwise a typing mistake would publish an empty table.\n\nPaths are relative to the domain's folder. `*` \
               and `?` match within one name; a name that starts with a dot must be written with it.",
    },
    CodeInfo {
        code: "MW0502",
        title: "a source file cannot be read",
        help: "The file exists but cannot be opened or read: its permissions, a disk fault, or it is not a regular file. \
               Folders, pipes and devices are refused. To read all files of a folder, write a glob such as `lists/*.csv`.",
    },
    CodeInfo {
        code: "MW0503",
        title: "a source leads out of the domain's folder",
        help: "Sources read files below their own domain's folder only. `..`, absolute paths and symbolic links that lead \
               out are refused, because a domain's folder is written by people who must not read what the server can read.",
    },
    CodeInfo {
        code: "MW0504",
        title: "text in another encoding",
        help: "Text sources are read as UTF-8, or in the encoding that `options: { encoding: … }` of a CSV source declares. \
               The error names the file and line of the first text that is not valid in it. Nothing is replaced or \
               guessed while a product runs.\n\nDeclare the encoding that the file was written in, such as \
               `windows-1252` or `utf-16`. JSON is always UTF-8.",
    },
    CodeInfo {
        code: "MW0505",
        title: "a CSV record with the wrong number of fields",
        help: "Every record must have as many fields as the header has columns. Usual causes: a value that contains the \
               delimiter and is not in quotes, a quote that is never closed, a file that was cut off, the wrong delimiter.",
    },
    CodeInfo {
        code: "MW0506",
        title: "a CSV file without a usable header",
        help: "The first record names the columns, each once and none empty. Without such a record set \
               `options: { header: false }`: the columns are then `column_1`, `column_2` and so on. `delimiter` and `quote` \
               are one ASCII character each.",
    },
    CodeInfo {
        code: "MW0507",
        title: "files of one source differ",
        help: "All files that a glob matches must have the same columns in the same order (and, for Parquet, of the same \
               types). Read files of another shape as an input of their own and combine them in the SQL.",
    },
    CodeInfo {
        code: "MW0508",
        title: "a record that is not a JSON object",
        help: "JSON sources hold one object a line (JSON lines), or an array of objects. Where the records stand inside a \
               document, `options: { records: $.data.items }` says where. A file that was cut off shows the same error.",
    },
    CodeInfo {
        code: "MW0509",
        title: "a damaged Parquet file",
        help: "The file's footer or a page of it cannot be read. A file that is still being copied looks the same: write \
               to another name and rename when done.",
    },
    CodeInfo {
        code: "MW0510",
        title: "a column that the source does not have",
        help: "The SQL names a column that the input does not have. The error lists the columns that were found. If the \
               source has changed, the contract or the SQL must follow. In SQL, names with capitals or blanks stand in \
               double quotes: `\"leadId\"`.",
    },
    CodeInfo {
        code: "MW0512",
        title: "a record that is too long",
        help: "A CSV record or JSON line is longer than 16 MiB, or has more than 10,000 fields. In CSV this nearly always \
               is a quote that is never closed.",
    },
    CodeInfo {
        code: "MW0520",
        title: "a database that cannot be reached",
        help: "The connection of an input could not be opened: the server is down, the host or port is wrong, or a \
               firewall is between. The run fails; the publication before it is still served.",
    },
    CodeInfo {
        code: "MW0521",
        title: "a database that refuses the login",
        help: "The server answered, but refused the user or the password. The password comes from the secret that the \
               connection names (`${secret:name}`); the user is the connection's `user`.",
    },
    CodeInfo {
        code: "MW0522",
        title: "a database table or query that does not work",
        help: "The database refused what the input asks for: the table does not exist, the user may not read it, or the \
               query is wrong. The database's own words are in the error.",
    },
    CodeInfo {
        code: "MW0523",
        title: "a database type that is not known",
        help: "A column has a type that cannot be read. Use `query:` instead of `table:` and cast it there, for example \
               `SELECT id, location::text FROM places`.",
    },
    CodeInfo {
        code: "MW0524",
        title: "a database that broke off",
        help: "The connection was lost while rows were read, or the database stopped the query. Nothing was published. \
               Run again; if it comes back, look at the database's own log.",
    },
    CodeInfo {
        code: "MW0525",
        title: "TLS that failed",
        help: "The connection to a database could not be encrypted as its `tls` says. `prefer` (the default) encrypts if the \
               server can; `require` always does, whoever answers; `verify-full` also wants a certificate of a known \
               authority for the connection's host. `ca: ${secret:name}` holds the authority's certificate in PEM where \
               the machine does not know it.",
    },
    CodeInfo {
        code: "MW0530",
        title: "a secret that is not set",
        help: "Connections name secrets as `${secret:name}`. They are resolved in the run's own process, from the \
               environment variable `MW_SECRET_<DOMAIN>_<NAME>` (capitals, `-` as `_`) or from the file `<domain>/<name>` \
               in the secrets folder. A domain cannot name another domain's secrets.",
    },
    CodeInfo {
        code: "MW0531",
        title: "a literal password",
        help: "Passwords never stand in manifests. Write `password: ${secret:name}` and set the secret where runs can \
               read it.",
    },
    CodeInfo {
        code: "MW0532",
        title: "a damaged compressed file",
        help: "Compressed files (gzip, zstd, bzip2, xz) are recognised by their first bytes and read to their end; this one \
               is cut off or its contents do not agree with its checksum. A file that is still being copied looks the \
               same: write to another name and rename when done.",
    },
    CodeInfo {
        code: "MW0533",
        title: "a column that has gone from a source",
        help: "No record of a JSON file has the key of a column that the contract promises and the SQL reads. Reading it as \
               null would publish nulls that nobody decided on. If the key was renamed, name the new one as the field's \
               `physicalName`; if the contract should no longer have it, change the contract.\n\nWhere writers leave \
               keys out that have no value, set `options: { absent: \"null\" }` on the source.",
    },
    CodeInfo {
        code: "MW0534",
        title: "a document without records",
        help: "`records` of a JSON source says where in the document the records are: `$` for the document itself, \
               `$.data.items` (or the JSON pointer `/data/items`) for an array inside. The document has no such key: it \
               has changed, or the path is misspelt.",
    },
    CodeInfo {
        code: "MW0535",
        title: "a SQLite file that cannot be read",
        help: "The file is damaged or no SQLite database, the path matches several files, or the database has a write-ahead log that cannot be read in a folder where nothing may be written. Copy a database with `.backup` of sqlite3, or let its writer close it, so that all changes are in the one file.",
    },
    CodeInfo {
        code: "MW0536",
        title: "a damaged Avro file",
        help: "The file is no whole Avro object container file, or its schema has a type that cannot be read.",
    },
    CodeInfo {
        code: "MW0537",
        title: "a Delta table that cannot be read",
        help: "The folder holds no Delta table, not the version that the source pins, or a table with features that cannot be read. The server's log names the reason.",
    },
    CodeInfo {
        code: "MW0540",
        title: "a host that sources may not connect to",
        help: "`egress` of mesh.yaml lists the hosts that sources may reach. Without a list, other machines may be reached, but for HTTP and S3 never this machine itself, its link (169.254.0.0/16, which is where clouds have their metadata services) and the like: what listens there trusts whoever can reach it. A host stands in the list as `host`, `host:port`, `*.example.com` or an address. What a name resolves to is decided on, not the name alone.",
    },
    CodeInfo {
        code: "MW0541",
        title: "a server that does not answer",
        help: "The host is not known, refuses the connection, or does not answer in time. Requests are tried a few times within a bounded time. The run fails; the publication before it is still served.",
    },
    CodeInfo {
        code: "MW0542",
        title: "a server that refuses",
        help: "The server answered, but with an error: it cannot answer now (429, 500 to 504, after several attempts), wants other credentials (401, 403), or does something that is not understood. The run fails; the publication before it is still served.",
    },
    CodeInfo {
        code: "MW0543",
        title: "a server that went away in the middle",
        help: "The transfer broke off and could not be continued. A file is only read when all of it has come. The run fails; the publication before it is still served.",
    },
    CodeInfo {
        code: "MW0544",
        title: "more than a run may fetch",
        help: "Files of other machines are fetched into the run's own temporary folder, within the run's `spill_bytes`.",
    },
    CodeInfo {
        code: "MW0545",
        title: "a file that changed while it was read",
        help: "The object was replaced between listing and reading it. Run again.",
    },
    CodeInfo {
        code: "MW0546",
        title: "an S3 store that refuses",
        help: "The address of the store or the bucket is wrong, or the store does not accept the credentials. They come from the secrets that `access_key_id` and `secret_access_key` of the connection name; without them the store is asked as anybody, never with credentials of the machine.",
    },
    CodeInfo {
        code: "MW0547",
        title: "a redirect that is not followed",
        help: "A redirect may lead to the same host, or to one that `egress` of mesh.yaml lists, and never from https to http: otherwise whoever controls the address could make the run read what only this machine can reach.",
    },
];
