//! A control-plane state in memory, with a switch for each way that it can fail.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use meshwork_core::agreement::Agreement;
use meshwork_core::audit::{Entry, Event};
use meshwork_core::classification::Classification;
use meshwork_core::effect::Timestamp;
use meshwork_core::error::{Error, Result};
use meshwork_core::id::{AgreementId, MeshId, OutputId, ProductId, PublicationId, TokenId, UserId};
use meshwork_core::mask::Mask;
use meshwork_core::mesh::Mesh;
use meshwork_core::principal::{Principal, Subject};
use meshwork_core::product::Status;
use meshwork_core::publication::Publication;
use meshwork_testkit::{TestClock, contract, domain, field, mesh, moment, name, output, product, publication, run};

use crate::port::audit::AuditSink;
use crate::port::state::{AgreementState, Applied, CredentialState, MeshState, PublicationState, Token, User};

/// `sales.orders(id, email: pii)` and `finance.costs(id, email: pii)`, each an active product of one output. Ids are names.
pub(crate) fn acme() -> Mesh {
    let home = |of: &str, called: &str, member: &str| {
        let mut email = field("email");
        email.classifications = vec![name("pii")];
        let mut output = output(called, contract(called, "1.0.0", [field("id"), email]));
        output.id = Some(OutputId::new(called));
        let mut product = product(called, [output]);
        product.id = Some(ProductId::new(called));
        let mut domain = domain(of, [product]);
        domain.members = vec![member.to_owned()];
        domain
    };
    let mut mesh = mesh([home("sales", "orders", "olga"), home("finance", "costs", "fred")]);
    mesh.classifications = vec![Classification {
        name: name("pii"),
        description: None,
        parent: None,
        mask: Mask::HmacSha256,
        by_type: Vec::new(),
    }];
    mesh
}

pub(crate) struct State {
    pub clock: Arc<TestClock>,
    epoch: AtomicU64,
    mesh: Mutex<Mesh>,
    agreements: Mutex<Vec<Agreement>>,
    publications: Mutex<Vec<Publication>>,
    users: Mutex<Vec<User>>,
    tokens: Mutex<Vec<Token>>,
    entries: Mutex<Vec<Entry>>,
    audit_broken: AtomicBool,
    hangs: AtomicBool,
}

impl State {
    /// Users ana and eva, adam the administrator, olga of sales and fred of finance. Both products are published once.
    pub fn new(mesh: Mesh) -> Self {
        let user = |called: &str| User {
            id: UserId::new(called),
            name: called.to_owned(),
            teams: Vec::new(),
            admin: called == "adam",
            password_hash: None,
            credential_version: 0,
            disabled: false,
            service: false,
        };
        let state = Self {
            clock: Arc::new(TestClock::new()),
            epoch: AtomicU64::new(1),
            mesh: Mutex::new(mesh),
            agreements: Mutex::default(),
            publications: Mutex::default(),
            users: Mutex::new(["ana", "eva", "adam", "olga", "fred"].map(user).to_vec()),
            tokens: Mutex::default(),
            entries: Mutex::default(),
            audit_broken: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
        };
        state.publish("orders", 1);
        state.publish("costs", 1);
        state
    }

    fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    pub fn subject(&self, user: &str) -> Subject {
        Subject::user(user, [], user == "adam", Some(&self.mesh.lock().unwrap()))
    }

    /// Sets the status of `sales.orders`.
    pub fn set_status(&self, status: Status) {
        let mut mesh = self.mesh.lock().unwrap();
        let sales = mesh.domains.get_mut("sales").unwrap();
        sales.products.get_mut("orders").unwrap().status = status;
        drop(mesh);
        self.changed();
    }

    pub fn put_agreement(&self, agreement: Agreement) {
        self.agreements.lock().unwrap().push(agreement);
        self.changed();
    }

    pub fn revoke_all(&self) {
        for agreement in self.agreements.lock().unwrap().iter_mut() {
            agreement.revoked_at = Some(moment(0));
        }
        self.changed();
    }

    pub fn publish(&self, output: &str, delta_version: u64) {
        self.publish_as(PublicationId::new(format!("p-{output}-{delta_version}")), output, delta_version);
    }

    pub fn publish_as(&self, id: PublicationId, output: &str, delta_version: u64) {
        let published = publication(id.as_str(), &run("r", output), 0, delta_version);
        self.publications.lock().unwrap().push(published);
    }

    pub fn unpublish(&self) {
        self.publications.lock().unwrap().clear();
    }

    pub fn put(&self, token: Token) {
        self.tokens.lock().unwrap().push(token);
        self.changed();
    }

    pub fn drop_tokens(&self) {
        self.tokens.lock().unwrap().clear();
        self.changed();
    }

    pub fn drop_user(&self, name: &str) {
        self.users.lock().unwrap().retain(|user| user.name != name);
        self.changed();
    }

    pub fn break_audit(&self) {
        self.audit_broken.store(true, Ordering::SeqCst);
    }

