//! The same network as other programs spell it.

use std::collections::HashSet;

use super::super::super::proto::{StringStringEntryProto, TensorShapeProto, ValueInfoProto};
use super::*;

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: Some(name.into()), ints: values.to_vec(), ..Default::default() }
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { name: Some(name.into()), s: Some(value.into()), ..Default::default() }
}

fn floats(name: &str, shape: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: shape.to_vec(),
        data_type: Some(data_type::FLOAT),
        float_data: values.to_vec(),
        ..Default::default()
    }
}

impl NodeProto {
    fn with(mut self, attribute: AttributeProto) -> Self {
        self.attribute.push(attribute);
        self
    }
}

fn is(node: &NodeProto, op: &str) -> bool {
    node.op_type.as_deref() == Some(op)
}

/// Puts, in place of every operation called `op`, what `change` makes of it.
fn replace(graph: &mut GraphProto, op: &str, mut change: impl FnMut(usize, NodeProto) -> Vec<NodeProto>) {
    let mut count = 0;
    let mut changed = |node: NodeProto| {
        if !is(&node, op) {
            return vec![node];
        }
        count += 1;
        change(count - 1, node)
    };
    graph.node = std::mem::take(&mut graph.node).into_iter().flat_map(&mut changed).collect();
    assert!(count > 0, "there is no {op}");
}

/// Takes the numbers of a constant out of the graph.
fn numbers(graph: &mut GraphProto, name: &str) -> TensorProto {
    let place = graph.initializer.iter().position(|tensor| tensor.name.as_deref() == Some(name)).unwrap();
    graph.initializer.remove(place)
}

