//! What files of all kinds become: weights, or a sentence.

use std::io::Write;

use safetensors::tensor::{Dtype, TensorView, serialize};
use shared_model::{VARIANTS, Variant, WeightPrecision};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

const NAMES: [&str; 3] = ["disc", "square", "star"];

fn source() -> Source<'static> {
    Source { name: "best.pth", folder: None, class_names: Some(NAMES.map(String::from).into()) }
}

fn weights(variant: &str, classes: usize) -> Weights {
    Weights::random(Variant::named(variant).unwrap(), classes, 3)
}

/// Instructions of a pickle, as Python's `pickle` writes them.
#[derive(Default)]
struct Pickled(Vec<u8>);

impl Pickled {
    fn text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn int(&mut self, value: usize) {
        self.0.push(b'J');
        self.0.extend((value as i32).to_le_bytes());
    }

    fn tuple(&mut self, values: &[usize]) {
        self.0.push(b'(');
        values.iter().for_each(|&value| self.int(value));
        self.0.push(b't');
    }

    fn global(&mut self, module: &str, name: &str) {
        self.0.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.0.extend(b")R");
    }

    fn tensor(&mut self, storage: &str, file: usize, shape: &[usize], strides: &[usize]) {
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.0.extend(b"((");
        self.text("storage");
        self.global("torch", storage);
        self.text(&file.to_string());
        self.text("cpu");
        self.int(shape.iter().product());
        self.0.extend(b"tQ");
        self.int(0);
        self.tuple(shape);
        self.tuple(strides);
        self.0.push(0x89);
        self.ordered_dict();
        self.0.extend(b"tR");
    }
}

fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A checkpoint as YOLOX's trainer writes it, with `prefix` before every name.
fn checkpoint(weights: &Weights, key: &str, prefix: &str) -> Vec<u8> {
    let mut files = vec![("archive/version".to_string(), b"3\n".to_vec())];
    let mut pickle = Pickled(vec![0x80, 2, b'}', b'(']);
    pickle.text("start_epoch");
    pickle.int(7);
    pickle.text(key);
    pickle.ordered_dict();
    pickle.0.push(b'(');
    for (i, (name, tensor)) in weights.tensors.iter().enumerate() {
        pickle.text(&format!("{prefix}{name}"));
        let mut strides = vec![1; tensor.shape.len()];
        for axis in (1..strides.len()).rev() {
            strides[axis - 1] = strides[axis] * tensor.shape[axis];
        }
        pickle.tensor("FloatStorage", i, &tensor.shape, &strides);
        if name.ends_with("running_var") {
            pickle.text(&format!("{prefix}{}", name.replace("running_var", "num_batches_tracked")));
            pickle.tensor("LongStorage", 9999, &[], &[]);
        }
        let bytes = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        files.push((format!("archive/data/{i}"), bytes));
    }
    pickle.0.extend(b"uu.");
    files.push(("archive/data.pkl".into(), pickle.0));
    archive(&files)
}

/// The sentence about bytes that cannot be used.
fn refusal(bytes: &[u8]) -> String {
    format!("{:#}", parse(bytes, &source()).unwrap_err())
}

#[test]
fn every_variants_checkpoint_is_read_under_every_key() {
    for (variant, (key, prefix)) in VARIANTS.iter().zip([
        ("model", ""),
        ("ema_model", ""),
        ("state_dict", "model."),
        ("model", "module."),
        ("net", ""),
        ("model_state_dict", ""),
        ("ema", "_orig_mod."),
        ("weights", ""),
    ]) {
        let weights = weights(variant.name, 3);
        let found = parse(&checkpoint(&weights, key, prefix), &source()).unwrap();
        assert_eq!(found.metadata.variant, variant.name);
        assert_eq!((found.metadata.input_size, found.metadata.source.as_str()), (416, "imported from best.pth"));
        assert_eq!(
            (&found.metadata.class_names[..], found.metadata.norm),
            (&NAMES.map(String::from)[..], NormState::Separate)
        );
        assert!(found.tensors == weights.tensors, "{}", variant.name);
    }
}

#[test]
fn classes_get_names_by_their_number() {
    for (classes, last) in [(80, Some("toothbrush")), (20, Some("tvmonitor")), (21, None)] {
        let bytes = checkpoint(&weights("baseline", classes), "model", "");
        let found = parse(&bytes, &Source { class_names: None, ..source() });
        match last {
            Some(last) => assert_eq!(found.unwrap().metadata.class_names.last().unwrap(), last),
            None => {
                let error = found.unwrap_err().to_string();
                assert!(error.contains("21 classes") && error.contains("import FILE --classes"), "{error}");
            }
        }
    }
    let error = refusal(&checkpoint(&weights("baseline", 20), "model", ""));
    assert!(error.contains("20 classes, but 3 names"), "{error}");
}

#[test]
fn safetensors_without_metadata_are_read_by_their_names() {
    let weights = weights("ghost", 3);
    for (norm, tensors) in
        [(NormState::Separate, &weights.tensors), (NormState::Fused, &weights.fused().unwrap().tensors)]
    {
        let bytes: Vec<(String, Vec<u8>)> = tensors
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let views = bytes.iter().map(|(name, bytes)| {
            (name.as_str(), TensorView::new(Dtype::F32, tensors[name].shape.clone(), bytes).unwrap())
        });
        let found = parse(&serialize(views, None).unwrap(), &source()).unwrap();
        assert_eq!((found.metadata.variant.as_str(), found.metadata.norm), ("ghost", norm));
        assert!(found.tensors == *tensors);
    }
}

