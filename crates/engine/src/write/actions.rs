//! The Delta actions of one publication: everything that the commit will say, fixed while staging so that recovery
//! commits the very same.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field, Schema};
use meshwork_core::effect::Timestamp;
use meshwork_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::position::{Mark, Position};
use crate::read::external::Registered;
use crate::storage::log::{Commit, DataFile, State};

/// A commit that is ready: its version and its actions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Staged {
    pub version: u64,
    pub actions: Vec<Value>,
}

impl Staged {
    pub fn read(value: &Value) -> Result<Self> {
        Self::deserialize(value).map_err(|_| Error::internal("MW0632", "the staged commit of this run cannot be read"))
    }

    pub fn to_value(&self, output: &str) -> Result<Value> {
        serde_json::to_value(self)
            .map_err(|_| Error::internal("MW0632", format!("the commit of output `{output}` cannot be written down")))
    }

    /// What it makes of the version before it.
    pub fn apply_to(&self, state: &mut State) {
        state.apply(Commit { version: self.version, actions: self.actions.clone() });
    }

    /// What we say in it.
    pub fn mark(&self) -> Option<Mark> {
        let info = self.actions.iter().find_map(|action| action.get("commitInfo"))?;
        Mark::deserialize(info.get("meshwork")?).ok()
    }

    /// The commit that leads from another version to the table that this one was to make.
    pub fn over(&self, version: u64, wanted: &State, newest: &State) -> Self {
        let is_kept = |action: &&Value| action.get("commitInfo").or_else(|| action.get("txn")).is_some();
        let mut actions: Vec<Value> = self.actions.iter().filter(is_kept).cloned().collect();
        let at = |kind: &str| actions.iter().position(|action| action.get(kind).is_some()).unwrap_or(0);
        let behind_info = at("commitInfo") + 1;
        let id = String::new();
        let declared = declaration(Some(newest), &id, Declared::As(wanted), 0);
        actions.splice(behind_info..behind_info, declared);
        let millis = self.actions.iter().find_map(|action| action.get("txn")?.get("lastUpdated")?.as_i64());
        // Flags as they were staged; what others brought and took changes rows.
        let flag = |kind: &str, path: &str| {
            let own = self.actions.iter().filter_map(|action| action.get(kind));
            let own = own.filter(|body| body.get("path").and_then(Value::as_str) == Some(path));
            own.filter_map(|body| body.get("dataChange")?.as_bool()).next().unwrap_or(true)
        };
        for file in newest.files.values().filter(|file| !wanted.files.contains_key(&file.path)) {
            actions.push(remove(file, millis.unwrap_or_default(), flag("remove", &file.path)));
        }
        for file in wanted.files.values().filter(|file| !newest.files.contains_key(&file.path)) {
            let mut add = file.add.clone();
            add["dataChange"] = json!(flag("add", &file.path));
            actions.push(json!({ "add": add }));
        }
        Self { version, actions }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let lines: Vec<String> = self.actions.iter().map(Value::to_string).collect();
        lines.join("\n").into_bytes()
    }

    /// The version of an output for which nothing was new: nothing is committed.
    pub fn unchanged(version: u64) -> Self {
        Self { version, actions: Vec::new() }
    }

    pub fn is_unchanged(&self) -> bool {
        self.actions.is_empty()
    }

    /// Path and size of every file that the commit adds.
    pub fn added(&self) -> impl Iterator<Item = (&str, u64)> {
        self.actions.iter().filter_map(|action| {
            let add = action.get("add")?;
            Some((add.get("path")?.as_str()?, add.get("size")?.as_u64()?))
        })
    }
}

/// Who commits, and when.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    pub run: &'a str,
    pub product: &'a str,
    pub fencing_token: u64,
    pub at: Timestamp,
}

/// What the version is to hold.
#[derive(Clone, Debug)]
pub struct Content {
    pub operation: Operation,
    /// `add` actions of files that stay.
    pub kept: Vec<Value>,
    pub added: Vec<Value>,
    /// `add` actions of files that hold rows of files which go, as they were there.
    pub compacted: Vec<Value>,
    /// Paths of these files which go: no row of theirs changes.
    pub moved: BTreeSet<String>,
    /// Digest of the contract under which all of it was checked.
    pub contract: Option<String>,
    pub base: Option<u64>,
    pub position: Option<Position>,
    /// The oldest version with the very same rows, where this one only moves them.
    pub same_since: Option<u64>,
    /// Files of others that the version registers.
    pub external: Option<Registered>,
}

