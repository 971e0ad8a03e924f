use std::sync::Arc;
use std::time::Duration;

use meshwork_control::audit::{AuditQuery, AuditService};
use meshwork_control::credential::{Credential, CredentialService, Login, NewLogin, NewToken, NewUser, Origin};
use meshwork_control::mesh::MeshReader;
use meshwork_control::port::state::MeshState as _;
use meshwork_core::audit::checkpoint::Signer;
use meshwork_core::effect::Clock as _;
use meshwork_core::error::{Error, Kind};
use meshwork_core::id::Ids;
use meshwork_core::principal::{Grantee, Principal, Subject};
use meshwork_store::SqliteState;
use meshwork_testkit::{SeededEntropy, TestClock, domain, mesh, name, team};

struct Platform {
    service: CredentialService,
    state: SqliteState,
    audit: AuditService,
    clock: Arc<TestClock>,
    _dir: tempfile::TempDir,
}

const RIGHT: &str = "correct horse battery";

async fn platform() -> Platform {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(TestClock::new());
    let entropy = Arc::new(SeededEntropy::new(1));
    let ids = Ids { clock: &*clock, entropy: &*entropy };
    let state = SqliteState::open(&dir.path().join("state.db"), ids).await.expect("opened");
    let shared = Arc::new(state.clone());
    let audit = AuditService::start(shared.clone(), entropy.clone(), Signer::new("meshwork/test", &[1; 32])).await;
    let reader = Arc::new(MeshReader::new(shared.clone()));
    let service = CredentialService::new(shared, reader, Arc::new(audit.clone()), clock.clone(), entropy);
    Platform { service, state, audit, clock, _dir: dir }
}

fn admin() -> Subject {
    Subject::user("root", [], true, None)
}

fn new_user(called: &str) -> NewUser {
    NewUser {
        name: called.to_owned(),
        teams: vec![team("finance_team")],
        admin: false,
        password: Some(RIGHT.to_owned()),
        disabled: false,
        service: false,
    }
}

fn basic(user: &str, password: &str) -> Credential {
    Credential::Basic { user: user.to_owned(), password: password.to_owned() }
}

impl Platform {
    async fn with_ana() -> Self {
        let platform = platform().await;
        platform.service.put_user(&admin(), new_user("ana")).await.expect("put");
        platform
    }

    async fn login(&self, once: &str) -> Result<Login, Error> {
        let new = NewLogin { label: "laptop".to_owned(), expires_at: None };
        self.service.login(Credential::Bearer(once.to_owned()), &Origin::default(), new).await
    }

    async fn code(&self, credential: Credential) -> String {
        self.service.authenticate(credential).await.expect_err("refused").code
    }
}

#[tokio::test]
async fn a_password_opens_and_a_wrong_one_does_not() {
    let platform = Platform::with_ana().await;
    for _ in 0..3 {
        let subject = platform.service.authenticate(basic("ana", RIGHT)).await.expect("right");
        assert_eq!(subject.principal, Principal::User("ana".to_owned()));
        assert!(!subject.admin);
    }
    let unknown = platform.service.authenticate(basic("eve", RIGHT)).await.expect_err("unknown");
    let wrong = platform.service.authenticate(basic("ana", "wrong horse battery")).await.expect_err("wrong");
    assert_eq!(unknown, wrong, "nothing tells an unknown user from a wrong password");
    assert_eq!((wrong.code.as_str(), wrong.kind), ("MW0900", Kind::Unauthenticated));
}

/// Of three refusals, so that a busy machine does not decide.
async fn fastest(platform: &Platform, name: &str) -> Duration {
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let stopwatch = std::time::Instant::now();
        assert_eq!(platform.code(basic(name, "wrong horse battery")).await, "MW0900");
        fastest = fastest.min(stopwatch.elapsed());
    }
    fastest
}

