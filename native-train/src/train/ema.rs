//! The exponential moving average of the weights (`ModelEMA` in `yolox/utils/ema.py`), which is what gets evaluated and
//! published.

use rayon::prelude::*;

/// Iterations in which the decay comes to 63 % of its full value, as a part of the time constant `1 / (1 - decay)`:
/// YOLOX's 2,000 of 5,000. Fixed at 2,000, short trainings, which need a small decay, would end with hardly any average.
const RAMP: f64 = 0.4;

/// Weights that a thread follows at a time.
const CHUNK: usize = 1 << 15;

/// The average and how often it was updated.
#[derive(Clone, Debug, PartialEq)]
pub struct Ema {
    /// Laid out as the parameters; of running statistics too.
    pub values: Vec<f32>,
    /// How often.
    pub updates: usize,
}

impl Ema {
    /// An average that goes on from here; at first from the weights and 0.
    pub fn new(values: Vec<f32>, updates: usize) -> Self {
        Self { values, updates }
    }

    /// Follows `parameters` with weight `1 - d`, where `d = decay * (1 - exp(-updates / ramp))`: the first weights, which
    /// are random, are soon forgotten.
    pub fn update(&mut self, parameters: &[f32], decay: f64) {
        self.updates += 1;
        let ramp = RAMP / (1.0 - decay);
        let weight = (1.0 - decay * (1.0 - (-(self.updates as f64) / ramp).exp())) as f32;
        let chunks = self.values.par_chunks_mut(CHUNK).zip(parameters.par_chunks(CHUNK));
        chunks.for_each(|(averages, values)| {
            for (average, value) in averages.iter_mut().zip(values) {
                // In this form weights that stay (frozen ones) have exactly themselves as average.
                *average += weight * (value - *average);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differs_from_the_first_weights_and_from_the_last() {
        let mut ema = Ema::new(vec![1.0, 0.3], 0);
        let mut last = [1.0, 0.3];
        for step in 1..=200 {
            last[0] = 1.0 + step as f32;
            ema.update(&last, 0.98);
        }
        assert_eq!(ema.updates, 200);
        assert!(ema.values[0] > 100.0 && ema.values[0] < last[0] - 25.0, "{ema:?}");
        assert_eq!(ema.values[1], 0.3, "what stays is its own average");
    }

    // import math
    // average, x = 0.0, 1.0
    // for n in range(1, 1001):
    //     d = 0.9998 * (1 - math.exp(-n / 2000))
    //     average = average * d + (1 - d) * x
    //     x += 1.0
    // print(average)
    #[test]
    fn the_reference_recipe_s_decay_gives_yolox_s_average() {
        let mut ema = Ema::new(vec![0.0], 0);
        for x in 1..=1000 {
            ema.update(&[x as f32], 0.9998);
        }
        assert!((ema.values[0] - 999.352).abs() < 1e-3, "{}", ema.values[0]);
    }

    #[test]
    fn goes_on_where_it_stopped() {
        let updated = |ema: &mut Ema, steps: std::ops::Range<usize>| {
            steps.for_each(|step| ema.update(&[step as f32, -1.0], 0.9));
        };
        let mut whole = Ema::new(vec![5.0, 2.0], 0);
        updated(&mut whole, 0..6);
        let mut first = Ema::new(vec![5.0, 2.0], 0);
        updated(&mut first, 0..3);
        let mut second = Ema::new(first.values, first.updates);
        updated(&mut second, 3..6);
        assert_eq!(whole, second);
    }
}
