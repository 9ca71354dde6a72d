//! A Rust compiler for wasm32, brought about where it is missing.
//!
//! Usually `rustup target add` does it. Where there is no rustup, or it cannot reach its server, Debian's packages carry a compiler and the
//! standard library's sources, from which cargo then builds the library.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::cargo::{cargo, find_program, output, root, run};

/// The target of the page and its worker.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's packages of a recent Rust, and the linker that goes with them.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// Where those packages put the sources of the standard library.
const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/Cargo.lock";

const REMEDY: &str = "\
the page needs a Rust compiler for WebAssembly, and the one in use has no wasm32-unknown-unknown target.
  With rustup:                    rustup target add wasm32-unknown-unknown
  With Debian's packages, as root: apt-get install rustc-web cargo-web rust-web-src lld
Then run the command again.";

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
        if find_program("rustup").is_some() {
            println!("The wasm32 target is missing. Running `rustup target add {TARGET}`.");
            let added = run(Command::new("rustup").current_dir(root()).args(["target", "add", TARGET]));
            if added.is_ok() && is_installed() {
                return Ok(WasmToolchain::Installed);
            }
        }
        if !is_debian_ready() && find_program("apt-get").is_some() {
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
            command.arg("-Zbuild-std=std,panic_abort");
            command.arg(format!("--config=target.{TARGET}.linker={linker:?}"));
        }
        command
    }
}

/// Whether the compiler in use has the target.
pub fn is_installed() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let folder = output(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]));
    // A missing or broken compiler is reported by the build that needs it.
    folder.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

fn is_debian_ready() -> bool {
    ["/usr/bin/cargo", "/usr/bin/rustc", DEBIAN_SOURCES].iter().all(|path| Path::new(path).exists())
}

fn linker() -> Option<PathBuf> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"])).unwrap_or_default();
    let host = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let bundled = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin/rust-lld");
    if bundled.is_file() { Some(bundled) } else { find_program("wasm-ld") }
}