#[tokio::test]
async fn an_unknown_user_costs_what_a_wrong_password_costs() {
    let platform = Platform::with_ana().await;
    let wrong = fastest(&platform, "ana").await;
    let unknown = fastest(&platform, "eve").await;
    // Coarse, as tests share cores: without the check on nobody's hash it would be a hundredth.
    assert!(unknown > wrong / 5, "{unknown:?} against {wrong:?}");
}

#[tokio::test]
async fn a_changed_password_and_a_disabled_user_count_at_once() {
    let platform = Platform::with_ana().await;
    platform.service.authenticate(basic("ana", RIGHT)).await.expect("right, and remembered");
    let changed = NewUser { password: Some("another long password".to_owned()), ..new_user("ana") };
    platform.service.put_user(&admin(), changed).await.expect("put");
    assert_eq!(platform.code(basic("ana", RIGHT)).await, "MW0900");
    platform.service.authenticate(basic("ana", "another long password")).await.expect("right");
    let disabled = NewUser { password: None, disabled: true, ..new_user("ana") };
    platform.service.put_user(&admin(), disabled).await.expect("put");
    assert_eq!(platform.code(basic("ana", "another long password")).await, "MW0900");
}

#[tokio::test]
async fn a_recreated_user_does_not_inherit_the_remembered_password() {
    let platform = Platform::with_ana().await;
    platform.service.authenticate(basic("ana", RIGHT)).await.expect("right, and remembered");
    platform.service.remove_user(&admin(), "ana").await.expect("removed");
    let other = NewUser { password: Some("another long password".to_owned()), ..new_user("ana") };
    platform.service.put_user(&admin(), other).await.expect("put");
    assert_eq!(platform.code(basic("ana", RIGHT)).await, "MW0900");
}

#[tokio::test]
async fn guessing_is_slowed_down_even_when_the_guess_is_right() {
    let platform = Platform::with_ana().await;
    platform.service.authenticate(basic("ana", RIGHT)).await.expect("right, and remembered");
    for _ in 0..5 {
        assert_eq!(platform.code(basic("ana", "wrong horse battery")).await, "MW0900");
    }
    assert_eq!(platform.code(basic("ana", RIGHT)).await, "MW0904");
    platform.clock.advance(Duration::from_secs(2));
    platform.service.authenticate(basic("ana", RIGHT)).await.expect("after the pause");
}

#[tokio::test]
async fn tokens_open_until_they_expire_or_are_revoked() {
    let platform = Platform::with_ana().await;
    let now = platform.clock.now();
    let new = NewToken {
        user: "ana".to_owned(),
        label: "ci".to_owned(),
        expires_at: Some(now + chrono::Duration::seconds(60)),
        purpose: Some("reporting".to_owned()),
        one_time: false,
        scope: None,
    };
    let (token, secret) = platform.service.create_token(&admin(), new.clone()).await.expect("made");
    assert!(secret.starts_with("mw_pat_") && secret.len() == 7 + 43 + 6, "{secret}");
    assert!(!token.hash.contains(&secret));
    let session = platform.service.authenticate(Credential::Bearer(secret.clone())).await.expect("known");
    assert_eq!(session.purpose.as_deref(), Some("reporting"));
    assert_eq!((session.token.clone(), session.valid_until), (Some(token.id.clone()), new.expires_at));

    platform.clock.advance(Duration::from_secs(60));
    assert_eq!(platform.code(Credential::Bearer(secret)).await, "MW0902");

    let forever = NewToken { expires_at: None, ..new };
    let (token, secret) = platform.service.create_token(&admin(), forever.clone()).await.expect("made");
    platform.service.authenticate(Credential::Bearer(secret.clone())).await.expect("known");
    platform.service.remove_token(&admin(), &token.id).await.expect("revoked");
    assert_eq!(platform.code(Credential::Bearer(secret)).await, "MW0901");
    let made =
        async |expires_at| platform.service.create_token(&admin(), NewToken { expires_at, ..forever.clone() }).await;
    let now = platform.clock.now();
    assert_eq!(made(Some(now)).await.expect_err("past").code, "MW0908");
    let days = |days| Some(now + chrono::Duration::days(days));
    assert_eq!(made(days(91)).await.expect_err("too long").code, "MW0908");
    made(days(90)).await.expect("as long as may be");
    assert_eq!(token.expires_at, Some(token.created_at + chrono::Duration::days(90)), "unless said");
}

