//! `yolox-nano check-data`: what is in data sets, and what is wrong with them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::Outcome;
use crate::data::check::{DataReport, check};
use crate::data::problem::{Problem, ProblemKind};
use crate::data::reading::OtherClasses;
use crate::data::{Reading, Source, chart, class_list, html, labels};
use crate::files::write_atomic;
use crate::table::{grouped, table};

/// Problems of a kind that are listed; all are in the JSON.
const LISTED: usize = 20;

/// Look through data sets for all that could go wrong in training, and count what is in them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano check-data VOCdevkit/VOC2007:trainval
  yolox-nano check-data mine:train mine:val --classes cat,dog --out report/
  yolox-nano check-data pets/data.yaml --html pets.html
  yolox-nano check-data coco/annotations/instances_val2017.json

A folder holds JPEGImages, Annotations and ImageSets/Main/SPLIT.txt, or is a .tar archive that does, or Roboflow's export
in this format; docs/formats.md has the other formats, all splits of which are looked through where none is named.
Several splits are also compared with each other: an image that is in two of them is learned and then asked for, and a
class that no split for training has (the first, or those called train...) cannot be learned. Exit code 1: there are
problems.")]
pub struct Args {
    /// Data sets and their splits: folders in the layout of Pascal VOC, a data.yaml of YOLO's, COCO's JSON.
    #[arg(required = true, value_name = "DATA[:SPLIT]")]
    sources: Vec<Source>,
    /// The classes: a file with one name a line, or names with commas between them [default: those that occur].
    #[arg(long, value_name = "FILE|LIST")]
    classes: Option<String>,
    /// What to make of objects of classes that are not in the list: stop, or skip them, so that they are background.
    #[arg(long, value_enum, default_value_t)]
    other_classes: OtherClasses,
    #[command(flatten)]
    reading: Reading,
    /// Write a chart of classes and sizes of boxes to DIR/data.svg.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write a page for a browser: charts, and images with their boxes, odd ones first. It needs no other file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON: {sources, classes, box_sizes, problems: [{kind, file, line, entry, message}], left_out: [as problems]}.
    #[arg(long)]
    json: bool,
    /// Number of threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = super::thread_count)]
    threads: Option<usize>,
}

/// # Errors
/// Fails where a folder or a split is missing, or the chart cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Outcome> {
    let classes = args.classes.as_deref().map(class_list::parse).transpose()?;
    ensure!(
        args.other_classes == OtherClasses::Stop || classes.is_some(),
        "--other-classes skip leaves out what is not in a list of classes: give one with --classes"
    );
    super::use_threads(args.threads)?;
    let sources: Vec<_> = args.sources.iter().map(Source::in_splits).collect::<Result<Vec<_>>>()?.concat();
    let reading = Reading { other_classes: args.other_classes, ..args.reading };
    let checked = check(&sources, classes.as_deref(), &reading)?;
    let report = &checked.report;
    if args.json {
        super::print_json(out, report)?;
    } else {
        print(report, out)?;
    }
    if let Some(dir) = &args.out {
        let path = dir.join("data.svg");
        write_atomic(&path, chart::svg(report)?.as_bytes())?;
        if !args.json {
            writeln!(out, "chart: {}", path.display())?;
        }
    }
    if let Some(path) = &args.html {
        write_atomic(path, html::page(&sources, &checked).as_bytes())?;
        if !args.json {
            writeln!(out, "page: {}", path.display())?;
        }
    }
    Ok(if report.problems.is_empty() { Outcome::Complete } else { Outcome::Partial })
}

fn print(report: &DataReport, out: &mut dyn Write) -> Result<()> {
    let mut classes = table(&["class", "images", "objects", "difficult"], 1);
    for class in &report.classes {
        let name = if class.known { class.class.clone() } else { format!("{} (unknown)", class.class) };
        let counts = [class.images, class.objects, class.difficult].map(|count| grouped(count as u64));
        classes.add_row([name].into_iter().chain(counts));
    }
    writeln!(out, "{classes}")?;
    let mut sizes = table(&["side of a square of the box's area, at 416 pixels", "objects"], 1);
    for size in &report.box_sizes {
        sizes.add_row([format!("{:.0} to {:.0}", size.from, size.to), grouped(size.objects as u64)]);
    }
    writeln!(out, "{sizes}")?;
    for source in &report.sources {
        let (images, objects) = (grouped(source.images as u64), grouped(source.objects as u64));
        let name = Source { folder: source.folder.clone(), split: source.split.clone() };
        writeln!(out, "{name}: {images} images, {objects} objects")?;
    }
    for line in labels::summary(&report.left_out) {
        writeln!(out, "{line}")?;
    }
    print_problems(&report.problems, out)
}

fn print_problems(problems: &[Problem], out: &mut dyn Write) -> Result<()> {
    if problems.is_empty() {
        writeln!(out, "no problems")?;
        return Ok(());
    }
    let mut kinds: BTreeMap<ProblemKind, Vec<&Problem>> = BTreeMap::new();
    for problem in problems {
        kinds.entry(problem.kind).or_default().push(problem);
    }
    for (kind, problems) in kinds {
        writeln!(out, "\n{}: {}", kind.plural(), grouped(problems.len() as u64))?;
        for problem in problems.iter().take(LISTED) {
            writeln!(out, "  {problem}")?;
        }
        if problems.len() > LISTED {
            writeln!(out, "  and {} more: --json lists them all", grouped((problems.len() - LISTED) as u64))?;
        }
    }
    let fatal = problems.iter().filter(|problem| problem.kind.poisons_training()).count();
    let verdict = match fatal {
        0 => "training copes with them".into(),
        fatal => format!("training refuses the data for {}", grouped(fatal as u64)),
    };
    writeln!(out, "\nproblems: {}; {verdict}", grouped(problems.len() as u64))?;
    Ok(())
}
