//! Column types: what a contract says (logical) and what the platform stores (native), and the way from one to the
//! other (D12).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decimal::Decimal;

/// ODCS logical types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogicalType {
    String,
    Integer,
    Number,
    Boolean,
    Date,
    Timestamp,
    Time,
    Object,
    Array,
}

/// What a column is stored and served as. The kernel has neither time-of-day nor unsigned types.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Text,
    Binary,
    Date,
    /// Microseconds, UTC.
    Timestamp,
    /// Microseconds without zone.
    LocalTimestamp,
    List(Box<ColumnType>),
    Struct(Vec<(String, ColumnType)>),
}

/// A literal in a contract, a filter or an example, on native types: numbers keep their decimal text, so that
/// comparing with a decimal column loses nothing.
///
/// As JSON: `true`, `5`, `"text"`, and `{"number": "0.10"}` for every number that a JSON reader could damage (a fraction,
/// an exponent, more than 53 bits).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Literal {
    Boolean(bool),
    Integer(i64),
    /// The decimal text as written: `0.10`, `-1e3`.
    Number(NumberText),
    Text(String),
}

/// A JSON/YAML number kept as text. Serialises as a tagged object to survive JSON unharmed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NumberText {
    pub number: String,
}

impl Literal {
    /// A number from its text; None where it is not a decimal number (`.nan`, `0x10`).
    pub fn number(text: &str) -> Option<Self> {
        Decimal::parse(text)?;
        Some(match text.parse() {
            Ok(integer) => Self::Integer(integer),
            Err(_) => Self::Number(NumberText { number: text.to_owned() }),
        })
    }

    /// The exact value of a number; None for booleans and text.
    pub fn decimal(&self) -> Option<Decimal> {
        match self {
            Self::Integer(value) => Some(Decimal::from(*value)),
            Self::Number(value) => Decimal::parse(&value.number),
            Self::Boolean(_) | Self::Text(_) => None,
        }
    }

    /// Order by value: numbers exactly, text by code points (which is also the order of ISO dates). None for two of
    /// different kinds. (`Ord` is structural and only good for sorting sets.)
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (a, b) => Some(a.decimal()?.cmp(&b.decimal()?)),
        }
    }

    /// Same value, however written: `1.0` and `1`.
    pub fn same(&self, other: &Self) -> bool {
        self.compare(other) == Some(Ordering::Equal)
    }
}

/// Integers beyond this are not safe in JSON: readers hold them in doubles, and RFC 8785 writes them so.
const JSON_SAFE: u64 = (1 << 53) - 1;

impl Serialize for Literal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Integer(value) if value.unsigned_abs() <= JSON_SAFE => serializer.serialize_i64(*value),
            Self::Integer(value) => NumberText { number: value.to_string() }.serialize(serializer),
            Self::Number(value) => value.serialize(serializer),
            Self::Text(value) => serializer.serialize_str(value),
        }
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LiteralVisitor)
    }
}

struct LiteralVisitor;

impl LiteralVisitor {
    fn number<E: de::Error>(text: &str) -> Result<Literal, E> {
        Literal::number(text).ok_or_else(|| E::custom(format_args!("`{text}` is not a decimal number")))
    }
}

impl<'de> Visitor<'de> for LiteralVisitor {
    type Value = Literal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a boolean, a number, a text or {\"number\": \"…\"}")
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Literal, E> {
        Ok(Literal::Boolean(value))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Literal, E> {
        Ok(Literal::Integer(value))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Literal, E> {
        Self::number(&value.to_string())
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Literal, E> {
        Self::number(&value.to_string())
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<Literal, E> {
        Ok(Literal::Text(value.to_owned()))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Literal, A::Error> {
        let text = NumberText::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Self::number(&text.number)
    }
}

impl schemars::JsonSchema for Literal {
    fn schema_name() -> Cow<'static, str> {
        "Literal".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["boolean", "number", "string"] })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => f.write_str(&value.number),
            Self::Text(value) => f.write_str(value),
        }
    }
}

impl LogicalType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Time => "time",
            Self::Object => "object",
            Self::Array => "array",
        }
    }
}

impl fmt::Display for LogicalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ColumnType {
    /// In words for people, close to SQL: `bigint`, `decimal(10,2)`, `list of text`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Boolean => "boolean",
            Self::Int8 => "tinyint",
            Self::Int16 => "smallint",
            Self::Int32 => "int",
            Self::Int64 => "bigint",
            Self::Float32 => "real",
            Self::Float64 => "double",
            Self::Decimal { precision, scale } => return write!(f, "decimal({precision},{scale})"),
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Date => "date",
            Self::Timestamp => "timestamp with time zone",
            Self::LocalTimestamp => "timestamp",
            Self::List(item) => return write!(f, "list of {item}"),
            Self::Struct(fields) => {
                f.write_str("struct(")?;
                for (at, (name, ty)) in fields.iter().enumerate() {
                    write!(f, "{}{name} {ty}", if at == 0 { "" } else { ", " })?;
                }
                ")"
            }
        };
        f.write_str(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_survive_json() {
        for (literal, json) in [
            (Literal::Boolean(true), "true"),
            (Literal::Integer(-5), "-5"),
            (Literal::number("0.10").unwrap(), r#"{"number":"0.10"}"#),
            (Literal::number("-1e3").unwrap(), r#"{"number":"-1e3"}"#),
            (Literal::Integer(i64::MAX), r#"{"number":"9223372036854775807"}"#),
            (Literal::number("18446744073709551615").unwrap(), r#"{"number":"18446744073709551615"}"#),
            (Literal::Text("0.10".to_owned()), r#""0.10""#),
        ] {
            assert_eq!(serde_json::to_string(&literal).unwrap(), json);
            assert_eq!(serde_json::from_str::<Literal>(json).unwrap(), literal);
        }
        assert_eq!(serde_json::from_str::<Literal>("0.5").unwrap(), Literal::number("0.5").unwrap());
        assert!(serde_json::from_str::<Literal>(r#"{"number":"abc"}"#).is_err());
        assert!(serde_json::from_str::<Literal>("null").is_err());
    }

    #[test]
    fn literals_compare_by_value() {
        let number = |text| Literal::number(text).unwrap();
        assert_eq!(number("9007199254740993").compare(&number("9007199254740992.5")), Some(Ordering::Greater));
        assert!(number("1.0").same(&Literal::Integer(1)));
        assert_eq!(Literal::Text("1".into()).compare(&Literal::Integer(1)), None);
        assert_eq!(Literal::number(".inf"), None);
    }

    #[test]
    fn types_in_words() {
        let ty = ColumnType::Struct(vec![
            ("tags".into(), ColumnType::List(Box::new(ColumnType::Text))),
            ("price".into(), ColumnType::Decimal { precision: 10, scale: 2 }),
        ]);
        assert_eq!(ty.to_string(), "struct(tags list of text, price decimal(10,2))");
    }
}