#[test]
fn other_networks_are_refused_with_the_nearest_variant() {
    let mut large = weights("baseline", 3);
    for tensor in large.tensors.values_mut().filter(|tensor| tensor.shape.len() == 4) {
        tensor.shape[0] *= 2;
        tensor.values = [tensor.values.clone(), tensor.values.clone()].concat();
    }
    let error = refusal(&checkpoint(&large, "model", ""));
    assert!(error.contains("no variant") && error.contains("s, m, l, x") && error.contains("shape"), "{error}");
    let mut other = weights("baseline", 3);
    other.tensors.retain(|name, _| !name.starts_with("head"));
    let error = refusal(&checkpoint(&other, "model", ""));
    assert!(error.contains("head.cls_preds.0.weight") && error.contains("another network"), "{error}");
    let mut diverged = weights("baseline", 3);
    diverged.tensors.get_mut("head.cls_preds.0.bias").unwrap().values[0] = f32::NAN;
    let error = refusal(&checkpoint(&diverged, "model", ""));
    assert!(error.contains("head.cls_preds.0.bias") && error.contains("diverged"), "{error}");
}

#[test]
fn everything_else_gets_its_sentence() {
    let whole = checkpoint(&weights("baseline", 3), "model", "");
    let own = weights("baseline", 3).to_bytes(WeightPrecision::Single).unwrap();
    let file = |name: &str, bytes: &[u8]| (name.to_string(), bytes.to_vec());
    let mut object = Pickled(vec![0x80, 2]);
    object.global("yolox.models.yolox", "YOLOX");
    object.0.extend(b")\x81}b.");
    let mut other = Pickled(vec![0x80, 2, b'}', b'(']);
    other.text("optimizer");
    other.0.extend(b"}u.");
    let mut tar = vec![b'x'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, expected) in [
        (&b""[..], "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3660092\n", "git lfs pull"),
        (b"\n <!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        (b"<html><head><title>404</title></head></html>", "web page"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "gzip"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "7z"),
        (&tar, "tar archive"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "save it anew"),
        (b"Not Found", "Not Found"),
        (b"{\"message\": \"Bad credentials\"}", "Bad credentials"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "JPEG"),
        (&[0; 4096], "zeros"),
        (&[0xc3; 4096], "neither"),
        (&whole[..whole.len() / 2], "cut short"),
        (&whole[..40], "cut short"),
        (&own[..own.len() / 2], "cut short"),
        (&own[..20], "cut short"),
        (&archive(&[file("yolox_nano.onnx", b"x")]), "unpack it first"),
        (&archive(&[file("m/code/__torch__.py", b"x"), file("m/data.pkl", b"x")]), "TorchScript"),
        (&archive(&[file("m/data.pkl", b"\x80\x02}")]), "ends too early"),
        (&archive(&[file("m/data.pkl", &object.0)]), "whole model"),
        (&archive(&[file("m/data.pkl", &other.0)]), "it has: optimizer"),
    ] {
        let error = refusal(bytes);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn the_sentence_names_the_file_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let weights = weights("baseline", 3);
    let path = folder.path().join("weights.onnx");
    std::fs::write(&path, weights.to_bytes(WeightPrecision::Single).unwrap()).unwrap();
    assert_eq!(read(&path, None).unwrap(), weights);
    std::fs::write(&path, "").unwrap();
    let error = format!("{:#}", read(&path, None).unwrap_err());
    assert!(error.contains("weights.onnx") && error.contains("empty"), "{error}");
    let error = format!("{:#}", read(&folder.path().join("none.pth"), None).unwrap_err());
    assert!(error.contains("none.pth cannot be read"), "{error}");
}

#[test]
fn damaged_checkpoints_are_no_panic_and_no_loop() {
    let in_time = |bytes: &[u8]| {
        let start = std::time::Instant::now();
        let _ = parse(bytes, &source());
        assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    };
    let whole = checkpoint(&weights("dw3", 3), "model", "");
    // The list of tensors and the archive's index are at the end.
    let index = whole.windows(8).position(|bytes| bytes == b"data.pkl").unwrap();
    for i in 0..300 {
        let mut damaged = whole.clone();
        let at = index + i * 7919 % (whole.len() - index);
        match i % 3 {
            0 => damaged[at] ^= 1 << (i % 8),
            1 => damaged[at] = 0xff,
            _ => drop(damaged.drain(at..(at + i % 50).min(whole.len()))),
        }
        in_time(&damaged);
    }
    // Of the pickle alone, without the archive's checksums.
    let mut pickle = Pickled(vec![0x80, 2, b'}', b'(']);
    pickle.text("model");
    pickle.ordered_dict();
    pickle.0.push(b'(');
    for name in ["a", "head.cls_preds.0.weight"] {
        pickle.text(name);
        pickle.tensor("FloatStorage", 0, &[2, 2], &[2, 1]);
    }
    pickle.0.extend(b"uu.");
    for i in 0..6 * pickle.0.len() {
        let mut damaged = pickle.0.clone();
        let at = i % damaged.len();
        damaged[at] = damaged[at].wrapping_add((1 + i / damaged.len() * 43) as u8);
        let files = [("m/data.pkl".to_string(), damaged), ("m/data/0".to_string(), vec![0; 16])];
        in_time(&archive(&files));
    }
    // Objects inside of each other, and doubled again and again.
    let deep = [&[0x80, 2, b'}'][..], &[0x85; 1_000_000], b"."].concat();
    let doubled: Vec<u8> = (0..200).flat_map(|i| [b'q', i, b'h', i, 0x86]).collect();
    for bytes in [deep, [&[0x80, 2, b'}'][..], &doubled, b"."].concat()] {
        assert!(refusal(&archive(&[("m/data.pkl".to_string(), bytes)])).contains("whole model"));
    }
}
