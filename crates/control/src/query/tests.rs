use std::sync::Mutex;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{Field as ArrowField, Schema};
use futures::StreamExt;
use meshwork_core::audit::Event;
use meshwork_core::id::{PublicationId, RunId, TokenId};
use meshwork_core::policy::unknown_table;
use meshwork_core::principal::Grantee;
use meshwork_core::product::{ProductInput, Status};
use meshwork_testkit::{agreement, moment, name};

use super::*;
use crate::port::data::PlannedQuery;
use crate::port::state::Token;
use crate::query::fakes::{State, acme};

/// An engine whose SQL is a list of tables: `sales.orders, finance.costs_v1`. Every row it returns is a 1.
struct Engine {
    batches: Arc<Mutex<usize>>,
    executed: Arc<Mutex<usize>>,
    planned: Arc<Mutex<usize>>,
}

struct Planned {
    uses: Vec<TableUse>,
    batches: usize,
    executed: Arc<Mutex<usize>>,
}

fn one_column() -> SchemaRef {
    Arc::new(Schema::new(vec![ArrowField::new("x", DataType::Int64, false)]))
}

#[async_trait::async_trait]
impl PlannedQuery for Planned {
    fn schema(&self) -> SchemaRef {
        one_column()
    }
    fn parameters(&self) -> Vec<Option<DataType>> {
        Vec::new()
    }
    fn tables(&self) -> &[TableUse] {
        &self.uses
    }
    async fn execute(&self, _: Vec<ArrayRef>) -> Result<BatchStream> {
        *self.executed.lock().unwrap() += 1;
        let batch = RecordBatch::try_new(one_column(), vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
        Ok(futures::stream::iter(std::iter::repeat_n(batch, self.batches)).map(Ok).boxed())
    }
}

#[async_trait::async_trait]
impl QueryEngine for Engine {
    async fn plan(&self, request: PlanRequest) -> Result<Arc<dyn PlannedQuery>> {
        *self.planned.lock().unwrap() += 1;
        let mut uses = Vec::new();
        for table in request.sql.split(", ") {
            let (domain, table) = table.split_once('.').unwrap();
            let found = request.catalog.resolve(domain, table, request.as_of).await?;
            let found = found.ok_or_else(|| unknown_table(domain, table))?;
            uses.push(TableUse {
                columns: found.columns.iter().map(|c| c.name.clone()).collect(),
                masked: found.columns.iter().filter(|c| c.mask.is_some()).map(|c| c.name.clone()).collect(),
                filtered: !found.rows.is_empty(),
                domain: found.domain,
                output: found.output,
                output_id: found.output_id,
                major: found.major,
                delta_version: found.delta_version,
                decision_digest: found.decision_digest,
                below: Vec::new(),
                valid_until: found.valid_until,
            });
        }
        let batches = *self.batches.lock().unwrap();
        Ok(Arc::new(Planned { uses, batches, executed: self.executed.clone() }))
    }
}

struct Platform {
    state: Arc<State>,
    service: QueryService,
    batches: Arc<Mutex<usize>>,
    executed: Arc<Mutex<usize>>,
    planned: Arc<Mutex<usize>>,
}

impl Platform {
    /// `sales.orders` and `finance.costs`, both published; nobody has an agreement.
    fn new() -> Self {
        let state = Arc::new(State::new(acme()));
        let (batches, executed, planned) = (Arc::new(Mutex::new(1)), Arc::default(), Arc::default());
        let engine =
            Engine { batches: batches.clone(), executed: Arc::clone(&executed), planned: Arc::clone(&planned) };
        let ports = QueryPorts {
            publications: state.clone(),
            credentials: state.clone(),
            query: Arc::new(engine),
            clock: state.clock.clone(),
            entropy: Arc::new(meshwork_testkit::SeededEntropy::new(7)),
        };
        let limits =
            QueryLimits { memory_bytes: 1, spill_bytes: 1, time: Duration::from_secs(1), rows: None, sql_bytes: 1000 };
        let settings = QuerySettings { mesh_key: MeshKey::new([1; 32]), limits, operator: Default::default() };
        let governance = Arc::new(Governance::new(state.clone(), state.clone()));
        let service = QueryService::over(ports, governance, state.clone(), settings);
        Self { state, service, batches, executed, planned }
    }

