//! `meshwork sql` on a terminal.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;

use crate::mesh::{Mesh, wait_for};
use crate::terminal::{CTRL_C, Terminal};

const PROMPT: &str = "mesh> ";

#[test]
fn a_session_from_the_first_prompt_to_the_last() {
    let mesh = Mesh::published();
    let mut shell = Terminal::of(&mesh.command(&["--color", "never", "sql"]));
    shell.shows(PROMPT);
    shell.types(".tables\r");
    shell.shows("shop.orders");
    shell.types(".schema shop.orders\r");
    shell.shows("order_id");
    // A statement goes on until its semicolon, and what is in quotes is not one.
    shell.types("select count(*) as orders,\r';' as semicolon from shop.orders;\r");
    shell.shows("┌");
    shell.shows("│ 3");
    shell.shows("1 row");
    shell.types(".mode csv\r.timer on\r");
    // Tab completes what may be read.
    shell.types("select max(order_id) as newest from shop.ord\t;\r");
    shell.shows("newest\r\n3\r\n");
    shell.shows(" s\r\n");
    // An error points into the statement.
    shell.types("select order_id,\rcustomr from shop.orders;\r");
    let error = shell.shows("did you mean");
    assert!(error.contains("MW0803") && error.contains("2 | customr from shop.orders"), "{error}");
    assert!(error.lines().any(|line| line.trim() == "| ^"), "{error}");
    // Ctrl-C leaves the line, not the shell.
    shell.types("select 'never");
    shell.types(CTRL_C);
    shell.types(".mode json\r");
    shell.types(".nonsense\r");
    shell.shows("MW1052");
    // A waiting shell does not hold the state.
    mesh.orders(5);
    mesh.ok(&["run", "shop.orders"]);
    shell.types(".mode csv\rselect count(*) as n from shop.orders;\r");
    shell.shows("n\r\n5\r\n");
    shell.types(".quit\r");
    assert_eq!(shell.ends(), Some(0));

    let history = mesh.path().join(".state/meshwork/history");
    assert_eq!(std::fs::metadata(&history).expect("kept").permissions().mode() & 0o777, 0o600);
    let kept = std::fs::read_to_string(&history).expect("text");
    assert!(kept.contains(".schema shop.orders") && !kept.contains("never"), "{kept}");
}

#[test]
fn ctrl_c_stops_the_query_where_it_runs() {
    let mesh = Mesh::shop();
    mesh.orders(3000);
    mesh.ok(&["apply"]);
    mesh.ok(&["run", "shop.orders"]);
    let server = mesh.serve();
    let pid = server.child.id();
    let mut shell = Terminal::of(&mesh.command(&["--color", "never", "sql"]));
    shell.shows(PROMPT);
    // 3000 to the fourth: days.
    shell.types("select count(*) from shop.orders a, shop.orders b, shop.orders c, shop.orders d where a.amount + b.amount < c.amount * d.amount;\r");
    wait_for("the server to work", || (cpu_in(pid, 200) > 5).then_some(()));
    shell.types(CTRL_C);
    shell.shows("cancelled");
    wait_for("the server to be idle", || (cpu_in(pid, 300) <= 3).then_some(()));
    shell.types("select 40 + 2 as answer;\r");
    shell.shows("42");
    let outcomes = mesh.json(&["audit", "query", "--kind", "query_outcome"]).to_string();
    assert!(outcomes.contains("\"cancelled\""), "{outcomes}");
    shell.types("\u{4}");
    assert_eq!(shell.ends(), Some(0));
    assert_eq!(server.stop(Signal::TERM), Some(0));
}

/// Hundredths of a second that a process computes in so many milliseconds.
fn cpu_in(pid: u32, milliseconds: u64) -> u64 {
    let used = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields[11..13].iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>()
    };
    let before = used();
    std::thread::sleep(Duration::from_millis(milliseconds));
    used() - before
}