    pub fn hang(&self) {
        self.hangs.store(true, Ordering::SeqCst);
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    pub fn events(&self) -> Vec<Event> {
        self.entries().into_iter().map(|entry| entry.event).collect()
    }

    pub fn statements(&self) -> Vec<String> {
        self.entries().into_iter().filter_map(|entry| entry.statement).collect()
    }
}

#[async_trait]
impl AuditSink for State {
    async fn record(&self, entry: Entry) -> Result<()> {
        if self.audit_broken.load(Ordering::SeqCst) {
            return Err(Error::environment("MW0400", "the disk is full"));
        }
        self.entries.lock().unwrap().push(entry);
        Ok(())
    }
}

#[async_trait]
impl MeshState for State {
    async fn applied(&self) -> Result<Applied> {
        let mesh = Some(self.mesh.lock().unwrap().clone());
        Ok(Applied { revision: 1, mesh_id: MeshId::new("mesh"), mesh })
    }
    async fn apply(&self, base: u64, _: &Mesh, _: &serde_json::Value, _: &Principal, _: Timestamp) -> Result<u64> {
        Ok(base)
    }
    async fn policy_epoch(&self) -> Result<u64> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(self.epoch.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl AgreementState for State {
    async fn grant(&self, agreement: &Agreement) -> Result<()> {
        self.put_agreement(agreement.clone());
        Ok(())
    }
    async fn revoke(&self, id: &AgreementId, at: Timestamp, _: &Principal) -> Result<Agreement> {
        let mut agreements = self.agreements.lock().unwrap();
        let agreement = agreements.iter_mut().find(|a| a.id == *id).unwrap();
        agreement.revoked_at = Some(at);
        let revoked = agreement.clone();
        drop(agreements);
        self.changed();
        Ok(revoked)
    }
    async fn agreement(&self, id: &AgreementId) -> Result<Option<Agreement>> {
        Ok(self.agreements.lock().unwrap().iter().find(|a| a.id == *id).cloned())
    }
    async fn agreements(&self) -> Result<Vec<Agreement>> {
        Ok(self.agreements.lock().unwrap().clone())
    }
    async fn agreements_of(&self, output: &OutputId) -> Result<Vec<Agreement>> {
        Ok(self.agreements.lock().unwrap().iter().filter(|a| a.output == *output).cloned().collect())
    }
}

#[async_trait]
impl PublicationState for State {
    async fn resolve(&self, output: &OutputId, major: u32, as_of: Option<Timestamp>) -> Result<Option<Publication>> {
        let publications = self.publications.lock().unwrap();
        let has_it = |p: &&Publication| p.outputs.iter().any(|o| o.output == *output && o.major == major);
        Ok(publications.iter().filter(has_it).rfind(|p| as_of.is_none_or(|at| p.at <= at)).cloned())
    }
    async fn publication(&self, id: &PublicationId) -> Result<Option<Publication>> {
        Ok(self.publications.lock().unwrap().iter().find(|p| p.id == *id).cloned())
    }
    async fn publications(&self, _: Option<&ProductId>, _: Option<&PublicationId>, _: u32) -> Result<Vec<Publication>> {
        Ok(self.publications.lock().unwrap().clone())
    }
    async fn current(&self) -> Result<Vec<Publication>> {
        Ok(self.publications.lock().unwrap().clone())
    }
    async fn kept(&self, _: &OutputId, _: u32) -> Result<Vec<Publication>> {
        Ok(self.publications.lock().unwrap().iter().rev().cloned().collect())
    }
    async fn horizon(&self, _: &OutputId, _: u32) -> Result<Option<Timestamp>> {
        Ok(None)
    }
    async fn kept_views(&self) -> Result<Vec<Publication>> {
        Ok(Vec::new())
    }
    async fn expire(&self, _: &OutputId, _: u32, _: &PublicationId) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl CredentialState for State {
    async fn user(&self, name: &str) -> Result<Option<User>> {
        Ok(self.users.lock().unwrap().iter().find(|user| user.name == name).cloned())
    }
    async fn users(&self) -> Result<Vec<User>> {
        Ok(self.users.lock().unwrap().clone())
    }
    async fn put_user(&self, user: &User) -> Result<()> {
        self.users.lock().unwrap().push(user.clone());
        Ok(())
    }
    async fn remove_user(&self, name: &str) -> Result<()> {
        self.drop_user(name);
        Ok(())
    }
    async fn put_token(&self, token: &Token) -> Result<()> {
        self.put(token.clone());
        Ok(())
    }
    async fn token_by_hash(&self, hash: &str) -> Result<Option<Token>> {
        Ok(self.tokens.lock().unwrap().iter().find(|token| token.hash == hash).cloned())
    }
    async fn tokens(&self, user: Option<&str>) -> Result<Vec<Token>> {
        let tokens = self.tokens.lock().unwrap();
        Ok(tokens.iter().filter(|token| user.is_none_or(|user| token.user == user)).cloned().collect())
    }
    async fn remove_token(&self, id: &TokenId) -> Result<()> {
        self.tokens.lock().unwrap().retain(|token| token.id != *id);
        Ok(())
    }
    async fn use_token(&self, _: &TokenId, _: Timestamp) -> Result<()> {
        Ok(())
    }
    async fn exchange_token(&self, _: &TokenId, _: Timestamp, _: &Token) -> Result<bool> {
        Ok(false)
    }
}
