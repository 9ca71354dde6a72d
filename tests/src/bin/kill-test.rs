//! `cargo xtask kill-test` runs this.

use anyhow::Result;
use clap::Parser;
use integration_tests::kill;

/// Kill trainings, campaigns, prunings, publications and conversions at random moments, take their disk away, and go on: they must end with
/// the bits of undisturbed ones.
///
/// `cargo xtask test` makes 20 trials. As root, a disk becomes full, too.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask kill-test", bin_name = "cargo xtask kill-test", max_term_width = 100)]
struct Arguments {
    /// Trials
    #[arg(long, value_name = "N", default_value_t = 200)]
    times: usize,
    /// Decides what happens when, as far as that can be decided
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn main() -> Result<()> {
    let Arguments { times, seed } = Arguments::parse();
    let report = kill::campaign(times, seed, &mut |line| println!("{line}"))?;
    for ((scene, disturbance), trials) in &report.trials {
        println!("{scene:?}, {disturbance:?}: {trials}");
    }
    println!("{} processes were hurt, {} were through before", report.ended, report.unhurt);
    for (disturbance, why) in &report.skipped {
        println!("SKIPPED: {disturbance:?}: {why}");
    }
    Ok(())
}
