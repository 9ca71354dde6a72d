//! Tensors by PyTorch's names, without a word on the network: the variant and the number of classes follow from names and
//! shapes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use shared_model::{NormState, VARIANTS, WeightTensor, Weights};

use super::{DEFAULT_SIDE, Source};

/// Whether a tensor of this name is a parameter or a statistic: PyTorch also counts the batches that a normalisation has
/// seen.
pub(super) fn counts(name: &str) -> bool {
    !name.ends_with("num_batches_tracked")
}

/// Weights from a safetensors file of another program.
///
/// # Errors
/// Fails where the tensors fit no variant.
pub(super) fn safetensors(bytes: &[u8], source: &Source) -> Result<Weights> {
    let mut tensors = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(bytes)?.iter().filter(|(name, _)| counts(name)) {
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
            Dtype::F16 => data.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect(),
            Dtype::BF16 => data.as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes).to_f32()).collect(),
            Dtype::F64 => data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect(),
            other => bail!("tensor \"{name}\" holds {other:?}, which is not a format of weights"),
        };
        tensors.insert(name.to_string(), WeightTensor { shape: view.shape().to_vec(), values });
    }
    weights(tensors, source).context("a .safetensors file without yolox-nano's metadata")
}

/// Weights from tensors by name.
///
/// # Errors
/// Fails where they fit no variant, naming the nearest one and what is wrong, or where the classes have no names.
pub(super) fn weights(tensors: BTreeMap<String, WeightTensor>, source: &Source) -> Result<Weights> {
    let mut tensors = tensors;
    // What wrappers (several GPUs, Lightning, a compiler) put in front of every name.
    for prefix in ["_orig_mod.", "module.", "model."] {
        if !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(prefix)) {
            tensors = tensors.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_string(), tensor)).collect();
        }
    }
    if let Some((name, _)) = tensors.iter().find(|(_, tensor)| !tensor.values.iter().all(|value| value.is_finite())) {
        bail!("tensor \"{name}\" holds a value that is not finite: the training that wrote it had diverged");
    }
    let prediction = tensors.get("head.cls_preds.0.weight").or_else(|| tensors.get("head.cls_preds.0.conv.weight"));
    let classes = prediction.and_then(|tensor| tensor.shape.first().copied()).filter(|&classes| classes > 0);
    let Some(classes) = classes else {
        let names: Vec<&str> = tensors.keys().map(String::as_str).take(3).collect();
        bail!(
            "no tensor \"head.cls_preds.0.weight\", which every YOLOX has, is among its {} tensors ({}, ...): this is \
             another network",
            tensors.len(),
            names.join(", ")
        );
    };
    let norm =
        if tensors.keys().any(|name| name.ends_with(".running_var")) { NormState::Separate } else { NormState::Fused };
    let fitting = |variant: &&shared_model::Variant| {
        let parameters = variant.graph(classes).parameters(norm);
        let fitting = parameters
            .iter()
            .filter(|parameter| tensors.get(&parameter.name).is_some_and(|tensor| tensor.shape == parameter.shape));
        // What is missing in the file and what it has too much count alike.
        2 * fitting.count() as i64 - parameters.len() as i64 - tensors.len() as i64
    };
    let variant = VARIANTS.iter().max_by_key(fitting).expect("there are variants");
    let graph = variant.graph(classes);
    // Before names are asked for: of another network's classes nobody needs them.
    let nameless = Source { class_names: Some((0..classes).map(|i| i.to_string()).collect()), ..source.clone() };
    let mut weights = Weights { metadata: nameless.metadata(variant.name, classes, DEFAULT_SIDE, norm)?, tensors };
    weights.check(&graph).with_context(|| {
        format!(
            "no variant of YOLOX-nano (YOLOX has larger networks too: s, m, l, x, tiny); {} is the nearest",
            variant.name
        )
    })?;
    weights.metadata = source.metadata(variant.name, classes, DEFAULT_SIDE, norm)?;
    let names = weights.metadata.class_names.len();
    if names != classes {
        bail!("the network has {classes} classes, but {names} names were given");
    }
    Ok(weights)
}
