use meshwork_testkit::{SeededEntropy, moment, name};

use super::*;

fn products(n: usize) -> Vec<(Name, Name)> {
    (0..n).map(|n| (name("shop"), name(&format!("p{n}")))).collect()
}

fn jobs() -> Jobs {
    Jobs::new(Duration::from_secs(1000), &SeededEntropy::new(7))
}

#[test]
fn jobs_come_one_at_a_time_and_not_all_at_once() {
    let jobs = jobs();
    jobs.plan(&products(20), moment(0));
    let first: Vec<i64> = jobs.list().iter().map(|job| (job.next - moment(0)).num_seconds()).collect();
    assert!(first.iter().all(|seconds| (0..=1000).contains(seconds)), "{first:?}");
    assert!(first.iter().max().unwrap() - first.iter().min().unwrap() > 300, "{first:?}");
    // Everything is due by now; each once.
    let mut began = Vec::new();
    while let Some(((domain, product), task)) = jobs.begin(moment(1000)) {
        let running = jobs.list().into_iter().filter(|job| job.state == JobState::Running).count();
        assert_eq!(running, 1);
        let name = format!("{domain}.{product}");
        jobs.end(&name, task, &[Maintained::of(&name, name.clone(), task)], moment(1000));
        began.push((name, task));
    }
    assert_eq!(began.len(), 40);
    let next: Vec<i64> = jobs.list().iter().map(|job| (job.next - moment(1000)).num_seconds()).collect();
    assert!(next.iter().all(|seconds| (800..=1200).contains(seconds)), "{next:?}");
    // What has gone is not looked after any more; what is new is.
    jobs.plan(&products(1), moment(1001));
    assert_eq!(jobs.list().len(), 2);
}