/// What the table says of its columns.
#[derive(Clone, Copy, Debug)]
pub enum Declared<'a> {
    Schema(&'a Schema),
    /// As a version of it did.
    As(&'a State),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Overwrite,
    Append,
    Merge,
    Optimize,
}

/// A commit after which the table holds `content`, whatever the newest version of the log is: that may be one that was
/// never published, whose files then go and whose removals are undone.
pub fn commit(
    version: u64,
    newest: Option<&State>,
    table_id: &str,
    declared: Declared<'_>,
    content: Content,
    author: Author<'_>,
) -> Staged {
    let millis = author.at.timestamp_millis();
    let (operation, mode) = match content.operation {
        Operation::Overwrite if newest.is_none() => ("CREATE TABLE AS SELECT", "Overwrite"),
        Operation::Overwrite => ("WRITE", "Overwrite"),
        Operation::Append => ("WRITE", "Append"),
        Operation::Merge => ("MERGE", "Merge"),
        Operation::Optimize => ("OPTIMIZE", "Append"),
    };
    let mark = Mark {
        run: author.run.to_owned(),
        product: author.product.to_owned(),
        fencing_token: author.fencing_token,
        base: content.base,
        contract: content.contract,
        position: content.position,
        same_since: content.same_since,
        external: content.external,
    };
    let mut actions = vec![json!({ "commitInfo": {
        "timestamp": millis,
        "operation": operation,
        "operationParameters": { "mode": mode },
        "engineInfo": concat!("meshwork/", env!("CARGO_PKG_VERSION")),
        "meshwork": mark,
    }})];
    actions.extend(declaration(newest, table_id, declared, millis));
    // The fencing token rises with every lease of the product, which is what a transaction version wants to be.
    actions.push(json!({ "txn": { "appId": "meshwork", "version": author.fencing_token, "lastUpdated": millis }}));
    let path = |add: &Value| add.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
    let stays: BTreeSet<String> = content.kept.iter().map(path).collect();
    for file in newest.into_iter().flat_map(|s| s.files.values()).filter(|file| !stays.contains(&file.path)) {
        actions.push(remove(file, millis, !content.moved.contains(&file.path)));
    }
    let is_there = |add: &&Value| newest.is_some_and(|s| s.files.contains_key(&path(add)));
    let undone = content.kept.iter().filter(|add| !is_there(add));
    let with = |add: &Value, changes: bool| {
        let mut add = add.clone();
        add["dataChange"] = json!(changes);
        json!({ "add": add })
    };
    actions.extend(undone.chain(&content.added).map(|add| with(add, true)));
    actions.extend(content.compacted.iter().map(|add| with(add, false)));
    Staged { version, actions }
}

fn remove(file: &DataFile, millis: i64, changes: bool) -> Value {
    json!({ "remove": {
        "path": file.path,
        "deletionTimestamp": millis,
        "dataChange": changes,
        "extendedFileMetadata": true,
        "partitionValues": {},
        "size": file.add.get("size").cloned().unwrap_or(Value::Null),
    }})
}

/// The protocol and metadata actions that the newest version lacks.
fn declaration(newest: Option<&State>, table_id: &str, declared: Declared<'_>, millis: i64) -> Vec<Value> {
    let known = newest.and_then(|s| s.metadata.as_ref());
    // A table keeps the id and creation time it was created with.
    let kept = |name: &str| known.and_then(|m| m.get(name)).cloned();
    let (protocol, metadata) = match declared {
        Declared::As(state) => (state.protocol.clone().unwrap_or_default(), state.metadata.clone().unwrap_or_default()),
        Declared::Schema(schema) => {
            let metadata = json!({
                "id": kept("id").unwrap_or_else(|| json!(table_id)),
                "format": { "provider": "parquet", "options": {} },
                "schemaString": delta_schema(schema).to_string(),
                "partitionColumns": [],
                "configuration": { "delta.enableExpiredLogCleanup": "false" },
                "createdTime": kept("createdTime").unwrap_or_else(|| json!(millis)),
            });
            (protocol(schema), metadata)
        }
    };
    let mut actions = Vec::new();
    if newest.and_then(|s| s.protocol.as_ref()) != Some(&protocol) {
        actions.push(json!({ "protocol": protocol }));
    }
    if known.and_then(|m| m.get("schemaString")) != metadata.get("schemaString") {
        actions.push(json!({ "metaData": metadata }));
    }
    actions
}

/// The least protocol that the schema needs.
fn protocol(schema: &Schema) -> Value {
    if schema.fields().iter().any(|f| has_local_timestamp(f.data_type())) {
        json!({
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"],
        })
    } else {
        json!({ "minReaderVersion": 1, "minWriterVersion": 2 })
    }
}

fn has_local_timestamp(ty: &DataType) -> bool {
    match ty {
        DataType::Timestamp(_, None) => true,
        DataType::List(item) => has_local_timestamp(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| has_local_timestamp(f.data_type())),
        _ => false,
    }
}

/// A stored schema in Delta's words.
pub fn delta_schema(schema: &Schema) -> Value {
    json!({ "type": "struct", "fields": schema.fields().iter().map(|f| delta_field(f)).collect::<Vec<_>>() })
}

fn delta_field(field: &Field) -> Value {
    let metadata: serde_json::Map<String, Value> =
        field.metadata().iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    json!({
        "name": field.name(),
        "type": delta_type(field.data_type()),
        "nullable": field.is_nullable(),
        "metadata": metadata,
    })
}

fn delta_type(ty: &DataType) -> Value {
    match ty {
        DataType::Boolean => json!("boolean"),
        DataType::Int8 => json!("byte"),
        DataType::Int16 => json!("short"),
        DataType::Int32 => json!("integer"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Decimal128(precision, scale) => json!(format!("decimal({precision},{scale})")),
        DataType::Binary => json!("binary"),
        DataType::Date32 => json!("date"),
        DataType::Timestamp(_, Some(_)) => json!("timestamp"),
        DataType::Timestamp(_, None) => json!("timestamp_ntz"),
        DataType::List(item) => json!({
            "type": "array", "elementType": delta_type(item.data_type()), "containsNull": true,
        }),
        DataType::Struct(fields) => json!({
            "type": "struct", "fields": fields.iter().map(|f| delta_field(f)).collect::<Vec<_>>(),
        }),
        // `native::arrow_type` yields nothing else.
        _ => json!("string"),
    }
}

/// The Delta table id of one major of an output: stable, and different for each major.
pub fn table_id(output: &str, major: u32) -> String {
    match uuid::Uuid::try_parse(output) {
        Ok(id) => {
            let mut bytes = *id.as_bytes();
            for (byte, major) in bytes[12..].iter_mut().zip(major.to_be_bytes()) {
                *byte ^= major;
            }
            uuid::Uuid::from_bytes(bytes).to_string()
        }
        Err(_) => format!("{output}-v{major}"),
    }
}
