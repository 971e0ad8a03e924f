//! The decision about one reader and one table: everything that stands between the two, with reasons.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveTime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cedar::{About, Policies};
use super::mask::{self, Borne};
use super::{major, purpose};
use crate::agreement::Agreement;
use crate::classification::Classification;
use crate::effect::Timestamp;
use crate::error::{Error, Result};
use crate::filter::RowFilter;
use crate::id::{AgreementId, ColumnId};
use crate::lineage::Inherited;
use crate::mask::Mask;
use crate::name::Name;
use crate::principal::{Principal, Subject};
use crate::product::{Output, OutputVersion, Product, Status};
use crate::publication::PublishedOutput;
use crate::types::ColumnType;

/// What a decision depends on; nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub subject: &'a Subject,
    /// The purpose that the token or the session states.
    pub purpose: Option<&'a str>,
    pub domain: &'a Name,
    pub product: &'a Product,
    pub output: &'a Output,
    /// The major of `domain.output_vN`.
    pub major: Option<u32>,
    /// All agreements about this output; which of them live and cover the subject is decided here.
    pub agreements: &'a [Agreement],
    pub classifications: &'a [Classification],
    /// What each major serves at the moment that is asked for.
    pub published: &'a BTreeMap<u32, PublishedOutput>,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether the subject may know that the table exists.
    pub discoverable: bool,
    /// Whether it may read rows. If not, `refusal` says why, for people.
    pub allowed: bool,
    pub refusal: Option<Error>,
    /// Policies and agreements that made the difference.
    pub because: Vec<String>,
    /// What the reader should know although it may read: the product is deprecated, the version has a sunset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// In table order, also those that are withheld.
    pub columns: Vec<ColumnDecision>,
    pub rows: RowFilter,
    pub purpose: Option<String>,
    /// The agreement in force: at most one (D16).
    pub agreements: Vec<AgreementId>,
    /// 0 when refused before it was clear which.
    pub major: u32,
    /// When this has to be decided again at the latest.
    pub valid_until: Option<Timestamp>,
    /// SHA-256 (hex) over all obligations: the same digest means the same rows and the same masks (D17).
    pub digest: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDecision {
    pub id: ColumnId,
    pub name: String,
    pub native: ColumnType,
    /// Whether the contract requires a value.
    pub required: bool,
    pub access: ColumnAccess,
    /// The classification whose key a hashing mask takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Name>,
    /// What its values bear when they leave the barrier (D19).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bears: Vec<Inherited>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnAccess {
    /// Shown as stored, which may be masked already.
    Clear,
    Masked(Mask),
    /// Outside the grant: absent, and naming it is refused (D15).
    Withheld,
}

/// The one answer for a table that does not exist and for one that the caller may not know of.
pub fn unknown_table(domain: &str, table: &str) -> Error {
    Error::not_found("MW0701", format!("there is no table `{domain}.{table}`"))
        .hint("`meshwork product list` and `\\dt` list what you can see; a new product appears once it is active")
}

impl Decision {
    fn refused(discoverable: bool, because: Vec<String>, error: Error) -> Self {
        let mut decision = Self {
            discoverable,
            allowed: false,
            refusal: Some(error),
            because,
            warnings: Vec::new(),
            columns: Vec::new(),
            rows: RowFilter::default(),
            purpose: None,
            agreements: Vec::new(),
            major: 0,
            valid_until: None,
            digest: String::new(),
        };
        decision.digest = decision.obligations();
        decision
    }

    pub fn column(&self, name: &str) -> Option<&ColumnDecision> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub fn withheld(&self) -> impl Iterator<Item = &ColumnDecision> {
        self.columns.iter().filter(|column| column.access == ColumnAccess::Withheld)
    }

    pub fn visible(&self) -> impl Iterator<Item = &ColumnDecision> {
        self.columns.iter().filter(|column| column.access != ColumnAccess::Withheld)
    }

    /// Whether the stored bytes themselves may be handed out: no mask, no filter, no withheld column.
    pub fn is_unobliged(&self) -> bool {
        self.allowed && self.rows.is_empty() && self.columns.iter().all(|c| c.access == ColumnAccess::Clear)
    }

