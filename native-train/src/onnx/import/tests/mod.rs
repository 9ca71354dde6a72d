//! Recognition of YOLOX-nano and its variants, and refusal of everything else.

mod spellings;

use std::collections::HashMap;

use prost::Message;
use shared_model::{VARIANTS, Variant, WeightTensor, Weights};

use super::super::focus::narrow;
use super::super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, data_type};
use super::super::{Export, OutputForm, export};
use super::{ImportError, Source};

const CLASSES: usize = 3;

fn weights(variant: &str) -> Weights {
    Weights::random(Variant::named(variant).unwrap(), CLASSES, 0).fused().unwrap()
}

/// A file that says nothing about itself, and whose values have names that say nothing either.
fn foreign(weights: &Weights, output: OutputForm) -> ModelProto {
    let bytes = export(weights, &Export { batch: 1, height: 64, width: 64, output }).unwrap();
    let mut model = ModelProto::decode(&bytes[..]).unwrap();
    model.metadata_props.clear();
    let graph = model.graph.as_mut().unwrap();
    let mut numbers = HashMap::new();
    let mut rename = |name: &mut String| {
        let next = numbers.len();
        *name = format!("{}", numbers.entry(name.clone()).or_insert(next));
    };
    for node in &mut graph.node {
        node.name = None;
        node.input.iter_mut().chain(&mut node.output).for_each(&mut rename);
    }
    let infos = graph.input.iter_mut().chain(&mut graph.output).map(|info| &mut info.name);
    infos.chain(graph.initializer.iter_mut().map(|tensor| &mut tensor.name)).flatten().for_each(rename);
    model
}

/// The baseline as Megvii's files spell it: with slices in front of the first convolution.
fn model() -> ModelProto {
    let weights = weights("baseline");
    let mut model = foreign(&weights, OutputForm::Yolox);
    let graph = model.graph.as_mut().unwrap();
    for (name, value) in [("first", 0), ("second", 1), ("end", i64::MAX), ("rows", 2), ("columns", 3)] {
        graph.initializer.push(integers(name, &[value]));
    }
    let image = graph.node[0].input[0].clone();
    let mut nodes = Vec::new();
    let quarters = ["top left", "bottom left", "top right", "bottom right"];
    for quarter in quarters {
        let row = if quarter.contains("top") { "first" } else { "second" };
        let column = if quarter.contains("left") { "first" } else { "second" };
        let rows = format!("rows of {quarter}");
        // 2 is the axis of rows, and the step.
        nodes.push(node("Slice", &[&image, row, "end", "rows", "rows"], &rows));
        nodes.push(node("Slice", &[&rows, column, "end", "columns", "rows"], quarter));
    }
    let mut joined = node("Concat", &quarters, "joined");
    let mut stem = graph.node.remove(0);
    joined.attribute.push(int("axis", 1));
    nodes.push(joined);
    stem.input[0] = "joined".into();
    for attribute in &mut stem.attribute {
        match attribute.name.as_deref() {
            Some("kernel_shape") => attribute.ints = vec![3; 2],
            Some("strides") => attribute.ints = vec![1; 2],
            Some("pads") => attribute.ints = vec![1; 4],
            _ => {}
        }
    }
    let kernel = graph.initializer.iter_mut().find(|tensor| tensor.name.as_ref() == Some(&stem.input[1])).unwrap();
    let original = &weights.tensors["backbone.backbone.stem.conv.conv.weight"];
    kernel.dims = original.shape.iter().map(|&size| size as i64).collect();
    kernel.raw_data = Some(original.values.iter().flat_map(|value| value.to_le_bytes()).collect());
    nodes.push(stem);
    graph.node.splice(..0, nodes);
    model
}

fn bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: vec![values.len() as i64],
        data_type: Some(data_type::INT64),
        int64_data: values.to_vec(),
        ..Default::default()
    }
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: inputs.iter().map(|&input| input.into()).collect(),
        output: vec![output.into()],
        ..Default::default()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.into()), i: Some(value), ..Default::default() }
}

fn import(bytes: &[u8], class_names: Option<Vec<String>>, name: &str) -> Result<Weights, ImportError> {
    super::import(bytes, &Source { name, folder: None, class_names })
}

fn names() -> Option<Vec<String>> {
    Some(["a", "b", "c"].map(String::from).to_vec())
}

/// The complaint about the network after a change.
fn refusal(change: impl FnOnce(&mut GraphProto)) -> String {
    let mut model = model();
    change(model.graph.as_mut().unwrap());
    import(&bytes(&model), names(), "").expect_err("another network was taken for Megvii's").to_string()
}

fn nth(graph: &GraphProto, op: &str, n: usize) -> usize {
    let mut found = graph.node.iter().enumerate().filter(|(_, node)| node.op_type.as_deref() == Some(op));
    found.nth(n).expect("the file has so many of these operations").0
}

#[test]
fn every_variant_is_recognised_and_every_parameter_gets_its_numbers() {
    for variant in &VARIANTS {
        let weights = weights(variant.name);
        for output in [OutputForm::Raw, OutputForm::Yolox, OutputForm::Decoded] {
            let imported = import(&bytes(&foreign(&weights, output)), names(), "x.onnx").unwrap();
            assert_eq!(imported.metadata.variant, variant.name);
            assert!(imported.tensors == weights.tensors, "{}, {output:?}", variant.name);
        }
    }
}

