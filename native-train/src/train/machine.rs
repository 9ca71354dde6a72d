//! Defaults that follow from the machine: what its free memory holds.

use anyhow::Result;
use shared_model::{Training, Variant};
use sysinfo::System;

use super::settings::Settings;
use crate::engine::{DeviceName, EngineName};

/// Share of the free memory for decoded images: 1 in so many, as there may be other trainings.
const CACHE_SHARE: u64 = 8;
/// In MiB, where the system does not tell what is free.
const UNKNOWN_CACHE: usize = 1024;
/// Share of it for a step of training.
const STEP_SHARE: u64 = 2;

/// Memory that is free, in bytes: the machine's, or what is left of this container's; `None` where the system does not tell.
pub fn free_memory() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory();
    let machine = system.available_memory();
    let container = system.cgroup_limits().map(|limits| limits.free_memory);
    Some(container.map_or(machine, |container| container.min(machine))).filter(|&bytes| bytes > 0)
}

/// Memory for decoded images, in MiB, where nobody says.
pub fn cache() -> usize {
    free_memory().map_or(UNKNOWN_CACHE, |free| (free / CACHE_SHARE) as usize >> 20)
}

/// Settings from `layers` (see [`Settings::from_layers`]) on a machine with `free` bytes of memory. Where that does not hold the default
/// batch, smaller ones come to the same step: the learning rate stays, and batch normalisation alone sees fewer images at once.
///
/// # Errors
/// As for [`Settings::from_layers`].
pub fn settings(layers: &[toml::Table], free: u64) -> Result<Settings> {
    let settings = Settings::from_layers(layers)?;
    let is_given =
        layers.iter().any(|layer| ["batch", "accumulate", "overfit"].iter().any(|key| layer.contains_key(*key)));
    if is_given || settings.device != DeviceName::Cpu || settings.engine != EngineName::Native {
        return Ok(settings);
    }
    let (batch, accumulate) = batches(&settings, free / STEP_SHARE)?;
    Ok(Settings { batch, accumulate, ..settings })
}

/// Batch and number of batches of the step that `settings` ask for, with batches of at most `most` bytes if that can be.
fn batches(settings: &Settings, most: u64) -> Result<(usize, usize)> {
    // The number of classes hardly matters.
    let graph = Variant::named(&settings.variant)?.graph(20);
    let side = settings.multi_scale.map_or(settings.size, |range| range.max);
    let image = Training::bytes_per_image(&graph, side, side)? as u64;
    let (mut batch, mut accumulate) = (settings.batch, settings.accumulate);
    while batch as u64 * image > most && batch.is_multiple_of(2) && batch > 2 {
        (batch, accumulate) = (batch / 2, accumulate * 2);
    }
    Ok((batch, accumulate))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batch, and batches of a step.
    fn at(free: u64, more: &str) -> (usize, usize) {
        let text = format!("train = ['a:train']\n{more}");
        let settings = settings(&[text.parse().unwrap()], free).unwrap();
        (settings.batch, settings.accumulate)
    }

    const GIB: u64 = 1 << 30;

    #[test]
    fn this_machine_has_memory() {
        assert!(free_memory().unwrap() > 1 << 20);
        assert!(cache() > 0);
    }

    #[test]
    fn plenty_of_memory_leaves_the_batch_alone() {
        assert_eq!(at(16 * GIB, ""), (16, 1));
    }

    #[test]
    fn less_memory_makes_smaller_batches_of_the_same_step() {
        // 16 images of 416 pixels take about 1.2 GiB.
        assert_eq!(at(2 * GIB, ""), (8, 2));
        assert_eq!(at(GIB / 8, ""), (2, 8));
        assert_eq!(at(2 * GIB, "size = 224"), (16, 1));
        assert_eq!(at(2 * GIB, "size = 224\nmulti-scale = '224:640'"), (4, 4));
    }

    #[test]
    fn what_is_given_stays() {
        assert_eq!(at(GIB, "batch = 32"), (32, 1));
        assert_eq!(at(GIB, "accumulate = 3"), (16, 3));
        assert_eq!(at(GIB, "overfit = 4"), (4, 1));
    }

    #[test]
    fn a_gpu_s_memory_is_not_the_machine_s() {
        assert_eq!(at(GIB, "device = 'cuda'"), (16, 1));
    }
}
