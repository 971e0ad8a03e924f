//! MW0700 to MW0799.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW0701",
        title: "There is no such table",
        help: "No output has this name, or you may not know of it: the two look the same on purpose. Products that are \
               proposed or drafts are known to their own domain only, retired ones to nobody.\n\n\
               A table is `domain.output` or, for one contract version, `domain.output_v2`. `meshwork product list` lists \
               what you can discover.",
    },
    CodeInfo {
        code: "MW0702",
        title: "There is no agreement to read this table",
        help: "You may know that the table exists, but reading it takes an agreement between its owner and you, your \
               team or your product. The hint holds the command that the owner has to run, for example\n\n    \
               meshwork access grant user:ana sales.orders --purpose churn-analysis\n\n\
               A grant takes effect at once; nothing needs to be restarted.",
    },
    CodeInfo {
        code: "MW0703",
        title: "No agreement is for this purpose",
        help: "Agreements hold for a purpose. The purpose that you (or your token) state must be one of those that you \
               were granted for this table; stating one never widens what you may do.",
    },
    CodeInfo {
        code: "MW0704",
        title: "Several agreements apply: state a purpose",
        help: "You hold several agreements on this table, each for another purpose and perhaps with other columns, rows \
               or masks. They are not added together. Choose one purpose for the statement with `--purpose`, the HTTP \
               header `Meshwork-Purpose`, or `SET meshwork.purpose = '…'`.",
    },
    CodeInfo {
        code: "MW0705",
        title: "An access policy refuses this",
        help: "A policy in governance/access/ or in the owning domain's folder forbids it, or could not be evaluated, \
               which counts as a refusal. The message names the policy.",
    },
    CodeInfo {
        code: "MW0706",
        title: "The product is not published for you yet",
        help: "A proposed product and a draft are read by their own domain only. `status: active` in \
               product.yaml opens it to those who have an agreement.",
    },
    CodeInfo {
        code: "MW0707",
        title: "A row filter names a column that is not there",
        help: "A filter that cannot be applied hides every row rather than none: the table is refused until its owner \
               corrects the filter in product.yaml, or grants again with another row condition.",
    },
    CodeInfo {
        code: "MW0708",
        title: "The contract version that you read is no longer served",
        help: "Your agreement pins a major version of the contract, so that a release never changes what you read. That \
               version is past its sunset or gone. Read the version that the message names, check that your queries \
               still hold, then have the agreement moved to it.",
    },
    CodeInfo {
        code: "MW0709",
        title: "The access policies do not load",
        help: "Without its policies a mesh allows nothing. `meshwork check` shows each finding with its place; correct \
               the files and apply again.",
    },
    CodeInfo {
        code: "MW0710",
        title: "Access could not be verified in time",
        help: "Each execution asks the control-plane state whether anything about access has changed. It did not answer \
               within half a second, and an unverified read is refused. Try again; if it persists, look at the disk \
               that holds the state.",
    },
    CodeInfo {
        code: "MW0711",
        title: "What you may read has changed since the statement was prepared",
        help: "A prepared statement, an open cursor or a running answer is bound to the decision that it was made under. \
               A grant, a revocation, an expiry or a policy changed that decision. Prepare the statement again to read \
               under what holds now.",
    },
    CodeInfo {
        code: "MW0712",
        title: "Nothing is published yet",
        help: "The table is declared, but no run has published it (at the moment that `as of` names). Its owner runs it \
               with `meshwork run domain.product`; `meshwork runs` shows why a run was blocked.",
    },
    CodeInfo {
        code: "MW0713",
        title: "The tables of this statement are granted for different purposes",
        help: "One statement has one purpose. These tables are readable for you, but under agreements for different \
               purposes, so they must not be combined. Ask for agreements with a common purpose.",
    },
    CodeInfo {
        code: "MW0714",
        title: "The request was not recorded, so it is refused",
        help: "Nothing is read without an audit record, which is written first. The audit log could not be written: see \
               the server's log, and check that the disk is not full.",
    },
    CodeInfo {
        code: "MW0715",
        title: "This column is not granted",
        help: "Your agreement lists the columns that you may read, and this is not one of them. `SELECT *` leaves such \
               columns out; naming one is refused. The owner can grant again with `--columns` (or without, for all).",
    },
    CodeInfo {
        code: "MW0720",
        title: "Grant: there is no such table, column or classification",
        help: "An agreement is checked when it is granted: its table is a `domain.output` that you own, its columns and \
               the columns of its row conditions are the table's, and what it clears are classifications of the mesh.",
    },
    CodeInfo {
        code: "MW0721",
        title: "Grant: it would never be in force",
        help: "The expiry lies in the past, the purpose is empty, or the version is not served.",
    },
    CodeInfo {
        code: "MW0722",
        title: "There is no such agreement",
        help: "No agreement has this id, or it is not yours to see. `meshwork access list` shows those that are.",
    },
    CodeInfo {
        code: "MW0723",
        title: "A row condition does not fit its column",
        help: "The comparison takes another number of values, or a value is not of the column's type: `IN` takes one or \
               more, `IS NULL` none, all others one; a date is `'2026-01-31'`.",
    },
    CodeInfo {
        code: "MW0730",
        title: "Not a Cedar policy",
        help: "Access policies are written in Cedar, one or more in a file:\n\n    \
               forbid (principal, action == Action::\"Query\", resource in Domain::\"sales\")\n    \
               unless { principal in Team::\"auditors\" };\n\nTemplates are not supported.",
    },
    CodeInfo {
        code: "MW0731",
        title: "The policy does not fit the policy schema",
        help: "Cedar skips a policy that fails while it is evaluated, so every policy is validated strictly first. \
               Principals are `User` and `Product`, resources `Output` (in `Product`, in `Domain`), actions `Discover`, \
               `Query` and `ReadClear`. An optional attribute such as `context.purpose` is tested with `has` first.",
    },
    CodeInfo {
        code: "MW0732",
        title: "A domain's policy permits",
        help: "Domains may tighten what the mesh allows, never widen it: their policy files hold `forbid` only. To give \
               somebody access, grant an agreement.",
    },
    CodeInfo {
        code: "MW0733",
        title: "A domain's policy is not scoped to that domain",
        help: "The head of a domain's policy names what it is about, and that must be the domain itself or one of its \
               products or outputs:\n\n    forbid (principal, action, resource in Domain::\"sales\") when { … };",
    },
    CodeInfo {
        code: "MW0734",
        title: "A policy is scoped to something that does not exist",
        help: "A policy about an unknown product or output would do nothing, silently. Products are written \
               `Product::\"domain.product\"`, outputs `Output::\"domain.output\"`.",
    },
    CodeInfo {
        code: "MW0740",
        title: "Nobody known is asking",
        help: "This needs a credential: a user and password, or a token (`Authorization: Bearer …`).",
    },
    CodeInfo {
        code: "MW0741",
        title: "Not yours to do",
        help: "You are known, but this is for others: domain owners apply, run and grant what is their own; \
               administrators manage users, may act for others and read the whole audit log.",
    },
    CodeInfo {
        code: "MW0742",
        title: "There is no such thing",
        help: "Nothing has this name or id, or you may not know of it: the two look the same on purpose.",
    },
    CodeInfo {
        code: "MW0743",
        title: "The audit log holds nothing of it",
        help: "A person is erased from the audit log by destroying the key that its name, addresses and statements are \
               encrypted with. There is no such key: nothing was ever recorded of this principal, or it was erased before. \
               Look at the spelling: `user:ana`, `product:sales.orders`.",
    },
    CodeInfo {
        code: "MW0749",
        title: "A view whose inputs its product no longer reads in the same way",
        help: "A view is served over the versions of its inputs that it was checked over, and only while its product may read of them what it read then. When an agreement of the product was revoked or has expired, or a policy shows it other columns, masks or rows, the check says nothing about what readers would get. The owner of the view runs it again: `meshwork run` checks it over what the product may read now, or names the grant that is missing.",
    },
    CodeInfo {
        code: "MW0790",
        title: "An access question could not be asked",
        help: "A bug: what the platform told its policy engine does not fit its own schema. Access was refused. Please \
               report it with the message.",
    },
];