#[tokio::test]
async fn a_token_that_was_cut_or_mistyped_is_known_for_one() {
    let platform = Platform::with_ana().await;
    let new = NewToken { purpose: None, one_time: false, ..one_time("ana") };
    let (_, secret) = platform.service.create_token(&admin(), new).await.expect("made");
    platform.service.authenticate(Credential::Bearer(secret.clone())).await.expect("known");
    let mistyped = secret.replacen(&secret[10..11], if &secret[10..11] == "x" { "y" } else { "x" }, 1);
    for wrong in [&secret[..secret.len() - 1], &mistyped, "mw_pat_", "mw_pat_é", ""] {
        assert_eq!(platform.code(Credential::Bearer(wrong.to_owned())).await, "MW0901", "{wrong}");
    }
}

#[tokio::test]
async fn the_use_of_a_token_is_noted_once_a_minute() {
    let platform = Platform::with_ana().await;
    let new = NewToken { purpose: None, one_time: false, ..one_time("ana") };
    let (_, secret) = platform.service.create_token(&admin(), new).await.expect("made");
    let used = async || {
        platform.service.authenticate(Credential::Bearer(secret.clone())).await.expect("known");
        platform.service.tokens(Some("ana")).await.expect("read")[0].last_used_at
    };
    let first = used().await;
    assert_eq!(first, Some(platform.clock.now()));
    platform.clock.advance(Duration::from_secs(59));
    assert_eq!(used().await, first);
    platform.clock.advance(Duration::from_secs(1));
    assert_eq!(used().await, Some(platform.clock.now()));
}

#[tokio::test]
async fn a_confined_token_has_no_rights_elsewhere() {
    let platform = Platform::with_ana().await;
    let scope = Some(["sales.orders".parse().expect("a part")].into());
    platform.service.put_user(&admin(), NewUser { admin: true, ..new_user("ana") }).await.expect("put");
    let new = NewToken { purpose: None, one_time: false, scope, ..one_time("ana") };
    let (_, secret) = platform.service.create_token(&admin(), new).await.expect("made");
    let session = platform.service.authenticate(Credential::Bearer(secret)).await.expect("known");
    assert!(!session.admin, "the mesh as a whole is beyond every scope");
    let name = |text: &str| meshwork_core::name::Name::new(text).expect("a name");
    assert!(session.reaches(&name("sales"), &name("orders")));
    assert!(!session.reaches(&name("sales"), &name("leads")) && !session.owns(&name("sales")));
}

#[tokio::test]
async fn a_service_signs_in_with_tokens_only() {
    let platform = Platform::with_ana().await;
    let service = NewUser { service: true, password: None, ..new_user("loader") };
    platform.service.put_user(&admin(), service.clone()).await.expect("put");
    let new = NewToken { purpose: None, one_time: false, ..one_time("loader") };
    let (_, secret) = platform.service.create_token(&admin(), new).await.expect("made");
    assert!(secret.starts_with("mw_svc_"), "{secret}");
    platform.service.authenticate(Credential::Bearer(secret)).await.expect("known");
    let with = NewUser { password: Some(RIGHT.to_owned()), ..service };
    assert_eq!(platform.service.put_user(&admin(), with).await.expect_err("refused").code, "MW0953");
}

