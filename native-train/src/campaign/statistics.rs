//! What few numbers say: means with their confidence, and whether two of them differ.

use anyhow::{Context, Result};
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Share of all cases in which the interval holds the true mean.
const CONFIDENCE: f64 = 0.95;

/// The mean of some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mean {
    pub mean: f64,
    /// Half the width of the interval in which the true mean lies in 95 % of all cases, by Student's t; none of a single number.
    pub half_width: Option<f64>,
    /// How many numbers there are.
    pub count: usize,
}

impl Mean {
    /// Of these numbers; `None` where there are none.
    ///
    /// # Errors
    /// Fails where a number is not finite.
    pub fn of(numbers: &[f64]) -> Result<Option<Self>> {
        if numbers.is_empty() {
            return Ok(None);
        }
        let (mean, variance) = moments(numbers);
        let count = numbers.len();
        let half_width = match count {
            1 => None,
            _ => Some(
                student(count as f64 - 1.0)?.inverse_cdf(0.5 + CONFIDENCE / 2.0) * (variance / count as f64).sqrt(),
            ),
        };
        Ok(Some(Self { mean, half_width, count }))
    }
}

/// Probability that chance alone makes the means of two samples differ as much as they do or more (Welch's t-test, two-sided);
/// `None` where a sample has fewer than two numbers.
///
/// # Errors
/// Fails where a number is not finite.
pub fn welch(a: &[f64], b: &[f64]) -> Result<Option<f64>> {
    if a.len() < 2 || b.len() < 2 {
        return Ok(None);
    }
    let ((mean_a, variance_a), (mean_b, variance_b)) = (moments(a), moments(b));
    let (part_a, part_b) = (variance_a / a.len() as f64, variance_b / b.len() as f64);
    let variance = part_a + part_b;
    if variance == 0.0 {
        return Ok(Some(if mean_a == mean_b { 1.0 } else { 0.0 }));
    }
    let t = (mean_a - mean_b).abs() / variance.sqrt();
    let degrees =
        variance.powi(2) / (part_a.powi(2) / (a.len() as f64 - 1.0) + part_b.powi(2) / (b.len() as f64 - 1.0));
    Ok(Some(2.0 * (1.0 - student(degrees)?.cdf(t))))
}

/// Mean and unbiased variance, 0 of a single number.
fn moments(numbers: &[f64]) -> (f64, f64) {
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    (mean, squares / (count - 1.0).max(1.0))
}

fn student(degrees: f64) -> Result<StudentsT> {
    StudentsT::new(0.0, 1.0, degrees).context("the numbers are not finite")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By scipy 1.17: `stats.t.interval`, `stats.ttest_ind(equal_var=False)`.
    #[test]
    fn intervals_and_tests_are_those_of_scipy() {
        let (a, b) = ([38.8, 39.4, 37.9], [30.6, 31.9, 30.1, 31.0]);
        let mean = Mean::of(&a).unwrap().unwrap();
        assert!((mean.mean - 38.7).abs() < 1e-12);
        assert!((mean.half_width.unwrap() - 1.875_482_844).abs() < 1e-8, "{mean:?}");
        let p = welch(&a, &b).unwrap().unwrap();
        assert!((p - 8.540_951e-5).abs() < 1e-10, "{p}");
        assert_eq!(Mean::of(&[5.0]).unwrap().unwrap().half_width, None);
        assert_eq!(Mean::of(&[]).unwrap(), None);
        assert_eq!(welch(&[1.0], &b).unwrap(), None);
        assert_eq!(welch(&[1.0, 1.0], &[1.0, 1.0]).unwrap(), Some(1.0));
    }
}
