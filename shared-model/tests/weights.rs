//! Weight files: what is written is read back, and what is wrong with one is said.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use shared_model::{
    Channels, ColourOrder, Detector, FORMAT_VERSION, Image, Metadata, NEWEST_FORMAT_VERSION, Network, NormState,
    VARIANTS, Variant, WeightPrecision, WeightTensor, Weights, WeightsError,
};

/// Reproducible numbers between -1 and 1.
fn numbers(seed: usize, count: usize) -> impl Iterator<Item = f32> {
    (0..count).map(move |i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0)
}

fn weights(variant: &str, norm: NormState) -> Weights {
    let classes = ["cat", "dog", "horse"].map(String::from).to_vec();
    let graph = Variant::named(variant).unwrap().graph(classes.len());
    let mut tensors = BTreeMap::new();
    for (i, parameter) in graph.parameters(norm).into_iter().enumerate() {
        let count: usize = parameter.shape.iter().product();
        let gain = (1.0 / parameter.shape[1..].iter().product::<usize>() as f32).sqrt();
        let mut values: Vec<f32> = numbers(i, count).map(|value| value * gain).collect();
        if parameter.name.ends_with("running_var") || parameter.name.ends_with("bn.weight") {
            values.iter_mut().for_each(|value| *value = value.abs() + 0.5);
        }
        tensors.insert(parameter.name, WeightTensor { shape: parameter.shape, values });
    }
    let metadata = Metadata {
        format_version: FORMAT_VERSION,
        variant: variant.into(),
        channels: Channels::default(),
        class_names: classes,
        colour_order: ColourOrder::Bgr,
        input_size: 64,
        norm,
        source: "made up".into(),
        training: None,
    };
    Weights { metadata, tensors }
}

fn error(weights: &Weights) -> WeightsError {
    Weights::from_bytes(&weights.to_bytes(WeightPrecision::Single).unwrap()).unwrap_err()
}

#[test]
fn every_variant_is_written_read_and_run() {
    for variant in VARIANTS {
        for norm in [NormState::Separate, NormState::Fused] {
            let weights = weights(variant.name, norm);
            let read = Weights::from_bytes(&weights.to_bytes(WeightPrecision::Single).unwrap()).unwrap();
            assert_eq!(read, weights, "{}", variant.name);

            let half = Weights::from_bytes(&weights.to_bytes(WeightPrecision::Half).unwrap()).unwrap();
            for (name, tensor) in &half.tensors {
                for (a, b) in tensor.values.iter().zip(&weights.tensors[name].values) {
                    assert!((a - b).abs() <= b.abs() / 1024.0 + 1e-6, "{name}: {a}, not {b}");
                }
            }

            let detector = Detector::new(&read).unwrap();
            let pixels = vec![100; 50 * 40 * 3];
            detector.detect(Image::rgb(&pixels, 50, 40).unwrap(), 0.01, 0.45).unwrap();
        }
    }
}

#[test]
fn a_byte_a_number_is_written_and_read() {
    for variant in VARIANTS {
        for norm in [NormState::Separate, NormState::Fused] {
            let weights = weights(variant.name, norm);
            let bytes = weights.to_bytes(WeightPrecision::Int8).unwrap();
            let half = weights.to_bytes(WeightPrecision::Half).unwrap().len();
            assert!(100 * bytes.len() < 70 * half, "{}: {} bytes of {half}", variant.name, bytes.len());
            let read = Weights::from_bytes(&bytes).unwrap();
            assert_eq!(read.metadata, weights.metadata);
            for (name, tensor) in &read.tensors {
                let expected = &weights.tensors[name];
                assert_eq!(tensor.shape, expected.shape);
                let length =
                    |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
                let difference = length(&mut tensor.values.iter().zip(&expected.values).map(|(a, b)| a - b));
                let error = difference / length(&mut expected.values.iter().copied());
                assert!(error < 0.01, "{}: {name}: {error}", variant.name);
            }
        }
    }
}

