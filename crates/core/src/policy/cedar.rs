//! Policies in Cedar: loading, strict validation, and asking.
//!
//! Cedar skips a policy that fails while it is evaluated, so a `forbid` with an error would silently vanish. Hence strict
//! validation before anything is accepted, and any evaluation error is a denial.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::{
    Authorizer, Context, Decision as Answer, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy,
    PolicyId, PolicySet, Request as Question, ResourceConstraint, RestrictedExpression as Value, Schema,
    ValidationMode, Validator,
};

use crate::agreement::Agreement;
use crate::error::{Diagnostic, Error, Place, Result, Severity};
use crate::mesh::{Mesh, PolicyFile};
use crate::name::Name;
use crate::principal::{Principal, Subject};
use crate::product::{Archetype, Output, Product, Status};
use crate::suggestion::closest;

const SCHEMA: &str = include_str!("schema.cedarschema");
const DEFAULT: &str = include_str!("default.cedar");
/// How the built-in policies are named in reasons.
const DEFAULT_PATH: &str = "default policy";

/// Every policy of a mesh, indexed by the domain, product or output that it is scoped to: Cedar itself looks at each
/// policy that it is given (D17).
pub struct Policies {
    schema: Schema,
    everywhere: Arc<PolicySet>,
    /// By `domain.output`, only where policies scoped to it, its product or its domain exist.
    scoped: BTreeMap<String, Arc<PolicySet>>,
    /// Policy id → how reasons call it.
    titles: HashMap<PolicyId, String>,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Policies({})", self.titles.len())
    }
}

/// Findings in access policy files: syntax, the schema (strictly), and that a domain's own files hold nothing but
/// `forbid`s scoped to that domain. That makes "may only tighten" decidable. Products and outputs that they are about must
/// exist, as far as the mesh holds their domain.
pub fn validate(files: &[PolicyFile], mesh: &Mesh) -> Vec<Diagnostic> {
    if files.is_empty() {
        return Vec::new();
    }
    match read(files) {
        Ok(read) => read.iter().flat_map(|policy| unknown_scope(policy, mesh)).collect(),
        Err(diagnostics) => diagnostics,
    }
}

impl Policies {
    /// The default policy and those of the mesh. An error carries every finding.
    pub fn load(mesh: &Mesh) -> Result<Self> {
        let policies = read(&mesh.policies).map_err(|diagnostics| {
            Error::check("MW0709", "the access policies of the mesh do not load, so nothing is allowed")
                .hint("run `meshwork check` on the mesh folder and apply it again")
                .with_diagnostics(diagnostics)
        })?;
        let mut titles = HashMap::new();
        let mut by_scope: BTreeMap<Scope, Vec<&Policy>> = BTreeMap::new();
        for loaded in &policies {
            titles.insert(loaded.policy.id().clone(), loaded.title.clone());
            by_scope.entry(loaded.scope.clone()).or_default().push(&loaded.policy);
        }
        let everywhere = Arc::new(set(by_scope.get(&Scope::Everywhere).into_iter().flatten().copied()));
        let mut scoped = BTreeMap::new();
        for (domain, product) in mesh.products() {
            for output in product.outputs.values() {
                let scopes = [
                    Scope::Domain(domain.name.to_string()),
                    Scope::Product(format!("{}.{}", domain.name, product.name)),
                    Scope::Output(format!("{}.{}", domain.name, output.name)),
                ];
                if scopes.iter().any(|scope| by_scope.contains_key(scope)) {
                    let all = std::iter::once(&Scope::Everywhere).chain(&scopes);
                    let set = set(all.filter_map(|scope| by_scope.get(scope)).flatten().copied());
                    scoped.insert(format!("{}.{}", domain.name, output.name), Arc::new(set));
                }
            }
        }
        Ok(Self { schema: schema(), everywhere, scoped, titles })
    }

    /// A questioner for one subject and one output: what it is told of both stays the same for all three actions.
    pub(super) fn about<'a>(
        &'a self,
        subject: &Subject,
        domain: &Name,
        product: &Product,
        output: &Output,
    ) -> Result<About<'a>> {
        let table = format!("{domain}.{}", output.name);
        let policies = self.scoped.get(&table).unwrap_or(&self.everywhere);
        let principal = principal_uid(&subject.principal);
        let resource = uid("Output", &table);
        let entities = entities(subject, domain, product, output, &self.schema)?;
        Ok(About { all: self, policies, entities, principal, resource })
    }
}

/// What Cedar said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub allowed: bool,
    pub because: Vec<String>,
}

