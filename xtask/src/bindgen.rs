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
    bind_with(Bindgen::new().input_path(wasm)).with_context(|| wasm.display().to_string())
}

/// The same for an input, and with settings, that the caller has chosen.
pub fn bind_with(bindgen: &mut Bindgen) -> Result<WasmModule> {
    bindgen.web(true)?.omit_default_module_path(true);
    bindgen.remove_name_section(true).remove_producers_section(true);
    let mut output = bindgen.generate_output().context("wasm-bindgen")?;

    // The site has no place for such files yet; silence would surface as a blank page.
    let snippets = output.snippets().iter().filter(|(_, files)| !files.is_empty()).map(|(name, _)| name);
    let scripts: Vec<_> = snippets.chain(output.local_modules().keys()).collect();
    ensure!(
        scripts.is_empty(),
        "the program brings JavaScript files of its own ({scripts:?}), which xtask/src/web.rs does not publish"
    );
    let mut js = output.js().to_owned();
    shorten_names(&mut js, output.wasm_mut())?;
    Ok(WasmModule { js: js.into_bytes(), wasm: output.wasm_mut().emit_wasm() })
}

/// Numbers in place of the names by which the program imports functions of its script. Each has a hash, which does not compress, in both files.
fn shorten_names(js: &mut String, program: &mut walrus::Module) -> Result<()> {
    for (i, import) in program.imports.iter_mut().enumerate().filter(|(_, import)| import.name.starts_with("__wbg_")) {
        let short = format!("f{i}");
        ensure!(js.matches(&import.name).count() == 1, "the script does not say {} once", import.name);
        *js = js.replace(&import.name, &short);
        import.name = short;
    }
    Ok(())
}
