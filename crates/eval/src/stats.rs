//! Standard errors and tests for scores.
//!
//! Questions about one subject hang together (who knows its capital in English tends to know it in Chinese),
//! so standard errors are clustered by subject; see E. Miller, "Adding Error Bars to Evals", arXiv:2411.00640, section 2.2.

use std::collections::BTreeMap;

/// A mean with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Its standard error; `None` where fewer than two clusters leave it unknown.
    pub stderr: Option<f64>,
    /// Number of samples.
    pub num_samples: usize,
}

/// Mean of `values` and its standard error, with `clusters[i]` naming the cluster of `values[i]`.
///
/// `se² = G/(G-1) · Σ_g (Σ_{i in g} (x_i - mean))² / n²` over G clusters; with one sample per cluster this is the usual `s/√n`.
///
/// # Panics
/// When the two slices differ in length.
pub fn clustered_mean<K: Ord>(values: &[f64], clusters: &[K]) -> Estimate {
    assert_eq!(values.len(), clusters.len(), "one cluster a value");
    let n = values.len() as f64;
    let value = values.iter().sum::<f64>() / n.max(1.0);
    let mut sums: BTreeMap<&K, f64> = BTreeMap::new();
    for (x, cluster) in values.iter().zip(clusters) {
        *sums.entry(cluster).or_default() += x - value;
    }
    let groups = sums.len() as f64;
    let stderr = (sums.len() > 1).then(|| (sums.values().map(|s| s * s).sum::<f64>() * groups / (groups - 1.0)).sqrt() / n);
    Estimate { value, stderr, num_samples: values.len() }
}

/// Ratio of sums `Σ num / Σ den` with the standard error of a ratio estimator (first-order expansion).
///
/// Bits per byte is such a ratio: bits over bytes, one sample at a time.
///
/// # Panics
/// When the two slices differ in length.
pub fn ratio(numerators: &[f64], denominators: &[f64]) -> Estimate {
    assert_eq!(numerators.len(), denominators.len(), "one denominator a numerator");
    let (top, bottom) = (numerators.iter().sum::<f64>(), denominators.iter().sum::<f64>());
    let value = if bottom > 0.0 { top / bottom } else { f64::NAN };
    let n = numerators.len() as f64;
    let stderr = (numerators.len() > 1).then(|| {
        let squares: f64 = numerators.iter().zip(denominators).map(|(a, b)| (a - value * b).powi(2)).sum();
        (squares * n / (n - 1.0)).sqrt() / bottom
    });
    Estimate { value, stderr, num_samples: numerators.len() }
}

/// Wilson's 95 % interval of a share: unlike `p ± 2 se` it has a width at 0 and 1, and stays within them.
pub fn wilson_95(successes: f64, n: f64) -> (f64, f64) {
    if n <= 0.0 {
        return (0.0, 1.0);
    }
    const Z: f64 = 1.959_964;
    let p = successes / n;
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

/// Exact McNemar test on paired outcomes: the two-sided probability of a split at least as uneven as
/// `only_a` against `only_b` when either is as likely.
pub fn mcnemar_exact(only_a: u64, only_b: u64) -> f64 {
    let n = only_a + only_b;
    let few = only_a.min(only_b);
    // C(n, k) / 2^n from k to k + 1, in logarithms so that a large n does not underflow.
    let mut log_term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=few {
        tail += log_term.exp();
        log_term += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} against {b}");
    }

    #[test]
    fn one_sample_a_cluster_is_the_usual_standard_error() {
        let values = [1.0, 0.0, 1.0, 1.0];
        let e = clustered_mean(&values, &[0, 1, 2, 3]);
        close(e.value, 0.75);
        close(e.stderr.unwrap(), (0.75 * 0.25 / 3.0_f64).sqrt());
    }

    #[test]
    fn copies_of_a_sample_add_no_certainty() {
        let once = clustered_mean(&[1.0, 0.0, 1.0], &["a", "b", "c"]);
        let thrice = clustered_mean(&[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0], &["a", "a", "a", "b", "b", "b", "c", "c", "c"]);
        close(once.stderr.unwrap(), thrice.stderr.unwrap());
        assert_eq!(clustered_mean(&[1.0, 0.0], &["a", "a"]).stderr, None);
    }

    #[test]
    fn a_ratio_weighs_by_its_denominator() {
        let e = ratio(&[10.0, 30.0], &[10.0, 10.0]);
        close(e.value, 2.0);
        close(e.stderr.unwrap(), (2.0 * 200.0_f64).sqrt() / 20.0);
        close(ratio(&[2.0, 4.0, 6.0], &[1.0, 2.0, 3.0]).stderr.unwrap(), 0.0);
    }

    #[test]
    fn wilson_has_a_width_at_the_ends() {
        let (low, high) = wilson_95(0.0, 100.0);
        close(low, 0.0);
        assert!((high - 0.036_994).abs() < 1e-4, "{high}");
        let (low, high) = wilson_95(50.0, 100.0);
        assert!((low - 0.403_83).abs() < 1e-4 && (high - 0.596_17).abs() < 1e-4, "{low} {high}");
    }

    #[test]
    fn mcnemar_is_the_sign_test() {
        close(mcnemar_exact(0, 0), 1.0);
        close(mcnemar_exact(5, 5), 1.0);
        close(mcnemar_exact(0, 5), 0.0625);
        close(mcnemar_exact(1, 9), 2.0 * 11.0 / 1024.0);
        assert!(mcnemar_exact(0, 3000) < 1e-200);
        assert!(mcnemar_exact(1500, 1510) > 0.8);
    }
}
