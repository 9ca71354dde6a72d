//! `cargo xtask demo`: the page, on this computer, from nothing.

use std::io;
use std::path::Path;

use anyhow::{Result, bail};
use xtask::server::Server;

use crate::cargo::root;
use crate::toolchain::WasmToolchain;
use crate::web::build_site;

/// Build the comparison page and serve it on this computer.
///
/// Installs the compiler's wasm32 target if it is missing. The first build takes a few minutes.
/// The page is served to this computer only; Ctrl-C ends it.
#[derive(clap::Args)]
pub struct Demo {
    /// The port of http://127.0.0.1:PORT; 0 takes any that is free
    #[arg(long, default_value_t = 8080)]
    port: u16,

    /// Open the page in the default browser
    #[arg(long)]
    open: bool,

    /// Leave out the headers that isolate the page, as most web hosts do: it then runs on one thread
    #[arg(long)]
    no_isolation: bool,
}

impl Demo {
    /// Builds and serves until Ctrl-C.
    pub fn run(self) -> Result<()> {
        let dist = root().join("dist");
        // Before the build, which takes minutes: a port in use is better learnt of now.
        let server = start(&dist, self.port)?;
        server.isolate(!self.no_isolation);
        build_site(&WasmToolchain::ensure()?, &dist)?;
        println!("The page is at {} - Ctrl-C ends it.", server.url());
        if self.open
            && let Err(error) = open::that(server.url())
        {
            println!("No browser could be started ({error}): open the address by hand.");
        }
        server.run();
        Ok(())
    }
}

fn start(dist: &Path, port: u16) -> Result<Server> {
    match Server::start(dist, port) {
        Ok(server) => Ok(server),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            bail!("port {port} is in use. Choose another, for example --port {}", port.wrapping_add(1).max(1024))
        }
        Err(error) => bail!("cannot listen on port {port}: {error}"),
    }
}
