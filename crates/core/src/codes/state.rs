//! MW0400 to MW0499: the control plane's state, and the audit log in it (MW0450 to MW0479).

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW0401",
        title: "The state cannot be opened",
        help: "The state lives in `.meshwork/state.db` in the mesh folder. The file or its folder could not be created, \
               opened or read. Check that the disk is mounted, that you own the folder and that it is writable \
               (`ls -ld .meshwork`).",
    },
    CodeInfo {
        code: "MW0402",
        title: "The state was written by a newer version",
        help: "A newer `meshwork` has changed the state's schema. An older one refuses to open it rather than damage it. \
               Use the newer binary, or restore the backup taken before the upgrade.",
    },
    CodeInfo {
        code: "MW0403",
        title: "The state file is damaged or is not a Meshwork state",
        help: "The file is not an SQLite database, belongs to another application, or its pages are damaged. Move it aside \
               and restore a backup. Data in the storage root is not affected.",
    },
    CodeInfo {
        code: "MW0404",
        title: "The disk is full",
        help: "The state could not be written because no space is left. Nothing was changed: every change is one \
               transaction. Free some space and try again.",
    },
    CodeInfo {
        code: "MW0405",
        title: "Reading or writing the state failed",
        help: "The operating system reported an input/output error. Nothing was changed. Check the disk and the system log.",
    },
    CodeInfo {
        code: "MW0406",
        title: "The state is busy",
        help: "Another transaction held the state for too long, or no connection became free in time. Try again.",
    },
    CodeInfo {
        code: "MW0407",
        title: "Another process holds the state",
        help: "One process at a time opens the state for writing. While `meshwork serve` runs, other commands talk to that \
               server; while another command runs, wait for it to end. The message names the process.",
    },
    CodeInfo {
        code: "MW0408",
        title: "The storage root belongs to another mesh",
        help: "`_meshwork/owner.json` in a storage root names the mesh whose control plane writes there. Two control planes \
               on one root would remove each other's files. Use another root, or, if the other mesh is gone for good, \
               remove that file.",
    },
    CodeInfo {
        code: "MW0409",
        title: "A stored value cannot be read",
        help: "A row of the state does not have the form that this version writes. This is a bug or a state edited by hand.",
    },
    CodeInfo {
        code: "MW0410",
        title: "The mesh was changed in between",
        help: "An apply carries the revision that it was planned against, and somebody else has applied since. Plan again, \
               look at what changed, and apply.",
    },
    CodeInfo {
        code: "MW0411",
        title: "The product is being run already",
        help: "One run at a time builds a product. The message names the process that holds it and until when its lease \
               lasts; it is extended while that run lives. Wait for it, or stop it.",
    },
    CodeInfo {
        code: "MW0412",
        title: "The last run of the product must be recovered first",
        help: "The last run died after its verdict was stored, so its data may be committed. Recovery publishes it or drops \
               it; it is done at start-up and before each run. Try again.",
    },
    CodeInfo {
        code: "MW0413",
        title: "The run has lost its lease",
        help: "The run was slow to extend its lease, and another process took the product over. Its results are dropped, so \
               that two runs never publish over each other. Run the product again.",
    },
    CodeInfo {
        code: "MW0414",
        title: "No such run",
        help: "List the runs with `meshwork run list` or `GET /api/v1/runs`.",
    },
    CodeInfo { code: "MW0415", title: "No such agreement", help: "List the agreements with `meshwork access list`." },
    CodeInfo {
        code: "MW0416",
        title: "No such user or token",
        help: "An administrator lists them with `GET /api/v1/users` and `GET /api/v1/tokens`.",
    },
    CodeInfo {
        code: "MW0417",
        title: "It exists already",
        help: "An id or name that must be unique is taken. Use another, or change the existing one.",
    },
    CodeInfo {
        code: "MW0418",
        title: "`.meshwork/server.json` cannot be read",
        help: "The file says how to reach the server of this mesh folder. It is damaged; restart the server.",
    },
    CodeInfo {
        code: "MW0419",
        title: "A quarantine that has changed",
        help: "Rows were released from a quarantine that another run has superseded or released from in the meantime. Nothing was published; look again at what is there and release that.",
    },
    CodeInfo {
        code: "MW0450",
        title: "The audit log cannot be written",
        help: "What is about to happen is recorded before it happens. As it could not be recorded, it was refused. The \
               message says why; it is often a full disk.",
    },
    CodeInfo {
        code: "MW0451",
        title: "The audit log was tampered with",
        help: "`meshwork audit verify` walks the tree over all records up to its signed checkpoint. At the record named, the \
               stored bytes are not those that were recorded, a record is missing, or the checkpoint is of another log. As \
               many records before it as are named are intact. Compare with a backup.",
    },
    CodeInfo {
        code: "MW0452",
        title: "An audit leaf cannot be read",
        help: "A record of the audit log does not have a form that this version knows.",
    },
    CodeInfo {
        code: "MW0453",
        title: "The audit log does not continue where it should",
        help: "A record was about to be appended with a sequence number that does not follow the last one. Another process \
               may be writing to the same state.",
    },
    CodeInfo {
        code: "MW0454",
        title: "Not a checkpoint of this audit log",
        help: "A checkpoint is a signed note: the log's name, its size, its root, and a signature with the mesh's key. This one \
               is of another mesh, was changed, or is signed with another key. `meshwork audit checkpoint` prints the \
               current one.",
    },
    CodeInfo {
        code: "MW0455",
        title: "Not the key of an audit log",
        help: "The key that verifies checkpoints has the form `name+id+key`, on one line. `meshwork audit checkpoint` prints it.",
    },
    CodeInfo {
        code: "MW0456",
        title: "The proof does not hold",
        help: "The record of the proof is not in the log of its checkpoint: one of them was changed. A proof is a file that \
               `meshwork audit prove` wrote.",
    },
    CodeInfo {
        code: "MW0457",
        title: "The audit log does not reach so far",
        help: "There is no record of that number yet. `meshwork audit checkpoint` shows how many there are.",
    },
];
