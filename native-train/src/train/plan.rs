//! Which images each step of training sees, and how: a pure function of the seed, so that a training that is resumed
//! goes on as if it had never stopped.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use shared_model::graph::SIZE_MULTIPLE;

use super::loader::BatchPlan;
use super::schedule::{Schedule, TrainingStage};
use super::text::SizeRange;

/// Iterations between two draws of the input's size, as in the reference recipe.
const SIZE_PERIOD: usize = 10;

/// What the order of images and the sizes of the input follow from.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochPlan {
    /// Of all randomness.
    pub seed: u64,
    /// Number of images in the training set.
    pub images: usize,
    /// The most images that go through the network at once.
    pub batch: usize,
    /// Batches whose gradients make one step.
    pub accumulate: usize,
    /// Side of the input in pixels, where there is no range.
    pub size: usize,
    /// The range that the input's side is drawn from.
    pub multi_scale: Option<SizeRange>,
    /// Whether images become mosaics, or get objects of others pasted in, at all.
    pub mosaic: bool,
}

impl EpochPlan {
    /// Steps until every image was seen.
    pub fn iterations_per_epoch(&self) -> usize {
        self.images.div_ceil(self.batch * self.accumulate)
    }

    /// Batch number `i` of the whole training: batches `k * accumulate ..` are those of iteration `k`.
    ///
    /// In an epoch every image comes once, in an order of its own. Its batches differ by one image at most: a last
    /// one of a few images would spoil the statistics of batch normalisation.
    pub fn batch(&self, i: usize, schedule: &Schedule) -> BatchPlan {
        let batches = self.iterations_per_epoch() * self.accumulate;
        let (epoch, in_epoch) = (i / batches, i % batches);
        let start = |batch: usize| self.images * batch / batches;
        let order = self.order(epoch);
        let images = (start(in_epoch)..start(in_epoch + 1)).map(|position| (position, order[position])).collect();
        let iteration = i / self.accumulate;
        let mosaic = self.mosaic && schedule.stage(iteration) != TrainingStage::NoAug;
        BatchPlan { epoch, images, size: self.size(iteration), mosaic }
    }

    fn order(&self, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.images).collect();
        order.shuffle(&mut self.rng(1, epoch));
        order
    }

    /// Side of the network's input in pixels. The greatest comes first: if it takes too much memory, that is seen at once.
    pub fn size(&self, iteration: usize) -> usize {
        let Some(SizeRange { min, max }) = self.multi_scale else { return self.size };
        match iteration / SIZE_PERIOD {
            0 => max,
            period => SIZE_MULTIPLE * self.rng(2, period).random_range(min / SIZE_MULTIPLE..=max / SIZE_MULTIPLE),
        }
    }

    /// Mean number of pixels of an image in the network's input.
    pub fn mean_pixels(&self) -> f64 {
        let SizeRange { min, max } = self.multi_scale.unwrap_or(SizeRange { min: self.size, max: self.size });
        let sizes: Vec<usize> = (min..=max).step_by(SIZE_MULTIPLE).collect();
        sizes.iter().map(|size| (size * size) as f64).sum::<f64>() / sizes.len() as f64
    }

    /// Random numbers for one purpose and one point of time.
    fn rng(&self, purpose: u64, time: usize) -> Pcg64Mcg {
        // Numbers of one seed are drawn for a seed of their own: seeds that are close must not give similar numbers.
        let mut rng = Pcg64Mcg::seed_from_u64(self.seed ^ (purpose << 56));
        let mixed: u64 = rng.random();
        Pcg64Mcg::seed_from_u64(mixed.wrapping_add(time as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::schedule::StageLengths;

    fn plan() -> EpochPlan {
        EpochPlan { seed: 3, images: 103, batch: 8, accumulate: 3, size: 416, multi_scale: None, mosaic: true }
    }

    fn schedule(plan: &EpochPlan, epochs: usize) -> Schedule {
        let per_epoch = plan.iterations_per_epoch();
        Schedule::new(per_epoch, epochs * per_epoch, StageLengths { warmup: Some(1.0), plain: Some(1.0), fit: 0 })
    }

    #[test]
    fn every_image_comes_once_an_epoch() {
        for (images, batch, accumulate) in [(103, 8, 3), (16, 16, 1), (17, 16, 1), (9, 2, 4), (64, 64, 1)] {
            let plan = EpochPlan { images, batch, accumulate, ..plan() };
            let schedule = schedule(&plan, 3);
            let batches = plan.iterations_per_epoch() * accumulate;
            let mut orders = Vec::new();
            for epoch in 0..3 {
                let plans: Vec<_> = (0..batches).map(|i| plan.batch(epoch * batches + i, &schedule)).collect();
                let counts = plans.iter().map(|plan| plan.images.len());
                let (least, most) = (counts.clone().min().unwrap(), counts.max().unwrap());
                assert!(least > 0 && most - least <= 1 && most <= batch, "{images}: {least} to {most}");
                assert!(plans.iter().all(|plan| plan.epoch == epoch));
                let (positions, order): (Vec<_>, Vec<_>) = plans.into_iter().flat_map(|plan| plan.images).unzip();
                assert_eq!(positions, (0..images).collect::<Vec<_>>());
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, positions);
                orders.push(order);
            }
            assert!(orders[0] != orders[1] && orders[1] != orders[2], "every epoch has an order of its own");
        }
    }

    #[test]
    fn only_the_seed_decides() {
        let schedule = schedule(&plan(), 4);
        let all = |plan: &EpochPlan| -> Vec<BatchPlan> { (0..60).map(|i| plan.batch(i, &schedule)).collect() };
        assert_eq!(all(&plan()), all(&plan()));
        assert_ne!(all(&plan()), all(&EpochPlan { seed: 4, ..plan() }));
    }

    #[test]
    fn mosaic_ends_with_its_stage() {
        let schedule = schedule(&plan(), 3);
        let mosaic: Vec<bool> = (0..45).map(|i| plan().batch(i, &schedule).mosaic).collect();
        assert!(mosaic[..30].iter().all(|&mosaic| mosaic) && mosaic[30..].iter().all(|&mosaic| !mosaic));
        assert!(!EpochPlan { mosaic: false, ..plan() }.batch(0, &schedule).mosaic);
    }

    #[test]
    fn sizes_change_every_ten_iterations_and_reach_both_ends() {
        let plan = EpochPlan { multi_scale: Some(SizeRange { min: 320, max: 640 }), ..plan() };
        let sizes: Vec<usize> = (0..2000).map(|iteration| plan.size(iteration)).collect();
        assert_eq!(sizes[0], 640, "the greatest first");
        assert!(sizes.chunks(10).all(|period| period.iter().all(|size| size == &period[0])));
        assert!((320..=640).step_by(32).all(|size| sizes.contains(&size)));
        assert!(sizes.iter().all(|size| size % 32 == 0 && (320..=640).contains(size)));
        let mean = sizes.iter().map(|size| (size * size) as f64).sum::<f64>() / 2000.0;
        assert!((mean / plan.mean_pixels() - 1.0).abs() < 0.15, "{mean} {}", plan.mean_pixels());
    }
}
