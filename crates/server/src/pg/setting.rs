//! Session settings over the Postgres wire. The allow-list: nothing else can be set, and none of these widens rights;
//! `meshwork.purpose` only selects among granted purposes (D16).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

/// Settings that clients set at sign-in and that change nothing here; the value they may take, if only one makes sense.
const ACCEPTED: &[(&str, &str, Option<&[&str]>)] = &[
    ("application_name", "", None),
    ("bytea_output", "hex", Some(&["hex"])),
    ("client_encoding", "UTF8", Some(&["utf8", "utf-8", "unicode"])),
    ("client_min_messages", "notice", None),
    ("datestyle", "ISO, MDY", Some(&["iso", "iso,mdy", "iso,dmy", "iso,ymd"])),
    ("default_transaction_isolation", "read committed", None),
    ("default_transaction_read_only", "on", None),
    ("extra_float_digits", "1", None),
    ("idle_in_transaction_session_timeout", "0", None),
    ("intervalstyle", "postgres", Some(&["postgres"])),
    ("lock_timeout", "0", None),
    ("row_security", "on", Some(&["on"])),
    ("search_path", "\"$user\", public", None),
    ("standard_conforming_strings", "on", Some(&["on"])),
    ("statement_timeout", "0", None),
    ("timezone", "UTC", None),
    ("transaction", "", None),
    ("transaction_isolation", "read committed", None),
    ("transaction_read_only", "on", None),
];

const FIXED: &[(&str, &str)] = &[
    ("integer_datetimes", "on"),
    ("is_superuser", "off"),
    ("max_identifier_length", "63"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", "160006"),
    ("in_hot_standby", "off"),
];

/// What drivers parse to learn the dialect.
pub const SERVER_VERSION: &str = "16.6";

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub purpose: Option<String>,
    pub as_of: Option<DateTime<Utc>>,
    other: BTreeMap<String, String>,
}

impl Settings {
    /// `value: None` restores the default. The error is the text to show.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        match name {
            "meshwork.purpose" => self.purpose = value.filter(|v| !v.is_empty()).map(str::to_owned),
            "meshwork.as_of" => self.as_of = value.filter(|v| !v.is_empty()).map(moment).transpose()?,
            _ => {
                let Some((_, _, only)) = ACCEPTED.iter().find(|(known, ..)| *known == name) else {
                    return Err(format!("unrecognized configuration parameter \"{name}\""));
                };
                let Some(value) = value else {
                    self.other.remove(name);
                    return Ok(());
                };
                let folded = value.to_lowercase().replace([' ', '\''], "");
                // The session zone is fixed to UTC: filters and masks compute in it. Clients that ask for another are told.
                if name == "timezone"
                    && !matches!(folded.as_str(), "utc" | "etc/utc" | "gmt" | "0" | "default" | "local")
                {
                    return Err("times are served in UTC; the session time zone cannot be changed".into());
                }
                if only.is_some_and(|allowed| !allowed.contains(&folded.as_str())) {
                    return Err(format!("invalid value for parameter \"{name}\": \"{value}\""));
                }
                if name != "timezone" {
                    self.other.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        Ok(())
    }

    pub fn reset(&mut self) {
        *self = Self::default();
    }

    pub fn show(&self, name: &str) -> Option<String> {
        match name {
            "meshwork.purpose" => Some(self.purpose.clone().unwrap_or_default()),
            "meshwork.as_of" => Some(self.as_of.map(|at| at.to_rfc3339()).unwrap_or_default()),
            _ => self
                .other
                .get(name)
                .cloned()
                .or_else(|| {
                    ACCEPTED.iter().find(|(known, ..)| *known == name).map(|(_, default, _)| (*default).to_owned())
                })
                .or_else(|| FIXED.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())),
        }
    }

    pub fn all(&self) -> Vec<(String, String)> {
        let ours = ["meshwork.as_of", "meshwork.purpose"];
        let names = ACCEPTED.iter().map(|(name, ..)| *name).chain(FIXED.iter().map(|(name, _)| *name)).chain(ours);
        let mut all: Vec<_> = names.filter_map(|name| self.show(name).map(|value| (name.to_owned(), value))).collect();
        all.sort();
        all
    }
}

/// RFC 3339, or `YYYY-MM-DD[ HH:MM[:SS]]` read as UTC.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.with_timezone(&Utc));
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"] {
        if let Ok(at) = chrono::NaiveDateTime::parse_from_str(text, format) {
            return Ok(at.and_utc());
        }
    }
    chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .map(|at| at.and_utc())
        .ok_or_else(|| format!("\"{text}\" is not a moment; write it as 2026-01-31 or 2026-01-31T12:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_settings_can_be_set() {
        let mut settings = Settings::default();
        settings.set("meshwork.purpose", Some("fraud")).unwrap();
        assert_eq!(settings.purpose.as_deref(), Some("fraud"));
        settings.set("application_name", Some("psql")).unwrap();
        assert_eq!(settings.show("application_name").as_deref(), Some("psql"));
        for name in ["role", "session_authorization", "datafusion.optimizer.max_passes", "catalog", "x"] {
            assert!(settings.set(name, Some("y")).unwrap_err().contains("unrecognized"), "{name}");
        }
    }

    #[test]
    fn the_time_zone_stays_utc() {
        let mut settings = Settings::default();
        settings.set("timezone", Some("UTC")).unwrap();
        assert!(settings.set("timezone", Some("Europe/Berlin")).is_err());
        assert_eq!(settings.show("timezone").as_deref(), Some("UTC"));
    }

    #[test]
    fn a_moment_is_read_as_utc() {
        let mut settings = Settings::default();
        settings.set("meshwork.as_of", Some("2026-03-01")).unwrap();
        assert_eq!(settings.show("meshwork.as_of").as_deref(), Some("2026-03-01T00:00:00+00:00"));
        assert!(settings.set("meshwork.as_of", Some("yesterday")).is_err());
        settings.set("meshwork.as_of", None).unwrap();
        assert_eq!(settings.as_of, None);
    }
}
