//! Batch normalisation for weights that have lost it: files for inference hold convolutions it was multiplied into.

use anyhow::{Result, ensure};
use shared_model::graph::BN_EPS;
use shared_model::{Graph, ParameterLayout};

use crate::engine::{Batch, Engine};

/// Makes the running statistics those of `batches` and changes weight and bias of every batch normalisation so that the
/// network computes what it did: from then on, normalising by a batch's statistics hardly changes it. A channel whose
/// variance is about 0 gets a small weight, no great one, thanks to the variance's epsilon.
///
/// `parameters` is laid out as the [`ParameterLayout`] of `graph`, which is `engine`'s network.
///
/// # Errors
/// Fails where there is no batch, or the device fails.
pub fn recreate_norm(engine: &mut dyn Engine, graph: &Graph, parameters: &mut [f32], batches: &[Batch]) -> Result<()> {
    let before = parameters.to_vec();
    observe_norm(engine, graph, parameters, batches)?;
    for channel in channels(graph) {
        let value = |range: usize| f64::from(before[range]);
        let deviation = |values: &[f32]| (f64::from(values[channel.variance]) + f64::from(BN_EPS)).sqrt();
        let gain = value(channel.weight) / deviation(&before);
        let moved = f64::from(parameters[channel.mean]) - value(channel.mean);
        parameters[channel.weight] = (gain * deviation(parameters)) as f32;
        parameters[channel.bias] = (value(channel.bias) + gain * moved) as f32;
    }
    Ok(())
}

/// Makes the running statistics those of `batches`, through a network that normalises by each batch's own, as in training: for
/// networks whose running statistics belong to another function, so that none can be taken behind them.
///
/// `parameters` is laid out as the [`ParameterLayout`] of `graph`, which is `engine`'s network.
///
/// # Errors
/// Fails where there is no batch, or the device fails.
pub fn settle_norm(engine: &mut dyn Engine, graph: &Graph, parameters: &mut [f32], batches: &[Batch]) -> Result<()> {
    take_statistics(engine, graph, parameters, batches, &mut |engine, batch, statistics| {
        engine.step(batch, &mut |output| Ok(vec![0.0; output.values.len()]), statistics)
    })
}

/// Makes the running statistics those of `batches`, through a network that normalises by the running ones.
fn observe_norm(engine: &mut dyn Engine, graph: &Graph, parameters: &mut [f32], batches: &[Batch]) -> Result<()> {
    take_statistics(engine, graph, parameters, batches, &mut |engine, batch, all| engine.observe(batch, all))
}

/// Fills the places of a batch's statistics.
type Look<'a> = dyn FnMut(&mut dyn Engine, &Batch, &mut [f32]) -> Result<()> + 'a;

fn take_statistics(
    engine: &mut dyn Engine,
    graph: &Graph,
    parameters: &mut [f32],
    batches: &[Batch],
    look: &mut Look,
) -> Result<()> {
    let images: usize = batches.iter().map(|batch| batch.images).sum();
    ensure!(images > 0, "statistics of batch normalisation cannot be taken without images");
    engine.load(parameters)?;
    let channels = channels(graph);
    // Mean and mean square over all images, from which the variance follows.
    let mut moments = vec![(0.0f64, 0.0f64); channels.len()];
    let mut of_batch = vec![0.0f32; parameters.len()];
    for batch in batches {
        look(engine, batch, &mut of_batch)?;
        let share = batch.images as f64 / images as f64;
        for (channel, (mean, square)) in channels.iter().zip(&mut moments) {
            let (m, v) = (f64::from(of_batch[channel.mean]), f64::from(of_batch[channel.variance]));
            *mean += share * m;
            *square += share * (v + m * m);
        }
    }
    for (channel, (mean, square)) in channels.iter().zip(moments) {
        parameters[channel.mean] = mean as f32;
        parameters[channel.variance] = (square - mean * mean).max(0.0) as f32;
    }
    Ok(())
}

/// Where the values of a channel's batch normalisation lie in the array of all parameters.
struct Channel {
    weight: usize,
    bias: usize,
    mean: usize,
    variance: usize,
}

