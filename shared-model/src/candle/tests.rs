use candle_core::{Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarMap};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::model::graph::NormState;
use crate::model::variant::VARIANTS;
use crate::{Network, Weights};

const CLASSES: usize = 3;
const SIDES: (usize, usize) = (64, 96);

fn uniform(rng: &mut Pcg64Mcg, shape: &[usize], low: f32, high: f32) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(low..high)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// A network whose normalisation does something, also by its running statistics, and its variables.
fn network(variant: &Variant) -> (Yolox, VarMap) {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let network = Yolox::new(variant, CLASSES, vb).unwrap();
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let all = variables.data().lock().unwrap();
    // In one order on every run.
    let mut names: Vec<&String> = all.keys().collect();
    names.sort();
    for name in names {
        let variable = &all[name];
        if name.contains(".bn.") {
            let low = if name.ends_with("weight") || name.ends_with("var") { 0.5 } else { -0.5 };
            variable.set(&uniform(&mut rng, variable.dims(), low, 1.0)).unwrap();
        } else {
            let bound = 1.0 / (variable.dims().iter().skip(1).product::<usize>() as f32).sqrt();
            variable.set(&uniform(&mut rng, variable.dims(), -bound, bound)).unwrap();
        }
    }
    drop(all);
    (network, variables)
}

fn images(count: usize) -> Tensor {
    uniform(&mut Pcg64Mcg::seed_from_u64(5), &[count, 3, SIDES.0, SIDES.1], 0.0, 255.0)
}