#[tokio::test]
async fn domains_follow_from_teams_and_from_members() {
    let platform = Platform::with_ana().await;
    let mut sales = domain("sales", []);
    sales.members = vec!["ana".to_owned(), "guest".to_owned()];
    let applied = mesh([domain("finance", []), sales, domain("hr", [])]);
    let by = Principal::User("root".to_owned());
    platform.state.apply(0, &applied, &serde_json::json!([]), &by, platform.clock.now()).await.expect("applied");

    let ana = platform.service.authenticate(basic("ana", RIGHT)).await.expect("right");
    assert_eq!(ana.domains, [name("finance"), name("sales")].into());
    assert_eq!(ana.teams, [team("finance_team"), team("sales_team")].into());
    assert!(Grantee::Team(team("sales_team")).covers(&ana));

    let guest = platform.service.subject(&Principal::User("guest".to_owned())).await.expect("simulated");
    assert_eq!(guest.domains, [name("sales")].into());
    let product = Principal::Product { domain: name("hr"), product: name("staff") };
    let product = platform.service.subject(&product).await.expect("a product");
    assert_eq!((product.domains, product.teams.len()), ([name("hr")].into(), 0));
    let owner = Subject::owner(Some(&applied));
    assert_eq!((owner.domains.len(), owner.admin), (3, true));
}

#[tokio::test]
async fn the_first_start_makes_one_administrator() {
    let platform = platform().await;
    let told = std::sync::Mutex::new(String::new());
    let deliver = |secret: &str| {
        *told.lock().expect("free") = secret.to_owned();
        Ok(())
    };
    let failing = |_: &str| Err(Error::environment("MW0401", "no such folder"));
    platform.service.first_start(failing).await.expect_err("not delivered");
    assert_eq!(platform.service.users().await.expect("read").len(), 0, "nothing counts that was not delivered");
    assert_eq!(platform.service.first_start(deliver).await, Ok(true));
    let secret = told.lock().expect("free").clone();
    assert!(secret.starts_with("mw_once_"), "{secret}");
    assert_eq!(platform.code(Credential::Bearer(secret.clone())).await, "MW0949", "it opens nothing");
    assert_eq!(platform.service.first_start(|_| panic!("not again")).await, Ok(false));

    // Nobody used it in time and nobody else can get in: the next start makes another.
    platform.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(platform.login(&secret).await.map(drop).expect_err("late").code, "MW0902");
    assert_eq!(platform.service.first_start(deliver).await, Ok(true));
    assert_eq!(platform.service.users().await.expect("read").len(), 1);
    let secret = told.lock().expect("free").clone();
    let login = platform.login(&secret).await.expect("in time");
    let subject = platform.service.authenticate(Credential::Bearer(login.secret)).await.expect("known");
    assert!(subject.admin);
    assert_eq!(platform.service.first_start(|_| panic!("not again")).await, Ok(false));
    // The token of the login ends too; with it, nobody can get in.
    platform.clock.advance(Duration::from_secs(90 * 24 * 3600));
    assert_eq!(platform.service.first_start(deliver).await, Ok(true));
}

fn one_time(user: &str) -> NewToken {
    let (user, label, purpose) = (user.to_owned(), "first login".to_owned(), Some("reporting".to_owned()));
    NewToken { user, label, expires_at: None, purpose, one_time: true, scope: None }
}

