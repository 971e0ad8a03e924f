//! One principal at every port of a server, and the comparison of what the ports say.

use std::collections::BTreeMap;
use std::error::Error;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::people::PASSWORD;
use crate::mesh::{Mesh, Server};

/// The answer in the words of a port, or the stable part of its error.
pub type Answer = Result<Value, String>;

/// The bytes of a value, whatever its type.
pub struct Raw(pub Option<Vec<u8>>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(raw.to_vec())))
    }
    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }
    fn accepts(_: &Type) -> bool {
        true
    }
}

pub struct Ports<'a> {
    pub mesh: &'a Mesh,
    pub user: &'static str,
    pub http: String,
    pub client: reqwest::Client,
    pub postgres: tokio_postgres::Client,
}

/// A connection over the Postgres wire with more in its startup message.
pub async fn connect(
    server: &Server<'_>,
    user: &str,
    more: &str,
) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (host, port) = server.pg.as_deref().and_then(|pg| pg.split_once(':')).expect("an address");
    let settings = format!("host={host} port={port} user={user} password='{PASSWORD}' dbname=meshwork {more}");
    let (client, connection) = tokio_postgres::connect(&settings, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl<'a> Ports<'a> {
    pub async fn of(mesh: &'a Mesh, server: &Server<'_>, user: &'static str) -> Self {
        let postgres = connect(server, user, "").await.expect("connected");
        Self { mesh, user, http: server.http.clone(), client: reqwest::Client::new(), postgres }
    }

    pub async fn ask(&self, sql: &str) -> BTreeMap<&'static str, Answer> {
        let mut answers = self.ask_server(sql).await;
        answers.insert("cli", self.cli(sql));
        answers
    }

    /// Without the command line, which starts a process for each statement.
    pub async fn ask_server(&self, sql: &str) -> BTreeMap<&'static str, Answer> {
        BTreeMap::from([
            ("http", self.http(sql).await),
            ("postgres simple", self.simple(sql).await),
            ("postgres extended", self.extended(sql).await),
        ])
    }

    pub fn cli(&self, sql: &str) -> Answer {
        self.cli_with(sql, &[])
    }

    pub fn cli_with(&self, sql: &str, more: &[&str]) -> Answer {
        let user = format!("user:{}", self.user);
        let said = self.mesh.meshwork(&[&["--as", &user, "sql", "-c", sql, "-o", "json"], more].concat());
        match said.code {
            Some(0) => {
                let answer: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
                Ok(answer["rows"].clone())
            }
            _ => Err(said.error_code().expect("a code").to_owned()),
        }
    }

    pub async fn http(&self, sql: &str) -> Answer {
        self.post("query", &json!({ "sql": sql })).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let (status, text) = self.call(Method::POST, path, Some(body), &[]).await;
        rows(status, &text)
    }

    pub async fn get(&self, path: &str) -> Answer {
        let (status, text) = self.call(Method::GET, path, None, &[]).await;
        rows(status, &text)
    }

    /// Status and text of an answer of the API; status 0 when it broke off.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> (u16, String) {
        let path = path.strip_prefix("/api/v1/").unwrap_or(path);
        let mut request = self.client.request(method, format!("{}/api/v1/{path}", self.http));
        request = request.basic_auth(self.user, Some(PASSWORD)).header("accept", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        answer.text().await.map_or_else(|_| (0, String::new()), |text| (status, text))
    }

    pub async fn simple(&self, sql: &str) -> Answer {
        simple(&self.postgres, sql).await
    }

    pub async fn extended(&self, sql: &str) -> Answer {
        let rows = self.postgres.query(sql, &[]).await.map_err(|error| code(&error))?;
        Ok(raw_rows(&rows))
    }
}

pub async fn simple(client: &tokio_postgres::Client, sql: &str) -> Answer {
    let messages = client.simple_query(sql).await.map_err(|error| code(&error))?;
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| json!(row.get(at))).collect::<Value>()),
        _ => None,
    };
    Ok(messages.iter().filter_map(row).collect())
}

pub fn raw_rows(rows: &[tokio_postgres::Row]) -> Value {
    let row = |row: &tokio_postgres::Row| (0..row.len()).map(|at| json!(row.get::<_, Raw>(at).0)).collect::<Value>();
    rows.iter().map(row).collect()
}

fn rows(status: u16, text: &str) -> Answer {
    let broken = || "broken off".to_owned();
    let body: Value = serde_json::from_str(text).map_err(|_| broken())?;
    match status {
        200 => Ok(body["rows"].clone()),
        _ => Err(body["code"].as_str().ok_or_else(broken)?.to_owned()),
    }
}

/// The SQLSTATE.
pub fn code(error: &tokio_postgres::Error) -> String {
    error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned())
}

/// Where two sets of answers differ. Rows without an order are compared as a set; a column without an alias is named
/// after the table.
pub fn differences(
    sql: &str,
    tables: (&str, &str),
    governed: &BTreeMap<&'static str, Answer>,
    oracle: &BTreeMap<&'static str, Answer>,
) -> Vec<String> {
    let ordered = sql.to_uppercase().contains("ORDER BY");
    let text = |answer: &Answer| match answer {
        Ok(Value::Array(rows)) => {
            let mut rows: Vec<String> = rows.iter().map(|row| row.to_string().replace(tables.0, tables.1)).collect();
            if !ordered {
                rows.sort();
            }
            format!("{rows:?}")
        }
        other => format!("{other:?}").replace(tables.0, tables.1),
    };
    let differs = |port: &&&'static str| text(&governed[**port]) != text(&oracle[**port]);
    let described = |port: &&'static str| {
        format!("{port}: {sql}\n  governed {}\n  oracle   {}", text(&governed[*port]), text(&oracle[*port]))
    };
    governed.keys().filter(differs).map(described).collect()
}
