//! MW0300 to MW0399.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW0301",
        title: "The contract's version does not rise enough",
        help: "A contract's version tells its readers what changed: a patch for words, a minor version for what only adds \
               (a new column, a stricter guarantee). The message says what changed and which version is the least. \
               Set it in the contract.",
    },
    CodeInfo {
        code: "MW0303",
        title: "The contract breaks its readers",
        help: "Something was taken away from readers: a column is gone, a type reads otherwise, a guarantee is loosened. \
               That needs a new major version, served beside the old one until its readers have moved:\n\n\
               ```yaml\noutputs:\n  leads:\n    versions:\n      1: { contract: leads.v1.contract.yaml, sql: leads.v1.sql, \
               sunset: 2027-03-31 }\n      2: { contract: leads.contract.yaml, sql: leads.sql }\n```",
    },
    CodeInfo {
        code: "MW0304",
        title: "The product's version does not rise enough",
        help: "A product's version rises at least as much as the largest change of its output ports: by a major version \
               when a port gets a new major or goes, by a minor one when a port is new or its contract rises by one.",
    },
    CodeInfo {
        code: "MW0305",
        title: "The product cannot change to that status",
        help: "Products go proposed → draft → active → deprecated → retired; steps may be skipped, and a deprecated \
               product may become active again. What others read does not become a draft, and a retired product stays retired.",
    },
    CodeInfo {
        code: "MW0306",
        title: "A new major is older than the newest",
        help: "Majors are numbered upwards. An old one that is gone does not come back: give it the next number.",
    },
    CodeInfo {
        code: "MW0307",
        title: "A served version still has readers",
        help: "Both majors are served until every registered reader has moved, or the announced sunset has passed. Set \
               `sunset: <date>` on the version and apply; remove the version once the date has passed. Or let its readers \
               move: a product changes the `version` of its input, an agreement is granted anew.",
    },
    CodeInfo {
        code: "MW0308",
        title: "A sunset is not announced ahead",
        help: "A `sunset` tells the readers of a major until when it is served. While somebody reads it, a new or changed \
               sunset lies in the future.",
    },
    CodeInfo {
        code: "MW0309",
        title: "A rename from something that is still declared",
        help: "`renamed_from` says that an object is what had another name before. The other name is declared too, so it \
               cannot have become this one.",
    },
    CodeInfo {
        code: "MW0310",
        title: "An input reads what is not served",
        help: "The product, output or version that an input names is not in the mesh, or its product is retired. Apply it \
               first, in the same apply, or read another version.",
    },
    CodeInfo {
        code: "MW0312",
        title: "Two products of a domain have an output of one name",
        help: "`domain.output` names one table, so output names are unique in their domain. The other product may be one \
               that is applied but not in this checkout.",
    },
    CodeInfo {
        code: "MW0320",
        title: "The plan has problems",
        help: "Nothing was applied. Each problem is listed with its own code, place and hint: `meshwork plan` shows them too.",
    },
];
