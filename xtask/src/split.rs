//! From a compiled WebAssembly program to a main one and parts that a browser loads when they are asked for.
//!
//! A part is what only functions marked `#[wasm_split(NAME)]` need. The splitter is linked as a library, as wasm-bindgen is.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use walrus::ModuleConfig;
use wasm_bindgen_cli_support::Bindgen;
use wasm_split_cli_support::Options;

use crate::bindgen::{WasmModule, bind_with};
use crate::site::Site;

/// The script of the splitter's, by the name under which the main program imports it.
const LOADER: &str = "./__wasm_split.js";

/// Where the loader finds the main program's memory and tables. It becomes a part of that script, so the line goes.
const IMPORT: &str = "import { initSync } from \"./main.js\";\n";

/// How the names of the page's parts begin: what one part needs alone, and what several share.
pub const PART: [&str; 2] = ["page-split_", "page-chunk_"];

/// A program in parts.
pub struct SplitProgram {
    main: WasmModule,
    /// The file names that the main program's script asks for, and their content.
    parts: Vec<(String, Vec<u8>)>,
}

impl SplitProgram {
    /// Splits `wasm`, a file that the linker wrote with relocations (web-demo/build.rs), and generates the JavaScript around it.
    pub fn of(wasm: &Path) -> Result<Self> {
        let (input, folder) = (fs::read(wasm)?, tempfile::tempdir()?);
        let main_out_path = folder.path().join("main.wasm");
        let mut options = Options::new(&input);
        options.output_dir = folder.path();
        options.main_out_path = &main_out_path;
        options.link_name = LOADER;
        let split = wasm_split_cli_support::transform(options)
            .map_err(|error| anyhow!("{error:#}"))
            .with_context(|| format!("splitting {}", wasm.display()))?;

        let mut bindgen = Bindgen::new();
        // Parts import what the linker calls the stack and the table of functions.
        bindgen.input_path(&main_out_path).keep_lld_exports(true);
        let mut main = bind_with(&mut bindgen)?;
        let loader = fs::read_to_string(folder.path().join(LOADER))?;
        main.js = with_loader(&String::from_utf8(main.js)?, &loader)?.into_bytes();
        let parts = split.split_modules.iter().map(|path| {
            let name = path.file_name().context("a part has a name")?.to_string_lossy().into_owned();
            Ok((name, without_names(&fs::read(path)?)?))
        });
        Ok(Self { main, parts: parts.collect::<Result<_>>()? })
    }

    /// Publishes the script, the main part and all others under names that begin with `name`.
    pub fn publish(self, site: &mut Site, name: &str) -> Result<()> {
        let mut js = String::from_utf8(self.main.js)?;
        for (file, content) in self.parts {
            let url = site.add(&format!("{name}-{file}"), content)?;
            ensure!(js.contains(&format!("\"./{file}\"")), "the script of {name} does not ask for {file}");
            js = js.replace(&format!("\"./{file}\""), &format!("\"./{url}\""));
        }
        site.add(&format!("{name}.js"), js.into_bytes())?;
        site.add(&format!("{name}.wasm"), self.main.wasm)?;
        Ok(())
    }
}

/// A part without the names of its functions, which are half of it.
fn without_names(part: &[u8]) -> Result<Vec<u8>> {
    let mut config = ModuleConfig::new();
    config.generate_name_section(false).generate_producers_section(false);
    Ok(config.parse(part)?.emit_wasm())
}

/// The main program's script with the loader in it: as files, each would have to carry the other's hash in its name.
fn with_loader(main: &str, loader: &str) -> Result<String> {
    let loader = loader.strip_prefix(IMPORT).context("the loader is of another form")?;
    let is_load = |line: &&str| line.starts_with("export const ");
    let loads: Vec<_> = loader.lines().filter(is_load).filter_map(|line| line.split(' ').nth(2)).collect();
    let mut script =
        format!("{}\nconst partLoads = {{ {} }};\n", loader.replace("export const ", "const "), loads.join(", "));
    // One import for each of the loads, and all of them are in one object here.
    let binding =
        |line: &str| Some(line.strip_prefix("import * as ")?.split_once(&format!(" from \"{LOADER}\""))?.0.to_owned());
    for line in main.lines() {
        match binding(line) {
            Some(name) => script += &format!("const {name} = partLoads;\n"),
            None => script += &format!("{line}\n"),
        }
    }
    ensure!(script.contains(" = partLoads;"), "the program's script does not import {LOADER}");
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_becomes_a_part_of_the_script() {
        let main =
            "import * as import1 from \"./__wasm_split.js\"\nimport * as import2 from \"./__wasm_split.js\"\nrun();\n";
        let loader = format!("{IMPORT}export const load_a = 1;\nexport const load_b = 2;\n");
        let script = with_loader(main, &loader).unwrap();
        assert_eq!(
            script,
            "const load_a = 1;\nconst load_b = 2;\n\nconst partLoads = { load_a, load_b };\n\
             const import1 = partLoads;\nconst import2 = partLoads;\nrun();\n"
        );
        assert!(with_loader(main, "import main from \"elsewhere\";").is_err());
        assert!(with_loader("run();", &loader).is_err());
    }
}
