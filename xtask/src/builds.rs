//! The builds of the worker's program: one for every browser, and others for browsers that can do more.
//!
//! `web-demo/assets/start-worker.js` chooses among those that the site has; a visitor downloads one.

use anyhow::Result;

use crate::bindgen::{WasmModule, bind};
use crate::cargo::{build, executable, root};
use crate::toolchain::{TARGET, WasmToolchain};
use crate::web::remap_sources;

/// A build of the worker's program. Never with the page: its parts (`split.rs`) are exported, and would stay in.
pub struct Build {
    /// As files and the page's address call it.
    pub name: &'static str,
    /// Flags for rustc in addition to those in `.cargo/config.toml`, which are for simd128.
    rustflags: &'static [&'static str],
    /// Whether threads share memory, for which the standard library has to be compiled too.
    has_threads: bool,
}

/// What cargo is asked for: the worker without the page.
pub const WORKER: [&str; 5] = ["--package", "web-demo", "--no-default-features", "--bin", "worker"];

/// For every browser that the page supports.
pub const PLAIN: Build = Build { name: "plain", rustflags: &[], has_threads: false };

/// Multiply-adds in one instruction.
pub const RELAXED: Build =
    Build { name: "relaxed", rustflags: &["-Ctarget-feature=+relaxed-simd"], has_threads: false };

/// The same on several threads.
///
/// rustc links a program with shared memory only when told all of this. The most memory it may take is reserved as
/// addresses when it starts, so browsers on phones refuse large figures; twice the largest image is enough.
pub const THREADS: Build = Build {
    name: "threads",
    rustflags: &[
        "-Ctarget-feature=+relaxed-simd,+atomics,+bulk-memory",
        "-Clink-arg=--shared-memory",
        "-Clink-arg=--import-memory",
        "-Clink-arg=--max-memory=536870912",
        "-Clink-arg=--export=__wasm_init_tls",
        "-Clink-arg=--export=__tls_size",
        "-Clink-arg=--export=__tls_align",
        "-Clink-arg=--export=__tls_base",
    ],
    has_threads: true,
};

impl Build {
    /// The argument by which cargo adds this build's flags to those in `.cargo/config.toml`.
    pub fn config(&self) -> String {
        format!("--config=target.{TARGET}.rustflags={:?}", self.rustflags)
    }

    /// Compiles the worker's program.
    pub fn compile(&self, toolchain: &WasmToolchain) -> Result<WasmModule> {
        let mut cargo = if self.has_threads { toolchain.cargo_with_std("build") } else { toolchain.cargo("build") };
        cargo.args(WORKER).args(["--profile", "web"]).arg(self.config());
        remap_sources(&mut cargo)?;
        // In one folder the builds would evict each other: cargo tells them apart neither by these flags nor by the variable
        // that allows `build-std`, for which build scripts ask.
        cargo.arg("--target-dir").arg(root().join("target").join(self.name));
        bind(executable(&build(&mut cargo)?, "worker")?)
    }
}
