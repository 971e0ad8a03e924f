//! `meshwork access grant|revoke|list`

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clap::{Args, Subcommand};
use meshwork_core::effect::{Clock, Timestamp};
use meshwork_core::error::{Error, Result};
use serde_json::{Value, json};

use super::Context;
use crate::client::{Call, encoded};
use crate::effect::SystemClock;
use crate::exit;
use crate::output::column;

#[derive(Debug, Args)]
pub struct Access {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Let someone read a table. It takes effect at once, on every port
    Grant(Grant),
    /// End an agreement, at once
    Revoke { id: String },
    List {
        /// Only of this table (`domain.output`)
        #[arg(long)]
        table: Option<String>,
        /// Also those that have ended
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Args)]
struct Grant {
    /// `user:ana`, `team:marketing-team` or `product:sales.orders`
    grantee: String,
    /// `domain.output`, or `domain.output_v2` for an older major
    table: String,
    #[arg(long)]
    purpose: String,
    /// Only these columns
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    columns: Vec<String>,
    /// Classifications to be read in the clear
    #[arg(long, value_delimiter = ',', value_name = "CLASSIFICATION")]
    clear: Vec<String>,
    /// Only rows where this holds: `column = value`, `column in (a, b)`, `column is null`; repeat for several
    #[arg(long = "rows", value_name = "PREDICATE")]
    rows: Vec<String>,
    /// RFC 3339, a date, or a duration from now such as `30d`, `12h`, `45m`, `90s`
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    #[arg(long)]
    reason: Option<String>,
}

impl Access {
    pub async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client().await?;
        match self.what {
            What::Grant(grant) => {
                let agreement = client.json(Call::post("agreements", grant.body()?)).await?;
                if context.printer.is_for_people() {
                    context.printer.note("granted");
                    context.printer.line(agreement.get("id").and_then(Value::as_str).unwrap_or_default());
                } else {
                    context.printer.item(&agreement);
                }
            }
            What::Revoke { id } => {
                client.json(Call::delete(format!("agreements/{}", encoded(&id)))).await?;
                context.printer.note("revoked");
            }
            What::List { table, all } => {
                let table = table.map(|table| format!("&table={}", encoded(&table))).unwrap_or_default();
                let columns = [
                    column("id", "id"),
                    column("grantee", "grantee"),
                    column("table", "table"),
                    column("major", "major"),
                    column("purpose", "purpose"),
                    column("clear", "clear"),
                    column("expires", "expires_at"),
                    column("live", "live"),
                ];
                let agreements = client.all(&format!("agreements?live={}{table}", !all)).await?;
                context.printer.list(&agreements, &columns);
            }
        }
        Ok(exit::OK)
    }
}

impl Grant {
    fn body(&self) -> Result<Value> {
        Ok(json!({
            "grantee": self.grantee,
            "table": self.table,
            "purpose": self.purpose,
            "columns": (!self.columns.is_empty()).then_some(&self.columns),
            "clear": self.clear,
            "rows": self.rows.iter().map(|text| predicate(text)).collect::<Result<Vec<_>>>()?,
            "expires_at": self.expires.as_deref().map(moment).transpose()?,
            "reason": self.reason,
        }))
    }
}

/// A moment as people write it.
pub fn moment(text: &str) -> Result<Timestamp> {
    moment_after(text, SystemClock.now())
}

fn moment_after(text: &str, now: Timestamp) -> Result<Timestamp> {
    let wrong = || {
        Error::usage("MW1015", format!("`{}` is not a moment", text.escape_debug()))
            .hint("write RFC 3339 (`2027-01-31T12:00:00Z`), a date, or a duration from now (`30d`, `12h`)")
    };
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.with_timezone(&Utc));
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: i64 = number.parse().map_err(|_| wrong())?;
    let length = match &text[number.len()..] {
        "d" => TimeDelta::try_days(count),
        "h" => TimeDelta::try_hours(count),
        "m" => TimeDelta::try_minutes(count),
        "s" => TimeDelta::try_seconds(count),
        _ => None,
    };
    length.filter(|_| count > 0).and_then(|length| now.checked_add_signed(length)).ok_or_else(wrong)
}

