//! What the server counts, and how Prometheus reads it (text format 0.0.4). Few and bounded label values: routes are
//! patterns, never paths; no names of people, tables or products.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use meshwork_control::maintenance::Maintained;
use meshwork_control::port::data::CacheUse;

/// Upper bounds in seconds.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

#[derive(Debug, Default)]
pub struct Metrics {
    in_flight: AtomicI64,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<(String, String, u16), u64>,
    latency: BTreeMap<(String, String), Histogram>,
    problems: BTreeMap<String, u64>,
    queries: BTreeMap<(&'static str, &'static str), u64>,
    rows: BTreeMap<&'static str, u64>,
    runs: BTreeMap<&'static str, u64>,
    maintenance: BTreeMap<(&'static str, &'static str), u64>,
    maintained: BTreeMap<&'static str, (u64, u64)>,
    quarantined: u64,
    released: u64,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

/// Lowers the gauge again, also when the client goes away.
#[derive(Debug)]
pub struct InFlight<'a>(&'a Metrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    pub fn request(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        self.count(|counts| {
            let method = if method.as_str().len() > 7 { "OTHER" } else { method.as_str() };
            let key = (method.to_owned(), route.to_owned());
            *counts.requests.entry((key.0.clone(), key.1.clone(), status.as_u16())).or_default() += 1;
            counts.latency.entry(key).or_default().observe(took);
        });
    }

    pub fn problem(&self, code: &str) {
        self.count(|counts| *counts.problems.entry(code.to_owned()).or_default() += 1);
    }

    /// A query that was answered (`ok`) or refused (`refused`) on a port (`http`, `postgres`).
    pub fn query(&self, port: &'static str, outcome: &'static str) {
        self.count(|counts| *counts.queries.entry((port, outcome)).or_default() += 1);
    }

    pub fn rows(&self, port: &'static str, rows: u64) {
        self.count(|counts| *counts.rows.entry(port).or_default() += rows);
    }

    /// A run that ended: `published`, `blocked`, `failed`, `cancelled`.
    pub fn run(&self, state: &'static str) {
        self.count(|counts| *counts.runs.entry(state).or_default() += 1);
    }

    /// What housekeeping did to one table.
    pub fn maintained(&self, done: &Maintained) {
        let outcome = match done {
            Maintained { error: Some(_), .. } => "failed",
            Maintained { skipped: Some(_), .. } => "skipped",
            done if done.is_something() => "done",
            _ => "nothing",
        };
        let task = done.task.as_str();
        self.count(|counts| {
            *counts.maintenance.entry((task, outcome)).or_default() += 1;
            let (files, bytes) = counts.maintained.entry(task).or_default();
            (*files, *bytes) = (*files + done.files + done.log_files, *bytes + done.bytes + done.log_bytes);
        });
    }

