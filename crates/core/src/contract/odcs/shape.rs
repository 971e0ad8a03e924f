//! The Open Data Contract Standard 3.0, 3.1 and 3.2 as a table. Names and versions follow its JSON Schemas.

use crate::contract::shape::Edition::{V3_1, V3_2};
use crate::contract::shape::Shape::{
    Any, Boolean, Either, List, Number, Object as Map, Scalar, Text, TextOrNumber, Whole, Word,
};
use crate::contract::shape::{Key, Object, Rest, Shape, key};

pub const LOGICAL_TYPES: &[&str] =
    &["string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean", "map", "vector"];
pub const METRICS: &[&str] = &["nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount"];
pub const OPERATORS: &[&str] = &[
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
];

static DEFINITIONS_ITEM: Shape = Map(&DEFINITION);
static CUSTOM_ITEM: Shape = Map(&CUSTOM);

const fn id() -> Key {
    key("id", Text, "Stable identifier within its list.").since(V3_1)
}
const fn tags() -> Key {
    key("tags", List(&Text), "")
}
const fn definitions() -> Key {
    key("authoritativeDefinitions", List(&DEFINITIONS_ITEM), "Links to sources that tell more.")
}
const fn custom() -> Key {
    key("customProperties", List(&CUSTOM_ITEM), "Properties of your own.")
}
const fn description() -> Key {
    key("description", Text, "")
}

pub static CONTRACT: Object = Object {
    name: "the contract",
    rest: Rest::Refused,
    keys: &[
        key("apiVersion", Text, "The edition of the standard: v3.0.0 to v3.2.0.").required(),
        key("kind", Word(&["DataContract"]), "").required(),
        key("id", Text, "Unique and never changed.").required(),
        key("version", TextOrNumber, "Semantic version; its major is the major of the tables.").required(),
        key("name", Text, ""),
        key("status", Text, "Shown. The product's status decides who can read."),
        key("tenant", Text, ""),
        tags(),
        key("domain", Text, ""),
        key("dataProduct", Text, ""),
        key("description", Map(&DESCRIPTION), ""),
        key("context", Any, "").since(V3_2),
        key("schema", List(&Map(&SCHEMA_OBJECT)), "The tables.").required(),
        key("support", List(&Map(&SUPPORT)), ""),
        key("price", Map(&PRICE), ""),
        key("team", Either(&[Map(&TEAM), List(&Map(&MEMBER))]), "Its `name` is the owner."),
        key("roles", List(&Map(&ROLE)), ""),
        key("servers", List(&Map(&SERVER)), "Shown; where data is read from stands in the product."),
        key("slaDefaultElement", Text, "Column of the SLA properties that name none."),
        key("slaProperties", List(&Map(&SLA)), ""),
        definitions(),
        custom(),
        key("contractCreatedTs", Text, ""),
    ],
};

static DESCRIPTION: Object = Object {
    name: "the description",
    rest: Rest::Taken,
    keys: &[key("purpose", Text, ""), key("limitations", Text, ""), key("usage", Text, ""), definitions(), custom()],
};

static SCHEMA_OBJECT: Object = Object {
    name: "the schema object",
    rest: Rest::Refused,
    keys: &[
        id(),
        key("name", Text, "").required(),
        key("logicalType", Word(&["object"]), ""),
        key("physicalName", Text, ""),
        key("physicalType", Text, ""),
        description(),
        key("businessName", Text, ""),
        key("deprecated", Boolean, "").since(V3_2),
        key("synonyms", List(&Any), "").since(V3_2),
        key("context", Any, "").since(V3_2),
        definitions(),
        tags(),
        custom(),
        key("dataGranularityDescription", Text, ""),
        key("properties", List(&Map(&PROPERTY)), "The columns."),
        key("relationships", List(&Map(&RELATIONSHIP)), "").since(V3_1),
        key("quality", List(&Map(&QUALITY)), ""),
    ],
};

