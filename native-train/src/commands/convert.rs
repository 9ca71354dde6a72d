//! `yolox-nano convert`: a data set in another format.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;

use crate::Outcome;
use crate::convert::{Conversion, Images, Written};
use crate::data::{Format, Reading, Source, labels};
use crate::progress::Progress;
use crate::table::grouped;
use crate::train::interrupt::Interrupt;

/// Write data sets in another format: Pascal VOC's, COCO's or YOLO's.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano convert VOC2007:trainval VOC2007:test --to coco --out VOC2007-coco
  yolox-nano convert pets/data.yaml --to voc --out pets-voc --link
  yolox-nano convert annotations/instances_val2017.json --to yolo --out coco-val

Every source becomes a split of the same name; of a data set without a named split, all are written. The folder must be new, and
appears when all is written. Boxes come back as they were from any chain of formats. YOLO's text cannot tell difficult objects and
crowds from others; docs/formats.md has the rest.")]
pub struct Args {
    /// Data sets and their splits: folders in the layout of Pascal VOC, a data.yaml of YOLO's, COCO's JSON.
    #[arg(required = true, value_name = "DATA[:SPLIT]")]
    sources: Vec<Source>,
    /// What to write.
    #[arg(long, value_enum)]
    to: Format,
    /// The folder, which must be new or empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Copy the images' files, which is what happens if nothing is said.
    #[arg(long, conflicts_with = "link")]
    copy: bool,
    /// Link to the images' files instead of copying them.
    #[arg(long)]
    link: bool,
    /// Number of threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = super::thread_count)]
    threads: Option<usize>,
}

/// # Errors
/// Fails where a data set or an image cannot be read, or the folder cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    super::use_threads(args.threads)?;
    let sources = args.sources.iter().map(Source::in_splits).collect::<Result<Vec<_>>>()?.concat();
    let conversion = Conversion::read(&sources, &args.reading)?;
    for line in labels::warnings(&conversion.warnings).into_iter().chain(labels::summary(&conversion.left_out)) {
        eprintln!("{line}");
    }
    let interrupt = Interrupt::listen()?;
    let progress = Progress::new(conversion.images(), "images");
    let images = if args.link { Images::Link } else { Images::Copy };
    let go_on = || {
        progress.step();
        !interrupt.asked()
    };
    let written = conversion.write(args.to, images, &args.out, &go_on);
    progress.finish();
    let Written { images, objects, unmarked, cut, dropped } = written?;
    let count = |number: usize| grouped(number as u64);
    writeln!(out, "{}: {} images, {} objects", args.out.display(), count(images), count(objects))?;
    for (number, what) in [
        (unmarked, "were marked as difficult or as crowds, which this format cannot tell: they are like any other now"),
        (cut, "reached so far over the image's edge that this format cannot tell: they were cut there"),
        (dropped, "lay outside the image: they were left out"),
    ] {
        if number > 0 {
            writeln!(out, "of the boxes {} {what}", count(number))?;
        }
    }
    Ok(Outcome::Complete)
}