fn reals(tensor: &TensorProto) -> Vec<f32> {
    tensor.raw_data.as_ref().unwrap().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn sides(graph: &mut GraphProto) -> &mut TensorShapeProto {
    graph.input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().shape.as_mut().unwrap()
}

/// Replaces space-to-depth, the first nine operations, by others that end in `joined`.
fn stem(graph: &mut GraphProto, nodes: impl FnOnce(&str) -> Vec<NodeProto>) {
    let image = graph.node[0].input[0].clone();
    graph.node.splice(..9, nodes(&image));
}

fn identities(graph: &mut GraphProto) {
    let nodes = std::mem::take(&mut graph.node);
    for (i, mut next) in nodes.into_iter().enumerate() {
        for (j, input) in next.input.iter_mut().enumerate().filter(|(_, input)| !input.is_empty()) {
            let repeated = format!("again {i} {j}");
            let op = if i % 3 == 0 { "Dropout" } else { "Identity" };
            graph.node.push(node(op, &[input], &repeated));
            *input = repeated;
        }
        graph.node.push(next);
    }
}

fn constants_as_operations(graph: &mut GraphProto) {
    let constants = std::mem::take(&mut graph.initializer).into_iter().map(|tensor| {
        let output = tensor.name.clone().unwrap();
        let attribute = AttributeProto { name: Some("value".into()), t: Some(tensor), ..Default::default() };
        node("Constant", &[], &output).with(attribute)
    });
    graph.node.splice(..0, constants);
}

fn constants_as_inputs(graph: &mut GraphProto) {
    for tensor in &graph.initializer {
        let info = ValueInfoProto { name: tensor.name.clone(), r#type: None };
        graph.input.insert(0, info);
    }
}

/// Normalisation that undoes what is done to the kernels.
fn normalisation(graph: &mut GraphProto) {
    let mut added = Vec::new();
    let mut kernels = HashMap::new();
    replace(graph, "Conv", |i, mut conv| {
        if i >= 100 {
            return vec![conv];
        }
        let output = std::mem::replace(&mut conv.output[0], format!("sums {i}"));
        let bias = conv.input.pop().unwrap();
        kernels.insert(conv.input[1].clone(), 0.5);
        let parts: Vec<String> =
            ["scale", "shift", "mean", "variance"].iter().map(|what| format!("{what} {i}")).collect();
        added.push((bias, parts.clone()));
        let inputs: Vec<&str> = [&conv.output[0]].into_iter().chain(&parts).map(String::as_str).collect();
        let epsilon = AttributeProto { name: Some("epsilon".into()), f: Some(0.25), ..Default::default() };
        let norm = node("BatchNormalization", &inputs, &output).with(epsilon);
        vec![conv, norm]
    });
    for tensor in &mut graph.initializer {
        if let Some(factor) = tensor.name.as_ref().and_then(|name| kernels.get(name)) {
            let halved = reals(tensor).into_iter().map(|value| value * factor);
            tensor.raw_data = Some(halved.flat_map(f32::to_le_bytes).collect());
        }
    }
    for (bias, parts) in added {
        let bias = reals(&numbers(graph, &bias));
        let channels = [bias.len() as i64];
        // Twice (x - 1) and the bias and 2, by the root of a quarter.
        let shift: Vec<f32> = bias.iter().map(|bias| bias + 2.0).collect();
        for (name, values) in
            parts.iter().zip([vec![1.0; bias.len()], shift, vec![1.0; bias.len()], vec![0.0; bias.len()]])
        {
            graph.initializer.push(floats(name, &channels, &values));
        }
    }
}

/// Biases as sums and factors of channels behind convolutions without.
fn sums_and_factors(graph: &mut GraphProto) {
    let mut biases = Vec::new();
    replace(graph, "Conv", |i, mut conv| {
        if i >= 100 {
            return vec![conv];
        }
        let [sums, twice, half] = ["sums", "twice", "half"].map(|what| format!("{what} {i}"));
        let output = std::mem::replace(&mut conv.output[0], sums.clone());
        let bias = conv.input.pop().unwrap();
        biases.push(bias.clone());
        vec![
            conv,
            node("Mul", &["two", &sums], &twice),
            node("Div", &[&twice, "two"], &half),
            node("Add", &[&half, &bias], &output),
        ]
    });
    graph.initializer.push(floats("two", &[], &[2.0]));
    for tensor in &mut graph.initializer {
        if tensor.name.as_ref().is_some_and(|name| biases.contains(name)) {
            tensor.dims = vec![tensor.dims[0], 1, 1];
        }
    }
}

fn swish(graph: &mut GraphProto) {
    let gates: HashMap<String, String> = graph
        .node
        .iter()
        .filter(|node| is(node, "Sigmoid"))
        .map(|node| (node.output[0].clone(), node.input[0].clone()))
        .collect();
    replace(graph, "Mul", |_, mul| match gates.get(&mul.input[1]) {
        Some(value) => vec![node("Swish", &[value], &mul.output[0])],
        None => vec![mul],
    });
}

fn slices_at_once(graph: &mut GraphProto) {
    graph.initializer.extend([integers("both", &[2, -1]), integers("twos", &[2, 2]), integers("ends", &[64, 9999])]);
    for (name, start) in [("tl", [0, 0]), ("bl", [1, 0]), ("tr", [0, 1]), ("br", [1, 1])] {
        graph.initializer.push(integers(name, &start));
    }
    stem(graph, |image| {
        let quarter = |start: &str| node("Slice", &[image, start, "ends", "both", "twos"], &format!("quarter {start}"));
        let mut nodes: Vec<NodeProto> = ["tr", "tl", "br", "bl"].map(quarter).into();
        let quarters = ["quarter tl", "quarter bl", "quarter tr", "quarter br"];
        nodes.push(node("Concat", &quarters, "joined").with(int("axis", -3)));
        nodes
    });
}

fn columns_first_and_shared(graph: &mut GraphProto) {
    stem(graph, |image| {
        let slice =
            |from: &str, start: &str, axis: &str, to: &str| node("Slice", &[from, start, "end", axis, "rows"], to);
        let mut nodes = vec![slice(image, "first", "columns", "left"), slice(image, "second", "columns", "right")];
        for side in ["left", "right"] {
            nodes.push(slice(side, "first", "rows", &format!("top {side}")));
            nodes.push(slice(side, "second", "rows", &format!("bottom {side}")));
        }
        let quarters = ["top left", "bottom left", "top right", "bottom right"];
        nodes.push(node("Concat", &quarters, "joined").with(int("axis", 1)));
        nodes
    });
}

fn squares_by_reshaping(graph: &mut GraphProto) {
    graph.initializer.extend([integers("six", &[1, 3, 32, 2, 32, 2]), integers("four", &[0, 12, 32, -1])]);
    stem(graph, |image| {
        vec![
            node("Reshape", &[image, "six"], "squares"),
            node("Transpose", &["squares"], "sorted").with(ints("perm", &[0, 5, 3, 1, 2, 4])),
            node("Reshape", &["sorted", "four"], "joined"),
        ]
    });
}

fn squares_by_an_operation(graph: &mut GraphProto) {
    // Row and column of the quarter, then colour: top right and bottom left change places.
    graph.initializer.push(integers("order", &[0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11]));
    stem(graph, |image| {
        vec![
            node("SpaceToDepth", &[image], "squares").with(int("blocksize", 2)),
            node("Gather", &["squares", "order"], "joined").with(int("axis", 1)),
        ]
    });
}

fn slices_by_settings(graph: &mut GraphProto) {
    stem(graph, |image| {
        let mut nodes = vec![node("Transpose", &[image], "turned").with(ints("perm", &[0, 1, 3, 2]))];
        let mut quarters = Vec::new();
        for (start, name) in [([0, 0], "a"), ([0, 1], "b"), ([1, 0], "c"), ([1, 1], "d")] {
            let slice =
                node("Slice", &["turned"], name).with(ints("starts", &start)).with(ints("ends", &[64, i64::MAX]));
            nodes.push(slice.with(ints("axes", &[2, 3])).with(ints("steps", &[2, 2])));
            nodes.push(node("Transpose", &[name], &format!("{name} back")).with(ints("perm", &[0, 1, 3, 2])));
            quarters.push(format!("{name} back"));
        }
        let quarters: Vec<&str> = quarters.iter().map(String::as_str).collect();
        nodes.push(node("Concat", &quarters, "joined").with(int("axis", 1)));
        nodes
    });
}

fn upsample(graph: &mut GraphProto) {
    replace(graph, "Resize", |_, resize| {
        vec![node("Upsample", &[&resize.input[0], &resize.input[2]], &resize.output[0]).with(text("mode", "nearest"))]
    });
}

fn resize_of_version_10(graph: &mut GraphProto) {
    replace(graph, "Resize", |_, resize| {
        vec![node("Resize", &[&resize.input[0], &resize.input[2]], &resize.output[0])]
    });
}

fn resize_by_centres(graph: &mut GraphProto) {
    replace(graph, "Resize", |_, mut resize| {
        resize.attribute = vec![text("mode", "nearest"), text("coordinate_transformation_mode", "half_pixel")];
        vec![resize]
    });
}

/// Sizes computed from the input's own, as PyTorch writes for inputs of any size.
fn resize_to_sizes(graph: &mut GraphProto) {
    graph.initializer.extend([
        integers("zero", &[0]),
        integers("one", &[1]),
        integers("two", &[2]),
        integers("last", &[i64::MAX]),
        floats("factor", &[], &[2.0]),
    ]);
    replace(graph, "Resize", |i, mut resize| {
        let name = |what: &str| format!("{what} {i}");
        let mut nodes = vec![
            node("Shape", &[&resize.input[0]], &name("shape")),
            node("Slice", &[&name("shape"), "zero", "two", "zero"], &name("front")),
            node("Slice", &[&name("shape"), "two", "last"], &name("sides")),
            node("Cast", &[&name("sides")], &name("real")).with(int("to", 1)),
            node("Mul", &[&name("real"), "factor"], &name("doubled")),
            node("Floor", &[&name("doubled")], &name("floor")),
            node("Cast", &[&name("floor")], &name("whole")).with(int("to", 7)),
            node("Concat", &[&name("front"), &name("whole")], &name("sizes")).with(int("axis", 0)),
        ];
        resize.input = vec![resize.input[0].clone(), String::new(), String::new(), name("sizes")];
        nodes.push(resize);
        nodes
    });
}

/// The rows of levels by arithmetic on shapes.
fn reshape_by_arithmetic(graph: &mut GraphProto) {
    let index = TensorProto { dims: vec![], ..integers("index", &[0]) };
    graph.initializer.extend([index, integers("axis", &[0]), integers("rest", &[-1]), integers("values", &[8])]);
    replace(graph, "Reshape", |i, mut reshape| {
        let name = |what: &str| format!("{what} {i}");
        let nodes = vec![
            node("Shape", &[&reshape.input[0]], &name("shape")),
            node("Gather", &[&name("shape"), "index"], &name("images")),
            node("Unsqueeze", &[&name("images"), "axis"], &name("list")),
            node("Concat", &[&name("list"), "values", "rest"], &name("wanted")).with(int("axis", 0)),
        ];
        reshape.input[1] = name("wanted");
        nodes.into_iter().chain([reshape]).collect()
    });
}

/// Each level turned by itself, then joined.
fn turned_before_joining(graph: &mut GraphProto) {
    let last = graph.node.pop().unwrap();
    let mut joined = graph.node.pop().unwrap();
    for (i, input) in joined.input.iter_mut().enumerate() {
        let turned = format!("turned {i}");
        graph.node.push(node("Transpose", &[input], &turned).with(ints("perm", &[0, 2, 1])));
        *input = turned;
    }
    joined.attribute = vec![int("axis", 1)];
    joined.output = last.output;
    graph.node.push(joined);
    replace(graph, "Reshape", |_, reshape| {
        let flat = format!("{} flat", reshape.output[0]);
        // Images and values as one axis, and apart again.
        vec![
            node("Flatten", &[&reshape.input[0]], &flat).with(int("axis", 2)),
            node("Reshape", &[&flat, &reshape.input[1]], &reshape.output[0]),
        ]
    });
}

/// Boxes decoded behind the last operation, by slices of the rows.
fn decoded_by_slices(graph: &mut GraphProto) {
    let output = graph.node.last().unwrap().output[0].clone();
    graph.node.last_mut().unwrap().output[0] = "all rows".into();
    let (mut grid, mut strides) = (Vec::new(), Vec::new());
    for stride in [8, 16, 32] {
        for i in 0..(64 / stride) * (64 / stride) {
            grid.extend([(i % (64 / stride)) as f32, (i / (64 / stride)) as f32]);
            strides.push(stride as f32);
        }
    }
    let anchors = strides.len() as i64;
    graph.initializer.extend(
        [
            floats("grid", &[1, anchors, 2], &grid),
            floats("strides", &[1, anchors, 1], &strides),
            integers("0", &[0]),
            integers("2", &[2]),
            integers("4", &[4]),
            integers("max", &[i64::MAX]),
        ]
        .map(|tensor| TensorProto { name: tensor.name.map(|name| format!("decode {name}")), ..tensor }),
    );
    let slice = |from: &str, to: &str, name: &str| {
        node("Slice", &["all rows", &format!("decode {from}"), &format!("decode {to}"), "decode 2"], name)
    };
    graph.node.extend([
        slice("0", "2", "place"),
        slice("2", "4", "size"),
        slice("4", "max", "others"),
        node("Add", &["place", "decode grid"], "moved"),
        node("Mul", &["moved", "decode strides"], "centre"),
        node("Exp", &["size"], "exp"),
        node("Mul", &["exp", "decode strides"], "sides"),
        node("Concat", &["centre", "sides", "others"], &output).with(int("axis", -1)),
    ]);
}

/// Every operation as late as it can come.
fn other_order(graph: &mut GraphProto) {
    let mut nodes = std::mem::take(&mut graph.node);
    let mut pending: HashSet<String> = nodes.iter().flat_map(|node| node.output.clone()).collect();
    while !nodes.is_empty() {
        let ready = nodes.iter().rposition(|node| node.input.iter().all(|input| !pending.contains(input)));
        let next = nodes.remove(ready.unwrap());
        for output in &next.output {
            pending.remove(output);
        }
        graph.node.push(next);
    }
}

fn unused(graph: &mut GraphProto) {
    let value = graph.node[20].output[0].clone();
    graph.node.insert(21, node("Relu", &[&value], "unused"));
    graph.node.insert(22, node("Conv", &["unused", "of nothing"], "unused too"));
}

fn any_number_of_images(graph: &mut GraphProto) {
    let batch = &mut sides(graph).dim[0];
    (batch.dim_value, batch.dim_param) = (None, Some("batch".into()));
}

fn any_size(graph: &mut GraphProto) {
    for dim in &mut sides(graph).dim {
        dim.dim_value = None;
    }
    reshape_by_arithmetic(graph);
}

fn padding_by_name(graph: &mut GraphProto) {
    replace(graph, "MaxPool", |_, mut pool| {
        pool.attribute.retain(|attribute| attribute.name.as_deref() != Some("pads"));
        vec![pool.with(text("auto_pad", "SAME_UPPER")).with(int("ceil_mode", 1))]
    });
}

fn half_precision(graph: &mut GraphProto) {
    // Numbers that half precision holds.
    sides(graph);
    let kind = graph.input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap();
    kind.elem_type = Some(data_type::FLOAT16);
    for tensor in graph.initializer.iter_mut().filter(|tensor| tensor.data_type == Some(data_type::FLOAT)) {
        let halves = reals(tensor).into_iter().flat_map(|value| half::f16::from_f32(value).to_le_bytes());
        (tensor.data_type, tensor.raw_data) = (Some(data_type::FLOAT16), Some(halves.collect()));
    }
}

/// Largest difference relative to 1 or to the number.
fn difference(a: &Weights, b: &Weights) -> f32 {
    assert!(a.tensors.keys().eq(b.tensors.keys()));
    let pairs = a.tensors.values().zip(b.tensors.values()).flat_map(|(a, b)| a.values.iter().zip(&b.values));
    pairs.map(|(a, b)| (a - b).abs() / (1.0 + a.abs())).fold(0.0, f32::max)
}

type Spelling = (&'static str, fn(&mut GraphProto), f32);

#[test]
fn every_spelling_of_the_network_is_recognised() {
    let spellings: [Spelling; 27] = [
        ("Megvii's", |_| (), 0.0),
        ("identities", identities, 0.0),
        ("constants as operations", constants_as_operations, 0.0),
        ("constants as operations, behind identities", |g| (identities(g), constants_as_operations(g)).0, 0.0),
        ("constants as inputs", constants_as_inputs, 0.0),
        ("normalisation", normalisation, 1e-5),
        ("sums and factors", sums_and_factors, 1e-6),
        ("SiLU as one operation", swish, 0.0),
        ("slices of rows and columns at once", slices_at_once, 0.0),
        ("columns first, slices shared", columns_first_and_shared, 0.0),
        ("slices by settings", slices_by_settings, 0.0),
        ("squares by reshaping", squares_by_reshaping, 0.0),
        ("squares by an operation", squares_by_an_operation, 0.0),
        ("Upsample", upsample, 0.0),
        ("Resize of version 10", resize_of_version_10, 0.0),
        ("Resize by centres", resize_by_centres, 0.0),
        ("Resize to sizes", resize_to_sizes, 0.0),
        ("rows by arithmetic", reshape_by_arithmetic, 0.0),
        ("turned before joining", turned_before_joining, 0.0),
        ("decoded by slices", decoded_by_slices, 0.0),
        ("other order", other_order, 0.0),
        ("unused operations", unused, 0.0),
        ("any number of images", any_number_of_images, 0.0),
        ("any size", any_size, 0.0),
        ("padding by name", padding_by_name, 0.0),
        ("half precision", half_precision, 1e-3),
        (
            "many at once",
            |g| {
                normalisation(g);
                resize_to_sizes(g);
                slices_at_once(g);
                turned_before_joining(g);
                constants_as_operations(g);
                identities(g);
            },
            1e-5,
        ),
    ];
    let weights = weights("baseline");
    for (name, change, tolerance) in spellings {
        let mut model = model();
        change(model.graph.as_mut().unwrap());
        let found = import(&bytes(&model), names(), "").unwrap_or_else(|error| panic!("{name}: {error}"));
        let difference = difference(&weights, &found);
        assert!(difference <= tolerance, "{name}: {difference}");
        let size = if name == "any size" { crate::foreign::DEFAULT_SIDE } else { 64 };
        assert_eq!((found.metadata.variant.as_str(), found.metadata.input_size), ("baseline", size), "{name}");
    }
}

#[test]
fn channels_are_split_and_averaged_in_every_spelling() {
    for (variant, op, change) in [
        (
            "mdconv",
            "Split",
            (|_, mut split| {
                split.attribute.retain(|attribute| attribute.name.as_deref() != Some("split"));
                vec![split]
            }) as fn(usize, NodeProto) -> Vec<NodeProto>,
        ),
        ("ghost", "GlobalAveragePool", |_, pool| {
            vec![node("ReduceMean", &[&pool.input[0]], &pool.output[0]).with(ints("axes", &[2, -1]))]
        }),
    ] {
        let weights = weights(variant);
        let mut model = foreign(&weights, OutputForm::Raw);
        replace(model.graph.as_mut().unwrap(), op, change);
        assert!(import(&bytes(&model), names(), "").unwrap().tensors == weights.tensors, "{variant}");
    }
}

#[test]
fn weights_in_another_file_are_read_from_the_folder_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = model();
    let mut data = vec![0; 16];
    for tensor in model.graph.as_mut().unwrap().initializer.iter_mut().filter(|tensor| tensor.raw_data.is_some()) {
        let raw = tensor.raw_data.take().unwrap();
        let entry = |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
        let (offset, length) = (data.len().to_string(), raw.len().to_string());
        tensor.external_data =
            vec![entry("location", "net.onnx.data".into()), entry("offset", offset), entry("length", length)];
        tensor.data_location = Some(1);
        data.extend(raw);
    }
    let read = |model: &ModelProto| {
        let source = Source { name: "", folder: Some(folder.path()), class_names: names() };
        super::super::import(&bytes(model), &source)
    };
    let missing = read(&model).unwrap_err().to_string();
    assert!(missing.contains("net.onnx.data") && missing.contains("keep both files together"), "{missing}");
    std::fs::write(folder.path().join("net.onnx.data"), &data).unwrap();
    assert!(read(&model).unwrap().tensors == weights("baseline").tensors);
    std::fs::write(folder.path().join("net.onnx.data"), &data[..data.len() / 2]).unwrap();
    let short = read(&model).unwrap_err().to_string();
    assert!(short.contains("cut short"), "{short}");
    for outside in ["../net.onnx.data", "/etc/passwd", ""] {
        for tensor in &mut model.graph.as_mut().unwrap().initializer {
            for entry in tensor.external_data.iter_mut().filter(|entry| entry.key.as_deref() == Some("location")) {
                entry.value = Some(outside.into());
            }
        }
        let error = read(&model).unwrap_err().to_string();
        assert!(error.contains("only in the folder"), "{error}");
    }
}
