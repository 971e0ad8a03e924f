//! MW0900 to MW0999: signing in (MW0900 to MW0919), the HTTP API.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW0900",
        title: "The user name or the password is wrong",
        help: "The answer is the same for an unknown user, a disabled one and a wrong password. An administrator resets a \
               password with `PUT`ting the user again, or makes a token.",
    },
    CodeInfo {
        code: "MW0901",
        title: "The token is not known",
        help: "Tokens begin with `mw_` and are shown once, when they are made. It may have been revoked, or its user \
               disabled or removed. Ask an administrator for a new one.",
    },
    CodeInfo {
        code: "MW0902",
        title: "The token has expired",
        help: "A token lasts until the time that was given when it was made. Make a new one.",
    },
    CodeInfo {
        code: "MW0903",
        title: "The password is too short or too long",
        help: "Passwords have 12 to 1024 characters. Length is what makes them hard to guess; no kind of character is required.",
    },
    CodeInfo {
        code: "MW0904",
        title: "Too many failed sign-ins",
        help: "After five failures in a row a user name has to wait, twice as long each time, up to a minute. Many failures \
               of all users together slow down everybody's password sign-in. Tokens are not affected.",
    },
    CodeInfo {
        code: "MW0907",
        title: "Not a user name",
        help: "User names have 1 to 64 of the characters a to z, A to Z, 0 to 9, `.`, `_`, `-`, `@` and `+`. `owner` and \
               `anonymous` are reserved.",
    },
    CodeInfo {
        code: "MW0908",
        title: "The token would expire in the past",
        help: "Give an expiry that is later than now, or none.",
    },
    CodeInfo {
        code: "MW0949",
        title: "A one-time token opens nothing",
        help: "A one-time token (`mw_once_…`) is good for one thing: `meshwork login --server URL` (`POST /api/v1/login`) \
               exchanges it for a token of its user's own. The first administrator's is in `.meshwork/admin-token`.",
    },
    CodeInfo {
        code: "MW0950",
        title: "The one-time token has been used",
        help: "A one-time token is dead once it was exchanged; of two who use it at once, one wins. If you did not use it, \
               somebody else has: revoke the token that it was exchanged for (`meshwork token list --user NAME`, \
               `meshwork token revoke ID`). The owner of the mesh's folder makes a new one there with \
               `meshwork token create --one-time --user NAME LABEL`, whether the server runs or not.",
    },
    CodeInfo {
        code: "MW0951",
        title: "Not a one-time token",
        help: "Only one-time tokens and passwords are exchanged for a new token. A token of your own is used as it is: \
               `meshwork login` keeps it in the context, and programs send it as `authorization: Bearer TOKEN`.",
    },
    CodeInfo {
        code: "MW0952",
        title: "Not what a login takes",
        help: "`POST /api/v1/login` takes either `one_time_token`, or `user` and `password`.",
    },
    CodeInfo {
        code: "MW0953",
        title: "A service has no password",
        help: "A service account stands for a program: it signs in with tokens, which end, can be confined and can be revoked one \
               by one. Make its user without a password.",
    },
    CodeInfo {
        code: "MW0911",
        title: "A password could not be checked",
        help: "The stored hash does not have a known form. An administrator sets the password again.",
    },
    CodeInfo {
        code: "MW0921",
        title: "Nothing is there",
        help: "No route of the API has this path. `/api/docs` lists the routes; all but a few lie under `/api/v1`.",
    },
    CodeInfo {
        code: "MW0922",
        title: "Not a method of this route",
        help: "The path exists, but not with this method. The `allow` header of the answer names the methods that work.",
    },
    CodeInfo {
        code: "MW0923",
        title: "The request's body is too large",
        help: "Most routes take 4 MiB, those that take a whole mesh 64 MiB. A statement of that size is usually a list of \
               values: bind them, or put them into a table of their own.",
    },
    CodeInfo {
        code: "MW0924",
        title: "The answer took too long",
        help: "The server gives up on a request whose answer has not begun after two minutes. Narrow the query with a \
               filter or a limit, or try again when the server is less busy (`/metrics` shows what it does).",
    },
    CodeInfo {
        code: "MW0925",
        title: "The request was refused",
        help: "The request is not well-formed HTTP for this route. The status says which part is meant.",
    },
    CodeInfo {
        code: "MW0926",
        title: "The body is not JSON",
        help: "Routes that take a body take JSON: send `content-type: application/json`.",
    },
    CodeInfo {
        code: "MW0927",
        title: "The body cannot be read",
        help: "The body is not valid JSON, or not of the form that the route takes. `place` holds the line and column. \
               Members that the route does not know are errors, as they are mostly typing errors.",
    },
    CodeInfo {
        code: "MW0928",
        title: "Unknown query parameter",
        help: "A query parameter that a route does not know is an error rather than ignored, since an ignored `fitler=…` \
               would answer another question. Each may be given once. `/api/docs` lists those of each route.",
    },
    CodeInfo {
        code: "MW0929",
        title: "A query parameter cannot be read",
        help: "The parameter is known, but its value is not of its type: a number where one is expected, `true` or \
               `false` for a switch, an RFC 3339 moment for a time.",
    },
    CodeInfo {
        code: "MW0930",
        title: "The page size is out of bounds",
        help: "`limit` is between 1 and 1000. Longer lists come in pages: follow `next`.",
    },
    CodeInfo {
        code: "MW0931",
        title: "Not a cursor of this list",
        help: "A cursor belongs to the list that it came from. Follow the `next` link of a page as it is; do not combine \
               its cursor with other parameters that say where to begin.",
    },
    CodeInfo {
        code: "MW0932",
        title: "No acceptable form",
        help: "Results come as JSON, CSV, an Arrow stream, Parquet or NDJSON, chosen by the `accept` header; contracts as \
               JSON or YAML. None of the media types that the request accepts is among them.",
    },
    CodeInfo {
        code: "MW0933",
        title: "The form cannot hold these columns",
        help: "CSV has no form for lists and structs, and Parquet none for some rare types. Leave the column out, cast \
               it, or accept another form.",
    },
    CodeInfo {
        code: "MW0934",
        title: "`select`, `filter` or `order` cannot be read",
        help: "A filter is conditions joined by `and`: `score ge 50 and source in (paid, 'word of mouth') and \
               deleted_at is null`. The operators are eq, ne, lt, le, gt, ge, like, in, not in, is null, is not null. \
               Text with blanks, commas or parentheses goes in 'single quotes' (`''` for a quote in it), odd column names \
               in \"double quotes\". For anything beyond that, POST a query.",
    },
    CodeInfo {
        code: "MW0935",
        title: "Not a moment",
        help: "`as_of` is an RFC 3339 moment with a zone, such as `2026-01-31T00:00:00Z`, or a date, which means its first \
               moment in UTC.",
    },
    CodeInfo {
        code: "MW0936",
        title: "A parameter's value does not fit",
        help: "`params` holds one value for each of `$1`, `$2`, … in order: text, number, boolean or null. The value must \
               be readable as the type that the statement gives the parameter; dates and times are text.",
    },
    CodeInfo {
        code: "MW0940",
        title: "A credential is missing",
        help: "Send `authorization: Bearer TOKEN`, or a user and password as Basic. An administrator makes users and \
               tokens; the first start of a server writes a token for the first administrator to a file that only its \
               owner can read.",
    },
    CodeInfo {
        code: "MW0941",
        title: "A header cannot be read",
        help: "`authorization`, `meshwork-as` and `meshwork-purpose` hold one plain text each.",
    },
    CodeInfo {
        code: "MW0942",
        title: "Not a credential",
        help: "The `authorization` header is `Bearer TOKEN`, or `Basic` with `user:password` in base64. Nothing else is \
               understood.",
    },
    CodeInfo {
        code: "MW0943",
        title: "Two purposes",
        help: "A session has one purpose: that of its token, of the header `meshwork-purpose` or of the request. Where \
               several say one, they must say the same.",
    },
    CodeInfo {
        code: "MW0944",
        title: "Not a name",
        help: "Principals are written `user:ana` or `product:sales.orders`, grantees also `team:marketing-team`. Names of \
               domains, products and classifications are lower case: a to z, 0 to 9 and `_`; those of teams may also have \
               `-` and `.` in them.",
    },
    CodeInfo {
        code: "MW0945",
        title: "Several quarantines are meant",
        help: "Rows of several outputs, or of several runs, are in quarantine. Say which output with `output` and `major` (`--of`, `--major`), or name the run.",
    },
    CodeInfo {
        code: "MW0998",
        title: "A route did not ask for permission",
        help: "A bug of ours: a handler was about to answer without having asked whether the caller may have the answer, \
               so the answer was withheld. Please report it with the request's id.",
    },
    CodeInfo {
        code: "MW0999",
        title: "The server failed",
        help: "A bug of ours. The server's log holds the reason under the request's id, which the problem and the header \
               `x-request-id` name.",
    },
    CodeInfo {
        code: "MW0980",
        title: "Not an address to listen on",
        help: "`--http` and `--pg` take an address and a port: `127.0.0.1:8081`. Port 0 takes a free one.",
    },
    CodeInfo {
        code: "MW0981",
        title: "TLS is not configured",
        help: "Without TLS, passwords and tokens travel in the clear, so the server listens on loopback addresses only. To be reachable from elsewhere give it a certificate with `--tls-cert` and `--tls-key`, or put a TLS proxy in front of it.",
    },
    CodeInfo {
        code: "MW0982",
        title: "The port cannot be used",
        help: "Another process listens on it, or this user may not. Choose another port with `--http` or `--pg`; port 0 takes a free one.",
    },
    CodeInfo {
        code: "MW0983",
        title: "A secret cannot be written",
        help: "The first administrator's token is written to `.meshwork/admin-token`, readable by its owner only. The operating system refused.",
    },
    CodeInfo {
        code: "MW0984",
        title: "The certificate cannot be used",
        help: "`--tls-cert` is a PEM file with the certificate of the server and those that lead to its authority, `--tls-key` the private key of the first, readable by the server's user or group only. Both are read again when they change; a pair that cannot be used then leaves the one before in place, and a line in the log.",
    },
];
