//! Same parameters and input, same output as the official PyTorch code, for every variant that has golden numbers.
//!
//! `tests/data/golden` holds four networks (made by Megvii's YOLOX code and the original report's variants of it; the
//! baseline's first image of three); the others are read from the shared folder where that is at hand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use integration_tests::{repository, shared};
use safetensors::SafeTensors;
use shared_model::candle::Yolox;
use shared_model::{
    Channels, ColourOrder, FORMAT_VERSION, Metadata, Network, NormState, Variant, WeightTensor, Weights,
};

struct Golden {
    network: Network,
    /// The same for candle's users: by this project's kernels, and by candle's operations alone.
    modules: [Yolox; 2],
    input: Tensor,
    bytes: Vec<u8>,
}

impl Golden {
    fn read(path: &PathBuf, variant: &str) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |name: &str| file.tensor(name).unwrap().load(&Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        let tensors: BTreeMap<String, WeightTensor> = file
            .names()
            .into_iter()
            .filter_map(|name| Some((name, name.strip_prefix("param.")?)))
            .filter(|(_, parameter)| !parameter.ends_with("num_batches_tracked"))
            .map(|(name, parameter)| {
                let tensor = tensor(name);
                let values = tensor.flatten_all().unwrap().to_vec1().unwrap();
                (parameter.to_string(), WeightTensor { shape: tensor.dims().to_vec(), values })
            })
            .collect();
        let metadata = Metadata {
            format_version: FORMAT_VERSION,
            variant: variant.into(),
            channels: Channels::default(),
            class_names: (0..20).map(|class| class.to_string()).collect(),
            colour_order: ColourOrder::Bgr,
            input_size: 416,
            norm: NormState::Separate,
            source: "golden numbers".into(),
            training: None,
        };
        let graph = Variant::named(variant).unwrap().graph(20);
        let modules = [false, true].map(|plain| {
            let tensors = tensors.iter().map(|(name, tensor)| {
                let values = Tensor::from_slice(&tensor.values, &tensor.shape[..], &Device::Cpu);
                (name.clone(), values.unwrap())
            });
            let vb = VarBuilder::from_tensors(tensors.collect(), DType::F32, &Device::Cpu);
            let mut module = Yolox::new(Variant::named(variant).unwrap(), 20, vb).unwrap();
            module.set_plain(plain);
            module
        });
        let network = Network::new(&graph, &Weights { metadata, tensors }).unwrap();
        let input = tensor("input_bgr");
        Self { network, modules, input, bytes }
    }

    fn expected(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.tensor(name).unwrap().load(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The raw head output of each of the ways to compute it, and what that is called.
    fn raw(&self) -> Vec<(&'static str, Vec<f32>)> {
        let [ours, candles] = &self.modules;
        let outputs = [
            ("network", self.network.forward(&self.input)),
            ("module", ours.forward(&self.input)),
            ("module of candle's operations", candles.forward(&self.input)),
        ];
        outputs.map(|(name, raw)| (name, raw.unwrap().flatten_all().unwrap().to_vec1().unwrap())).into()
    }

    /// The raw head output equals the golden one to 1e-4.
    fn check(&self) {
        for (name, raw) in self.raw() {
            assert_within(&raw, &self.expected("eval.raw"), 1e-4, &format!("raw head output, {name}"));
        }
    }

    /// The same for the official evaluation output: boxes undecoded, but objectness and classes through a sigmoid.
    fn check_undecoded(&self) {
        for (name, mut found) in self.raw() {
            for anchor in found.chunks_exact_mut(25) {
                anchor[4..].iter_mut().for_each(|logit| *logit = 1.0 / (1.0 + (-*logit).exp()));
            }
            assert_within(&found, &self.expected("eval.undecoded"), 1e-4, &format!("undecoded output, {name}"));
        }
    }
}

fn assert_within(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{what}: {} values, greatest difference {worst:e}", found.len());
    assert!(worst <= tolerance, "{what}: greatest difference {worst}");
}

fn committed(file: &str) -> PathBuf {
    repository().join("tests/data/golden").join(file)
}

#[test]
fn baseline_output_and_pyramid() {
    let golden = Golden::read(&committed("baseline.safetensors"), "baseline");
    golden.check_undecoded();

    let pyramid = golden.network.graph().pyramid.clone();
    let mut found = Vec::new();
    golden
        .network
        .forward_observed(&golden.input, &mut |node, values| {
            if pyramid.contains(&node) {
                found.push((node, values.to_vec()));
            }
        })
        .unwrap();
    assert_eq!(found.len(), 3);
    for (&node, name) in pyramid.iter().zip(["eval.fpn8", "eval.fpn16", "eval.fpn32"]) {
        let values = &found.iter().find(|(at, _)| *at == node).unwrap().1;
        assert_within(values, &golden.expected(name), 1e-4, name);
    }
}

#[test]
fn dw7() {
    Golden::read(&committed("dw7.safetensors"), "dw7").check();
}

#[test]
fn mdconv() {
    Golden::read(&committed("mdconv.safetensors"), "mdconv").check();
}

#[test]
fn final_variant() {
    Golden::read(&committed("final.safetensors"), "final").check();
}

#[test]
fn variants_of_the_shared_folder() {
    let Some(shared) = shared("the golden numbers of dw3 and fpn2, and the baseline on a batch of three") else {
        return;
    };
    for variant in ["dw3", "fpn2"] {
        Golden::read(&shared.join(format!("golden/{variant}.safetensors")), variant).check();
    }
    Golden::read(&shared.join("golden/baseline-radius1.5.safetensors"), "baseline").check_undecoded();
}