    fn obligations(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|c| (&c.id, &c.name, &c.access, &c.key)).collect();
        let refusal = self.refusal.as_ref().map(|error| &error.code);
        let facts = serde_json::json!({
            "version": 1,
            "allowed": self.allowed,
            "discoverable": self.discoverable,
            "refusal": refusal,
            "major": self.major,
            "columns": columns,
            "rows": self.rows,
            "purpose": self.purpose,
            "agreements": self.agreements,
        });
        // Keys come in one fixed order, so equal obligations give equal text.
        Sha256::digest(facts.to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Policies {
    /// Whether this subject may know that the output exists (D15).
    pub fn discovers(&self, subject: &Subject, domain: &Name, product: &Product, output: &Output) -> bool {
        if !subject.reaches(domain, &product.name) {
            return false;
        }
        let asked = self.about(subject, domain, product, output).and_then(|about| about.discover());
        asked.is_ok_and(|verdict| verdict.allowed)
    }

    /// Decides. Whatever goes wrong on the way is a refusal.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let table = format!("{}.{}", request.domain, request.output.name);
        if !request.subject.reaches(request.domain, &request.product.name) {
            let because = vec!["the token is confined to other parts of the mesh".to_owned()];
            return Decision::refused(false, because, unknown_table(request.domain, &request.output.name));
        }
        let discovered = self
            .about(request.subject, request.domain, request.product, request.output)
            .and_then(|about| about.discover().map(|verdict| (about, verdict)));
        match discovered {
            Err(error) => Decision::refused(false, Vec::new(), error),
            Ok((_, verdict)) if !verdict.allowed => {
                let error = unknown_table(request.domain, &request.output.name);
                Decision::refused(false, verdict.because, error)
            }
            Ok((about, _)) => match access(request, &about, &table) {
                Ok(decision) => decision,
                Err((because, error)) => {
                    Decision { valid_until: valid_until(request, None), ..Decision::refused(true, because, error) }
                }
            },
        }
    }
}

type Refusal = (Vec<String>, Error);

fn access(request: &Request<'_>, about: &About<'_>, table: &str) -> Result<Decision, Refusal> {
    let plainly = |error| (Vec::new(), error);
    let live = purpose::live(request.subject, request.agreements, request.now);
    let at_home = about.query(None).map_err(plainly)?.allowed;
    let agreement = purpose::in_force(table, request.purpose, &live, at_home).map_err(plainly)?;
    let verdict = about.query(agreement).map_err(plainly)?;
    if !verdict.allowed {
        let error = refusal(request, table, agreement, &verdict.because);
        return Err((verdict.because, error));
    }
    let mut because = verdict.because;
    because.extend(agreement.map(|a| format!("agreement {} with {} for `{}`", a.id, a.grantee, a.purpose)));

    let published: BTreeSet<u32> = request.published.keys().copied().collect();
    let major = major::resolve(table, request.output, request.major, agreement, &published, request.now);
    let major = major.map_err(plainly)?;
    let version = request.output.versions.get(&major).ok_or_else(|| plainly(unknown_table(request.domain, table)))?;
    let columns = columns(request, about, agreement, version, request.published.get(&major)).map_err(plainly)?;
    let (rows, filters) = rows(request, agreement);
    because.extend(filters);
    if let Some(unknown) = rows.0.iter().find(|p| !columns.iter().any(|c| c.name == p.column)) {
        let message =
            format!("a row filter of {table} names the column `{}`, which version {major} lacks", unknown.column);
        let hint = "the owner must correct the filter; until then nobody reads the table under it";
        return Err((because, Error::forbidden("MW0707", message).hint(hint)));
    }
    let mut decision = Decision {
        discoverable: true,
        allowed: true,
        refusal: None,
        because,
        warnings: warnings(request, table, major, version),
        columns,
        rows,
        purpose: agreement.map(|a| a.purpose.clone()),
        agreements: agreement.iter().map(|a| a.id.clone()).collect(),
        major,
        valid_until: valid_until(request, Some(version)),
        digest: String::new(),
    };
    decision.digest = decision.obligations();
    Ok(decision)
}

fn warnings(request: &Request<'_>, table: &str, major: u32, version: &OutputVersion) -> Vec<String> {
    let deprecated = request.product.status == Status::Deprecated;
    let mut warnings: Vec<String> =
        deprecated.then(|| format!("{table} is deprecated: it may be retired")).into_iter().collect();
    if request.product.status == Status::Proposed {
        warnings.push(format!("{table} is proposed: nobody vouches for its contract yet"));
    }
    let newest = request.output.newest().map_or(major, |(newest, _)| newest);
    if let Some(sunset) = version.sunset.filter(|_| major < newest) {
        warnings.push(format!("version {major} of {table} is served until {sunset}: move to {table}_v{newest}"));
    }
    warnings
}

/// Why a discoverable table cannot be read, with what to do about it.
fn refusal(request: &Request<'_>, table: &str, agreement: Option<&Agreement>, because: &[String]) -> Error {
    let who = &request.subject.principal;
    let unpermitted = because.iter().all(|reason| reason.starts_with("no policy permits"));
    if request.product.status < Status::Active && unpermitted {
        let status = if request.product.status == Status::Proposed { "proposed" } else { "a draft" };
        return Error::forbidden("MW0706", format!("{table} is {status}: {who} cannot read it yet"))
            .hint("its owner publishes it for others with `status: active` in product.yaml");
    }
    if agreement.is_some() || !unpermitted {
        return Error::forbidden("MW0705", format!("{who} may not query {table}: {}", because.join("; ")))
            .hint("the access policies of the mesh or of the owning domain say so; ask their owners");
    }
    Error::forbidden("MW0702", format!("{who} may not query {table}: there is no agreement"))
        .hint(format!("ask its owner to run: {}", grant_command(table, who, request.purpose)))
}

/// The command that would make `who` a reader.
fn grant_command(table: &str, who: &Principal, purpose: Option<&str>) -> String {
    let purpose = purpose.unwrap_or("PURPOSE").replace('\'', "'\\''");
    let quoted = if purpose.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        purpose
    } else {
        format!("'{purpose}'")
    };
    format!("meshwork access grant {who} {table} --purpose {quoted}")
}

