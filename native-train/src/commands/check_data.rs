//! `yolox-nano check-data`: what is in data sets, and what is wrong with them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;

use crate::Outcome;
use crate::data::check::{Report, check};
use crate::data::problem::{Problem, ProblemKind};
use crate::data::{Source, chart, class_list};
use crate::files::write_whole;
use crate::table::{grouped, table};

/// Problems of a kind that are listed; all are in the JSON.
const LISTED: usize = 20;

/// Look through data sets for all that could go wrong in training, and count what is in them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  yolox-nano check-data VOCdevkit/VOC2007:trainval
  yolox-nano check-data mine:train mine:val --classes cat,dog --out report/

FOLDER holds JPEGImages, Annotations and ImageSets/Main/SPLIT.txt, or is a .tar archive that does. Several splits are also compared with each other: a
picture that is in two of them is learned and then asked for. Exit code 1: there are problems.")]
pub struct Args {
    /// Data sets in the layout of Pascal VOC, and their splits.
    #[arg(required = true, value_name = "FOLDER:SPLIT")]
    sources: Vec<Source>,
    /// The classes: a file with one name a line, or names with commas between them [default: those that occur].
    #[arg(long, value_name = "FILE|LIST")]
    classes: Option<String>,
    /// Write a chart of classes and sizes of boxes to DIR/data.svg.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON: {sources, classes, box_sizes, problems: [{kind, file, line, message}]}.
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
    super::use_threads(args.threads)?;
    let report = check(&args.sources, classes.as_deref())?;
    if args.json {
        super::print_json(out, &report)?;
    } else {
        print(&report, out)?;
    }
    if let Some(dir) = &args.out {
        let path = dir.join("data.svg");
        write_whole(&path, chart::svg(&report)?.as_bytes())?;
        if !args.json {
            writeln!(out, "chart: {}", path.display())?;
        }
    }
    Ok(if report.problems.is_empty() { Outcome::Complete } else { Outcome::Partial })
}

fn print(report: &Report, out: &mut dyn Write) -> Result<()> {
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
        writeln!(out, "{}:{}: {images} images, {objects} objects", source.folder.display(), source.split)?;
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
