//! Any sequence of changes, runs and deaths amounts to a full run, whatever the key is made of.

use std::collections::BTreeMap;

use meshwork_core::product::{Incremental, Merge};
use proptest::prelude::*;

use super::*;

/// A key of a text, a date, a decimal and a timestamp; beside it a text and a number that may be null.
fn visits() -> Table {
    let fields = vec![
        field("place"),
        typed("day", ColumnType::Date),
        typed("price", ColumnType::Decimal { precision: 10, scale: 2 }),
        typed("at", ColumnType::Timestamp),
        field("note"),
        typed("n", ColumnType::Int64),
        typed("seq", ColumnType::Int64),
    ];
    let keys = KEY.map(|column| Rule::Required { column: column.into() });
    table(fields, keys.into_iter().collect())
}

const KEY: [&str; 4] = ["place", "day", "price", "at"];

/// Keys that are near each other: one part differs, by case, by an accent, by a cent, by a millisecond.
fn key(k: u8) -> [String; 4] {
    let place = ["Paris", "paris", "Pâris", "Paris, FR"][usize::from(k % 4)];
    let day = ["2026-02-28", "2026-03-01"][usize::from(k / 4 % 2)];
    let price = ["9.99", "10.00", "-9.99"][usize::from(k / 8 % 3)];
    let at = ["2026-03-01T00:00:00.001Z", "2026-03-01T00:00:00.002Z"][usize::from(k % 2)];
    [place, day, price, at].map(str::to_owned)
}

/// What beside the key makes a row: null now and then.
type Values = (Option<String>, Option<i64>, i64);

fn values(seq: i64) -> Values {
    let note = (seq % 3 != 0).then(|| format!("note {seq}; \u{e9}"));
    (note, (seq % 4 != 0).then_some(seq * 1_000_000_007), seq)
}

fn line(k: u8, (note, n, seq): &Values) -> String {
    let [place, day, price, at] = key(k);
    let (note, n) = (note.clone().unwrap_or_default(), n.map(|n| n.to_string()).unwrap_or_default());
    format!("\"{place}\",{day},{price},{at},{note},{n},{seq}\n")
}

#[derive(Clone, Debug)]
enum Step {
    File(u8, Vec<u8>),
    Run,
    Compact,
    Dies(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let dies =
        prop::sample::select(vec!["stage-start", "after-first-file", "after-stage", "before-commit", "after-commit"]);
    prop_oneof![
        4 => (0..6u8, prop::collection::btree_set(0..24u8, 1..8))
            .prop_map(|(file, keys)| Step::File(file, keys.into_iter().collect())),
        3 => Just(Step::Run),
        1 => Just(Step::Compact),
        1 => dies.prop_map(Step::Dies),
    ]
}

struct Visits {
    mesh: Mesh,
    spec: RunSpec,
    runs: u64,
}

impl Visits {
    fn of(mode: Mode) -> Self {
        let mesh = Mesh::new();
        let mut spec = mesh.spec("", None, visits(), "SELECT * FROM raw");
        spec.outputs[0].mode = mode;
        if mode == Mode::Merge {
            spec.outputs[0].key = KEY.map(str::to_owned).to_vec();
            spec.outputs[0].merge = Merge { order_by: vec!["seq".into()], ..Merge::default() };
        }
        spec.incremental = BTreeMap::from([("raw".to_owned(), Incremental::Files)]);
        Self { mesh, spec, runs: 0 }
    }

    fn writer(&self, point: Option<&str>) -> Writer {
        let mut config = WriterConfig::new(self.mesh.folder.path().join("scratch"), Arc::new(TestClock::new()));
        config.fail_point = point.map(|text| FailPoint::parse(text).expect("valid"));
        // So that compactions happen.
        (config.durable, config.small_files, config.compact_from) = (false, 4, 2);
        Writer::new(config)
    }

