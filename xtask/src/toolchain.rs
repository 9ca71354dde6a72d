//! A Rust compiler for wasm32, brought about where it is missing.
//!
//! Usually `rustup target add` does it. Where there is no rustup, or it cannot reach its server, Debian's packages carry a compiler and the
//! standard library's sources, from which cargo then builds the library.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use which::which;

use crate::cargo::{cargo, output, root, run};

/// The target of the page and its worker.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// What cargo then compiles with a program.
const BUILD_STD: &str = "-Zbuild-std=std,panic_abort";

/// Debian's packages of a recent Rust, and the linker that goes with them.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// Where the sources of the standard library are, from a compiler's folder on.
const SOURCES: &str = "lib/rustlib/src/rust/library/Cargo.lock";

const REMEDY: &str = "\
the page needs a Rust compiler for WebAssembly, and the one in use has no wasm32-unknown-unknown target.
  With rustup:                    rustup target add wasm32-unknown-unknown
  With Debian's packages, as root: apt-get install rustc-web cargo-web rust-web-src lld
Then run the command again.";

const NO_SOURCES: &str = "\
the sources of the standard library are missing.
  With rustup:                    rustup component add rust-src
  With Debian's packages, as root: apt-get install rust-web-src";

/// How wasm32 programs are compiled on this machine.
pub enum WasmToolchain {
    /// The compiler in use has the target.
    Installed,
    /// Debian's compiler builds the standard library as well.
    BuildStd {
        /// rustup's linker where there is one, as it is newer than Debian's.
        linker: PathBuf,
    },
}

impl WasmToolchain {
    /// Finds a way to compile for wasm32. Installs what is missing, and says so.
    pub fn ensure() -> Result<WasmToolchain> {
        if is_installed() {
            return Ok(WasmToolchain::Installed);
        }
        if which("rustup").is_ok() {
            println!("The wasm32 target is missing. Running `rustup target add {TARGET}`.");
            let added = run(Command::new("rustup").current_dir(root()).args(["target", "add", TARGET]));
            if added.is_ok() && is_installed() {
                return Ok(WasmToolchain::Installed);
            }
        }
        if !is_debian_ready() && which("apt-get").is_ok() {
            println!("Trying Debian's compiler. Running `apt-get install {}`.", DEBIAN_PACKAGES.join(" "));
            // Without a network or without being root this fails; the remedy below says what to do.
            let _ = run(Command::new("apt-get").args(["-qq", "update"]));
            let install = ["-qq", "-y", "--no-install-recommends", "install"];
            let _ = run(Command::new("apt-get").args(install).args(DEBIAN_PACKAGES));
        }
        match linker() {
            Some(linker) if is_debian_ready() => {
                println!("Compiling with Debian's Rust, the standard library included.");
                Ok(WasmToolchain::BuildStd { linker })
            }
            _ => bail!(REMEDY),
        }
    }

    /// A cargo command (`build`, `clippy`) for the target.
    ///
    /// A RUSTFLAGS variable would silently replace the flags in `.cargo/config.toml`, and with them SIMD: these commands never see it.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut command = match self {
            WasmToolchain::Installed => cargo(),
            WasmToolchain::BuildStd { .. } => {
                let mut command = Command::new("/usr/bin/cargo");
                command.current_dir(root()).env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                // Set by the cargo that runs this xtask, for a compiler that is not used here.
                for variable in ["CARGO", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"] {
                    command.env_remove(variable);
                }
                command
            }
        };
        command.args([subcommand, "--target", TARGET]);
        for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            if env::var_os(variable).is_some() {
                println!("{variable} is left out of the WebAssembly build, which has flags of its own.");
                command.env_remove(variable);
            }
        }
        if let WasmToolchain::BuildStd { linker } = self {
            command.arg(BUILD_STD);
            command.arg(format!("--config=target.{TARGET}.linker={linker:?}"));
        }
        command
    }

    /// The same, the standard library included: a program with threads needs one that is compiled for them.
    pub fn cargo_with_std(&self, subcommand: &str) -> Command {
        let mut command = self.cargo(subcommand);
        if let WasmToolchain::Installed = self {
            command.env("RUSTC_BOOTSTRAP", "1").arg(BUILD_STD);
        }
        command
    }

    /// Sees to it that [`WasmToolchain::cargo_with_std`] finds the sources it needs. Installs what is missing, and says so.
    ///
    /// # Errors
    /// Says what is missing, and how to get it.
    pub fn ensure_std_sources(&self) -> Result<()> {
        if let WasmToolchain::Installed = self
            && !has_sources()
        {
            if which("rustup").is_ok() {
                println!("The standard library's sources are missing. Running `rustup component add rust-src`.");
                let _ = run(Command::new("rustup").current_dir(root()).args(["component", "add", "rust-src"]));
            }
            ensure!(has_sources(), NO_SOURCES);
        }
        // What the library is made of besides comes from the registry.
        run(self.cargo_with_std("fetch").arg("--quiet")).context("the standard library's dependencies cannot be had")
    }
}

/// Whether the compiler in use has the sources of its standard library.
fn has_sources() -> bool {
    sysroot().join(SOURCES).is_file()
}

/// The folder of the compiler in use.
pub fn sysroot() -> PathBuf {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    // A missing or broken compiler is reported by the build that needs it.
    output(Command::new(rustc).args(["--print", "sysroot"])).unwrap_or_default().trim().into()
}

/// Whether the compiler in use has the target.
pub fn is_installed() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let folder = output(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]));
    // A missing or broken compiler is reported by the build that needs it.
    folder.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

fn is_debian_ready() -> bool {
    ["/usr/bin/cargo", "/usr/bin/rustc"].iter().all(|path| Path::new(path).exists())
        && Path::new("/usr").join(SOURCES).exists()
}

fn linker() -> Option<PathBuf> {
    let host = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let bundled = sysroot().join("lib/rustlib").join(host).join("bin/rust-lld");
    if bundled.is_file() { Some(bundled) } else { which("wasm-ld").ok() }
}
