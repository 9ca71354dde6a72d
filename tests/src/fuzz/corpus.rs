//! Inputs: whole ones, damaged.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::Reader;
use super::mutate::{Random, few, mutate};

/// The whole inputs of a reader.
pub struct Corpus {
    reader: &'static Reader,
    seeds: Vec<Vec<u8>>,
}

impl Corpus {
    /// Draws and writes them.
    ///
    /// # Panics
    /// Panics where one is refused by its format's own writer.
    pub fn new(reader: &'static Reader) -> Self {
        Self { reader, seeds: (reader.seeds)() }
    }

    /// How many whole inputs there are: those of the first numbers.
    pub fn whole(&self) -> u64 {
        self.seeds.len() as u64
    }

    /// Input `number` of those that `seed` makes.
    pub fn input(&self, seed: u64, number: u64) -> Vec<u8> {
        // Neighbours must have nothing in common.
        let mut random = Random::seed_from_u64(seed.rotate_left(32) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let whole = self.seeds.choose(&mut random).expect("every reader has a whole input");
        // The whole ones come first, as they are.
        if let Some(whole) = self.seeds.get(number as usize) {
            return whole.clone();
        }
        let mut input = whole.clone();
        for _ in 0..few(&mut random) {
            match self.reader.damage.choose(&mut random) {
                Some(damage) if random.random_ratio(2, 3) => {
                    input = damage(&mut random, &input).unwrap_or(input);
                }
                _ => mutate(&mut random, &mut input, self.reader.words),
            }
        }
        input
    }
}
