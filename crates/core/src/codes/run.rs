//! MW0600 to MW0699.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW0650",
        title: "The storage root cannot be used",
        help: "Data lies under `storage` of `mesh.yaml` or `domain.yaml`: a folder, absolute or relative to the mesh folder. Other kinds of storage are refused, so that nothing is written where it is not expected.",
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
        help: "`proposed` products have never run and do not; set `status: draft` and apply. `retired` products are gone from every port.",
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
        help: "Products run after those that they read from. When one of these is blocked or fails, those that depend on it are skipped in this run. Run them by name to build them from the last publication.",
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
];