fn greatest(tensor: &Tensor) -> f32 {
    tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

/// The greatest difference, in parts of the greatest number.
fn difference(found: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(found.dims(), expected.dims());
    greatest(&(found - expected).unwrap()) / greatest(expected).max(f32::MIN_POSITIVE)
}

/// The weights that the variables are.
fn weights(variant: &Variant, variables: &VarMap) -> Weights {
    let mut weights = Weights::random(variant, CLASSES, 0);
    for (name, variable) in variables.data().lock().unwrap().iter() {
        let tensor = weights.tensors.get_mut(name).expect("names are those of weight files");
        assert_eq!(tensor.shape, variable.dims(), "{name}");
        tensor.values = variable.flatten_all().unwrap().to_vec1().unwrap();
    }
    weights
}

#[test]
fn it_infers_what_the_runtime_does_by_either_kind_of_operations() {
    for variant in &VARIANTS {
        let (mut network, variables) = network(variant);
        let names = variables.data().lock().unwrap().len();
        assert_eq!(names, variant.graph(CLASSES).parameters(NormState::Separate).len(), "{}", variant.name);
        let runtime = Network::new(network.graph(), &weights(variant, &variables)).unwrap();
        let images = images(2);
        let expected = runtime.forward(&images).unwrap();
        for plain in [false, true] {
            network.set_plain(plain);
            let found = network.forward(&images).unwrap();
            assert!(!found.track_op(), "inference records nothing");
            let difference = difference(&found, &expected);
            assert!(difference < 1e-4, "{}, plain {plain}: {difference}", variant.name);
        }
    }
}

/// Every gradient, batch statistic and output of a training step, by this project's kernels and by candle's operations.
#[test]
fn a_training_step_is_the_same_by_either_kind_of_operations() {
    for variant in &VARIANTS {
        let mut steps = [false, true].map(|plain| {
            let (mut network, variables) = network(variant);
            network.set_plain(plain);
            network.set_training(true);
            let raw = network.forward(&images(2)).unwrap();
            let factors = uniform(&mut Pcg64Mcg::seed_from_u64(9), raw.dims(), -1.0, 1.0);
            let gradients = (&raw * factors).unwrap().sum_all().unwrap().backward().unwrap();
            let variables = variables.data().lock().unwrap();
            let mut all: Vec<(String, Tensor)> = variables
                .iter()
                .map(|(name, variable)| {
                    let is_statistic = name.contains(".running_");
                    let gradient = gradients.get(variable);
                    assert_eq!(gradient.is_none(), is_statistic, "{}: {name}", variant.name);
                    (name.clone(), gradient.cloned().unwrap_or_else(|| variable.as_tensor().clone()))
                })
                .collect();
            all.push(("the output".into(), raw));
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        });
        let [ours, candles] = &mut steps;
        // A bias in front of another normalisation has no gradient but rounding: it is measured by the others' size.
        let most = candles.iter().map(|(_, tensor)| greatest(tensor)).fold(0.0, f32::max);
        for ((name, ours), (_, candles)) in ours.iter().zip(candles.iter()) {
            let difference = greatest(&(ours - candles).unwrap()) / greatest(candles).max(1e-4 * most);
            assert!(difference < 2e-3, "{}: {name}: {difference}", variant.name);
        }
    }
}

/// How far finite differences go to either side, in parts of a tensor's greatest number.
const STEP: f64 = 5e-4;

/// Compares the slope of `f` by `variables`' gradients, along a drawn direction, with that of two values of `f` itself.
fn has_the_slope_of_its_gradients(what: &str, variables: &[Var], f: impl Fn() -> Tensor) {
    let mut rng = Pcg64Mcg::seed_from_u64(11);
    let factors = uniform(&mut rng, f().dims(), -1.0, 1.0);
    let value = || {
        let weighed = (f() * &factors).unwrap().to_dtype(DType::F64).unwrap();
        weighed.sum_all().unwrap().to_scalar::<f64>().unwrap()
    };
    let gradients = (f() * &factors).unwrap().sum_all().unwrap().backward().unwrap();
    let (mut slope, mut size, mut moved) = (0.0, 0.0, Vec::new());
    for variable in variables {
        let Some(gradient) = gradients.get(variable) else { continue };
        let most = greatest(variable);
        let direction = uniform(&mut rng, variable.dims(), -most, most);
        let product = (gradient * &direction).unwrap().to_dtype(DType::F64).unwrap();
        slope += product.sum_all().unwrap().to_scalar::<f64>().unwrap();
        size += product.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        moved.push((variable, variable.copy().unwrap(), direction));
    }
    assert!(!moved.is_empty(), "{what}: nothing has a gradient");
    let at = |step: f64| {
        for (variable, before, direction) in &moved {
            variable.set(&(before + (direction * step).unwrap()).unwrap()).unwrap();
        }
        value()
    };
    let found = (at(STEP) - at(-STEP)) / (2.0 * STEP);
    at(0.0);
    assert!((found - slope).abs() < 0.01 * size.sqrt(), "{what}: {slope} instead of {found}, of {}", size.sqrt());
}

/// Every operation of our own that has a gradient: all chains of all variants, pooling and upsampling.
#[test]
fn gradients_are_those_of_finite_differences() {
    for variant in &VARIANTS {
        let (network, variables) = network(variant);
        let mut all = variables.all_vars();
        for (first, chain) in network.chains.iter().enumerate().filter_map(|(i, chain)| Some((i, (*chain)?))) {
            let layer = &network.graph.layers[first];
            let of_image = network.graph.layer(layer.inputs[0]).op == Op::SpaceToDepth;
            let channels = if of_image { 3 } else { network.graph.channels_in(layer) };
            let x =
                Var::from_tensor(&uniform(&mut Pcg64Mcg::seed_from_u64(7), &[2, channels, 12, 8], -1.0, 1.0)).unwrap();
            let convs: Vec<&CandleConv> = network.convs[first..][..chain.convs].iter().flatten().collect();
            all.push(x.clone());
            let what = format!("{}, from {} on", variant.name, layer.name);
            has_the_slope_of_its_gradients(&what, &all, || {
                chain_cpu(&convs, &x, NormMode::Batch, chain.adds_input).unwrap()
            });
            all.pop();
        }
    }
    // No two numbers are so near that another becomes the greatest on the way.
    let mut numbers: Vec<f32> = (0..2 * 3 * 12 * 8).map(|i| i as f32 / 10.0).collect();
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    (1..numbers.len()).rev().for_each(|i| numbers.swap(i, rng.random_range(0..=i)));
    let x = Var::from_tensor(&Tensor::from_vec(numbers, (2, 3, 12, 8), &Device::Cpu).unwrap()).unwrap();
    let all = std::slice::from_ref(&x);
    has_the_slope_of_its_gradients("max pooling", all, || cpu::max_pool_same(&x, 5).unwrap());
    has_the_slope_of_its_gradients("halving", all, || cpu::max_pool_halving(&x).unwrap());
    has_the_slope_of_its_gradients("upsampling", all, || cpu::upsample(&x).unwrap());
}

/// Every convolution is in one chain; nothing that others read lies within one.
#[test]
fn chains_hide_nothing_that_others_read() {
    for variant in &VARIANTS {
        let graph = variant.graph(CLASSES);
        let lowered = lower(&graph).unwrap();
        let found = chains(&graph, &lowered);
        let mut within = vec![0; lowered.len()];
        for (first, chain) in found.iter().enumerate().filter_map(|(i, chain)| Some((i, (*chain)?))) {
            let last = first + chain.layers() - 1;
            within[first..=last].iter_mut().for_each(|times| *times += 1);
            assert_eq!(lowered[last] == Lowered::Added, chain.adds_input, "{}: layer {last}", variant.name);
            for hidden in (first..last).map(Node) {
                let readers = graph.layers.iter().enumerate().filter(|(_, layer)| layer.inputs.contains(&hidden));
                assert!(readers.map(|(reader, _)| reader).eq([hidden.0 + 1]), "{}: layer {hidden:?}", variant.name);
            }
        }
        for (i, lowered) in lowered.iter().enumerate() {
            // A sum of a chain's output with what is not its input is an operation of its own.
            let expected = matches!(lowered, Lowered::Conv { .. }) || (*lowered == Lowered::Added && within[i] > 0);
            assert_eq!(within[i], usize::from(expected), "{}: layer {i}", variant.name);
        }
    }
    let graph = Variant::named("baseline").unwrap().graph(CLASSES);
    let bottleneck = Some(ChainSpan { convs: 3, adds_input: true });
    assert_eq!(chains(&graph, &lower(&graph).unwrap()).iter().filter(|&&chain| chain == bottleneck).count(), 7);
}

#[test]
fn folded_weights_infer_the_same_and_train_without_normalisation() {
    let variant = Variant::named("final").unwrap();
    let (network, variables) = network(variant);
    let fused = weights(variant, &variables).fused().unwrap();
    let tensors = fused.tensors.iter().map(|(name, tensor)| {
        (name.clone(), Tensor::from_vec(tensor.values.clone(), &tensor.shape[..], &Device::Cpu).unwrap())
    });
    let vb = VarBuilder::from_tensors(tensors.collect(), DType::F32, &Device::Cpu);
    let mut other = Yolox::new(variant, CLASSES, vb).unwrap();
    let images = images(1);
    let expected = network.forward(&images).unwrap();
    assert!(difference(&other.forward(&images).unwrap(), &expected) < 1e-4);
    other.set_training(true);
    assert!(difference(&other.forward(&images).unwrap(), &expected) < 1e-4);
}

#[test]
fn images_have_gradients() {
    let (mut network, _) = network(Variant::named("baseline").unwrap());
    network.set_training(true);
    let image = Var::from_tensor(&images(1)).unwrap();
    let gradients = network.forward(&image).unwrap().sum_all().unwrap().backward().unwrap();
    let sum = gradients.get(&image).unwrap().abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(sum > 0.0);
}

#[test]
fn running_statistics_follow_and_are_calibrated() {
    let (mut network, variables) = network(Variant::named("baseline").unwrap());
    let name = "backbone.backbone.stem.conv.bn.running_var";
    let variance = || {
        let variables = variables.data().lock().unwrap();
        variables[name].to_vec1::<f32>().unwrap()[0]
    };
    let before = variance();
    network.forward(&images(2)).unwrap();
    assert!(before == variance(), "inference leaves them alone");
    network.set_plain(true);
    network.calibrate(&images(2)).unwrap();
    let plain = variance();
    network.set_plain(false);
    network.calibrate(&images(2)).unwrap();
    let batch = variance();
    assert!((plain / batch - 1.0).abs() < 1e-4, "{plain}, {batch}");
    let count = (2 * SIDES.0 * SIDES.1 / 4) as f32;
    network.set_training(true);
    network.set_momentum(0.25).unwrap();
    network.calibrate(&images(2)).unwrap();
    network.forward(&(images(2) * 2.0).unwrap()).unwrap();
    let expected = 0.75 * batch + 0.25 * 4.0 * batch * count / (count - 1.0);
    assert!((variance() / expected - 1.0).abs() < 1e-3, "{} instead of {expected}", variance());
    assert!(network.set_momentum(1.5).is_err());
}

/// As somebody else's program would: candle-nn's optimizer, a loss of candle's operations.
#[test]
fn candles_optimizer_trains_it() {
    let (mut network, variables) = network(Variant::named("ghost").unwrap());
    network.set_training(true);
    let trained = variables.all_vars();
    let mut optimizer = AdamW::new(trained, ParamsAdamW { lr: 0.01, ..ParamsAdamW::default() }).unwrap();
    let mut losses = Vec::new();
    for _ in 0..8 {
        let loss = network.forward(&images(2)).unwrap().sqr().unwrap().mean_all().unwrap();
        optimizer.backward_step(&loss).unwrap();
        losses.push(loss.to_scalar::<f32>().unwrap());
    }
    assert!(losses[7] < 0.7 * losses[0], "{losses:?}");
}

/// `initialize_biases` of YOLOX's head: objects and classes begin at a probability of 0.01, boxes as other convolutions.
#[test]
fn likelihoods_begin_small_and_boxes_do_not() {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    Yolox::new(Variant::named("baseline").unwrap(), CLASSES, vb).unwrap();
    let variables = variables.data().lock().unwrap();
    for (kind, is_likelihood) in [("obj", true), ("cls", true), ("reg", false)] {
        for level in 0..3 {
            let bias = variables[&format!("head.{kind}_preds.{level}.bias")].to_vec1::<f32>().unwrap();
            let is_prior = |bias: &f32| (bias + 99f32.ln()).abs() < 1e-5;
            assert!(bias.iter().all(|bias| is_prior(bias) == is_likelihood), "{kind} {level}: {bias:?}");
        }
    }
}

/// This project's kernels are for single precision.
#[test]
fn double_precision_is_computed_by_candles_operations() {
    let variant = Variant::named("baseline").unwrap();
    let (single, variables) = network(variant);
    let doubled = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
    let tensors = variables.data().lock().unwrap().iter().map(|(name, var)| (name.clone(), doubled(var))).collect();
    let double = Yolox::new(variant, CLASSES, VarBuilder::from_tensors(tensors, DType::F64, &Device::Cpu)).unwrap();
    let found = double.forward(&doubled(&images(1))).unwrap();
    assert_eq!(found.dtype(), DType::F64);
    assert!(difference(&found.to_dtype(DType::F32).unwrap(), &single.forward(&images(1)).unwrap()) < 1e-4);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (network, _) = network(Variant::named("baseline").unwrap());
    for shape in [[1, 3, 64, 60], [1, 1, 64, 64], [1, 3, 0, 64], [0, 3, 64, 64]] {
        let error = network.forward(&Tensor::zeros(&shape, DType::F32, &Device::Cpu).unwrap()).unwrap_err();
        assert!(error.to_string().contains("multiples of 32"), "{error}");
    }
    let empty = VarBuilder::from_tensors(std::collections::HashMap::new(), DType::F32, &Device::Cpu);
    let error = Yolox::new(Variant::named("final").unwrap(), 20, empty).unwrap_err().to_string();
    assert!(error.contains("backbone.backbone.stem.conv.conv.weight"), "{error}");
}
