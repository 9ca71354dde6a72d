//! Writes weight files for `cargo xtask bench-web`: `weights DIR VARIANT...` makes `DIR/VARIANT.safetensors`.
//!
//! The published weights where there are some; else random ones of 20 classes, which cost the same time as trained ones.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use shared_model::{Manifest, Variant, WeightPrecision, Weights};

fn main() -> Result<(), Box<dyn Error>> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let manifest = Manifest::from_json(&fs::read_to_string(models.join("manifest.json"))?)?;
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().ok_or("usage: weights DIR VARIANT...")?;
    for name in arguments {
        let variant = Variant::named(&name)?;
        let bytes = match manifest.models.iter().find(|entry| entry.variant == name) {
            Some(entry) => fs::read(models.join(&entry.file))?,
            None => Weights::random(variant, 20, 0).to_bytes(WeightPrecision::Single)?,
        };
        fs::write(Path::new(&folder).join(format!("{name}.safetensors")), bytes)?;
    }
    Ok(())
}