/// All channels that are normalised.
fn channels(graph: &Graph) -> Vec<Channel> {
    let layout = ParameterLayout::new(graph);
    let range = |name: String| layout.entries.iter().find(|(entry, _)| entry.name == name).map(|(_, at)| at.start);
    let mut all = Vec::new();
    for layer in &graph.layers {
        let [weight, bias, mean, variance] =
            ["weight", "bias", "running_mean", "running_var"].map(|field| range(format!("{}.bn.{field}", layer.name)));
        if let (Some(weight), Some(bias), Some(mean), Some(variance)) = (weight, bias, mean, variance) {
            all.extend((0..layer.channels).map(|channel| Channel {
                weight: weight + channel,
                bias: bias + channel,
                mean: mean + channel,
                variance: variance + channel,
            }));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;
    use shared_model::{Variant, Weights};

    use super::*;
    use crate::engine::{CpuEngine, HeadOutput};

    /// Statistics out of thin air: the second batch's differ from the first's.
    struct Fake {
        layout: ParameterLayout,
        batches: usize,
    }

    impl Engine for Fake {
        fn load(&mut self, _: &[f32]) -> Result<()> {
            Ok(())
        }

        fn step(&mut self, _: &Batch, _: &mut dyn FnMut(&HeadOutput) -> Result<Vec<f32>>, _: &mut [f32]) -> Result<()> {
            unreachable!("statistics alone are asked for")
        }

        fn infer(&mut self, _: &Batch) -> Result<HeadOutput> {
            unreachable!("statistics alone are asked for")
        }

        fn observe(&mut self, _: &Batch, statistics: &mut [f32]) -> Result<()> {
            self.batches += 1;
            for (parameter, range) in &self.layout.entries {
                if parameter.name.ends_with("running_mean") {
                    statistics[range.clone()].fill(self.batches as f32);
                } else if parameter.name.ends_with("running_var") {
                    let dead = |channel: usize| if channel == 0 { 0.0 } else { 2.0 };
                    statistics[range.clone()].iter_mut().enumerate().for_each(|(i, variance)| *variance = dead(i));
                }
            }
            Ok(())
        }
    }

    /// Weights whose batch normalisation does something.
    fn weights() -> Weights {
        let mut weights = Weights::random(Variant::named("mdconv").unwrap(), 3, 1);
        let mut rng = Pcg64Mcg::seed_from_u64(2);
        for (name, tensor) in &mut weights.tensors {
            if name.contains(".bn.") {
                tensor.values.iter_mut().for_each(|value| *value += rng.random_range(-0.5..0.5));
            }
        }
        weights
    }

    fn assert_same(found: &Weights, expected: &Weights) {
        assert_eq!(found.metadata, expected.metadata);
        assert!(found.tensors.keys().eq(expected.tensors.keys()));
        for (name, tensor) in &found.tensors {
            for (a, b) in tensor.values.iter().zip(&expected.tensors[name].values) {
                assert!((a - b).abs() <= 2e-5 * b.abs().max(1.0), "{name}: {a} instead of {b}");
            }
        }
    }

    #[test]
    fn recreated_normalisation_has_the_data_s_statistics_and_the_same_function() {
        let before = weights();
        for start in [before.clone(), before.fused().unwrap().unfused().unwrap()] {
            let graph = start.graph().unwrap();
            let layout = ParameterLayout::new(&graph);
            let mut parameters = layout.flatten(&start);
            let batch = |images| Batch { images, ..Batch::default() };
            let mut engine = Fake { layout: layout.clone(), batches: 0 };
            recreate_norm(&mut engine, &graph, &mut parameters, &[batch(3), batch(1)]).unwrap();
            let after = layout.weights(&parameters, start.metadata.clone());
            assert_same(&after.fused().unwrap(), &before.fused().unwrap());

            let field = |field: &str| &after.tensors[&format!("backbone.C3_n3.conv3.bn.{field}")].values;
            assert!(field("running_mean").iter().all(|mean| (mean - 1.25).abs() < 1e-6));
            // Means of 1, 1, 1 and 2 vary too.
            assert!((field("running_var")[1] - (2.0 + 0.1875)).abs() < 1e-5);
            assert!((field("running_var")[0] - 0.1875).abs() < 1e-5);
        }
    }

    #[test]
    fn dead_channels_get_small_weights_and_no_images_are_an_error() {
        let start = weights().fused().unwrap().unfused().unwrap();
        let graph = start.graph().unwrap();
        let layout = ParameterLayout::new(&graph);
        let mut parameters = layout.flatten(&start);
        let mut engine = Fake { layout: layout.clone(), batches: 0 };
        assert!(recreate_norm(&mut engine, &graph, &mut parameters.clone(), &[]).is_err());
        recreate_norm(&mut engine, &graph, &mut parameters, &[Batch { images: 1, ..Batch::default() }]).unwrap();
        let after = layout.weights(&parameters, start.metadata.clone());
        let weight = |weights: &Weights| weights.tensors["head.stems.0.bn.weight"].values.clone();
        for (channel, variance) in [0.0, 2.0].into_iter().enumerate() {
            let expected = weight(&start)[channel] * f32::sqrt(variance + BN_EPS);
            assert!((weight(&after)[channel] - expected).abs() < 1e-5, "channel {channel}: {expected} expected");
        }
    }

    /// Smooth images of 64 x 64 pixels, no two alike.
    fn images(count: usize) -> Batch {
        let side = 64;
        let pixel = |i: usize| {
            let (x, y, plane) = (i % side, i / side % side, i / side / side);
            let wave = (x as f32 * 0.07 * (1.0 + plane as f32 * 0.3) + plane as f32).sin() * (y as f32 * 0.11).cos();
            (127.0 + 120.0 * wave) as u8
        };
        let pixels = (0..count * 3 * side * side).map(pixel).collect();
        Batch { pixels, images: count, height: side, width: side }
    }

    fn assert_outputs(what: &str, found: &HeadOutput, expected: &HeadOutput, tolerance: f32) {
        let worst = found.values.iter().zip(&expected.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{what}: greatest difference {worst:e}");
        assert!(worst <= tolerance, "{what}: greatest difference {worst}");
    }

    #[test]
    fn the_published_weights_say_the_same_before_training_and_in_its_first_step() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/yolox_nano_coco.safetensors");
        let weights = Weights::from_bytes(&std::fs::read(path).unwrap()).unwrap().unfused().unwrap();
        let graph = weights.graph().unwrap();
        let layout = ParameterLayout::new(&graph);
        let mut parameters = layout.flatten(&weights);
        let mut engine = CpuEngine::new(&graph).unwrap();
        let batch = images(4);
        engine.load(&parameters).unwrap();
        let expected = engine.infer(&batch).unwrap();

        recreate_norm(&mut engine, &graph, &mut parameters, std::slice::from_ref(&batch)).unwrap();
        engine.load(&parameters).unwrap();
        assert_outputs("inference", &engine.infer(&batch).unwrap(), &expected, 1e-3);

        // Normalised by the very images that the statistics come from.
        let mut trained = None;
        let mut loss = |output: &HeadOutput| {
            trained = Some(output.clone());
            Ok(vec![0.0; output.values.len()])
        };
        engine.step(&batch, &mut loss, &mut vec![0.0; layout.len]).unwrap();
        assert_outputs("training", &trained.unwrap(), &expected, 1e-2);
    }

    /// A network that begins with another's layers: what they were normalised by there says nothing here.
    #[test]
    fn settled_statistics_are_those_of_training() {
        let start = weights();
        let graph = start.graph().unwrap();
        let layout = ParameterLayout::new(&graph);
        let before = layout.flatten(&start);
        let mut engine = CpuEngine::new(&graph).unwrap();
        let batch = images(3);
        engine.load(&before).unwrap();
        let mut update = vec![0.0; layout.len];
        engine.step(&batch, &mut |output| Ok(vec![0.0; output.values.len()]), &mut update).unwrap();

        let (mut settled, mut observed) = (before.clone(), before.clone());
        settle_norm(&mut engine, &graph, &mut settled, std::slice::from_ref(&batch)).unwrap();
        observe_norm(&mut engine, &graph, &mut observed, std::slice::from_ref(&batch)).unwrap();
        let mut differs = 0;
        for (parameter, range) in &layout.entries {
            for at in range.clone() {
                let expected = if parameter.trainable { before[at] } else { update[at] };
                assert!((settled[at] - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{}", parameter.name);
                differs += usize::from((observed[at] - expected).abs() > 0.1 * expected.abs());
            }
        }
        assert!(differs > 1000, "behind statistics of another function everything is another: {differs}");
    }
}