#[test]
fn a_kernel_whose_scales_are_missing_is_refused() {
    let bytes = weights("baseline", NormState::Separate).to_bytes(WeightPrecision::Int8).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let name = text.split('"').find(|name| name.ends_with(".input_scale")).unwrap();
    let at = bytes.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
    let mut other = bytes.clone();
    other[at + name.len() - 1] = b'f';
    let error = Weights::from_bytes(&other).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains("missing"), "{error}");
    // Kernels in bytes are of the newest version, so that older programs say that they are too old.
    assert!(text.contains(&format!(r#"\"format_version\":{NEWEST_FORMAT_VERSION}"#)), "{}", &text[..300]);
}

/// Training from random weights leaves such variances behind the stem, whose inputs go to 255.
#[test]
fn half_precision_keeps_statistics_that_it_cannot_hold() {
    const VARIANCE: &str = "backbone.backbone.stem.conv.bn.running_var";
    const MEAN: &str = "backbone.backbone.stem.conv.bn.running_mean";
    for variant in &VARIANTS {
        let mut weights = Weights::random(variant, 20, 0);
        // As much as a training writes, and more.
        weights.metadata.training = Some("x".repeat(2000).into());
        let plain = weights.to_bytes(WeightPrecision::Half).unwrap().len();
        for (name, value) in [(VARIANCE, 1e6), (MEAN, -1e5)] {
            weights.tensors.get_mut(name).unwrap().values[3] = value;
        }
        let bytes = weights.to_bytes(WeightPrecision::Half).unwrap();
        assert!(bytes.len() <= plain + 200 && bytes.len() <= 1_910_000, "{}: {} bytes", variant.name, bytes.len());
        let read = Weights::from_bytes(&bytes).unwrap();
        for name in [VARIANCE, MEAN] {
            assert_eq!(read.tensors[name], weights.tensors[name], "{}", variant.name);
        }
        // Written and read once more, nothing changes: what is published can be imported, exported and published again.
        assert_eq!(Weights::from_bytes(&read.to_bytes(WeightPrecision::Half).unwrap()).unwrap(), read);
        let fused = read.fused().unwrap();
        assert!(fused.tensors.values().flat_map(|tensor| &tensor.values).all(|value| value.is_finite()));
        let pixels = vec![100; 50 * 40 * 3];
        Detector::new(&read).unwrap().detect(Image::rgb(&pixels, 50, 40).unwrap(), 0.01, 0.45).unwrap();
    }
}

#[test]
fn parameters_beyond_half_precision_are_named() {
    for norm in [NormState::Separate, NormState::Fused] {
        let mut weights = weights("baseline", norm);
        weights.tensors.get_mut("head.obj_preds.1.bias").unwrap().values[0] = -65_504.0;
        weights.to_bytes(WeightPrecision::Half).unwrap();
        weights.tensors.get_mut("head.obj_preds.1.bias").unwrap().values[0] = -7e4;
        let error = weights.to_bytes(WeightPrecision::Half).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, WeightsError::TooLarge { name, .. } if name == "head.obj_preds.1.bias"), "{message}");
        assert!(message.contains("-7e4") && message.contains("6.5504e4"), "{message}");
        weights.to_bytes(WeightPrecision::Single).unwrap();
    }
    // A training that has diverged is another matter.
    let mut weights = weights("baseline", NormState::Separate);
    weights.tensors.get_mut("head.obj_preds.1.bias").unwrap().values[0] = f32::INFINITY;
    let read = Weights::from_bytes(&weights.to_bytes(WeightPrecision::Half).unwrap());
    assert!(matches!(read, Err(WeightsError::NotFinite(_))));
}

