//! PyTorch's checkpoints: a zip archive of a pickle, which says what tensors there are, and their numbers, a file each.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use shared_model::{WeightTensor, Weights};
use zip::ZipArchive;

use super::pickle::{Id, Object, Pickle};
use super::{Source, state_dict};

/// The keys under which checkpoints keep a network's tensors, those of YOLOX first: its `model` is the mean of the weights
/// already.
const KEYS: [&str; 8] = ["model", "ema_model", "state_dict", "model_state_dict", "ema", "net", "network", "weights"];

/// Most numbers of all tensors together; the largest variant has two million.
const MAX_NUMBERS: usize = 1 << 24;

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// Weights from the bytes of a checkpoint.
///
/// # Errors
/// Fails where it is another archive, cut short, or holds no tensors that fit a variant.
pub(super) fn parse(bytes: &[u8], source: &Source) -> Result<Weights> {
    let cut_short =
        "an archive (PyTorch's, or another zip file) without an end: the download or the copy was cut short";
    let mut archive = ZipArchive::new(Cursor::new(bytes)).context(cut_short)?;
    let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    if names.iter().any(|name| name.ends_with("/constants.pkl") || name.contains("/code/")) {
        bail!(
            "this is a TorchScript program, not a checkpoint: save the tensors with \
             torch.save({{\"model\": torch.jit.load(FILE).state_dict()}}, NEW), or export the network to ONNX"
        );
    }
    let Some(pickle) = names.iter().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl")) else {
        bail!("this is a zip archive, but not one of PyTorch's: unpack it first (unzip), and name the file in it");
    };
    let root = pickle.trim_end_matches("data.pkl");
    if part(&mut archive, &format!("{root}byteorder")).is_ok_and(|order| order == b"big") {
        bail!("this checkpoint was written on a machine with the other order of bytes: save it anew on this one");
    }
    let pickle = Pickle::parse(&part(&mut archive, pickle)?).context("PyTorch's list of tensors is damaged")?;
    let tensors = tensors(&pickle, &mut archive, root, bytes.len())?;
    state_dict::weights(tensors, source)
}

/// The bytes of a file in the archive, of which none is compressed.
fn part(archive: &mut Archive, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = archive.by_name(name)?;
    file.read_to_end(&mut bytes).with_context(|| format!("{name} in the archive is damaged"))?;
    Ok(bytes)
}

/// Tensors by name, of an archive of `length` bytes.
fn tensors(
    pickle: &Pickle,
    archive: &mut Archive,
    root: &str,
    length: usize,
) -> Result<BTreeMap<String, WeightTensor>> {
    let is_tensor = |id: Id| described(pickle, id).is_some();
    let has_tensors = |entries: &[(Id, Id)]| entries.iter().any(|&(_, value)| is_tensor(value));
    let Some(entries) = pickle.dict(pickle.root) else {
        bail!(
            "this checkpoint holds a whole model as a Python object, not its tensors: save those with \
             torch.save({{\"model\": model.state_dict()}}, NEW), or export the network to ONNX"
        );
    };
    let under = |key: &str| {
        let entry = entries.iter().find(|&&(name, _)| pickle.text(name) == Some(key));
        entry.and_then(|&(_, value)| pickle.dict(value)).filter(|entries| has_tensors(entries))
    };
    let Some(found) = KEYS.into_iter().find_map(under).or(Some(entries).filter(|entries| has_tensors(entries))) else {
        let keys: Vec<&str> = entries.iter().filter_map(|&(key, _)| pickle.text(key)).take(8).collect();
        bail!(
            "this checkpoint has no tensors under \"model\" or another usual key (it has: {}): save them with \
             torch.save({{\"model\": model.state_dict()}}, NEW)",
            keys.join(", ")
        );
    };
    let mut tensors = BTreeMap::new();
    let mut files = BTreeMap::new();
    let (mut numbers, mut read) = (0, 0);
    for &(name, value) in found {
        let (Some(name), Some(described)) = (pickle.text(name), described(pickle, value)) else { continue };
        if state_dict::counts(name) {
            if !files.contains_key(described.file) {
                let bytes = part(archive, &format!("{root}data/{}", described.file))?;
                read += bytes.len();
                ensure!(read <= length, "the archive has files within files: the download or the copy was damaged");
                files.insert(described.file, bytes);
            }
            let tensor = described.tensor(&files[described.file]);
            let tensor = tensor.with_context(|| format!("the tensor \"{name}\" is damaged or of another kind"))?;
            numbers += tensor.values.len();
            ensure!(numbers <= MAX_NUMBERS, "its tensors have more numbers than any variant: this is another network");
            tensors.insert(name.into(), tensor);
        }
    }
    Ok(tensors)
}

/// A tensor as a checkpoint describes it.
struct Described<'a> {
    /// The file in the archive that its numbers are in.
    file: &'a str,
    /// PyTorch's name for their format.
    format: &'a str,
    /// Numbers in front of its own.
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// The tensor that an object is, if it is one.
fn described(pickle: &Pickle, mut id: Id) -> Option<Described<'_>> {
    // A parameter is a call around a tensor's.
    for _ in 0..2 {
        let &Object::Call { function, arguments } = pickle.get(id) else { return None };
        let arguments = pickle.tuple(arguments)?;
        match pickle.global(function)? {
            "torch._utils._rebuild_parameter" => id = *arguments.first()?,
            "torch._utils._rebuild_tensor_v2" => {
                let [storage, offset, shape, strides, ..] = *arguments else { return None };
                let &Object::Outside(storage) = pickle.get(storage) else { return None };
                let [_, format, file, ..] = *pickle.tuple(storage)? else { return None };
                let sizes =
                    |id: Id| pickle.tuple(id)?.iter().map(|&size| pickle.size(size)).collect::<Option<Vec<_>>>();
                return Some(Described {
                    file: pickle.text(file)?,
                    format: pickle.global(format)?,
                    offset: pickle.size(offset)?,
                    shape: sizes(shape)?,
                    strides: sizes(strides)?,
                });
            }
            _ => return None,
        }
    }
    None
}

impl Described<'_> {
    /// The tensor's numbers out of the bytes of its file; `None` where those are fewer or of another format.
    fn tensor(&self, bytes: &[u8]) -> Option<WeightTensor> {
        let read: fn(&[u8]) -> Option<f32> = match self.format {
            "torch.FloatStorage" => |bytes| Some(f32::from_le_bytes(bytes.try_into().ok()?)),
            "torch.HalfStorage" => |bytes| Some(f16::from_le_bytes(bytes.try_into().ok()?).to_f32()),
            "torch.BFloat16Storage" => |bytes| Some(bf16::from_le_bytes(bytes.try_into().ok()?).to_f32()),
            "torch.DoubleStorage" => |bytes| Some(f64::from_le_bytes(bytes.try_into().ok()?) as f32),
            _ => return None,
        };
        let width = match self.format {
            "torch.FloatStorage" => 4,
            "torch.DoubleStorage" => 8,
            _ => 2,
        };
        let count = self.shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size))?;
        // Repeated numbers (strides of 0) are no kernels.
        (self.strides.len() == self.shape.len() && count <= bytes.len() / width).then_some(())?;
        let mut values = Vec::with_capacity(count);
        for i in 0..count {
            let (mut rest, mut place) = (i, self.offset);
            for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
                place = (rest % size).checked_mul(stride)?.checked_add(place)?;
                rest /= size;
            }
            let begin = place.checked_mul(width)?;
            values.push(read(bytes.get(begin..begin.checked_add(width)?)?)?);
        }
        Some(WeightTensor { shape: self.shape.clone(), values })
    }
}