fn columns(
    request: &Request<'_>,
    about: &About<'_>,
    agreement: Option<&Agreement>,
    version: &OutputVersion,
    published: Option<&PublishedOutput>,
) -> Result<Vec<ColumnDecision>> {
    let lineage = published.map_or(&[][..], |p| &p.lineage[..]);
    let mut clear: BTreeMap<BTreeSet<Name>, bool> = BTreeMap::new();
    let mut columns = Vec::new();
    for field in &version.schema().fields {
        let of_field = lineage.iter().find(|l| l.column == field.name);
        // A column that the contract gained after this publication was made is not in its data.
        if !lineage.is_empty() && of_field.is_none() {
            continue;
        }
        let borne = mask::borne(field, of_field);
        let granted = agreement.and_then(|a| a.columns.as_ref()).is_none_or(|granted| granted.contains(&field.name));
        let set: BTreeSet<Name> = borne.keys().cloned().collect();
        let may_clear = match clear.get(&set) {
            Some(known) => *known,
            None => {
                let allowed = about.read_clear(&set.iter().collect(), agreement)?.allowed;
                clear.insert(set, allowed);
                allowed
            }
        };
        let (access, key) = if granted { column_access(request, &borne, &field.native, may_clear) } else { HIDDEN };
        let applied = if let ColumnAccess::Masked(mask) = access { Some(mask) } else { None };
        columns.push(ColumnDecision {
            id: field.id.clone().unwrap_or_else(|| ColumnId::new(field.name.clone())),
            name: field.name.clone(),
            native: field.native.clone(),
            required: field.required,
            access,
            key,
            bears: mask::leaving(&borne, applied),
        });
    }
    Ok(columns)
}

const HIDDEN: (ColumnAccess, Option<Name>) = (ColumnAccess::Withheld, None);

fn column_access(
    request: &Request<'_>,
    borne: &Borne,
    ty: &ColumnType,
    may_clear: bool,
) -> (ColumnAccess, Option<Name>) {
    if may_clear {
        return (ColumnAccess::Clear, None);
    }
    if borne.is_empty() {
        // A policy forbids clear values although no classification says how to mask them.
        return (ColumnAccess::Masked(Mask::ReplaceWithNull), None);
    }
    match mask::obligation(borne, ty, request.classifications) {
        None => (ColumnAccess::Clear, None),
        // Its values would differ with every run: nothing downstream could rely on them (D19).
        Some(o)
            if o.mask == Mask::Sha256QueryLocal && matches!(request.subject.principal, Principal::Product { .. }) =>
        {
            HIDDEN
        }
        Some(o) => {
            let keyed = o.mask == Mask::HmacSha256;
            (ColumnAccess::Masked(o.mask), keyed.then_some(o.key))
        }
    }
}

/// The output's own filters, unless a team of the subject is excepted, and the agreement's.
fn rows(request: &Request<'_>, agreement: Option<&Agreement>) -> (RowFilter, Vec<String>) {
    let mut all = agreement.map(|a| a.rows.clone()).unwrap_or_default().and(RowFilter::default());
    let mut because = Vec::new();
    for filter in &request.output.row_filters {
        match filter.except.iter().find(|team| request.subject.teams.contains(*team)) {
            Some(team) => because.push(format!("team:{team} is excepted from row filter `{}`", filter.name)),
            None => {
                all = all.and(RowFilter(filter.predicates.clone()));
                because.push(format!("row filter `{}`", filter.name));
            }
        }
    }
    (all, because)
}

/// The earliest moment at which any input of the decision changes by itself.
fn valid_until(request: &Request<'_>, version: Option<&OutputVersion>) -> Option<Timestamp> {
    let live = purpose::live(request.subject, request.agreements, request.now);
    let expiries = live.into_iter().filter_map(|a| a.expires_at);
    let sunset = version.and_then(|v| v.sunset).and_then(|date| date.checked_add_days(Days::new(1)));
    let sunset = sunset.map(|day| day.and_time(NaiveTime::MIN).and_utc()).filter(|at| *at > request.now);
    expiries.chain(sunset).chain(request.subject.valid_until).min()
}
