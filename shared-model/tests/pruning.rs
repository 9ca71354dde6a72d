//! Pruned networks: leaving channels out says the same as setting what yields them to 0, and what is left is a network like
//! any other.

use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use shared_model::{
    Channel, FORMAT_VERSION, Network, NormState, PRUNED_FORMAT_VERSION, Training, VARIANTS, Variant, WeightPrecision,
    Weights, WeightsError, cost, dependency_groups,
};

const CLASSES: usize = 3;
const SIDES: (usize, usize) = (64, 96);

/// Weights with which every layer matters, statistics included.
fn lively(variant: &Variant, rng: &mut Pcg64Mcg) -> Weights {
    let mut weights = Weights::random(variant, CLASSES, 1);
    for (name, tensor) in weights.tensors.iter_mut().filter(|(name, _)| name.contains(".bn.")) {
        let is_first = name.starts_with("backbone.backbone.stem");
        let (low, high) = match name.rsplit('.').next() {
            Some("running_var") if is_first => (5e3, 1.5e4),
            Some("running_var") => (0.1, 0.3),
            Some("weight") => (0.7, 1.3),
            _ => (-0.4, 0.4),
        };
        tensor.values.iter_mut().for_each(|value| *value = rng.random_range(low..high));
    }
    weights
}

/// From each group by chance: nothing, or up to all but one of each stratum.
fn random_removal(weights: &Weights, rng: &mut Pcg64Mcg) -> BTreeSet<Channel> {
    let mut removed = BTreeSet::new();
    for mut group in dependency_groups(&weights.graph().unwrap()) {
        let most = group.strata[0].len() - 1;
        let count = if rng.random_bool(0.3) { 0 } else { rng.random_range(0..=most) };
        for stratum in &mut group.strata {
            stratum.shuffle(rng);
            removed.extend(stratum.iter().take(count).flatten());
        }
    }
    removed
}

/// The parameters that yield `channels` set to 0.
fn masked(weights: &Weights, channels: &BTreeSet<Channel>) -> Weights {
    let graph = weights.graph().unwrap();
    let mut masked = weights.clone();
    for channel in channels {
        let layer = graph.layer(channel.layer);
        for parameter in graph.layer_parameters(layer, weights.metadata.norm).iter().filter(|p| p.trainable) {
            let (kernels, _) = layer.parameter_names();
            let chunk = kernels.iter().position(|name| *name == parameter.name).unwrap_or(0);
            let Some(row) = channel.index.checked_sub(chunk * parameter.shape[0]) else { continue };
            let size: usize = parameter.shape[1..].iter().product();
            let tensor = masked.tensors.get_mut(&parameter.name).unwrap();
            if let Some(values) = tensor.values.chunks_exact_mut(size).nth(row) {
                values.fill(0.0);
            }
        }
    }
    masked
}

fn pixels(rng: &mut Pcg64Mcg, images: usize) -> Vec<f32> {
    (0..images * 3 * SIDES.0 * SIDES.1).map(|_| rng.random_range(0.0..255.0)).collect()
}

fn output(weights: &Weights, pixels: &[f32]) -> Vec<f32> {
    let network = Network::new(&weights.graph().unwrap(), weights).unwrap();
    let images =
        Tensor::from_slice(pixels, (pixels.len() / (3 * SIDES.0 * SIDES.1), 3, SIDES.0, SIDES.1), &Device::Cpu);
    network.forward(&images.unwrap()).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().all(|value| value.is_finite()));
    found.iter().zip(expected).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f32::max)
}

#[test]
fn removing_channels_says_the_same_as_masking_them() {
    for variant in &VARIANTS {
        let mut rng = Pcg64Mcg::seed_from_u64(5);
        for norm in [NormState::Separate, NormState::Fused, NormState::Separate] {
            let weights = lively(variant, &mut rng);
            let weights = if norm == NormState::Fused { weights.fused().unwrap() } else { weights };
            let removed = random_removal(&weights, &mut rng);
            let narrow = weights.without(&removed).unwrap();
            let size = |weights: &Weights| cost(&weights.graph().unwrap(), 416, 416).parameters;
            assert!(size(&narrow) < size(&weights));
            let pixels = pixels(&mut rng, 1);
            let (found, expected) = (output(&narrow, &pixels), output(&masked(&weights, &removed), &pixels));
            let error = worst(&found, &expected);
            assert!(error < 1e-5, "{}: {error}", variant.name);
            // The masks did something.
            assert!(worst(&expected, &output(&weights, &pixels)) > 1e-3, "{}", variant.name);
        }
    }
}

