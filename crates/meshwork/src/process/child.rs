//! `meshwork __run`: builds and checks one product, waits for `commit`, commits. It has no handle to the state.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, mpsc};

use meshwork_control::port::data::{RunEvent, RunObserver, RunSpec};
use meshwork_control::run::version_key;
use meshwork_core::error::{Error, Result};
use meshwork_core::quality::gate;
use meshwork_core::run::RunReport;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::compose;
use crate::config::ChildSettings;

/// Memory beside what the engine accounts for: the binary, stacks, decoding buffers, the allocator's slack.
const HEADROOM: u64 = 1 << 30;

/// Returns the exit status. Every failure has also been told as an event.
pub fn main() -> u8 {
    let events = Arc::new(Events(Mutex::new(std::io::stdout())));
    match run(&events) {
        Ok(()) => 0,
        Err(error) => {
            events.event(RunEvent::Failed { error: Box::new(error) });
            1
        }
    }
}

fn run(events: &Arc<Events>) -> Result<()> {
    let orders = Orders::listen()?;
    let spec = orders.spec()?;
    limit_memory(spec.limits.memory_bytes);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(spec.limits.cores.max(1))
        .thread_stack_size(8 << 20)
        .enable_all()
        .build()
        .map_err(|error| Error::environment("MW0664", format!("no threads for the run: {error}")))?;
    let engine = compose::child_engine(&spec, ChildSettings::read())?;
    let report = runtime.block_on(engine.stage(&spec, events.clone()))?;
    let passed = report.outputs.iter().all(|output| gate(&output.clauses));
    events.event(RunEvent::Verdict { passed, report: Box::new(report.clone()) });
    if passed && orders.commit() {
        let versions = runtime.block_on(engine.commit(&spec.run, &report.outputs))?;
        events.event(RunEvent::Committed { versions: by_name(&report, versions) });
    }
    Ok(())
}

fn by_name(report: &RunReport, versions: Vec<u64>) -> BTreeMap<String, u64> {
    report.outputs.iter().map(version_key).zip(versions).collect()
}

/// A ceiling that the kernel holds: allocation fails in this process, and only here.
fn limit_memory(engine_bytes: u64) {
    let ceiling = engine_bytes.saturating_add(HEADROOM);
    let now = getrlimit(Resource::Data);
    let allowed = now.maximum.map_or(ceiling, |maximum| maximum.min(ceiling));
    // Without the limit the run is still right, only less confined.
    let _ = setrlimit(Resource::Data, Rlimit { current: Some(allowed), maximum: now.maximum });
}

struct Events(Mutex<std::io::Stdout>);

impl RunObserver for Events {
    fn event(&self, event: RunEvent) {
        let Ok(mut line) = serde_json::to_vec(&event) else { return };
        line.push(b'\n');
        let mut out = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A parent that does not listen is gone; the closed stdin ends us.
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }
}

/// What the parent says. When its end of the pipe closes, it is dead or has given up: this process ends at once,
/// whatever it is doing; commits that were made are recovery's to roll forward.
struct Orders(mpsc::Receiver<String>);

impl Orders {
    fn listen() -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let listen = move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    return;
                }
            }
            std::process::exit(1);
        };
        std::thread::Builder::new()
            .name("orders".to_owned())
            .spawn(listen)
            .map_err(|error| Error::environment("MW0664", format!("no thread to listen on: {error}")))?;
        Ok(Self(receiver))
    }

    fn spec(&self) -> Result<RunSpec> {
        let line = self.0.recv().map_err(|_| Error::usage("MW0665", "no spec on standard input"))?;
        serde_json::from_str(&line)
            .map_err(|error| Error::internal("MW0665", format!("the spec cannot be read: {error}")))
    }

    fn commit(&self) -> bool {
        self.0.recv().is_ok_and(|line| line == "commit")
    }
}
