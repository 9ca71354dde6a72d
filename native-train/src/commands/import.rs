//! `yolox-nano import`: ONNX files of YOLOX-nano and its variants to weight files.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use shared_model::{Precision, Weights};

use crate::files::write_whole;
use crate::table::grouped;
use crate::{Outcome, onnx};

/// Turn an ONNX file of YOLOX-nano or one of its variants into a weight file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano import yolox_nano.onnx --out yolox_nano_coco.safetensors
  yolox-nano import my_export.onnx --classes names.txt --out mine.safetensors

The network is recognised by its structure, whatever its tensors are called; another one is refused with the layer that
did not fit. ONNX files come from https://github.com/Megvii-BaseDetection/YOLOX/releases/tag/0.1.1rc0, from that project's
tools/export_onnx.py, or from `yolox-nano export`.")]
pub struct Args {
    /// The ONNX file.
    #[arg(value_name = "ONNX")]
    file: PathBuf,
    /// The weight file to write.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// A text file with the names of the classes, one a line [default: the file's own, else COCO's 80].
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Number format of the weight file: half takes half the bytes, and moves scores by up to 0.01.
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
}

/// # Errors
/// Fails where a file cannot be read or written, or holds another network.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let classes = args.classes.as_deref().map(|path| {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let names: Vec<String> = text.lines().map(|line| line.trim().to_string()).filter(|l| !l.is_empty()).collect();
        ensure!(!names.is_empty(), "{} holds no class names", path.display());
        Ok(names)
    });
    let bytes = std::fs::read(&args.file).with_context(|| args.file.display().to_string())?;
    let name = args.file.file_name().unwrap_or_default().to_string_lossy();
    let mut weights =
        onnx::import(&bytes, classes.transpose()?, &name).with_context(|| args.file.display().to_string())?;
    if let Some(source) = &args.source {
        weights.metadata.source.clone_from(source);
    }

    let precision = match args.precision {
        NumberFormat::Half => Precision::Half,
        NumberFormat::Single => Precision::Single,
    };
    let bytes = weights.to_bytes(precision)?;
    // Read back, so that no file is written that the other commands refuse (half precision overflows at 65,520).
    Weights::from_bytes(&bytes)?;
    write_whole(&args.out, &bytes)?;
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
