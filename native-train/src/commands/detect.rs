//! `yolox-nano detect`: boxes in images.

use std::collections::BTreeSet;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};
use serde::Serialize;
use shared_model::{Detection, Detector, clip};

use crate::data::problem::Problem;
use crate::files::{ImageFile, find_images, write_atomic};
use crate::photo::Photo;
use crate::table::table;
use crate::{Outcome, complain, draw, models};

/// Find objects in images: a table, JSON, or images with labelled boxes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano detect photo.jpg
  yolox-nano detect holiday/ --out boxes/ --score 0.5
  yolox-nano detect *.jpg --json > boxes.jsonl

Folders are searched through for JPEG, PNG, WebP, GIF (first frame), BMP and TIFF. Photographs are turned upright by their
EXIF orientation; boxes are in pixels of the upright image. An image that cannot be read is reported and does not stop
the others; the exit code is then 1. An image that is damaged so little that the rest can be decoded gets a warning. Boxes
of JPEG files with more than 64 megapixels are found in the image at half its sides.")]
pub struct Args {
    /// Images, or folders of images.
    #[arg(required = true, value_name = "IMAGE|FOLDER")]
    paths: Vec<PathBuf>,
    /// A weight file, or a name in models/manifest.json [default: the manifest's default].
    #[arg(long, value_name = "FILE|NAME")]
    weights: Option<String>,
    /// Leave out boxes with a lower score.
    #[arg(long, default_value = "0.3", value_parser = super::fraction)]
    score: f32,
    /// Drop a box that overlaps a better one of its class by more (IoU).
    #[arg(long, default_value = "0.45", value_parser = super::fraction)]
    nms: f32,
    /// Print JSON, a line for each image: {image, width, height, detections: [{class, score, x1, y1, x2, y2}]}.
    #[arg(long)]
    json: bool,
    /// Write images with labelled boxes into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Number of threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = super::thread_count)]
    threads: Option<usize>,
}

#[derive(Serialize)]
struct DetectReport<'a> {
    image: String,
    width: usize,
    height: usize,
    detections: Vec<DetectionRow<'a>>,
}

#[derive(Serialize)]
struct DetectionRow<'a> {
    class: &'a str,
    score: f32,
    x1: f32,
    y1: f32,
    x2: f32,
    y2: f32,
}

/// # Errors
/// Fails where the weights cannot be read, there is no image, or the output cannot be written. Images that cannot
/// be read only make the outcome partial.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let found = find_images(&args.paths)?;
    if found.skipped > 0 {
        eprintln!("note: {} other files in the folders are skipped", found.skipped);
    }
    super::use_threads(args.threads)?;
    let models::Named { name, weights } = models::load(args.weights.as_deref())?;
    let detector = Detector::new(&weights).context(name)?;
    let class_names = &weights.metadata.class_names;

    let mut outcome = Outcome::Complete;
    for error in &found.unreadable {
        complain(&anyhow!("{error}: it is passed over"));
        outcome = Outcome::Partial;
    }
    let mut written = BTreeSet::new();
    for file in &found.images {
        let name = file.path.display();
        let looked = look(&detector, &file.path, args).and_then(|(photo, detections)| {
            if let Some(damage) = Problem::of_damage(&file.path, &photo) {
                eprintln!("warning: {damage}");
            }
            let report = report(file, &photo, &detections, class_names);
            if let Some(folder) = &args.out {
                let path = result_path(folder, file, &mut written)?;
                let mut pixels = photo.into_pixels();
                draw::draw(&mut pixels, &detections, class_names);
                write_image(&path, &pixels)?;
            }
            Ok(report)
        });
        match looked.with_context(|| name.to_string()) {
            Ok(report) if args.json => {
                serde_json::to_writer(&mut *out, &report)?;
                writeln!(out)?;
            }
            Ok(report) => print(&report, out)?,
            Err(error) => {
                complain(&error);
                outcome = Outcome::Partial;
            }
        }
    }
    Ok(outcome)
}

fn look(detector: &Detector, path: &Path, args: &Args) -> Result<(Photo, Vec<Detection>)> {
    let photo = Photo::open(path)?;
    let mut detections = detector.detect(photo.image()?, args.score, args.nms)?;
    clip(&mut detections, photo.width(), photo.height());
    Ok((photo, detections))
}

fn report<'a>(
    file: &ImageFile,
    photo: &Photo,
    detections: &[Detection],
    class_names: &'a [String],
) -> DetectReport<'a> {
    let [width, height] = photo.said().upright();
    // Of the pixels in the file: those of a large image are fewer.
    let scale = [width as f32 / photo.width() as f32, height as f32 / photo.height() as f32];
    let row = |d: &Detection| {
        let bbox = d.bbox;
        DetectionRow {
            class: &class_names[d.class],
            score: d.score,
            x1: bbox.x1 * scale[0],
            y1: bbox.y1 * scale[1],
            x2: bbox.x2 * scale[0],
            y2: bbox.y2 * scale[1],
        }
    };
    DetectReport {
        image: file.path.display().to_string(),
        width,
        height,
        detections: detections.iter().map(row).collect(),
    }
}

fn print(report: &DetectReport<'_>, out: &mut dyn Write) -> Result<()> {
    let DetectReport { image, width, height, detections } = report;
    if detections.is_empty() {
        writeln!(out, "{image} ({width} x {height}): nothing found; a lower --score shows less certain boxes\n")?;
        return Ok(());
    }
    writeln!(out, "{image} ({width} x {height})")?;
    let mut table = table(&["class", "score", "x1", "y1", "x2", "y2"], 1);
    for row in detections {
        let corners = [row.x1, row.y1, row.x2, row.y2].map(|value| format!("{value:.1}"));
        table.add_row([row.class.to_string(), format!("{:.3}", row.score)].into_iter().chain(corners));
    }
    writeln!(out, "{table}\n")?;
    Ok(())
}

/// Where the image with boxes goes: JPEG stays JPEG, all others become PNG.
fn result_path(folder: &Path, file: &ImageFile, written: &mut BTreeSet<PathBuf>) -> Result<PathBuf> {
    let mut name = file.inside.clone().into_os_string();
    if !is_jpeg(&file.inside) && !has_extension(&file.inside, &["png"]) {
        name.push(".png");
    }
    let path = folder.join(name);
    if !written.insert(path.clone()) {
        bail!("{} is the result for another image of the same name: give them different --out folders", path.display());
    }
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(&path, &file.path) {
        bail!("the result would replace the image itself: choose another --out folder");
    }
    Ok(path)
}

fn write_image(path: &Path, pixels: &RgbImage) -> Result<()> {
    const JPEG_QUALITY: u8 = 92;
    let mut bytes = Vec::new();
    if is_jpeg(path) {
        pixels.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY))?;
    } else {
        pixels.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)?;
    }
    write_atomic(path, &bytes)
}

fn is_jpeg(path: &Path) -> bool {
    has_extension(path, &["jpg", "jpeg", "jfif"])
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension.eq_ignore_ascii_case(wanted)))
}