    async fn run(&mut self, task: meshwork_core::run::RunTask, point: Option<&str>) {
        self.runs += 1;
        (self.spec.run, self.spec.fencing_token) = (RunId::new(format!("run-{}", self.runs)), self.runs);
        let (writer, spec) = (self.writer(point), RunSpec { task, ..self.spec.clone() });
        let staged = writer.stage(&spec, Arc::new(Observer(Mutex::default()))).await;
        let report = match (staged, point) {
            (Ok(report), _) => report,
            (Err(_), Some(_)) => return,
            (Err(error), None) => panic!("{error}"),
        };
        // A compaction of what was never published has no output.
        let Some(output) = report.outputs.first().filter(|_| !report.unchanged) else { return };
        assert!(gate(&output.clauses), "{:#?}", output.clauses);
        let committed = writer.commit(&spec.run, &report.outputs).await;
        // Recovery: rolled forward if it had begun to commit.
        let whole = self.writer(None);
        let begun = whole.committed(&spec.run, &report.outputs).await.expect("is told").iter().any(Option::is_some);
        assert!(begun || point.is_some(), "{committed:?}");
        if begun {
            let versions = whole.commit(&spec.run, &report.outputs).await.expect("commits");
            self.spec.outputs[0].base = Some(versions[0]);
        }
    }

    /// The rows as text, in order.
    async fn rows(&self) -> Vec<Vec<String>> {
        let mut columns = Vec::new();
        for column in visits().fields {
            columns.push(self.mesh.read(&column.name).await);
        }
        let mut rows: Vec<Vec<String>> =
            (0..columns[0].len()).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect();
        rows.sort();
        rows
    }
}

fn shown(k: u8, (note, n, seq): &Values) -> Vec<String> {
    let [place, day, price, at] = key(k);
    let (note, n) = (note.clone().unwrap_or_default(), n.map(|n| n.to_string()).unwrap_or_default());
    vec![place, day, price, at, note, n, seq.to_string()]
}

async fn amounts_to_a_full_run(mode: Mode, steps: Vec<Step>) {
    use meshwork_core::run::RunTask;
    let mut visits = Visits::of(mode);
    let mut files: BTreeMap<u8, BTreeMap<u8, Values>> = BTreeMap::new();
    let mut clock = 0;
    for step in steps.into_iter().chain([Step::File(99, vec![23]), Step::Run]) {
        match step {
            Step::File(name, keys) => {
                if mode == Mode::Append && files.contains_key(&name) {
                    continue;
                }
                // A file that is replaced keeps the keys that it had.
                let file = files.entry(name).or_default();
                let all: Vec<u8> = file.keys().copied().chain(keys).collect();
                for k in all {
                    clock += 1;
                    file.insert(k, values(clock));
                }
                let lines: String = file.iter().map(|(k, values)| line(*k, values)).collect();
                visits.mesh.file(&format!("f{name}.csv"), format!("place,day,price,at,note,n,seq\n{lines}"));
            }
            _ if files.is_empty() => {}
            Step::Run => visits.run(RunTask::Build, None).await,
            Step::Compact => visits.run(RunTask::Compact, None).await,
            Step::Dies(at) => visits.run(RunTask::Build, Some(&format!("{at}:error"))).await,
        }
    }
    let all = files.into_values().flatten();
    let mut expected: Vec<Vec<String>> = match mode {
        Mode::Append => all.map(|(k, values)| shown(k, &values)).collect(),
        _ => {
            let mut newest: BTreeMap<u8, Values> = BTreeMap::new();
            for (k, values) in all {
                let kept = newest.entry(k).or_insert_with(|| values.clone());
                if values.2 > kept.2 {
                    *kept = values;
                }
            }
            newest.iter().map(|(k, values)| shown(*k, values)).collect()
        }
    };
    expected.sort();
    assert_eq!(visits.rows().await, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_appends(steps in prop::collection::vec(step(), 1..10)) {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(amounts_to_a_full_run(Mode::Append, steps));
    }

    #[test]
    fn any_sequence_of_merges_by_a_key_of_several_kinds(steps in prop::collection::vec(step(), 1..10)) {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(amounts_to_a_full_run(Mode::Merge, steps));
    }
}