pub(super) struct About<'a> {
    all: &'a Policies,
    policies: &'a PolicySet,
    entities: Entities,
    principal: EntityUid,
    resource: EntityUid,
}

impl About<'_> {
    pub fn discover(&self) -> Result<Verdict> {
        self.ask("Discover", Vec::new())
    }

    pub fn query(&self, agreement: Option<&Agreement>) -> Result<Verdict> {
        self.ask("Query", in_force(agreement))
    }

    /// For columns that carry exactly these classifications.
    pub fn read_clear(&self, classifications: &BTreeSet<&Name>, agreement: Option<&Agreement>) -> Result<Verdict> {
        let mut context = in_force(agreement);
        context.push(("classifications", texts(classifications.iter().map(|c| c.as_str()))));
        context.push(("clear", texts(agreement.iter().flat_map(|a| &a.clear).map(Name::as_str))));
        self.ask("ReadClear", context)
    }

    fn ask(&self, action: &str, context: Vec<(&str, Value)>) -> Result<Verdict> {
        let context = Context::from_pairs(context.into_iter().map(|(key, value)| (key.to_owned(), value)))
            .map_err(|e| broken("context", &e))?;
        let (principal, resource) = (self.principal.clone(), self.resource.clone());
        let question = Question::new(principal, uid("Action", action), resource, context, Some(&self.all.schema))
            .map_err(|e| broken("request", &e))?;
        let response = Authorizer::new().is_authorized(&question, self.policies, &self.entities);
        let title = |id: &PolicyId| self.all.titles.get(id).cloned().unwrap_or_else(|| id.to_string());
        let mut because: Vec<String> = response.diagnostics().reason().map(title).collect();
        because.sort();
        let errors: Vec<String> = response
            .diagnostics()
            .errors()
            .map(|error| match error {
                cedar_policy::AuthorizationError::PolicyEvaluationError(e) => {
                    format!("{} could not be evaluated", title(e.policy_id()))
                }
            })
            .collect();
        if !errors.is_empty() {
            return Ok(Verdict { allowed: false, because: errors });
        }
        if because.is_empty() {
            because.push(format!("no policy permits {action}"));
        }
        Ok(Verdict { allowed: response.decision() == Answer::Allow, because })
    }
}

fn in_force(agreement: Option<&Agreement>) -> Vec<(&'static str, Value)> {
    let mut context = vec![("agreement", Value::new_bool(agreement.is_some()))];
    context.extend(agreement.map(|a| ("purpose", Value::new_string(a.purpose.clone()))));
    context
}

fn entities(subject: &Subject, domain: &Name, product: &Product, output: &Output, schema: &Schema) -> Result<Entities> {
    let domain_uid = uid("Domain", domain);
    let product_uid = uid("Product", &format!("{domain}.{}", product.name));
    let output_uid = uid("Output", &format!("{domain}.{}", output.name));
    let mut all: HashMap<EntityUid, Entity> = HashMap::new();
    let mut put = |entity: Entity| drop(all.insert(entity.uid(), entity));
    for team in &subject.teams {
        put(Entity::new_no_attrs(uid("Team", team), [].into()));
    }
    for home in &subject.domains {
        put(Entity::new_no_attrs(uid("Domain", home), [].into()));
    }
    put(Entity::new_no_attrs(domain_uid.clone(), [].into()));
    let product_attributes = |name: &str| [("name".to_owned(), Value::new_string(name.to_owned()))].into();
    let entity = |uid, attributes, parents| Entity::new(uid, attributes, parents).map_err(|e| broken("entity", &e));
    put(entity(product_uid.clone(), product_attributes(&product.name), [domain_uid.clone()].into())?);
    match &subject.principal {
        Principal::User(name) => {
            let parents = subject.teams.iter().map(|team| uid("Team", team));
            let parents = parents.chain(subject.domains.iter().map(|home| uid("Domain", home))).collect();
            let attributes = [
                ("name".to_owned(), Value::new_string(name.clone())),
                ("admin".to_owned(), Value::new_bool(subject.admin)),
            ];
            put(entity(uid("User", name), attributes.into(), parents)?);
        }
        reader @ Principal::Product { domain: home, product } => {
            put(Entity::new_no_attrs(uid("Domain", home), [].into()));
            put(entity(principal_uid(reader), product_attributes(product), [uid("Domain", home)].into())?);
        }
    }
    let classifications: BTreeSet<&str> = output
        .versions
        .values()
        .flat_map(|version| &version.schema().fields)
        .flat_map(|field| field.classifications.iter().map(Name::as_str))
        .collect();
    let attributes = [
        ("name".to_owned(), Value::new_string(output.name.to_string())),
        ("domain".to_owned(), Value::new_entity_uid(domain_uid.clone())),
        ("product".to_owned(), Value::new_entity_uid(product_uid.clone())),
        ("status".to_owned(), Value::new_string(status(product.status).to_owned())),
        ("archetype".to_owned(), Value::new_string(archetype(product.archetype).to_owned())),
        ("classifications".to_owned(), texts(classifications)),
    ];
    put(entity(output_uid, attributes.into(), [product_uid, domain_uid].into())?);
    Entities::from_entities(all.into_values(), Some(schema)).map_err(|e| broken("entities", &e))
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Proposed => "proposed",
        Status::Draft => "draft",
        Status::Active => "active",
        Status::Deprecated => "deprecated",
        Status::Retired => "retired",
    }
}