/// `region = 'EU'`, `age >= 18`, `kind in (a, b)`, `x is not null`
fn predicate(text: &str) -> Result<Value> {
    let wrong = || {
        Error::usage("MW1016", format!("`{}` is not a predicate", text.escape_debug()))
            .hint("write `column = value`, `!=`, `<`, `<=`, `>`, `>=`, `column in (a, b)`, or `column is null`")
    };
    let trimmed = text.trim();
    let at = trimmed.find(|c: char| !(c.is_alphanumeric() || c == '_')).ok_or_else(wrong)?;
    let (column, rest) = trimmed.split_at(at);
    let rest = rest.trim();
    let lower = rest.to_ascii_lowercase();
    if column.is_empty() {
        return Err(wrong());
    }
    let of = |op: &str, values: Vec<Value>| json!({"column": column, "op": op, "values": values});
    if lower == "is null" || lower == "is not null" {
        return Ok(of(if lower == "is null" { "is_null" } else { "is_not_null" }, vec![]));
    }
    for (word, op) in [("not in", "not_in"), ("in", "in")] {
        if let Some(list) = lower.strip_prefix(word).map(|_| rest[word.len()..].trim()) {
            let list = list.strip_prefix('(').and_then(|list| list.strip_suffix(')')).ok_or_else(wrong)?;
            return Ok(of(op, list.split(',').map(|value| literal(value.trim())).collect()));
        }
    }
    for (sign, op) in
        [("!=", "not_eq"), ("<>", "not_eq"), ("<=", "lt_eq"), (">=", "gt_eq"), ("=", "eq"), ("<", "lt"), (">", "gt")]
    {
        if let Some(value) = rest.strip_prefix(sign).map(str::trim).filter(|value| !value.is_empty()) {
            return Ok(of(op, vec![literal(value)]));
        }
    }
    Err(wrong())
}

fn literal(text: &str) -> Value {
    let quoted = text.strip_prefix('\'').and_then(|inner| inner.strip_suffix('\''));
    match (quoted, text) {
        (Some(inner), _) => Value::from(inner.replace("''", "'")),
        (None, "true") => Value::from(true),
        (None, "false") => Value::from(false),
        (None, text) => match text.parse::<i64>() {
            Ok(number) => Value::from(number),
            Err(_) if text.parse::<f64>().is_ok_and(f64::is_finite) => json!({"number": text}),
            Err(_) => Value::from(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let at = |text: &str| moment_after(text, now).map(|m| m.to_rfc3339());
        assert_eq!(at("2d").unwrap(), "2026-11-23T10:00:00+00:00");
        assert_eq!(at("2027-01-31").unwrap(), "2027-01-31T00:00:00+00:00");
        assert_eq!(at("2027-01-31T01:00:00+02:00").unwrap(), "2027-01-30T23:00:00+00:00");
        for wrong in ["", "soon", "-3d", "0h", "12", "12y", "9223372036854775807d"] {
            assert_eq!(at(wrong).unwrap_err().code, "MW1015", "{wrong}");
        }
    }

    #[test]
    fn predicates_are_read() {
        let of = |text: &str| {
            predicate(text)
                .map(|p| format!("{} {} {}", p["column"].as_str().unwrap(), p["op"].as_str().unwrap(), p["values"]))
        };
        assert_eq!(of("region = 'EU'").unwrap(), r#"region eq ["EU"]"#);
        assert_eq!(of("region=EU").unwrap(), r#"region eq ["EU"]"#);
        assert_eq!(of("age>=18").unwrap(), "age gt_eq [18]");
        assert_eq!(of("kind in (a, 'b c')").unwrap(), r#"kind in ["a","b c"]"#);
        assert_eq!(of("x is not null").unwrap(), "x is_not_null []");
        for wrong in ["region", "= 3", "x in a", "x =", ""] {
            assert_eq!(of(wrong).unwrap_err().code, "MW1016", "{wrong}");
        }
    }
}
