//! From a compiled WebAssembly program to the pair of files that a browser loads.
//!
//! wasm-bindgen is linked as a library: its version is the crate's by construction, and nobody has to install a tool.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use wasm_bindgen_cli_support::Bindgen;

/// An ES module, and the WebAssembly that its default export starts.
pub struct WasmModule {
    /// `import init from ...; await init({ module_or_path: URL_OF_WASM })`.
    pub js: Vec<u8>,
    /// The WebAssembly module.
    pub wasm: Vec<u8>,
}

/// Generates the JavaScript around `wasm`, a file that rustc wrote.
pub fn bind(wasm: &Path) -> Result<WasmModule> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).web(true)?.omit_default_module_path(true);
    bindgen.remove_name_section(true).remove_producers_section(true);
    let mut output = bindgen.generate_output().with_context(|| format!("wasm-bindgen on {}", wasm.display()))?;

    // The site has no place for such files yet; silence would surface as a blank page.
    let snippets = output.snippets().iter().filter(|(_, files)| !files.is_empty()).map(|(name, _)| name);
    let scripts: Vec<_> = snippets.chain(output.local_modules().keys()).collect();
    ensure!(
        scripts.is_empty(),
        "{} brings JavaScript files of its own ({scripts:?}), which xtask/src/web.rs does not publish",
        wasm.display()
    );
    Ok(WasmModule { js: output.js().as_bytes().to_vec(), wasm: output.wasm_mut().emit_wasm() })
}
