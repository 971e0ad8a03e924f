//! Samples of CPU and wall time, and the bootstrap bound of a ratio.

use std::time::Instant;

#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub cpu: f64,
    pub wall: f64,
    pub rows: usize,
}

impl Sample {
    pub fn since(cpu: f64, start: Instant, rows: usize) -> Self {
        Self { cpu: cpu_seconds() - cpu, wall: start.elapsed().as_secs_f64(), rows }
    }
}

/// User and system time of this process so far, in seconds.
pub fn cpu_seconds() -> f64 {
    cpu_time::ProcessTime::now().as_duration().as_secs_f64()
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The central 95 % of the ratio of means over 10,000 resamplings of both sides; the generator is seeded, so a report is
/// repeatable.
pub fn ratio_bound(ours: &[f64], theirs: &[f64]) -> (f64, f64) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut resampled_mean =
        |values: &[f64]| (0..values.len()).map(|_| values[next(values.len())]).sum::<f64>() / values.len() as f64;
    let mut ratios: Vec<f64> = (0..10_000).map(|_| resampled_mean(ours) / resampled_mean(theirs)).collect();
    ratios.sort_by(f64::total_cmp);
    (ratios[250], ratios[9_749])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_the_ratio() {
        let ours = [1.0, 1.1, 0.9, 1.05, 0.95];
        let theirs = [2.0, 2.1, 1.9, 2.05, 1.95];
        let (low, high) = ratio_bound(&ours, &theirs);
        assert!(low < 0.5 && 0.5 < high && high < 0.6, "{low} {high}");
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
