//! Functions that PostgreSQL clients call: constants and harmless answers, without a look at any data.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// SQLAlchemy reads the number out of this text.
pub const VERSION: &str = "PostgreSQL 16.0 (Meshwork)";

/// Functions that every session has.
pub fn always() -> Vec<Arc<ScalarUDF>> {
    let text = |value: &str| ScalarValue::Utf8(Some(value.to_owned()));
    let none = || ScalarValue::Utf8(None);
    let truth = |value: bool| ScalarValue::Boolean(Some(value));
    let mut functions = vec![
        constant("version", text(VERSION)),
        constant("current_database", text("meshwork")),
        constant("current_catalog", text("meshwork")),
        constant("current_schema", text("public")),
        constant("pg_backend_pid", ScalarValue::Int32(Some(1))),
        constant("pg_is_in_recovery", truth(false)),
        constant("pg_is_other_temp_schema", truth(false)),
        constant("pg_my_temp_schema", ScalarValue::Int32(Some(0))),
        constant("pg_type_is_visible", truth(true)),
        constant("pg_function_is_visible", truth(true)),
        constant("pg_operator_is_visible", truth(true)),
        constant("pg_collation_is_visible", truth(true)),
        constant("has_column_privilege", truth(true)),
        constant("has_function_privilege", truth(false)),
        constant("has_sequence_privilege", truth(false)),
        constant("pg_has_role", truth(false)),
        constant("inet_server_addr", none()),
        constant("inet_client_addr", none()),
        constant("inet_server_port", ScalarValue::Int32(None)),
        constant("pg_advisory_unlock_all", text("")),
        constant("txid_current", ScalarValue::Int64(Some(1))),
    ];
    for name in [
        "obj_description",
        "col_description",
        "shobj_description",
        "pg_get_viewdef",
        "pg_get_indexdef",
        "pg_get_ruledef",
        "pg_get_triggerdef",
        "pg_get_functiondef",
        "pg_get_function_result",
        "pg_get_function_arguments",
        "pg_get_function_identity_arguments",
        "pg_get_serial_sequence",
        "pg_tablespace_location",
        "pg_get_statisticsobjdef",
    ] {
        functions.push(constant(name, none()));
    }
    functions.push(constant("to_regclass", ScalarValue::Int32(None)));
    functions.push(super::json::build_object());
    functions.push(mapped("to_regtype", type_oid));
    functions.push(mapped("current_setting", setting));
    functions.push(mapped("set_config", |_| None));
    functions
}

/// Functions that answer with the principal's name.
pub fn of_user(user: &str) -> Vec<Arc<ScalarUDF>> {
    let name = || ScalarValue::Utf8(Some(user.to_owned()));
    ["session_user", "current_user", "current_role", "pg_get_userbyid"]
        .map(|function| constant(function, name()))
        .into()
}

/// What `current_setting` and `pg_settings` say.
pub const SETTINGS: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "on"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("search_path", "\"$user\", public"),
    ("server_encoding", "UTF8"),
    ("server_version", "16.0"),
    ("server_version_num", "160000"),
    ("standard_conforming_strings", "on"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
];

fn setting(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    SETTINGS.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

/// The object id of a type by the names that clients ask for.
fn type_oid(name: &str) -> Option<String> {
    let name = name.trim().to_ascii_lowercase();
    let oid = match name.strip_prefix("pg_catalog.").unwrap_or(&name) {
        "bool" | "boolean" => 16,
        "bytea" => 17,
        "int8" | "bigint" => 20,
        "int2" | "smallint" => 21,
        "int4" | "int" | "integer" => 23,
        "text" => 25,
        "oid" => 26,
        "json" => 114,
        "float4" | "real" => 700,
        "float8" | "double precision" => 701,
        "varchar" | "character varying" => 1043,
        "date" => 1082,
        "time" | "time without time zone" => 1083,
        "timestamp" | "timestamp without time zone" => 1114,
        "timestamptz" | "timestamp with time zone" => 1184,
        "interval" => 1186,
        "numeric" | "decimal" => 1700,
        "uuid" => 2950,
        "jsonb" => 3802,
        _ => return None,
    };
    Some(format!("{oid}"))
}

fn any_arguments() -> Signature {
    Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Stable)
}

fn constant(name: &'static str, value: ScalarValue) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Constant { name, value, signature: any_arguments() }))
}

fn mapped(name: &'static str, map: fn(&str) -> Option<String>) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Mapped { name, map, signature: any_arguments() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    value: ScalarValue,
    signature: Signature,
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }
    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

/// Text of its first argument → text.
#[derive(Debug)]
struct Mapped {
    name: &'static str,
    map: fn(&str) -> Option<String>,
    signature: Signature,
}

impl PartialEq for Mapped {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for Mapped {}
impl Hash for Mapped {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Mapped {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(first) = args.args.first() else { return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None))) };
        let names = cast(&first.to_array(args.number_rows)?, &DataType::Utf8)?;
        let values: StringArray = names.as_string::<i32>().iter().map(|name| name.and_then(self.map)).collect();
        Ok(ColumnarValue::Array(Arc::new(values) as ArrayRef))
    }
}
