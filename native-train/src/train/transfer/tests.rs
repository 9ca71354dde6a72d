use shared_model::Variant;

use super::*;

fn random(variant: &str, classes: &[&str], seed: u64) -> Weights {
    let mut weights = Weights::random(Variant::named(variant).unwrap(), classes.len(), seed);
    weights.metadata.class_names = classes.iter().map(ToString::to_string).collect();
    // Statistics and gains that differ from the initial ones.
    for (name, tensor) in &mut weights.tensors {
        if name.contains(".bn.") {
            tensor.values.iter_mut().enumerate().for_each(|(i, value)| *value += 0.01 * (i as f32 + seed as f32));
        }
    }
    weights
}

fn run(to: &str, from: &str) -> (Weights, Weights, TransferReport) {
    let from = random(from, &["cat", "couch"], 1);
    let (weights, report) = transfer(&random(to, &["sofa", "cow", "cat"], 2), &from).unwrap();
    weights.check(&weights.graph().unwrap()).unwrap();
    let layers: usize = report.layers.values().map(Vec::len).sum();
    let graph = weights.graph().unwrap();
    let with_parameters = graph.layers.iter().filter(|layer| matches!(layer.op, Op::Conv(_)));
    assert_eq!(layers, with_parameters.count(), "{to}: every layer has a fate");
    (weights, from, report)
}

