//! Recognition of Megvii's network, and refusal of everything else.

use rten_onnx::onnx::{GraphProto, ModelProto};
use rten_onnx::protobuf::{EncodeMessage, ValueWriter};
use shared_model::Variant;

use super::testing::{file, number};
use super::{ImportError, import};

const CLASSES: usize = 3;

fn model() -> ModelProto {
    file(&Variant::named("baseline").unwrap().graph(CLASSES))
}

fn bytes(model: &ModelProto) -> Vec<u8> {
    let mut writer = ValueWriter::new(Vec::new());
    model.encode(&mut writer).unwrap();
    writer.into_inner()
}

fn names() -> Option<Vec<String>> {
    Some(["a", "b", "c"].map(String::from).to_vec())
}

/// The complaint about the network after a change.
fn refusal(change: impl FnOnce(&mut GraphProto)) -> String {
    let mut model = model();
    change(model.graph.as_mut().unwrap());
    import(&bytes(&model), names(), String::new()).expect_err("another network was taken for Megvii's").to_string()
}

fn nth(graph: &GraphProto, op: &str, n: usize) -> usize {
    let mut found = graph.node.iter().enumerate().filter(|(_, node)| node.op_type.as_deref() == Some(op));
    found.nth(n).expect("the file has so many of these operations").0
}

#[test]
fn every_parameter_gets_its_numbers() {
    let weights = import(&bytes(&model()), names(), "test".into()).unwrap();
    assert_eq!((weights.metadata.input_size, weights.metadata.source.as_str()), (64, "test"));
    for (name, tensor) in &weights.tensors {
        for (place, &value) in tensor.values.iter().enumerate() {
            assert_eq!(value, number(name, place), "{name}");
        }
    }
}

#[test]
fn class_names_must_be_known() {
    let bytes = bytes(&model());
    let unnamed = import(&bytes, None, String::new()).unwrap_err();
    assert!(matches!(unnamed, ImportError::UnnamedClasses(CLASSES)), "{unnamed}");
    let two = import(&bytes, Some(vec!["a".into(), "b".into()]), String::new()).unwrap_err();
    assert!(matches!(two, ImportError::ClassNames { classes: CLASSES, names: 2 }), "{two}");
}

#[test]
fn other_variants_are_refused_by_their_first_layer_that_differs() {
    for (variant, layer) in [
        ("dw3", "backbone.backbone.dark2.0.dconv"),
        ("dw7", "backbone.backbone.dark2.1.m.0.conv2.dconv"),
        ("fpn2", "backbone.C3_n3"),
    ] {
        let model = file(&Variant::named(variant).unwrap().graph(CLASSES));
        let error = import(&bytes(&model), names(), String::new()).unwrap_err().to_string();
        assert!(error.contains(&format!("\"{layer}")), "{variant}: {error}");
    }
}

#[test]
fn small_changes_are_refused() {
    let attribute = |graph: &mut GraphProto, op: &str, n: usize, name: &str, values: &[i64]| {
        let node = nth(graph, op, n);
        let attributes = &mut graph.node[node].attribute;
        let attribute = attributes.iter_mut().find(|attribute| attribute.name.as_deref() == Some(name)).unwrap();
        (attribute.i, attribute.ints) = (Some(values[0]), values.to_vec());
    };
    let swap = |graph: &mut GraphProto, op: &str, n: usize| {
        let node = nth(graph, op, n);
        graph.node[node].input.swap(0, 1);
    };
    let replace = |graph: &mut GraphProto, op: &str, n: usize, by: &str| {
        let node = nth(graph, op, n);
        graph.node[node].op_type = Some(by.into());
    };
    for (what, error, expected) in [
        ("colours", refusal(|g| swap(g, "Concat", 0)), "\"backbone.backbone.stem.focus\""),
        ("stride", refusal(|g| attribute(g, "Conv", 0, "strides", &[2, 2])), "stride [2, 2]"),
        ("padding", refusal(|g| attribute(g, "Conv", 1, "pads", &[0; 4])), "padding [0, 0, 0, 0]"),
        ("groups", refusal(|g| attribute(g, "Conv", 1, "group", &[1])), "groups [1]"),
        ("SiLU", refusal(|g| replace(g, "Mul", 3, "Add")), "without SiLU"),
        ("order of a join", refusal(|g| swap(g, "Concat", 1)), "\"backbone.backbone.dark2.1.concat\""),
        ("pooling", refusal(|g| attribute(g, "MaxPool", 1, "kernel_shape", &[7, 7])), "kernel [7, 7]"),
        ("order of pooling", refusal(|g| swap(g, "Concat", 4)), "\"backbone.backbone.dark5.1.concat\""),
        ("average", refusal(|g| replace(g, "MaxPool", 0, "AveragePool")), "\"backbone.backbone.dark5.1.pool5\""),
        ("shape", refusal(|g| attribute(g, "Transpose", 0, "perm", &[0, 1, 2])), "order [0, 1, 2]"),
        ("output", refusal(|g| swap(g, "Concat", 14)), "joining of the predictions"),
    ] {
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn operations_beyond_the_network_are_refused() {
    let error = refusal(|graph| {
        let mut extra = graph.node[0].clone();
        (extra.op_type, extra.output) = (Some("Relu".into()), vec!["extra".into()]);
        graph.node.push(extra);
    });
    assert!(error.contains("left over") && error.contains("Relu"), "{error}");
}

#[test]
fn other_inputs_are_refused() {
    let error = refusal(|graph| {
        let shape = graph.input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().shape.as_mut().unwrap();
        shape.dim[2].dim_value = None;
    });
    assert!(error.contains("input") && error.contains("[1, 3, 0, 64]"), "{error}");
}

#[test]
fn damaged_and_foreign_bytes_are_refused() {
    let whole = bytes(&model());
    for (what, bytes) in [
        ("empty", &[][..]),
        ("text", b"<!DOCTYPE html><html><body>404: not found</body></html>"),
        ("zeros", &[0; 1000]),
        ("weights", &include_bytes!("../../../models/yolox_nano_coco.safetensors")[..2000]),
    ] {
        let error = import(bytes, names(), String::new()).expect_err(what);
        assert!(matches!(error, ImportError::NotOnnx(_)), "{what}: {error}");
    }
    for part in 0..40 {
        let error = import(&whole[..whole.len() * part / 40], names(), String::new());
        assert!(error.is_err(), "{part}/40 of the file");
    }
    // Wherever a byte is wrong, it is refused or only changes numbers, but nothing panics.
    let mut damaged = whole.clone();
    for i in 0..300 {
        let at = i * 7919 % damaged.len().min(40_000);
        damaged[at] ^= 1 << (i % 8);
        let _ = import(&damaged, names(), String::new());
    }
}