    fn granted(grantee: Grantee) -> Self {
        let platform = Self::new();
        platform.state.put_agreement(agreement("a1", grantee, "orders"));
        platform
    }

    fn session(&self, user: &str) -> QuerySession {
        let subject = self.state.subject(user);
        QuerySession::new(subject.clone(), subject, "http")
    }

    async fn rows(&self, user: &str, sql: &str) -> Result<usize> {
        let answer = self.service.query(&self.session(user), sql, Vec::new()).await?;
        let batches: Vec<_> = answer.stream.collect().await;
        let mut rows = 0;
        for batch in batches {
            rows += batch?.num_rows();
        }
        Ok(rows)
    }

    fn executed(&self) -> usize {
        *self.executed.lock().unwrap()
    }

    fn planned(&self) -> usize {
        *self.planned.lock().unwrap()
    }
}

fn ana() -> Grantee {
    Grantee::User("ana".to_owned())
}

fn code<T>(result: Result<T>) -> String {
    result.err().map_or_else(|| "none".to_owned(), |error| error.code)
}

#[tokio::test]
async fn an_answer_is_recorded_before_and_after() {
    let platform = Platform::granted(ana());
    assert_eq!(platform.rows("ana", "sales.orders").await, Ok(1));
    let events = platform.state.events();
    let [
        Event::QueryIntent { query, port, purpose, tables, reasons, .. },
        Event::QueryOutcome { query: same, rows, error },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((port.as_str(), purpose.as_deref(), rows, error), ("http", Some("reporting"), &1, &None));
    assert_eq!(query, same);
    assert_eq!((tables[0].output.as_str(), &tables[0].masked[..]), ("orders", &["email".to_owned()][..]));
    assert_eq!(reasons[..], ["agreement a1 with user:ana for `reporting`", "default policy: query-agreement"]);
    assert_eq!(platform.state.statements(), ["sales.orders"]);
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_happen() {
    let platform = Platform::granted(ana());
    platform.state.break_audit();
    assert_eq!(code(platform.rows("ana", "sales.orders").await), "MW0714");
    assert_eq!(platform.executed(), 0);
}

#[tokio::test]
async fn refusals_are_recorded_and_hide_what_may_not_be_known() {
    let platform = Platform::new();
    assert_eq!(code(platform.rows("ana", "sales.orders").await), "MW0702");
    platform.state.set_status(Status::Draft);
    let hidden = platform.rows("ana", "sales.orders").await.unwrap_err();
    assert_eq!(hidden.message, "there is no table `sales.orders`");
    assert_eq!(hidden.hints, platform.rows("ana", "sales.nothing").await.unwrap_err().hints);
    let events = platform.state.events();
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|e| matches!(e, Event::QueryRefused { .. })), "{events:?}");
}

#[tokio::test]
async fn a_prepared_statement_ends_with_its_agreement() {
    let platform = Platform::granted(ana());
    let prepared = platform.service.prepare(&platform.session("ana"), "sales.orders").await.unwrap();
    assert!(platform.service.execute(&prepared, Vec::new()).await.is_ok());
    // Something else changes: same decision, so it goes on.
    platform.state.put_agreement(agreement("a2", Grantee::User("eva".to_owned()), "orders"));
    assert!(platform.service.execute(&prepared, Vec::new()).await.is_ok());
    platform.state.revoke_all();
    assert_eq!(code(platform.service.execute(&prepared, Vec::new()).await), "MW0711");
    assert_eq!(platform.executed(), 2);
}

#[tokio::test]
async fn a_prepared_statement_ends_with_its_time() {
    let platform = Platform::new();
    let mut expiring = agreement("a1", ana(), "orders");
    expiring.expires_at = Some(moment(60));
    platform.state.put_agreement(expiring);
    let prepared = platform.service.prepare(&platform.session("ana"), "sales.orders").await.unwrap();
    platform.state.clock.set(moment(59));
    assert!(platform.service.execute(&prepared, Vec::new()).await.is_ok());
    platform.state.clock.set(moment(60));
    assert_eq!(code(platform.service.execute(&prepared, Vec::new()).await), "MW0711");
}

#[tokio::test]
async fn a_wider_grant_also_needs_a_new_statement() {
    let platform = Platform::granted(ana());
    let prepared = platform.service.prepare(&platform.session("ana"), "sales.orders").await.unwrap();
    let mut clear = agreement("a2", ana(), "orders");
    clear.clear = vec![name("pii")];
    clear.granted_at = moment(1);
    platform.state.put_agreement(clear);
    assert_eq!(code(platform.service.execute(&prepared, Vec::new()).await), "MW0711");
    let again = platform.service.prepare(&platform.session("ana"), "sales.orders").await.unwrap();
    assert!(again.tables()[0].masked.is_empty());
}

#[tokio::test]
async fn a_running_answer_stops_within_a_second_or_two() {
    let platform = Platform::granted(ana());
    *platform.batches.lock().unwrap() = 1000;
    let answer = platform.service.query(&platform.session("ana"), "sales.orders", Vec::new()).await.unwrap();
    let mut stream = answer.stream;
    assert!(stream.next().await.unwrap().is_ok());
    platform.state.revoke_all();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(code(stream.next().await.unwrap()), "MW0711");
    assert!(stream.next().await.is_none());
    let events = platform.state.events();
    let last = events.last().unwrap();
    assert!(matches!(last, Event::QueryOutcome { error: Some(code), rows: 1, .. } if code == "MW0711"), "{last:?}");
}

#[tokio::test]
async fn a_reader_that_goes_away_is_recorded_as_cancelled() {
    let platform = Platform::granted(ana());
    let answer = platform.service.query(&platform.session("ana"), "sales.orders", Vec::new()).await.unwrap();
    drop(answer);
    tokio::task::yield_now().await;
    let events = platform.state.events();
    let cancelled = |e: &Event| matches!(e, Event::QueryOutcome { error: Some(code), .. } if code == "cancelled");
    assert!(cancelled(events.last().unwrap()), "{events:?}");
}

#[tokio::test]
async fn a_state_that_does_not_answer_denies() {
    let platform = Platform::granted(ana());
    platform.state.hang();
    let begun = tokio::time::timeout(Duration::from_secs(3), platform.rows("ana", "sales.orders")).await;
    assert_eq!(code(begun.unwrap()), "MW0710");
}

#[tokio::test]
async fn a_prepared_statement_reads_newer_publications() {
    let platform = Platform::granted(ana());
    let prepared = platform.service.prepare(&platform.session("ana"), "sales.orders").await.unwrap();
    platform.state.publish("orders", 5);
    platform.state.clock.advance(Duration::from_secs(2));
    for _ in 0..2 {
        let answer = platform.service.execute(&prepared, Vec::new()).await.unwrap();
        assert_eq!(answer.tables[0].delta_version, 5);
        platform.state.clock.advance(Duration::from_secs(2));
    }
    assert_eq!(platform.planned(), 2, "once for each publication, not for each execution");
}

#[tokio::test]
async fn what_was_never_published_says_so() {
    let platform = Platform::granted(ana());
    platform.state.unpublish();
    assert_eq!(code(platform.rows("ana", "sales.orders").await), "MW0712");
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_its_user() {
    let platform = Platform::granted(ana());
    let mut session = platform.session("ana");
    session.subject.token = Some(TokenId::new("t1"));
    session.actor = session.subject.clone();
    platform.state.put(Token {
        id: TokenId::new("t1"),
        user: "ana".to_owned(),
        label: "laptop".to_owned(),
        hash: "hash".to_owned(),
        created_at: moment(0),
        expires_at: None,
        purpose: None,
        one_time: false,
        spent_at: None,
        scope: None,
        last_used_at: None,
    });
    let prepared = platform.service.prepare(&session, "sales.orders").await.unwrap();
    assert!(platform.service.execute(&prepared, Vec::new()).await.is_ok());
    platform.state.drop_tokens();
    assert_eq!(code(platform.service.execute(&prepared, Vec::new()).await), "MW0740");

    let session = platform.session("ana");
    let prepared = platform.service.prepare(&session, "sales.orders").await.unwrap();
    platform.state.drop_user("ana");
    assert_eq!(code(platform.service.execute(&prepared, Vec::new()).await), "MW0740");
}

#[tokio::test]
async fn only_administrators_act_for_others_and_gain_nothing_by_it() {
    let platform = Platform::granted(ana());
    let (eva, ana) = (platform.state.subject("eva"), platform.state.subject("ana"));
    let session = QuerySession::new(eva, ana.clone(), "http");
    assert_eq!(code(platform.service.query(&session, "sales.orders", Vec::new()).await), "MW0741");
    let adam = platform.state.subject("adam");
    assert_eq!(code(platform.rows("adam", "sales.orders").await), "MW0702");
    let simulated = QuerySession::new(adam, ana, "cli");
    assert!(platform.service.query(&simulated, "sales.orders", Vec::new()).await.is_ok());
    let entry = platform.state.entries().pop().unwrap();
    assert_eq!((entry.actor.to_string(), entry.subject.to_string()), ("user:adam".into(), "user:ana".into()));
}

#[tokio::test]
async fn one_statement_has_one_purpose() {
    let platform = Platform::granted(ana());
    let mut other = agreement("a2", ana(), "costs");
    other.purpose = "controlling".to_owned();
    platform.state.put_agreement(other);
    assert_eq!(code(platform.rows("ana", "sales.orders, finance.costs").await), "MW0713");
    assert_eq!(platform.rows("ana", "finance.costs").await, Ok(1));
}

#[tokio::test]
async fn a_pinned_purpose_is_not_left_by_the_session() {
    let platform = Platform::granted(ana());
    let mut session = platform.session("ana");
    session.subject.purpose = Some("reporting".to_owned());
    session.purpose = Some("research".to_owned());
    assert_eq!(code(platform.service.query(&session, "sales.orders", Vec::new()).await), "MW0703");
}

#[tokio::test]
async fn lists_show_what_is_queryable_and_published() {
    let platform = Platform::granted(ana());
    let listed = |user: &'static str| {
        let (service, subject) = (platform.service.clone(), platform.state.subject(user));
        async move {
            let tables = service.listed(&subject).await.unwrap();
            tables.into_iter().map(|t| format!("{}.{}", t.domain, t.table)).collect::<Vec<_>>()
        }
    };
    assert_eq!(listed("ana").await, ["sales.orders", "sales.orders_v1"]);
    assert_eq!(listed("eva").await, [""; 0]);
    assert_eq!(listed("fred").await, ["finance.costs", "finance.costs_v1"], "at home");
    let seen = platform.service.discoverable(&platform.state.subject("eva")).await.unwrap();
    assert_eq!(seen.len(), 2, "{seen:?}");
}

fn input(version: u32) -> ProductInput {
    ProductInput {
        domain: name("sales"),
        product: name("orders"),
        output: name("orders"),
        version,
        purpose: None,
        incremental: None,
        place: None,
    }
}

#[tokio::test]
async fn products_read_under_their_own_agreements() {
    let platform = Platform::new();
    let run = RunId::new("run-1");
    let read = |domain: &'static str, product: &'static str| {
        let (service, run) = (platform.service.clone(), run.clone());
        async move { service.product_input(&run, &name(domain), &name(product), &input(1)).await }
    };
    let refused = read("finance", "costs").await.unwrap_err();
    assert_eq!(refused.code, "MW0702");
    assert!(refused.hints[0].contains("meshwork access grant product:finance.costs sales.orders"), "{refused:?}");

    let grantee = Grantee::Product { domain: name("finance"), product: name("costs") };
    platform.state.put_agreement(agreement("a1", grantee, "orders"));
    let table = read("finance", "costs").await.unwrap();
    assert_eq!((table.table.major, table.table.columns.len()), (1, 2));
    let email = &table.table.columns[1];
    assert_eq!(email.mask.as_ref().map(|m| m.mask), Some(Mask::HmacSha256));
    assert_eq!(email.mask.as_ref().unwrap().key, MeshKey::new([1; 32]).derive("pii"));
    assert_eq!(email.bears[0].masked_by, Some(Mask::HmacSha256));

    assert!(read("sales", "forecast").await.is_ok(), "its own domain needs no agreement");
    let Event::QueryIntent { query, port, .. } = platform.state.events().pop().unwrap() else { panic!() };
    assert_eq!((query.as_str(), port.as_str()), ("run-1", "run"));
}

#[tokio::test]
async fn publications_of_ids_nobody_knows_are_not_served() {
    let platform = Platform::granted(ana());
    platform.state.unpublish();
    platform.state.publish_as(PublicationId::new("p9"), "stray", 3);
    assert_eq!(code(platform.rows("ana", "sales.orders").await), "MW0712");
}
