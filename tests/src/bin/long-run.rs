//! `cargo xtask long-run` runs this.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, process};

use anyhow::Result;
use clap::{Parser, Subcommand};
use integration_tests::long_run::{self, Course, Moment};
use integration_tests::repository;

/// Between two lines of progress.
const PAUSE: Duration = Duration::from_secs(10);

/// Run for long, and see whether memory stays flat and the pace the same.
///
/// Prints a table of ten parts of the run. Fails where memory has grown by more than a tenth from the second part to the last.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask long-run", bin_name = "cargo xtask long-run", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Images through `yolox-nano detect`
    Detect {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        images: usize,
    },
    /// A training of drawn images
    Train {
        /// How long
        #[arg(long = "for", value_name = "TIME", default_value = "2h", value_parser = humantime::parse_duration)]
        time: Duration,
    },
    /// What a training that has been took, by its metrics.jsonl
    Metrics {
        /// The file
        file: PathBuf,
        /// Images a step
        #[arg(long, value_name = "N", default_value_t = 16)]
        batch: usize,
    },
    /// A gallery of the page's, with two models, in a headless Chromium; needs the site (`cargo xtask web`)
    Gallery {
        /// Pictures
        #[arg(long, value_name = "N", default_value_t = 1000)]
        images: usize,
    },
}

fn main() -> Result<()> {
    let mut said = Instant::now();
    let mut progress = |moment: Moment| {
        if said.elapsed() > PAUSE {
            said = Instant::now();
            eprintln!("{} images, {:.0} s, {:.0} MiB", moment.images, moment.seconds, moment.memory_mib);
        }
    };
    let course: Course = match Arguments::parse().what {
        What::Detect { images } => long_run::detect(images, &mut progress)?,
        What::Train { time } => long_run::train(time, &mut progress)?,
        What::Metrics { file, batch } => long_run::course(&file, batch)?,
        What::Gallery { images } => {
            let site = env::var_os("YOLOX_DIST").map_or_else(|| repository().join("dist"), PathBuf::from);
            long_run::gallery(&site, images, &mut progress)?
        }
    };
    print!("{course}");
    if let Err(grown) = course.check_memory() {
        eprintln!("error: {grown}");
        process::exit(1);
    }
    Ok(())
}