pub static PROPERTY: Object = Object {
    name: "the property",
    rest: Rest::Refused,
    keys: &[
        id(),
        key("name", Text, "The SQL column, exactly."),
        key("logicalType", Word(LOGICAL_TYPES), ""),
        key("logicalTypeOptions", Map(&OPTIONS), ""),
        key("physicalType", Text, "The type in the source, such as `decimal(10,2)`."),
        key("physicalName", Text, "The column in the source, where it has another name."),
        description(),
        key("businessName", Text, ""),
        key("deprecated", Boolean, "").since(V3_2),
        key("synonyms", List(&Any), "").since(V3_2),
        definitions(),
        tags(),
        custom(),
        key("required", Boolean, "No nulls."),
        key("unique", Boolean, ""),
        key("primaryKey", Boolean, ""),
        key("primaryKeyPosition", Whole, "1-based place in a key of several columns."),
        key("semanticType", Word(&["column", "measure", "dimension"]), "").since(V3_2),
        key("partitioned", Boolean, ""),
        key("partitionKeyPosition", Whole, ""),
        key("classification", Text, "Names from classifications.yaml, separated by commas."),
        key("encryptedName", Text, ""),
        key("transformSourceObjects", List(&Text), ""),
        key("transformLogic", Text, ""),
        key("transformDescription", Text, ""),
        key("examples", List(&Any), ""),
        key("enum", List(&Map(&ENUM_VALUE)), "").since(V3_2),
        key("criticalDataElement", Boolean, ""),
        key("relationships", List(&Map(&RELATIONSHIP)), "").since(V3_1),
        key("quality", List(&Map(&QUALITY)), ""),
        key("items", Map(&PROPERTY), "What an array holds."),
        key("properties", List(&Map(&PROPERTY)), "What an object holds."),
        key("map", Any, "").since(V3_2),
    ],
};

const BOUND: Shape = Either(&[Boolean, Number, Text]);

static OPTIONS: Object = Object {
    name: "the type options",
    rest: Rest::Refused,
    keys: &[
        key("format", Text, "Integer width (i8 … u64), f32 or f64, date pattern, or text format (email, uuid, …)."),
        key("minLength", Whole, ""),
        key("maxLength", Whole, ""),
        key("pattern", Text, "Regular expression; matches anywhere unless anchored."),
        key("minimum", Either(&[Number, Text]), ""),
        key("maximum", Either(&[Number, Text]), ""),
        key("exclusiveMinimum", BOUND, "A bound (3.1), or true to make `minimum` exclusive (3.0)."),
        key("exclusiveMaximum", BOUND, "A bound (3.1), or true to make `maximum` exclusive (3.0)."),
        key("multipleOf", Number, ""),
        key("minItems", Whole, ""),
        key("maxItems", Whole, ""),
        key("uniqueItems", Boolean, ""),
        key("minProperties", Whole, ""),
        key("maxProperties", Whole, ""),
        key("required", List(&Text), ""),
        key("timezone", Boolean, "false: a local timestamp, without zone.").since(V3_1),
        key("defaultTimezone", Text, "Zone of source text without an offset: UTC or an offset.").since(V3_1),
        key("dimensions", Whole, "").since(V3_2),
        key("elementType", Text, "").since(V3_2),
        key("distanceMetric", Text, "").since(V3_2),
        key("embeddingModel", Text, "").since(V3_2),
        key("embeddingModelVersion", Text, "").since(V3_2),
        key("normalized", Boolean, "").since(V3_2),
    ],
};

static ENUM_VALUE: Object = Object {
    name: "the enum value",
    rest: Rest::Refused,
    keys: &[
        key("value", Scalar, "").required(),
        key("label", Text, ""),
        id(),
        description(),
        custom(),
        definitions(),
        tags(),
    ],
};

pub static QUALITY: Object = Object {
    name: "the quality check",
    rest: Rest::TakenBefore31,
    keys: &[
        id(),
        definitions(),
        key("businessImpact", Text, ""),
        custom(),
        description(),
        key("dimension", Text, ""),
        key("method", Text, ""),
        key("name", Text, ""),
        key("schedule", Text, ""),
        key("scheduler", Text, ""),
        key("severity", Text, "error (the default) blocks a publication; warning and info do not."),
        tags(),
        key("type", Word(&["text", "library", "sql", "custom"]), "library where it is absent."),
        key("unit", Text, "rows (the default) or percent."),
        key("metric", Text, "nullValues, missingValues, invalidValues, duplicateValues or rowCount."),
        key("rule", Text, "Before 3.1: now `metric`."),
        key("arguments", Any, "missingValues, validValues, pattern, properties."),
        key("mustBe", Any, ""),
        key("mustNotBe", Any, ""),
        key("mustBeGreaterThan", Number, ""),
        key("mustBeGreaterOrEqualTo", Number, ""),
        key("mustBeLessThan", Number, ""),
        key("mustBeLessOrEqualTo", Number, ""),
        key("mustBeBetween", List(&Number), ""),
        key("mustNotBeBetween", List(&Number), ""),
        key("query", Text, "SQL; `{object}` is the table, `{property}` the column."),
        key("engine", Text, ""),
        key("implementation", Any, ""),
    ],
};

