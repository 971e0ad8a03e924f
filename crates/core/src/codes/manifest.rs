//! MW0100 to MW0199: YAML, manifests and `check`.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW0100",
        title: "The file is not YAML",
        help: "The file could not be read as YAML 1.2 at the marked place.\n\n\
               The most frequent causes: a text that holds `: ` or starts with `@`, `` ` ``, `*`, `&`, `!`, `%` or `[` \
               and stands without quotes; a tab in the indentation; a quote or bracket that is not closed; a line that is \
               indented otherwise than its neighbours.",
    },
    CodeInfo {
        code: "MW0101",
        title: "The file is not UTF-8",
        help: "Manifests are UTF-8 texts. Save the file in UTF-8 encoding; editors call it \"save with encoding\".",
    },
    CodeInfo {
        code: "MW0102",
        title: "The file is too large",
        help: "A manifest may have up to 1 MiB. A file that is larger usually holds data, which belongs to a source.",
    },
    CodeInfo {
        code: "MW0103",
        title: "A control character stands in the file",
        help: "NUL and other characters that cannot be printed are refused, because they hide what a manifest says from \
               the person who reviews it. Remove the character at the marked place.",
    },
    CodeInfo {
        code: "MW0104",
        title: "A text in the file is too large",
        help: "One value may have up to 256 KiB. Move long SQL to a `.sql` file and name it.",
    },
    CodeInfo {
        code: "MW0105",
        title: "The file is too deep or has too many values",
        help: "Up to 64 levels and 100,000 values are read from one file, with aliases (`*name`) written out. The limits \
               stop files that grow without bound when they are read.",
    },
    CodeInfo {
        code: "MW0106",
        title: "A key stands twice",
        help: "YAML maps have each key once. Of two equal keys one would be lost without a word, so both are refused. Keep one.",
    },
    CodeInfo {
        code: "MW0107",
        title: "The file has several documents",
        help: "A manifest is one YAML document. Give what stands after `---` a file of its own.",
    },
    CodeInfo {
        code: "MW0108",
        title: "A tag is not read",
        help: "Tags such as `!env` or `!!binary` run code or change types elsewhere; here only the tags of the core schema \
               (`!!str`, `!!int`, `!!float`, `!!bool`, `!!null`, `!!seq`, `!!map`) are read. Secrets are written as \
               `${secret:name}`.",
    },
    CodeInfo {
        code: "MW0109",
        title: "A key is not a text",
        help: "Keys are texts. Merge keys (`<<`) are not part of YAML 1.2 and are not read; write the keys out.",
    },
    CodeInfo {
        code: "MW0111",
        title: "A value is of the wrong kind",
        help: "The key wants another kind of value: a text, a number, true or false, a list, or a map. Numbers and words \
               such as `true` that are meant as texts stand in quotes. `yes` and `no` are texts in YAML 1.2.",
    },
    CodeInfo {
        code: "MW0112",
        title: "A key is missing",
        help: "Something that must be declared is not, or its value is empty. `meshwork schema print` shows what each file holds.",
    },
    CodeInfo {
        code: "MW0113",
        title: "A key is not known",
        help: "Nothing reads this key, so it would have no effect. It is usually misspelt, or stands at another level than \
               it should. `meshwork schema print` shows the keys of each file.",
    },
    CodeInfo {
        code: "MW0114",
        title: "A value is not one of those that the key takes",
        help: "The key takes one of a few words; the hint names them.",
    },
    CodeInfo {
        code: "MW0115",
        title: "Not a name",
        help: "Names of domains, products, outputs, inputs, connections, teams and classifications start with a letter a to z \
               and go on with a to z, 0 to 9 and `_`, up to 63 characters: they become parts of SQL names and paths.",
    },
    CodeInfo {
        code: "MW0116",
        title: "Not a semantic version",
        help: "Versions are `major.minor.patch`, such as `2.1.0` (https://semver.org). The major of a contract is the major of \
               its table, so `2.1` is not enough.",
    },
    CodeInfo {
        code: "MW0117",
        title: "A number is out of its range",
        help: "The key takes a whole number in a certain range; the message names it.",
    },
];