fn archetype(archetype: Archetype) -> &'static str {
    match archetype {
        Archetype::SourceAligned => "source-aligned",
        Archetype::Aggregate => "aggregate",
        Archetype::ConsumerAligned => "consumer-aligned",
    }
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Value {
    Value::new_set(texts.into_iter().map(|text| Value::new_string(text.to_owned())))
}

fn principal_uid(principal: &Principal) -> EntityUid {
    match principal {
        Principal::User(name) => uid("User", name),
        Principal::Product { domain, product } => uid("Product", &format!("{domain}.{product}")),
    }
}

fn uid(kind: &str, id: &str) -> EntityUid {
    let kind: EntityTypeName = kind.parse().expect("a type name of the schema");
    EntityUid::from_type_name_and_id(kind, EntityId::new(id))
}

fn broken(what: &str, error: &dyn std::error::Error) -> Error {
    Error::internal("MW0790", format!("the access {what} does not fit the policy schema: {error}"))
}

fn schema() -> Schema {
    Schema::from_cedarschema_str(SCHEMA).expect("the embedded schema is valid").0
}

fn set<'a>(policies: impl Iterator<Item = &'a Policy>) -> PolicySet {
    PolicySet::from_policies(policies.cloned()).expect("policy ids are unique")
}

/// What part of the mesh a policy's head confines it to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Everywhere,
    Domain(String),
    /// `domain.product`
    Product(String),
    /// `domain.output`
    Output(String),
}

impl Scope {
    fn of(policy: &Policy) -> Self {
        let uid = match policy.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => return Self::Everywhere,
            ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => uid,
        };
        let id = uid.id().unescaped().to_owned();
        match uid.type_name().basename() {
            "Domain" => Self::Domain(id),
            "Product" => Self::Product(id),
            "Output" => Self::Output(id),
            _ => Self::Everywhere,
        }
    }

    fn is_within(&self, domain: &str) -> bool {
        match self {
            Self::Everywhere => false,
            Self::Domain(id) => id == domain,
            Self::Product(id) | Self::Output(id) => id.split_once('.').is_some_and(|(first, _)| first == domain),
        }
    }
}

struct Loaded {
    policy: Policy,
    scope: Scope,
    title: String,
    place: Place,
}

/// Parses and validates the default policy and `files`.
fn read(files: &[PolicyFile]) -> Result<Vec<Loaded>, Vec<Diagnostic>> {
    let validator = Validator::new(schema());
    let builtin = PolicyFile { path: DEFAULT_PATH.to_owned(), text: DEFAULT.to_owned(), domain: None };
    let mut loaded = Vec::new();
    let mut findings = Vec::new();
    for file in std::iter::once(&builtin).chain(files) {
        match read_file(file, &validator) {
            Ok(policies) => loaded.extend(policies),
            Err(diagnostics) => findings.extend(diagnostics),
        }
    }
    if findings.is_empty() { Ok(loaded) } else { Err(findings) }
}