static RELATIONSHIP: Object = Object {
    name: "the relationship",
    rest: Rest::Refused,
    keys: &[
        id(),
        key("type", Text, "foreignKey, the default."),
        key("from", Either(&[Text, List(&Text)]), ""),
        key("to", Either(&[Text, List(&Text)]), "`table.column` or `domain.output.column`.").required(),
        custom(),
    ],
};

static SLA: Object = Object {
    name: "the SLA property",
    rest: Rest::TakenBefore31,
    keys: &[
        id(),
        key("property", Text, "freshness, latency, retention, frequency, availability or any other.").required(),
        key("value", Scalar, "").required(),
        key("valueExt", Scalar, ""),
        key("unit", Text, ""),
        key("element", Text, "The column that it is measured on."),
        key("driver", Text, ""),
        description().since(V3_1),
        key("scheduler", Text, "").since(V3_1),
        key("schedule", Text, "").since(V3_1),
        custom(),
        definitions(),
    ],
};

static DEFINITION: Object = Object {
    name: "the authoritative definition",
    rest: Rest::TakenBefore31,
    keys: &[id(), key("url", Text, "").required(), key("type", Text, "").required(), description().since(V3_1)],
};

static CUSTOM: Object = Object {
    name: "the custom property",
    rest: Rest::TakenBefore31,
    keys: &[
        id(),
        key("property", Text, "").required(),
        key("value", Any, ""),
        description().since(V3_1),
        key("vendor", Text, "").since(V3_2),
    ],
};

static SUPPORT: Object = Object {
    name: "the support channel",
    rest: Rest::TakenBefore31,
    keys: &[
        id(),
        key("channel", Text, "").required(),
        key("url", Text, ""),
        description(),
        key("tool", Text, ""),
        key("scope", Text, ""),
        key("invitationUrl", Text, ""),
        custom(),
    ],
};

static PRICE: Object = Object {
    name: "the price",
    rest: Rest::TakenBefore31,
    keys: &[id(), key("priceAmount", Number, ""), key("priceCurrency", Text, ""), key("priceUnit", Text, "")],
};

static TEAM: Object = Object {
    name: "the team",
    rest: Rest::Refused,
    keys: &[
        id(),
        key("name", Text, "The owner."),
        description(),
        key("members", List(&Map(&MEMBER)), ""),
        tags(),
        custom(),
        definitions(),
    ],
};

static MEMBER: Object = Object {
    name: "the team member",
    rest: Rest::TakenBefore31,
    keys: &[
        id(),
        key("username", Text, ""),
        key("name", Text, ""),
        description(),
        key("role", Text, "`owner` names the owner where the team has no name."),
        key("dateIn", Text, ""),
        key("dateOut", Text, ""),
        key("replacedByUsername", Text, ""),
        tags(),
        custom(),
        definitions(),
    ],
};

static ROLE: Object = Object {
    name: "the role",
    rest: Rest::TakenBefore31,
    keys: &[
        id(),
        key("role", Text, "").required(),
        description(),
        key("access", Text, ""),
        key("firstLevelApprovers", Text, ""),
        key("secondLevelApprovers", Text, ""),
        custom(),
    ],
};

/// What a server holds depends on its type; of that, nothing is used here, so nothing is refused.
static SERVER: Object = Object {
    name: "the server",
    rest: Rest::Taken,
    keys: &[
        id(),
        key("server", Text, "").required(),
        key("type", Text, "").required(),
        description(),
        key("environment", Text, ""),
        key("roles", List(&Map(&ROLE)), ""),
        custom(),
    ],
};