#[test]
fn megviis_spelling_is_recognised() {
    let imported = import(&bytes(&model()), names(), "x.onnx").unwrap();
    assert_eq!((imported.metadata.input_size, imported.metadata.source.as_str()), (64, "imported from x.onnx"));
    assert!(imported.tensors == weights("baseline").tensors);
}

#[test]
fn kernels_over_the_image_are_found_again() {
    let values = (0..2 * 12 * 9).map(|value| value as f32).collect();
    let kernels = WeightTensor { shape: vec![2, 12, 3, 3], values };
    let wide = super::super::focus::widen(&kernels);
    assert_eq!(wide.shape, [2, 3, 6, 6]);
    assert_eq!(narrow(&wide, &kernels.shape), kernels);
    // The centre of the quarter at the bottom left, first colour, is one row below the centre of that at the top left.
    assert_eq!((wide.values[2 * 6 + 2], wide.values[3 * 6 + 2]), (4.0, 3.0 * 9.0 + 4.0));
}

#[test]
fn what_a_file_says_about_itself_is_kept_and_checked() {
    let mut weights = weights("ghost");
    (weights.metadata.input_size, weights.metadata.training) = (320, Some("recipe".into()));
    let file = |weights: &Weights| {
        export(weights, &Export { batch: 2, height: 96, width: 64, output: OutputForm::Yolox }).unwrap()
    };
    assert_eq!(import(&file(&weights), None, "x.onnx").unwrap(), weights);
    assert_eq!(import(&file(&weights), names(), "").unwrap().metadata.class_names, ["a", "b", "c"]);
    let mut model = ModelProto::decode(&file(&weights)[..]).unwrap();
    for entry in &mut model.metadata_props {
        entry.value = Some("damaged".into());
    }
    assert!(matches!(import(&bytes(&model), None, ""), Err(ImportError::Metadata(_))));
}

#[test]
fn class_names_must_be_known() {
    let bytes = bytes(&model());
    let unnamed = import(&bytes, None, "").unwrap_err();
    assert!(matches!(&unnamed, ImportError::UnnamedClasses(classes) if classes.0 == CLASSES), "{unnamed}");
    let two = import(&bytes, Some(vec!["a".into(), "b".into()]), "").unwrap_err();
    assert!(matches!(two, ImportError::ClassNames { classes: CLASSES, names: 2 }), "{two}");
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
        ("SiLU", refusal(|g| replace(g, "Mul", 0, "Add")), "without SiLU"),
        ("order of a join", refusal(|g| swap(g, "Concat", 1)), "\"backbone.backbone.dark2.1.m.0.conv1\""),
        ("pooling", refusal(|g| attribute(g, "MaxPool", 1, "kernel_shape", &[7, 7])), "kernel [7, 7]"),
        ("order of pooling", refusal(|g| swap(g, "Concat", 4)), "\"backbone.backbone.dark5.1.concat\""),
        ("average", refusal(|g| replace(g, "MaxPool", 0, "AveragePool")), "\"backbone.backbone.dark5.1.pool5\""),
        ("shape", refusal(|g| attribute(g, "Transpose", 0, "perm", &[0, 1, 2])), "an output of shape [1, 8, 84]"),
        ("output", refusal(|g| swap(g, "Concat", 14)), "joining of the predictions"),
    ] {
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn operations_beyond_the_network_are_refused() {
    let error = refusal(|graph| {
        let last = graph.node.last_mut().unwrap();
        let output = std::mem::replace(&mut last.output[0], "before".into());
        graph.node.push(node("Relu", &["before"], &output));
    });
    assert!(error.contains("something else is made of the predictions"), "{error}");
    let error = refusal(|graph| {
        let first = graph.node.iter_mut().find(|node| node.op_type.as_deref() == Some("Conv")).unwrap();
        let output = std::mem::replace(&mut first.output[0], "before".into());
        graph.node.insert(9, node("Conv", &["joined", "w", "b"], "joined again"));
        graph.node.insert(11, node("Tanh", &["before"], &output));
    });
    assert!(error.contains("backbone.backbone.stem.conv"), "{error}");
    let mut model = model();
    model.graph.as_mut().unwrap().node[5].domain = Some("com.microsoft".into());
    let error = import(&bytes(&model), names(), "").unwrap_err().to_string();
    assert!(error.contains("com.microsoft") && error.contains("onnxslim"), "{error}");
}

#[test]
fn other_inputs_are_refused() {
    for (height, shown) in
        [(Some(80), "(1, 3, 80, 64)"), (Some(1 << 40), "1099511627776"), (Some(32), "joining of the predictions")]
    {
        let error = refusal(|graph| {
            let shape = graph.input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().shape.as_mut().unwrap();
            shape.dim[2].dim_value = height;
        });
        assert!(error.contains(shown), "{error}");
    }
}

#[test]
fn damaged_and_foreign_bytes_are_refused() {
    let whole = bytes(&model());
    for (what, bytes) in [
        ("empty", &[][..]),
        ("text", b"<!DOCTYPE html><html><body>404: not found</body></html>"),
        ("zeros", &[0; 1000]),
        ("weights", &include_bytes!("../../../../../models/yolox_nano_coco.safetensors")[..2000]),
    ] {
        let error = import(bytes, names(), "").expect_err(what);
        assert!(matches!(error, ImportError::NotOnnx(_)), "{what}: {error}");
    }
    for part in 0..40 {
        let error = import(&whole[..whole.len() * part / 40], names(), "");
        assert!(error.is_err(), "{part}/40 of the file");
    }
}