#[tokio::test]
async fn a_one_time_token_is_good_for_one_login() {
    let gone = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut platform = Platform::with_ana().await;
    let told = gone.clone();
    platform.service = platform.service.when_spent(move |secret| told.lock().expect("free").push(secret.to_owned()));
    let (once, secret) = platform.service.create_token(&admin(), one_time("ana")).await.expect("made");
    let (first, second, third) =
        tokio::join!(platform.login(&secret), platform.login(&secret), platform.login(&secret));
    let (won, lost): (Vec<_>, Vec<_>) = [first, second, third].into_iter().partition(Result::is_ok);
    let codes: Vec<String> = lost.into_iter().map(|lost| lost.map(drop).expect_err("lost").code).collect();
    assert_eq!((won.len(), codes), (1, vec!["MW0950".to_owned(), "MW0950".to_owned()]));
    assert_eq!(*gone.lock().expect("free"), std::slice::from_ref(&secret));
    let login = won.into_iter().flatten().next().expect("one");
    assert_eq!((login.token.label.as_str(), login.token.purpose.as_deref()), ("laptop", Some("reporting")));
    let session = platform.service.authenticate(Credential::Bearer(login.secret.clone())).await.expect("known");
    assert_eq!((session.principal, session.token), (Principal::User("ana".to_owned()), Some(login.token.id)));
    assert_eq!(platform.login(&secret).await.map(drop).expect_err("used").code, "MW0950");
    assert_eq!(platform.login(&login.secret).await.map(drop).expect_err("ordinary").code, "MW0951");
    assert_eq!(platform.login("mw_once_guessed").await.map(drop).expect_err("unknown").code, "MW0901");
    let (_, revoked) = platform.service.create_token(&admin(), one_time("ana")).await.expect("made");
    platform.service.put_user(&admin(), NewUser { disabled: true, ..new_user("ana") }).await.expect("put");
    assert_eq!(platform.login(&revoked).await.map(drop).expect_err("disabled").code, "MW0901");
    let found = platform.audit.query(&AuditQuery::default()).await.expect("read");
    let exchanged = |event: &meshwork_core::audit::Event| {
        matches!(event, meshwork_core::audit::Event::Access { action, object, .. }
            if action == "token.exchange" && *object == once.id.as_str())
    };
    assert!(found.iter().any(|entry| exchanged(&entry.event)), "{found:?}");
}

#[tokio::test]
async fn a_password_is_good_for_a_token_too() {
    let platform = Platform::with_ana().await;
    let new = NewLogin { label: "laptop".to_owned(), expires_at: None };
    let login = platform.service.login(basic("ana", RIGHT), &Origin::default(), new.clone()).await.expect("right");
    let session = platform.service.authenticate(Credential::Bearer(login.secret)).await.expect("known");
    assert_eq!(session.valid_until, Some(platform.clock.now() + chrono::Duration::days(90)));
    let refused = platform.service.login(basic("ana", "wrong horse battery"), &Origin::default(), new).await;
    assert_eq!(refused.map(drop).expect_err("wrong").code, "MW0900");
}

#[tokio::test]
async fn the_folder_owners_token_ends_with_the_process() {
    let platform = platform().await;
    let secret = platform.service.owner_token();
    let subject = platform.service.authenticate(Credential::Bearer(secret.clone())).await.expect("known");
    assert_eq!(subject, Subject::owner(None));
    platform.service.owner_token();
    assert_eq!(platform.code(Credential::Bearer(secret)).await, "MW0901");
    assert_eq!(platform.service.tokens(None).await.expect("read").len(), 0, "it is never stored");
}

#[tokio::test]
async fn passwords_and_names_have_a_shape() {
    let platform = platform().await;
    let put = async |user: NewUser| platform.service.put_user(&admin(), user).await.expect_err("refused").code;
    assert_eq!(put(NewUser { password: Some("short".to_owned()), ..new_user("ana") }).await, "MW0903");
    for bad in ["", "a b", "owner", "anonymous", "a\nb", "ä"] {
        assert_eq!(put(new_user(bad)).await, "MW0907", "{bad:?}");
    }
}

#[tokio::test]
async fn every_change_and_every_failure_leaves_a_record() {
    let platform = Platform::with_ana().await;
    platform.code(basic("ana", "wrong horse battery")).await;
    platform.code(basic("my-password-typed-as-name", "x")).await;
    let found = platform.audit.query(&AuditQuery::default()).await.expect("read");
    let told: Vec<_> = found.iter().map(|one| (one.actor.clone().unwrap_or_default(), one.event.kind())).collect();
    use meshwork_core::audit::Kind as K;
    assert_eq!(
        told,
        [
            ("user:anonymous".to_owned(), K::SignInFailed),
            ("user:ana".to_owned(), K::SignInFailed),
            ("user:root".to_owned(), K::Access),
        ]
    );
}