/// The runtime on shapes other than the weights' own: rectangles, batches, and a run after another size.
#[test]
fn a_batch_is_its_images_one_by_one() {
    let weights = weights("final", NormState::Separate);
    let network = Network::new(&weights.graph().unwrap(), &weights).unwrap();
    for (height, width) in [(64, 96), (32, 32), (96, 64)] {
        let values: Vec<f32> = numbers(7, 2 * 3 * height * width).map(|value| 127.5 * (value + 1.0)).collect();
        let batch = Tensor::from_vec(values, (2, 3, height, width), &Device::Cpu).unwrap();
        let raw = network.forward(&batch).unwrap();
        let anchors = height * width / 64 + height * width / 256 + height * width / 1024;
        assert_eq!(raw.dims(), [2, anchors, 8]);
        for i in 0..2 {
            let one = network.forward(&batch.narrow(0, i, 1).unwrap()).unwrap();
            let expected = raw.narrow(0, i, 1).unwrap();
            assert_eq!(one.to_vec3::<f32>().unwrap(), expected.to_vec3::<f32>().unwrap());
        }
    }
    for shape in [(1, 3, 33, 32), (1, 1, 32, 32), (1, 3, 0, 32)] {
        let wrong = Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        let error = network.forward(&wrong).unwrap_err().to_string();
        assert!(error.contains("multiples of 32"), "{error}");
    }
}

#[test]
fn missing_extra_and_misshapen_tensors_are_named() {
    let mut weights = weights("baseline", NormState::Fused);
    let moved = weights.tensors.remove("head.stems.1.conv.weight").unwrap();
    weights.tensors.insert("head.stems.9.conv.weight".into(), moved);
    weights.tensors.get_mut("head.obj_preds.0.weight").unwrap().shape = vec![64, 1, 1, 1];
    let message = error(&weights).to_string();
    for part in [
        "do not fit the variant \"baseline\"",
        "\"head.stems.1.conv.weight\" is missing",
        "\"head.stems.9.conv.weight\" does not belong",
        "\"head.obj_preds.0.weight\" has shape [64, 1, 1, 1] instead of [1, 64, 1, 1]",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn weights_of_another_variant_are_refused_in_a_sentence() {
    let mut weights = weights("dw7", NormState::Fused);
    weights.metadata.variant = "final".into();
    let message = error(&weights).to_string();
    assert!(message.contains("and ") && message.contains(" more") && message.len() < 1000, "{message}");
    weights.metadata.variant = "yolov9".into();
    assert!(error(&weights).to_string().contains("the variants are baseline, dw3"));
}

#[test]
fn damaged_bytes_are_refused() {
    let bytes = weights("baseline", NormState::Fused).to_bytes(WeightPrecision::Half).unwrap();
    for cut in [0, 1, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        let error = Weights::from_bytes(&bytes[..cut]).unwrap_err();
        assert!(matches!(error, WeightsError::NotSafetensors(_)), "{cut}: {error}");
    }
    assert!(matches!(Weights::from_bytes(b"<!doctype html><html>"), Err(WeightsError::NotSafetensors(_))));
    let foreign = safetensors::serialize(Vec::<(&str, safetensors::tensor::TensorView<'_>)>::new(), None).unwrap();
    assert!(matches!(Weights::from_bytes(&foreign), Err(WeightsError::NoMetadata)));
}

#[test]
fn impossible_contents_are_refused() {
    let good = weights("baseline", NormState::Fused);
    let mut bad = good.clone();
    bad.tensors.get_mut("head.obj_preds.0.bias").unwrap().values[0] = f32::NAN;
    assert!(matches!(error(&bad), WeightsError::NotFinite(name) if name == "head.obj_preds.0.bias"));

    let change = |change: fn(&mut Metadata)| {
        let mut bad = good.clone();
        change(&mut bad.metadata);
        error(&bad)
    };
    assert!(matches!(change(|m| m.format_version = NEWEST_FORMAT_VERSION + 1), WeightsError::Newer(_)));
    assert!(matches!(change(|m| m.class_names.clear()), WeightsError::Inconsistent(_)));
    assert!(matches!(change(|m| m.class_names[0] = "dog".into()), WeightsError::Inconsistent(_)));
    assert!(matches!(change(|m| m.input_size = 415), WeightsError::Inconsistent(_)));
    assert!(matches!(change(|m| m.input_size = 0), WeightsError::Inconsistent(_)));
}
