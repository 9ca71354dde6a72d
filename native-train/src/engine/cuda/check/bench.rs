//! A device with some memory, on which single commands are tried.

use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::engine::cuda::device::{Argument, Command, Device, Launch, Offset, Product, Program};

/// Numbers that there is room for.
const ROOM: usize = 1 << 20;

pub(super) struct Bench<'a, D> {
    device: &'a mut D,
    pub(super) rng: Pcg64Mcg,
    used: Offset,
}

impl<'a, D: Device> Bench<'a, D> {
    pub(super) fn new(device: &'a mut D, seed: u64) -> Result<Self> {
        device.allocate(ROOM)?;
        Ok(Self { device, rng: Pcg64Mcg::seed_from_u64(seed), used: 0 })
    }

    /// A whole number from `low` to `high`.
    pub(super) fn pick(&mut self, low: usize, high: usize) -> usize {
        self.rng.random_range(low..=high)
    }

    pub(super) fn random(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.rng.random_range(-1.0..1.0)).collect()
    }

    /// Forgets what lies in the memory.
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    /// An offset for so many numbers.
    pub(super) fn room(&mut self, count: usize) -> Offset {
        let offset = self.used;
        self.used += count.next_multiple_of(64);
        assert!(self.used <= ROOM, "operations are tried on few numbers");
        offset
    }

    pub(super) fn put(&mut self, numbers: &[f32]) -> Result<Offset> {
        let offset = self.room(numbers.len());
        self.device.upload(offset, numbers)?;
        Ok(offset)
    }

    pub(super) fn put_bytes(&mut self, bytes: &[u8]) -> Result<Offset> {
        let offset = self.room(bytes.len().div_ceil(4));
        self.device.upload_bytes(offset, bytes)?;
        Ok(offset)
    }

    pub(super) fn get(&mut self, offset: Offset, count: usize) -> Result<Vec<f32>> {
        let mut numbers = vec![f32::NAN; count];
        self.device.download(offset, &mut numbers)?;
        Ok(numbers)
    }

    pub(super) fn launch(&mut self, kernel: &str, grid: (usize, usize), arguments: &[Argument]) -> Result<()> {
        self.launch_with(kernel, grid, 0, arguments)
    }

    pub(super) fn launch_with(
        &mut self,
        kernel: &str,
        grid: (usize, usize),
        shared_bytes: usize,
        arguments: &[Argument],
    ) -> Result<()> {
        let (grid, shared_bytes) = ((grid.0 as u32, grid.1 as u32), shared_bytes as u32);
        let launch = Launch { kernel: kernel.into(), grid, shared_bytes, arguments: arguments.to_vec() };
        self.device.run(&Program::new(vec![Command::Launch(launch)]))
    }

    pub(super) fn product(&mut self, product: Product) -> Result<()> {
        self.device.run(&Program::new(vec![Command::Product(product)]))
    }
}

/// The greatest difference, against the greatest number that is expected, or 1 if that is less.
pub(super) fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    let differences = found.iter().zip(expected).map(|(&a, &b)| (f64::from(a) - b).abs() / largest);
    differences.fold(0.0, |worst, error| if error.is_nan() { f64::INFINITY } else { worst.max(error) })
}