fn read_file(file: &PolicyFile, validator: &Validator) -> Result<Vec<Loaded>, Vec<Diagnostic>> {
    let source = Source { path: &file.path, text: &file.text };
    let parsed: PolicySet = file.text.parse().map_err(|errors: cedar_policy::ParseErrors| {
        errors
            .iter()
            .map(|error| source.finding("MW0730", format!("this is not a Cedar policy: {error}"), first_label(error)))
            .collect::<Vec<_>>()
    })?;
    let mut findings = Vec::new();
    if parsed.templates().next().is_some() {
        findings.push(source.finding(
            "MW0730",
            "policy templates (`?principal`, `?resource`) are not supported".to_owned(),
            None,
        ));
    }
    let spans: HashMap<PolicyId, (usize, usize)> = parsed.policies().map(|p| (p.id().clone(), span_of(p))).collect();
    let checked = validator.validate(&parsed, ValidationMode::Strict);
    for error in checked.validation_errors() {
        let span = first_label(error).or_else(|| spans.get(error.policy_id()).map(|(start, _)| (*start, 0)));
        findings.push(source.finding("MW0731", plain(&error.to_string()), span));
    }
    for policy in parsed.policies() {
        let Some(domain) = &file.domain else { continue };
        let span = spans.get(policy.id()).copied();
        if policy.effect() == Effect::Permit {
            let message = format!("a domain's own policies may only forbid, and this one in `{domain}` permits");
            let hint =
                "grant access with an agreement (`meshwork access grant`), or move the policy to governance/access/";
            findings.push(source.finding("MW0732", message, span).with_hint(hint));
        } else if !Scope::of(policy).is_within(domain) {
            let message = format!("this policy of domain `{domain}` is not scoped to that domain");
            let hint = format!("write its head as `forbid (principal, action, resource in Domain::\"{domain}\")`");
            findings.push(source.finding("MW0733", message, span).with_hint(hint));
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut policies: Vec<&Policy> = parsed.policies().collect();
    policies.sort_by_key(|policy| spans.get(policy.id()).map(|(start, _)| *start));
    Ok(policies
        .into_iter()
        .enumerate()
        .map(|(at, policy)| {
            let name = policy.annotation("id").map_or_else(|| format!("#{}", at + 1), str::to_owned);
            let place = source.place(spans.get(policy.id()).map_or(0, |(start, _)| *start));
            Loaded {
                scope: Scope::of(policy),
                title: format!("{}: {name}", file.path),
                policy: policy.new_id(PolicyId::new(format!("{}#{}", file.path, at + 1))),
                place,
            }
        })
        .collect())
}

/// A scope that names nothing would make a `forbid` do nothing, silently.
fn unknown_scope(loaded: &Loaded, mesh: &Mesh) -> Option<Diagnostic> {
    let (kind, id, known): (_, _, Vec<String>) = match &loaded.scope {
        Scope::Everywhere | Scope::Domain(_) => return None,
        Scope::Product(id) => ("product", id, mesh.products().map(|(d, p)| format!("{}.{}", d.name, p.name)).collect()),
        Scope::Output(id) => {
            let outputs = |p: &Product| p.outputs.keys().cloned().collect::<Vec<_>>();
            let all = mesh.products().flat_map(|(d, p)| outputs(p).into_iter().map(move |o| format!("{}.{o}", d.name)));
            ("output", id, all.collect())
        }
    };
    // A checkout may hold some domains only (D26).
    let present = id.split_once('.').is_none_or(|(domain, _)| mesh.domains.contains_key(domain));
    if !present || known.contains(id) {
        return None;
    }
    let mut finding = Diagnostic {
        code: "MW0734".to_owned(),
        severity: Severity::Error,
        message: format!("there is no {kind} `{id}`, so this policy would do nothing"),
        place: loaded.place.clone(),
        length: 0,
        hints: Vec::new(),
    };
    let nearest = closest(id, known.iter().map(String::as_str));
    finding.hints.extend(nearest.map(|name| format!("Did you mean `{name}`?")));
    Some(finding)
}

struct Source<'a> {
    path: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Place {
            path: self.path.to_owned(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    /// Marks at most the rest of the first line.
    fn finding(&self, code: &str, message: String, span: Option<(usize, usize)>) -> Diagnostic {
        let (start, length) = span.unwrap_or((0, 0));
        let marked = self.text.get(start..start.saturating_add(length)).unwrap_or("");
        let length = marked.lines().next().map_or(0, |line| line.chars().count());
        Diagnostic {
            code: code.to_owned(),
            severity: Severity::Error,
            message,
            place: self.place(start),
            length: u32::try_from(length).unwrap_or(0),
            hints: Vec::new(),
        }
    }
}

impl Diagnostic {
    fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

fn first_label(error: &dyn miette::Diagnostic) -> Option<(usize, usize)> {
    error.labels()?.next().map(|label| (label.offset(), label.len()))
}

fn span_of(policy: &Policy) -> (usize, usize) {
    policy.as_ref().loc().map_or((0, 0), |loc| (loc.start(), loc.end().saturating_sub(loc.start())))
}

/// Cedar's messages start with the id that the parser gave the policy, which means nothing to a reader.
fn plain(message: &str) -> String {
    let rest = message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")).map(|(_, rest)| rest);
    rest.unwrap_or(message).to_owned()
}