#[test]
fn pruned_weights_are_weights_like_others() {
    let mut rng = Pcg64Mcg::seed_from_u64(6);
    for variant in &VARIANTS {
        let weights = lively(variant, &mut rng);
        let once = weights.without(&random_removal(&weights, &mut rng)).unwrap();
        let twice = once.without(&random_removal(&once, &mut rng)).unwrap();
        for weights in [&once, &twice] {
            assert_eq!(weights.metadata.format_version, PRUNED_FORMAT_VERSION);
            let read = Weights::from_bytes(&weights.to_bytes(WeightPrecision::Single).unwrap()).unwrap();
            assert_eq!(read, *weights, "{}", variant.name);
            Weights::from_bytes(&weights.to_bytes(WeightPrecision::Half).unwrap()).unwrap();
            let pixels = pixels(&mut rng, 1);
            let expected = output(weights, &pixels);
            assert!(worst(&output(&weights.fused().unwrap(), &pixels), &expected) < 1e-5);
            assert!(worst(&output(&weights.fused().unwrap().unfused().unwrap(), &pixels), &expected) < 1e-4);
            let random = Weights::random_pruned(variant, &weights.metadata.channels, CLASSES, 3).unwrap();
            assert_eq!(
                (&random.metadata.channels, random.graph().unwrap()),
                (&weights.metadata.channels, weights.graph().unwrap())
            );
        }
        // Nothing removed, nothing changed.
        assert_eq!(weights.without(&BTreeSet::new()).unwrap(), weights);
        assert_eq!(weights.metadata.format_version, FORMAT_VERSION);

        // The file of a pruned network whose metadata do not say so.
        let mut unsaid = once.clone();
        unsaid.metadata.channels = weights.metadata.channels.clone();
        let bytes = unsaid.to_bytes(WeightPrecision::Single).unwrap();
        assert!(matches!(Weights::from_bytes(&bytes), Err(WeightsError::Misfit { .. })));
    }
}

#[test]
fn half_a_set_of_coupled_channels_cannot_be_removed() {
    let weights = Weights::random(Variant::named("mdconv").unwrap(), CLASSES, 0);
    let groups = dependency_groups(&weights.graph().unwrap());
    let mixed = groups.iter().find(|group| group.strata.len() == 4).unwrap();
    let one_stratum = mixed.strata[0][0].iter().copied().collect();
    assert!(matches!(weights.without(&one_stratum), Err(WeightsError::Channels(_) | WeightsError::Misfit { .. })));
    let half = mixed.strata[0][0][..1].iter().copied().collect();
    assert!(weights.without(&half).is_err());
}

/// The gradient of a pruned network by its kernels is the masked network's: 0 nowhere but where it has no channels.
#[test]
fn a_training_step_of_a_pruned_network_is_that_of_the_masked_one() {
    for variant in &VARIANTS {
        let mut rng = Pcg64Mcg::seed_from_u64(9);
        let weights = lively(variant, &mut rng);
        let removed = random_removal(&weights, &mut rng);
        let (narrow, masked) = (weights.without(&removed).unwrap(), masked(&weights, &removed));
        let pixels = pixels(&mut rng, 2);
        let step = |weights: &Weights| {
            let mut training = Training::new(&weights.graph().unwrap()).unwrap();
            let parameters = training.layout().flatten(weights);
            training.load(&parameters).unwrap();
            let said = training.forward(&pixels, SIDES.0, SIDES.1).unwrap();
            let gradient: Vec<f32> = (0..said.len()).map(|i| (i * 7919 % 2003) as f32 / 1001.5 - 1.0).collect();
            let mut update = vec![f32::NAN; training.layout().len];
            training.backward(&gradient, &mut update).unwrap();
            (said, training.layout().weights(&update, weights.metadata.clone()))
        };
        let ((said, update), (expected, of_masked)) = (step(&narrow), step(&masked));
        assert!(worst(&said, &expected) < 1e-4, "{}", variant.name);
        // What the masked network learns, without the channels that are not there.
        let of_masked = of_masked.without(&removed).unwrap();
        let all = |weights: &Weights| weights.tensors.values().flat_map(|t| t.values.clone()).collect::<Vec<_>>();
        let norm = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let (found, expected) = (all(&update), all(&of_masked));
        let difference: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| a - b).collect();
        assert!(norm(&expected) > 1.0 && norm(&difference) < 1e-3 * norm(&expected), "{}", variant.name);
    }
}
