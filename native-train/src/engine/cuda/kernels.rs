//! The kernels of `kernels/`, compiled by NVRTC, CUDA's compiler as a library, for the GPU at hand.

#![expect(unsafe_code, reason = "NVRTC is a C library")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use cudarc::nvrtc::{result, sys};
use rayon::prelude::*;

const COMMON: &str = concat!(include_str!("kernels/common.cu"), include_str!("kernels/moments.cu"));
const DEPTHWISE: &str = include_str!("kernels/depthwise.cu");
/// Memory that a launch says the size of; the emulator of the tests has another way.
const DYNAMIC_SHARED: &str = "#define DYNAMIC_SHARED(type, name) extern __shared__ type name[]\n";

/// The compiled kernels.
pub struct Compiled {
    /// Machine code with the names of its kernels.
    pub units: Vec<(Vec<u8>, Vec<String>)>,
    /// NVRTC's version, major and minor.
    pub version: (i32, i32),
}

/// As [`compile`], but once for all GPUs of a kind that this process opens.
///
/// # Errors
/// As [`compile`].
pub(super) fn compiled(capability: (i32, i32)) -> Result<Arc<Compiled>> {
    static ALL: Mutex<BTreeMap<(i32, i32), Arc<Compiled>>> = Mutex::new(BTreeMap::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(compiled) = all.get(&capability) {
        return Ok(Arc::clone(compiled));
    }
    let compiled = Arc::new(compile(capability)?);
    all.insert(capability, Arc::clone(&compiled));
    Ok(compiled)
}

/// What is compiled at a time: several units are faster than one, as each has a processor's core for itself.
fn sources() -> Vec<String> {
    let depthwise = [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2), (9, 1), (9, 2)]
        .map(|(k, stride)| format!("{DYNAMIC_SHARED}{COMMON}{DEPTHWISE}\nDEPTHWISE({k}, {stride})\n"));
    let others = [
        include_str!("kernels/norm.cu"),
        include_str!("kernels/stem.cu"),
        include_str!("kernels/simple.cu"),
        include_str!("kernels/features.cu"),
    ]
    .map(|source| format!("{DYNAMIC_SHARED}{COMMON}{source}"));
    depthwise.into_iter().chain(others).collect()
}

/// Compiles all kernels for GPUs of a compute capability such as (9, 0). No GPU is needed.
///
/// # Errors
/// Fails where NVRTC is not installed or does not know such GPUs.
pub fn compile(capability: (i32, i32)) -> Result<Compiled> {
    // SAFETY: the library is only opened.
    let is_there = unsafe { sys::is_culib_present() };
    ensure!(
        is_there,
        "CUDA's compiler NVRTC (libnvrtc.so) is not found. It comes with the CUDA toolkit and with PyTorch (pip install \
         nvidia-cuda-nvrtc); name its folder in LD_LIBRARY_PATH"
    );
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both offsets lie in the memory.
    unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) }.result().context("NVRTC does not say its version")?;
    let unit = |source: String| compile_unit(&source, capability);
    let units = sources().into_par_iter().map(unit).collect::<Result<_>>();
    let (name, version) = (format!("sm_{}{}", capability.0, capability.1), (major, minor));
    let units = units.with_context(|| format!("NVRTC {major}.{minor} cannot compile the kernels for {name}"))?;
    Ok(Compiled { units, version })
}

fn compile_unit(source: &str, (major, minor): (i32, i32)) -> Result<(Vec<u8>, Vec<String>)> {
    let text = CString::new(source)?;
    let program = KernelSource(result::create_program(&text, Some(c"kernels.cu")).context("NVRTC takes no program")?);
    let options = [format!("--gpu-architecture=sm_{major}{minor}"), "--std=c++17".into()];
    // SAFETY: the program is there until the end of this function.
    if let Err(error) = unsafe { result::compile_program(program.0, &options) } {
        // SAFETY: as above; the log ends with a zero.
        let log = unsafe { result::get_program_log(program.0) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|byte| byte as u8).collect();
        let log = CStr::from_bytes_until_nul(&log).map(|log| log.to_string_lossy().into_owned()).unwrap_or_default();
        bail!("{error:?}: {}", log.trim());
    }
    let mut size = 0;
    // SAFETY: as above.
    unsafe { sys::nvrtcGetCUBINSize(program.0, &raw mut size) }.result()?;
    let mut code = vec![0; size];
    // SAFETY: there is room for as many bytes as NVRTC said.
    unsafe { sys::nvrtcGetCUBIN(program.0, code.as_mut_ptr().cast()) }.result()?;
    Ok((code, kernel_names(source)))
}

/// A program of NVRTC's, which is given back in the end.
struct KernelSource(sys::nvrtcProgram);

impl Drop for KernelSource {
    fn drop(&mut self) {
        // SAFETY: nobody else has it. A program that cannot be given back does no further harm.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// The kernels that a unit defines.
fn kernel_names(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in source.lines() {
        if let Some(rest) = line.trim().strip_prefix("extern \"C\" __global__ void ") {
            // Within the macro they are templates of names.
            names.extend(rest.split_once('(').map(|(name, _)| name.to_string()).filter(|name| !name.contains('#')));
        }
        if let Some((k, stride)) =
            line.strip_prefix("DEPTHWISE(").and_then(|rest| rest.trim_end_matches(')').split_once(", "))
        {
            let kernels = ["depthwise", "depthwise_input_gradient", "depthwise_weight_gradient"];
            names.extend(kernels.map(|kernel| format!("{kernel}_{k}_{stride}")));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_is_named_once() {
        let mut names: Vec<String> = sources().iter().flat_map(|source| kernel_names(source)).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        for name in ["stem", "moments", "depthwise_9_2", "depthwise_weight_gradient_3_1", "scatter_predictions"] {
            assert!(names.iter().any(|other| other == name), "{name} is missing among {names:?}");
        }
    }

    /// Needs NVRTC, which comes with CUDA and PyTorch, and no GPU.
    #[test]
    fn kernels_compile_for_gpus_from_turing_to_hopper() {
        // SAFETY: the library is only opened.
        if !unsafe { sys::is_culib_present() } {
            use std::io::Write;
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: compiling the GPU's kernels: libnvrtc.so is not in LD_LIBRARY_PATH"
            );
            return;
        }
        for capability in [(7, 5), (8, 0), (9, 0)] {
            let compiled = compile(capability).unwrap();
            assert!(compiled.units.iter().all(|(code, names)| code.len() > 1000 && !names.is_empty()));
        }
    }
}