    /// What a publication has set aside of its rows, and taken back of those of earlier runs.
    pub fn quarantine(&self, set_aside: u64, released: u64) {
        self.count(|counts| {
            counts.quarantined += set_aside;
            counts.released += released;
        });
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The page; what is not counted here comes as an argument.
    pub fn render(&self, now: &Now) -> String {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = Page(String::new());
        page.family("meshwork_build_info", "gauge", "The version that runs.");
        page.sample("meshwork_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.family("meshwork_http_requests_in_flight", "gauge", "Requests whose answer has not begun.");
        page.sample("meshwork_http_requests_in_flight", &[], self.in_flight.load(Ordering::Relaxed));
        page.family("meshwork_http_requests_total", "counter", "Requests by route and status.");
        for ((method, route, status), count) in &counts.requests {
            let labels = [("method", method.as_str()), ("route", route), ("status", &status.to_string())];
            page.sample("meshwork_http_requests_total", &labels, count);
        }
        page.family("meshwork_http_request_duration_seconds", "histogram", "Time to the first byte of the answer.");
        for ((method, route), histogram) in &counts.latency {
            page.histogram("meshwork_http_request_duration_seconds", [("method", method), ("route", route)], histogram);
        }
        page.family("meshwork_problems_total", "counter", "Requests that failed, by error code.");
        for (code, count) in &counts.problems {
            page.sample("meshwork_problems_total", &[("code", code)], count);
        }
        page.family("meshwork_queries_total", "counter", "Queries by port and outcome.");
        for ((port, outcome), count) in &counts.queries {
            page.sample("meshwork_queries_total", &[("port", port), ("outcome", outcome)], count);
        }
        page.family("meshwork_rows_served_total", "counter", "Rows sent to readers, by port.");
        for (port, count) in &counts.rows {
            page.sample("meshwork_rows_served_total", &[("port", port)], count);
        }
        page.family("meshwork_runs_total", "counter", "Runs that ended, by state.");
        for (state, count) in &counts.runs {
            page.sample("meshwork_runs_total", &[("state", state)], count);
        }
        page.family(
            "meshwork_maintenance_total",
            "counter",
            "Tables that housekeeping looked at, by task and outcome.",
        );
        for ((task, outcome), count) in &counts.maintenance {
            page.sample("meshwork_maintenance_total", &[("task", task), ("outcome", outcome)], count);
        }
        page.family(
            "meshwork_maintenance_files_total",
            "counter",
            "Files that housekeeping removed or wrote together.",
        );
        for (task, (files, _)) in &counts.maintained {
            page.sample("meshwork_maintenance_files_total", &[("task", task)], files);
        }
        page.family("meshwork_maintenance_bytes_total", "counter", "Bytes of these files.");
        for (task, (_, bytes)) in &counts.maintained {
            page.sample("meshwork_maintenance_bytes_total", &[("task", task)], bytes);
        }
        page.family("meshwork_table_versions_held", "gauge", "Versions of tables that are being read.");
        page.sample("meshwork_table_versions_held", &[], now.held);
        page.caches(&now.caches);
        page.family("meshwork_rows_quarantined_total", "counter", "Rows that runs set aside.");
        page.sample("meshwork_rows_quarantined_total", &[], counts.quarantined);
        page.family("meshwork_rows_released_total", "counter", "Quarantined rows that were released.");
        page.sample("meshwork_rows_released_total", &[], counts.released);
        page.0
    }
}

/// What stands elsewhere at the moment of the page.
#[derive(Clone, Debug, Default)]
pub struct Now {
    pub caches: Vec<CacheUse>,
    /// Versions of tables that are being read.
    pub held: usize,
}

impl Histogram {
    fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.count += 1;
        self.seconds += seconds;
        for (bucket, bound) in self.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(seconds <= bound);
        }
    }
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn caches(&mut self, caches: &[CacheUse]) {
        self.family("meshwork_cache_lookups_total", "counter", "Lookups in the engine's caches, by result.");
        for CacheUse { cache, hits, misses, .. } in caches {
            self.sample("meshwork_cache_lookups_total", &[("cache", cache), ("result", "hit")], hits);
            self.sample("meshwork_cache_lookups_total", &[("cache", cache), ("result", "miss")], misses);
        }
        self.family("meshwork_cache_bytes", "gauge", "What the engine's caches hold.");
        for CacheUse { cache, bytes, .. } in caches {
            self.sample("meshwork_cache_bytes", &[("cache", cache)], bytes);
        }
        self.family("meshwork_cache_limit_bytes", "gauge", "What the engine's caches may hold.");
        for CacheUse { cache, limit, .. } in caches {
            self.sample("meshwork_cache_limit_bytes", &[("cache", cache)], limit);
        }
    }

    fn histogram(&mut self, name: &str, labels: [(&str, &String); 2], histogram: &Histogram) {
        let [(a, x), (b, y)] = labels;
        for (bound, count) in BUCKETS.iter().zip(histogram.buckets) {
            self.sample(&format!("{name}_bucket"), &[(a, x), (b, y), ("le", &bound.to_string())], count);
        }
        self.sample(&format!("{name}_bucket"), &[(a, x), (b, y), ("le", "+Inf")], histogram.count);
        self.sample(&format!("{name}_sum"), &[(a, x), (b, y)], histogram.seconds);
        self.sample(&format!("{name}_count"), &[(a, x), (b, y)], histogram.count);
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_counts_what_happened() {
        let metrics = Metrics::default();
        let busy = metrics.begin();
        metrics.request(&Method::GET, "/api/v1/domains", StatusCode::OK, Duration::from_millis(20));
        metrics.request(&Method::GET, "/api/v1/domains", StatusCode::OK, Duration::from_secs(90));
        metrics.query("http", "ok");
        metrics.rows("http", 7);
        metrics.rows("http", 5);
        metrics.quarantine(3, 0);
        metrics.quarantine(0, 2);
        let page = metrics.render(&Now::default());
        for line in [
            "meshwork_http_requests_in_flight 1",
            r#"meshwork_http_requests_total{method="GET",route="/api/v1/domains",status="200"} 2"#,
            r#"meshwork_http_request_duration_seconds_bucket{method="GET",route="/api/v1/domains",le="0.025"} 1"#,
            r#"meshwork_http_request_duration_seconds_bucket{method="GET",route="/api/v1/domains",le="60"} 1"#,
            r#"meshwork_http_request_duration_seconds_bucket{method="GET",route="/api/v1/domains",le="+Inf"} 2"#,
            r#"meshwork_queries_total{port="http",outcome="ok"} 1"#,
            r#"meshwork_rows_served_total{port="http"} 12"#,
            "meshwork_rows_quarantined_total 3",
            "meshwork_rows_released_total 2",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
        }
        drop(busy);
        assert!(metrics.render(&Now::default()).contains("meshwork_http_requests_in_flight 0\n"));
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
