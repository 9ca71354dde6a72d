//! `yolox-nano export`: weights to an ONNX file.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use shared_model::ColourOrder;

use crate::files::write_whole;
use crate::onnx::export::{INPUT, OPSET, OUTPUT};
use crate::onnx::{self, Export, Output};
use crate::table::grouped;
use crate::{Outcome, models};

/// Write an ONNX file of weights, for onnxruntime, ncnn, OpenVINO and others.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano export --out yolox_nano.onnx
  yolox-nano export --weights mine.safetensors --out mine.onnx --size 320x640 --output decoded

The file holds any variant, with batch normalisation folded into the convolutions, in single precision. Its metadata says what
goes in and comes out, and names the classes. `yolox-nano import` turns it back into the same weights.")]
pub struct Args {
    /// A weight file, or a name in models/manifest.json [default: the manifest's default].
    #[arg(long, value_name = "FILE|NAME")]
    weights: Option<String>,
    /// The ONNX file to write.
    #[arg(long, value_name = "FILE.onnx", value_parser = onnx_file)]
    out: PathBuf,
    /// Side of the input in pixels, or its height and width: multiples of 32 [default: the weights' own].
    #[arg(long, value_name = "N|HxW", value_parser = extent)]
    size: Option<(usize, usize)>,
    /// Pictures at once.
    #[arg(long, value_name = "N", default_value = "1", value_parser = batch_size)]
    batch: usize,
    /// What comes out.
    #[arg(long, value_enum, default_value = "yolox")]
    output: Output,
}

/// Greatest number of pictures at once.
const MAX_BATCH: usize = 1024;

fn onnx_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("onnx") => Ok(path),
        _ => Err("the file's name must end in .onnx, by which other programs know what it is".into()),
    }
}

fn extent(text: &str) -> Result<(usize, usize), String> {
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
    write_whole(&args.out, &bytes)?;

    let graph = weights.graph()?;
    let (batch, classes) = (args.batch, graph.classes);
    let file = args.out.display();
    let size = grouped(bytes.len() as u64);
    writeln!(out, "{file}: {} with {classes} classes, {size} bytes, opset {OPSET}", metadata.variant)?;
    let colours = match metadata.colour_order {
        ColourOrder::Bgr => "BGR",
        ColourOrder::Rgb => "RGB",
    };
    writeln!(
        out,
        "input   {INPUT} ({batch}, 3, {height}, {width}): {colours}, 0-255; the picture scaled into the top-left corner, the rest 114"
    )?;
    let (anchors, values) = (graph.anchors(height, width), 5 + classes);
    writeln!(out, "output  {OUTPUT} ({batch}, {anchors}, {values}): {}", args.output.row())?;
    let stem = args.out.file_stem().map_or_else(|| Path::new("").display(), |stem| Path::new(stem).display());
    writeln!(out, "\nonnxruntime  InferenceSession(\"{file}\").run([\"{OUTPUT}\"], {{\"{INPUT}\": pictures}})")?;
    writeln!(
        out,
        "ncnn         pnnx {file} inputshape=[{batch},3,{height},{width}], then {stem}.ncnn.param and .bin: in0, out0"
    )?;
    writeln!(out, "OpenVINO     Core().compile_model(\"{file}\", \"CPU\")(pictures)[\"{OUTPUT}\"]")?;
    Ok(Outcome::Complete)
}
