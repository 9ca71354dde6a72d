//! `cargo xtask`: builds, serves and checks the project. One file per command; this one only dispatches.

mod bench_web;
mod bindgen;
mod builds;
mod cargo;
mod demo;
mod dependencies;
mod gpu_bundle;
mod html;
mod libtorch;
mod licences;
mod npm;
mod optional;
mod reliability;
mod screenshots;
mod site;
mod sizes;
mod split;
mod steps;
mod test;
mod toolchain;
mod web;

use std::process::ExitCode;

use clap::Parser;

/// Builds, serves and checks the project.
///
/// Start with `cargo xtask demo`: it builds the comparison page, serves it on this computer and prints the address.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
enum Command {
    Demo(demo::Demo),
    Web(web::Web),
    Npm(npm::Npm),
    Test(test::Test),
    BenchWeb(bench_web::BenchWeb),
    GpuBundle(gpu_bundle::GpuBundle),
    Screenshots(screenshots::Screenshots),
    Fuzz(reliability::Fuzz),
    KillTest(reliability::KillTest),
    LongRun(reliability::LongRun),
    Licences(licences::Licences),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Demo(demo) => demo.run(),
        Command::Web(web) => web.run(),
        Command::Npm(npm) => npm.run(),
        Command::Test(test) => test.run(),
        Command::BenchWeb(bench) => bench.run(),
        Command::GpuBundle(bundle) => bundle.run(),
        Command::Screenshots(screenshots) => screenshots.run(),
        Command::Fuzz(fuzz) => fuzz.run(),
        Command::KillTest(kill) => kill.run(),
        Command::LongRun(long) => long.run(),
        Command::Licences(licences) => licences.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
