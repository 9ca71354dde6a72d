//! `yolox-nano export`: weights to an ONNX file.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use shared_model::{ColourOrder, PAD};

use crate::files::write_atomic;
use crate::onnx::export::{INPUT, OPSET, OUTPUT};
use crate::onnx::{self, Export, OutputForm};
use crate::table::grouped;
use crate::{Outcome, models};

/// Write weights as an ONNX file, for onnxruntime, ncnn, OpenVINO and others.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano export --out yolox_nano.onnx
  yolox-nano export --weights mine.safetensors --out mine.onnx --size 320x640 --output decoded

Batch normalisation is folded into the convolutions; numbers are in single precision. The file's metadata
says what goes in and comes out, and names the classes. `yolox-nano import` turns it back into the
same weights.")]
pub struct Args {
    /// A weight file, or a name in models/manifest.json [default: the manifest's default].
    #[arg(long, value_name = "FILE|NAME")]
    weights: Option<String>,
    /// The ONNX file to write.
    #[arg(long, value_name = "FILE.onnx", value_parser = onnx_file)]
    out: PathBuf,
    /// Side of the input in pixels, or its height and width: multiples of 32 [default: the weights' own].
    #[arg(long, value_name = "N|HxW", value_parser = resolution)]
    size: Option<(usize, usize)>,
    /// Images at once.
    #[arg(long, value_name = "N", default_value = "1", value_parser = batch_size)]
    batch: usize,
    /// What comes out.
    #[arg(long, value_enum, default_value = "yolox")]
    output: OutputForm,
}

/// Greatest number of images at once.
const MAX_BATCH: usize = 1024;

fn onnx_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("onnx") => Ok(path),
        _ => Err("the file's name must end in .onnx, by which other programs know what it is".into()),
    }
}

fn resolution(text: &str) -> Result<(usize, usize), String> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    Ok((super::input_size(height)?, super::input_size(width)?))
}

fn batch_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=MAX_BATCH).contains(&count) => Ok(count),
        _ => Err(format!("a number from 1 to {MAX_BATCH} is needed")),
    }
}

/// # Errors
/// Fails where the weights cannot be read, or the file cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let models::Named { name, weights } = models::load(args.weights.as_deref())?;
    let metadata = &weights.metadata;
    let (height, width) = args.size.unwrap_or((metadata.input_size, metadata.input_size));
    let export = Export { batch: args.batch, height, width, output: args.output };
    let bytes = onnx::export(&weights, &export).with_context(|| name.clone())?;
    write_atomic(&args.out, &bytes)?;

    let graph = weights.graph()?;
    let (batch, classes, anchors) = (args.batch, graph.classes, graph.anchors(height, width));
    let (file, size) = (args.out.display(), grouped(bytes.len() as u64));
    let colours = match metadata.colour_order {
        ColourOrder::Bgr => "BGR",
        ColourOrder::Rgb => "RGB",
    };
    writeln!(
        out,
        "{file}: {} with {classes} classes, {size} bytes, opset {OPSET}
input   {INPUT} ({batch}, 3, {height}, {width}): {colours}, 0-255; images scaled to the top left, the rest {PAD}
output  {OUTPUT} ({batch}, {anchors}, {}): {}

onnxruntime  onnxruntime.InferenceSession(\"{file}\").run([\"{OUTPUT}\"], {{\"{INPUT}\": images}})
ncnn         pnnx {file} inputshape=[{batch},3,{height},{width}] fp16=0 writes .ncnn.param and .ncnn.bin: in0, out0
OpenVINO     openvino.Core().compile_model(\"{file}\", \"CPU\")(images)[\"{OUTPUT}\"]",
        metadata.variant,
        5 + classes,
        args.output.row(),
    )?;
    Ok(Outcome::Complete)
}
