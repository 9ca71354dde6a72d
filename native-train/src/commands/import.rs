//! `yolox-nano import`: ONNX files and PyTorch's checkpoints of YOLOX-nano and its variants to weight files.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use shared_model::{WeightPrecision, Weights};

use crate::data::class_list;
use crate::files::write_atomic;
use crate::table::grouped;
use crate::{Outcome, foreign};

/// Turn an ONNX file or a PyTorch checkpoint of YOLOX-nano or one of its variants into a weight file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano import yolox_nano.onnx --out yolox_nano_coco.safetensors
  yolox-nano import best_ckpt.pth --classes names.txt --out mine.safetensors

An ONNX file's network is recognised by its structure, whatever its tensors are called and whichever program wrote it; a
checkpoint's by its tensors' names and shapes. Another network is refused with the layer that did not fit. What a file is,
its content tells, not its name. Files come from https://github.com/Megvii-BaseDetection/YOLOX/releases/tag/0.1.1rc0, from
that project's tools/train.py and tools/export_onnx.py, or from `yolox-nano export`; docs/weights.md says what is read.")]
pub struct Args {
    /// The ONNX file, or the checkpoint (.pth, .pt).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The weight file to write.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// The classes: a file with one name a line, or names with commas between them [default: the file's own, else COCO's 80
    /// or VOC's 20].
    #[arg(long, value_name = "FILE")]
    classes: Option<String>,
    /// Number format of the weight file: half takes half the bytes, and moves scores by up to 0.01; int8 takes a third, for downloads (docs/weights.md).
    #[arg(long, value_enum, default_value = "single")]
    precision: NumberFormat,
    /// Where the weights come from, for the weight file [default: what the file says, else its name].
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum NumberFormat {
    Single,
    Half,
    Int8,
}

/// # Errors
/// Fails where a file cannot be read or written, or holds another network.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let classes = args.classes.as_deref().map(class_list::parse);
    let mut weights = foreign::read(&args.file, classes.transpose()?)?;
    if let Some(source) = &args.source {
        weights.metadata.source.clone_from(source);
    }

    let precision = match args.precision {
        NumberFormat::Half => WeightPrecision::Half,
        NumberFormat::Int8 => WeightPrecision::Int8,
        NumberFormat::Single => WeightPrecision::Single,
    };
    let bytes = weights.to_bytes(precision)?;
    // Read back, so that no file is written that the other commands refuse (half precision overflows at 65,520).
    Weights::from_bytes(&bytes)?;
    write_atomic(&args.out, &bytes)?;
    let metadata = &weights.metadata;
    writeln!(
        out,
        "{}: {} with {} classes, {} bytes",
        args.out.display(),
        metadata.variant,
        metadata.class_names.len(),
        grouped(bytes.len() as u64)
    )?;
    Ok(Outcome::Complete)
}
