//! MW1000 to MW1099.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW1001",
        title: "There is no such code",
        help: "Codes look like MW0123. `meshwork explain` without an argument lists all of them.",
    },
    CodeInfo { code: "MW1002", title: "There is no such command", help: "`meshwork --help` lists the commands." },
    CodeInfo {
        code: "MW1003",
        title: "The options do not fit",
        help: "An option of the command line cannot be used as it was. Every command explains its options with `--help`.",
    },
    CodeInfo {
        code: "MW1004",
        title: "The folder or the process cannot be set up",
        help: "The operating system refused something that every command needs.",
    },
    CodeInfo {
        code: "MW1005",
        title: "The token file cannot be used",
        help: "`--token-file` (or MESHWORK_TOKEN_FILE) names a file whose first and only line is the token.",
    },
    CodeInfo {
        code: "MW1006",
        title: "Not an address of a server",
        help: "`--server` takes `https://host:port`, or `http://host:port` of a server on this machine.",
    },
    CodeInfo {
        code: "MW1007",
        title: "No answer from the server",
        help: "The server is not running, listens elsewhere, a firewall is between, or its certificate comes from an authority that this machine does not know: `--ca-cert` names it.",
    },
    CodeInfo {
        code: "MW1008",
        title: "The answer broke off",
        help: "The connection to the server ended before the answer was complete. Runs go on no longer than the connection that started them; `meshwork runs` shows what became of them.",
    },
    CodeInfo {
        code: "MW1009",
        title: "The answer is not understood",
        help: "What answered is not a Meshwork server, or one of another version.",
    },
    CodeInfo {
        code: "MW1010",
        title: "Stopped",
        help: "The command was stopped by Ctrl-C or a signal. What it had begun is put in order: runs are stopped and publish nothing, their previous publications stay served.",
    },
    CodeInfo {
        code: "MW1011",
        title: "The authority's certificate cannot be used",
        help: "`--ca-cert` (or MESHWORK_CA_CERT) names a PEM file with the certificates of the authorities that a server's certificate may come from, beside those that the machine trusts.",
    },
    CodeInfo {
        code: "MW1012",
        title: "The name is not complete",
        help: "Products are named `domain.product`, contracts and tables `domain.output`, an older major `domain.output_v1`.",
    },
    CodeInfo {
        code: "MW1013",
        title: "There is no such user",
        help: "`meshwork user list` shows the local users, `meshwork user add` makes one.",
    },
    CodeInfo {
        code: "MW1014",
        title: "A password is needed",
        help: "Passwords are asked for on a terminal, or read from a file or standard input; they are never taken from the command line, where other users would see them.",
    },
    CodeInfo {
        code: "MW1015",
        title: "Not a moment",
        help: "Moments are written as RFC 3339 (`2027-01-31T12:00:00Z`), as a date, or as a duration from now (`30d`, `12h`, `45m`, `90s`).",
    },
    CodeInfo {
        code: "MW1016",
        title: "Not a predicate",
        help: "A row predicate is `column = value` (or `!=`, `<`, `<=`, `>`, `>=`), `column in (a, b)`, `column not in (…)`, `column is null` or `column is not null`. Texts may be quoted: `'EU'`.",
    },
    CodeInfo {
        code: "MW1017",
        title: "The audit trail does not verify",
        help: "A record was changed, removed or put in. The report names the first one that does not hold.",
    },
    CodeInfo {
        code: "MW1018",
        title: "No statement",
        help: "`meshwork sql` takes the statement by `-c`, from a file by `-f`, or from standard input.",
    },
    CodeInfo {
        code: "MW1019",
        title: "Not everything was published",
        help: "At least one product was blocked or failed. `meshwork runs` and `meshwork logs RUN` show why; the previous publications are still served.",
    },
    CodeInfo { code: "MW1020", title: "It has not run yet", help: "`meshwork run domain.product` runs it." },
    CodeInfo {
        code: "MW1021",
        title: "Not a mesh folder",
        help: "Commands work on the nearest folder upwards that holds a `mesh.yaml`, on the one named by `-C` or MESHWORK_DIR, or on a server named by `--server`.",
    },
    CodeInfo {
        code: "MW1022",
        title: "The mesh key cannot be used",
        help: "Keyed masks use a key of 32 bytes in `.meshwork/mesh.key`. Without it masked values cannot be the same as before; restore it from a backup.",
    },
    CodeInfo { code: "MW1023", title: "It exists already", help: "`init` and `new` never overwrite a file." },
    CodeInfo {
        code: "MW1024",
        title: "Not a name",
        help: "Names are `[a-z][a-z0-9_]{0,62}`: lower case letters, digits and underscores, a letter first.",
    },
    CodeInfo {
        code: "MW1025",
        title: "What it belongs to does not exist",
        help: "Domains come before their products, products before their further contracts.",
    },
    CodeInfo {
        code: "MW1026",
        title: "A file cannot be written",
        help: "The operating system refused to write a file of the mesh folder.",
    },
    CodeInfo {
        code: "MW1027",
        title: "The mesh folder does not check",
        help: "`plan`, `apply` and `drift` work on a folder that `meshwork check` accepts.",
    },
    CodeInfo {
        code: "MW1028",
        title: "The plan cannot be applied",
        help: "Something in the plan must not happen as it stands: the reasons are printed with it.",
    },
    CodeInfo {
        code: "MW1029",
        title: "The demo does not work",
        help: "One of the steps of `meshwork demo` did not do what it should; the message says which.",
    },
    CodeInfo {
        code: "MW1090",
        title: "Something is there already",
        help: "`backup` never overwrites a file, and `restore` fills only a folder that is new or empty, for the mesh folder and for every storage root. A storage root that lay outside of the mesh folder is moved with `--storage /old/folder=/new/folder`.",
    },
    CodeInfo {
        code: "MW1091",
        title: "A backup cannot be written or read",
        help: "The operating system refused to read or write a file of the mesh or the archive. A backup that was not written to its end is removed.",
    },
    CodeInfo {
        code: "MW1092",
        title: "A backup is damaged",
        help: "Every file of a backup is checked against its SHA-256 while it is restored. This one was cut off, changed, or is not a backup. Nothing of it stays in the folder.",
    },
    CodeInfo {
        code: "MW1093",
        title: "The mesh changed under the backup",
        help: "A file that a publication needs vanished, or a file of the mesh folder changed its size, while it was packed. Take the backup again.",
    },
    CodeInfo {
        code: "MW1094",
        title: "The restored mesh does not hold",
        help: "Everything was unpacked as it was packed, but the audit log's chain is broken or a published table lacks a file. It did so already when the backup was taken.",
    },
    CodeInfo {
        code: "MW1041",
        title: "This cannot be undone",
        help: "The command destroys something for good and nobody was asked. Say `--yes` when that is what you want.",
    },
    CodeInfo {
        code: "MW1040",
        title: "The example cannot be written",
        help: "`meshwork init --template acme` and `meshwork demo` write the example mesh and its data. The operating system refused: choose a folder that can be written, on a disk with space.",
    },
    CodeInfo {
        code: "MW1050",
        title: "The terminal cannot be used",
        help: "The SQL shell reads from a terminal that it can put into raw mode. Without one, give the statement with `-c SQL`, `-f FILE` or by a pipe.",
    },
    CodeInfo {
        code: "MW1051",
        title: "No such table in the shell",
        help: "`.schema domain.output` shows the columns of a table that you may query; `.tables` lists those.",
    },
    CodeInfo {
        code: "MW1052",
        title: "Not a directive of the shell",
        help: "Lines of the SQL shell that begin with a dot speak to the shell itself; `.help` lists them. Everything else is SQL and ends with `;`.",
    },
    CodeInfo {
        code: "MW1053",
        title: "Files could not be formatted",
        help: "`meshwork fmt` formats files that are YAML. It never changes what a file means: where it is not sure, it only removes blanks at line ends.",
    },
    CodeInfo {
        code: "MW1054",
        title: "The contexts cannot be read or written",
        help: "`meshwork context` keeps the servers that you work with in `contexts.json` in the folder `meshwork` of XDG_CONFIG_HOME (`~/.config` unless set), readable by you only.",
    },
    CodeInfo {
        code: "MW1055",
        title: "Not a context",
        help: "`--context`, MESHWORK_CONTEXT and `meshwork context use` take a name that `meshwork context list` shows. Names are letters, digits, `-`, `_` and `.`.",
    },
    CodeInfo {
        code: "MW1056",
        title: "The command for the token failed",
        help: "A context may name a command that prints the credential (`--token-command`). It must end with status 0 and print the token to its standard output.",
    },
    CodeInfo {
        code: "MW1060",
        title: "A test names what the product does not have",
        help: "Inputs and outputs in a `*.test.yaml` are those that product.yaml declares.",
    },
    CodeInfo {
        code: "MW1061",
        title: "A test cannot be read",
        help: "`tests:` is a list; each test has a `name`, rows of `inputs` and what to `expect` of outputs. `meshwork schema print test` prints the whole shape.",
    },
    CodeInfo {
        code: "MW1062",
        title: "A test failed",
        help: "What came out of the product's SQL for the given rows is not what the test expects. The report shows missing and unexpected rows, and clauses that failed or passed against expectation.",
    },
    CodeInfo {
        code: "MW1063",
        title: "There are no tests",
        help: "Tests lie in files `*.test.yaml` in the folder of their product.",
    },
    CodeInfo {
        code: "MW1064",
        title: "An expected value does not fit its column",
        help: "The rows that a test expects are compared as values of the columns' types: this one cannot be read as such, or there is no such column.",
    },
    CodeInfo {
        code: "MW1065",
        title: "Repaired rows that cannot be read",
        help: "The file given with `--with` is not there, is no text, is too large, or is neither CSV (`.csv`) nor JSON lines (`.jsonl`).",
    },
    CodeInfo {
        code: "MW1109",
        title: "Not every table could be looked after",
        help: "`meshwork maintain` went on to the next table after one failed. The lines above say which, and why; nothing that is published is affected.",
    },
    CodeInfo {
        code: "MW1065",
        title: "No server to log in to",
        help: "`meshwork login --server http://host:port` gets a token of your own from that server and keeps it, readable \
               by you only, in a context. In the folder of an embedded mesh no login is needed.",
    },
    CodeInfo {
        code: "MW1066",
        title: "A token is needed",
        help: "`meshwork login` asks on the terminal, reads standard input, or takes `--token-file FILE`; `--user NAME` logs \
               in with a password.",
    },
    CodeInfo {
        code: "MW1067",
        title: "No login to end",
        help: "`meshwork logout` revokes and forgets the token of the context in use, of `--context NAME`, or of the context \
               that has the server of `--server`. A token that comes from a command or the environment is not its to end.",
    },
    CodeInfo {
        code: "MW1068",
        title: "Not a limit",
        help: "`--limits NAME=VALUE` and MESHWORK_LIMITS (several with commas) take `query.memory`, `query.spill`, \
               `query.time`, `query.rows` and the same under `run.`: sizes as `4GiB` or `500MB`, times as `30s` or `2h`, rows \
               as a number. They hold for the process that does the work, the server where there is one; `limits` in \
               mesh.yaml and product.yaml may only be lower.",
    },
    CodeInfo {
        code: "MW1069",
        title: "No such product to develop",
        help: "`meshwork dev` takes `domain.product`, `domain` or `all`, as the mesh folder declares them.",
    },
    CodeInfo {
        code: "MW1070",
        title: "The mesh folder cannot be watched",
        help: "`meshwork dev` asks the operating system to be told of saves. On Linux the number of folders that can be \
               watched is limited (`sysctl fs.inotify.max_user_watches`). `meshwork dev --once` builds without watching.",
    },
    CodeInfo {
        code: "MW1071",
        title: "The folder of `meshwork dev` cannot be used",
        help: "State, tables and samples of `meshwork dev` lie under `.meshwork/dev/` of the mesh folder, which must be \
               writable. It may be removed whenever `meshwork dev` does not run.",
    },
    CodeInfo {
        code: "MW1072",
        title: "Not a sample",
        help: "`--sample` takes a number of rows (`10000`), a share (`1%`), or `all`. Rows are the first of each source, and \
               those with the lowest hashes of their keys of each upstream table. A share takes the rows whose key's hash \
               falls into it, the same in all tables.",
    },
    CodeInfo {
        code: "MW1073",
        title: "The development session is over",
        help: "The session could not be started again after a change that broke what was built. Start `meshwork dev` anew.",
    },
];