fn names(report: &TransferReport, fate: Fate) -> Vec<&str> {
    report.layers.get(&fate).into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn the_same_variant_with_other_classes() {
    let (weights, from, report) = run("baseline", "baseline");
    for (name, tensor) in &weights.tensors {
        if !name.starts_with("head.cls_preds") {
            assert_eq!(tensor, &from.tensors[name], "{name}");
        }
    }
    let target = random("baseline", &["sofa", "cow", "cat"], 2);
    for (field, size) in [("weight", 64), ("bias", 1)] {
        let name = format!("head.cls_preds.1.{field}");
        let row = |weights: &Weights, class: usize| weights.tensors[&name].values[class * size..][..size].to_vec();
        assert_eq!(row(&weights, 0), row(&from, 1), "sofa was couch");
        assert_eq!(row(&weights, 1), row(&target, 1), "cow is new");
        assert_eq!(row(&weights, 2), row(&from, 0), "cat");
    }
    assert!(report.same_function());
    assert_eq!(names(&report, Fate::ByClass), ["head.cls_preds.0", "head.cls_preds.1", "head.cls_preds.2"]);
    let text = report.to_string();
    assert!(text.contains("2 of 3 classes; random: cow"), "{text}");
}

#[test]
fn the_same_variant_with_the_same_classes_is_a_copy() {
    let from = random("final", &["a", "b"], 1);
    let (weights, report) = transfer(&random("final", &["a", "b"], 2), &from).unwrap();
    assert_eq!(weights.tensors, from.tensors);
    assert_eq!(report.layers.keys().collect::<Vec<_>>(), [&Fate::Copied]);
}

#[test]
fn wider_kernels_have_the_narrower_ones_at_their_centre() {
    let (weights, from, report) = run("dw7", "baseline");
    let name = "head.reg_convs.0.1.dconv.conv.weight";
    let (wide, narrow) = (&weights.tensors[name], &from.tensors[name]);
    assert_eq!((wide.shape.as_slice(), narrow.shape.as_slice()), (&[64, 1, 5, 5][..], &[64, 1, 3, 3][..]));
    for channel in 0..64 {
        for y in 0..5usize {
            for x in 0..5usize {
                let inside = (1..4).contains(&y) && (1..4).contains(&x);
                let expected = if inside { narrow.values[channel * 9 + (y - 1) * 3 + x - 1] } else { 0.0 };
                assert_eq!(wide.values[channel * 25 + y * 5 + x], expected, "{channel} {y} {x}");
            }
        }
    }
    assert!(names(&report, Fate::Centred).contains(&"head.reg_convs.0.1.dconv"));
    // dw7's blocks have lost their pointwise half.
    assert!(names(&report, Fate::Approximate).contains(&"backbone.C3_p4.m.0.conv2.dconv"), "{report}");
    assert!(!report.same_function());
    assert!(names(&report, Fate::Random).is_empty(), "{report}");
}

#[test]
fn mixed_kernels_take_their_chunk_of_channels() {
    let (weights, from, report) = run("mdconv", "baseline");
    let base = "backbone.backbone.dark4.1.m.2.conv2";
    let source = &from.tensors[&format!("{base}.dconv.conv.weight")].values;
    for (chunk, k) in [3usize, 5, 7, 9].into_iter().enumerate() {
        let mixed = &weights.tensors[&format!("{base}.layers.{chunk}.weight")];
        assert_eq!(mixed.shape, [16, 1, k, k]);
        for channel in 0..16 {
            let of_channel = &mixed.values[channel * k * k..][..k * k];
            let source = &source[(chunk * 16 + channel) * 9..][..9];
            assert_eq!(of_channel[k * k / 2], source[4], "the middle");
            let sum = |values: &[f32]| values.iter().map(|value| value.abs()).sum::<f32>();
            assert!((sum(of_channel) - sum(source)).abs() < 1e-6, "nothing but the source");
        }
    }
    for field in ["weight", "bias", "running_mean", "running_var"] {
        assert_eq!(weights.tensors[&format!("{base}.bn.{field}")], from.tensors[&format!("{base}.dconv.bn.{field}")]);
    }
    assert!(names(&report, Fate::Approximate).contains(&base));
    // And back: the middle of each channel is that of its chunk.
    let (back, mixed, _) = run("dw7", "mdconv");
    let plain = &back.tensors[&format!("{base}.dconv.conv.weight")].values;
    // 9 wide does not fit into 7: the whole layer stays random.
    assert_ne!(plain[24], mixed.tensors[&format!("{base}.layers.0.weight")].values[4]);
}

#[test]
fn channels_that_share_an_input_take_the_same_kernel() {
    let (weights, from, report) = run("final", "baseline");
    let name = "backbone.backbone.dark3.0.dconv";
    let (wide, narrow) =
        (&weights.tensors[&format!("{name}.conv.weight")], &from.tensors[&format!("{name}.conv.weight")]);
    assert_eq!((wide.shape[0], narrow.shape[0]), (64, 32));
    for channel in 0..64 {
        assert_eq!(wide.values[channel * 49 + 24], narrow.values[channel / 2 * 9 + 4]);
    }
    assert!(names(&report, Fate::Approximate).contains(&name));
}

#[test]
fn what_is_new_in_fpn2_is_silent_at_first() {
    let (weights, _, report) = run("fpn2", "baseline");
    assert_eq!(names(&report, Fate::Silent), ["backbone.bu_conv3.dconv", "backbone.bu_conv3.pconv"]);
    assert!(weights.tensors["backbone.bu_conv3.pconv.bn.weight"].values.iter().all(|&gain| gain == 0.0));
    assert!(report.same_function(), "{report}");
}

#[test]
fn other_backbones_and_folded_weights() {
    let (_, _, report) = run("ghost", "baseline");
    assert!(names(&report, Fate::Silent).is_empty(), "nothing there is added to something taken over");
    assert!(names(&report, Fate::Copied).contains(&"head.stems.0"));
    assert!(names(&report, Fate::Random).iter().all(|name| name.starts_with("backbone.backbone.")), "{report}");
    let folded = random("baseline", &["a"], 1).fused().unwrap();
    let error = transfer(&random("baseline", &["a"], 2), &folded).unwrap_err();
    assert!(format!("{error:#}").contains("folded"), "{error:#}");
}

/// Same input, same boxes and objectness, whatever the kernels' width: compared through the inference runtime.
#[test]
fn the_report_s_same_function_is_the_runtime_s() {
    use candle_core::{Device, Tensor};
    let (weights, from, report) = run("fpn2", "baseline");
    assert!(report.same_function());
    let input = Tensor::rand(0f32, 255.0, (1, 3, 64, 64), &Device::Cpu).unwrap();
    let output = |weights: &Weights| {
        let network = shared_model::Network::new(&weights.graph().unwrap(), weights).unwrap();
        network.forward(&input).unwrap().narrow(2, 0, 5).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    for (a, b) in output(&weights).into_iter().zip(output(&from)) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}
