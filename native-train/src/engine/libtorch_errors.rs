//! What libtorch's errors mean, and their remedies. Apart from what needs libtorch, so that every build tests it.

use anyhow::{Error, Result, anyhow, ensure};

/// Refuses the GPU `index`, as `has_cuda` and the number of `gpus` are.
///
/// # Errors
/// Says what is missing, and the remedy.
pub(super) fn check_gpu(index: usize, has_cuda: bool, gpus: usize) -> Result<()> {
    ensure!(
        has_cuda,
        "this program's libtorch computes on the CPU only: build it with a libtorch 2.11 for CUDA, see docs/cuda.md"
    );
    ensure!(
        gpus > 0,
        "libtorch finds no NVIDIA GPU: `nvidia-smi` tells whether the driver does, and the driver must be as new as \
         libtorch's CUDA; CUDA_VISIBLE_DEVICES may hide GPUs"
    );
    let there_are = if gpus == 1 { "is 1 GPU".to_string() } else { format!("are {gpus} GPUs") };
    ensure!(index < gpus, "there is no GPU {index}: there {there_are}, counted from 0");
    Ok(())
}

/// What an exception of libtorch means, and the remedy where it is known.
pub(super) fn meaning(text: &str) -> Error {
    // What follows are places in libtorch's source code.
    let text = text.split("\nException raised from").next().unwrap_or_default().trim();
    let figures = |from: &str, to: &str| {
        let text = &text[text.find(from)?..];
        Some(text.find(to).map_or(text, |end| &text[..end + to.len()]).lines().next().unwrap_or_default().to_string())
    };
    let memory = if text.contains("CUDA out of memory") {
        Some(("GPU's", figures("Tried to allocate", " is free")))
    } else if text.contains("DefaultCPUAllocator: can't allocate memory") {
        Some(("computer's", figures("you tried to allocate", " bytes")))
    } else {
        None
    };
    match memory {
        Some((whose, figures)) => anyhow!(
            "the {whose} memory does not hold this batch: choose a smaller --batch, or smaller images (libtorch: {})",
            figures.unwrap_or_else(|| text.to_string())
        ),
        None => anyhow!("libtorch failed: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_gpu_is_told_from_a_libtorch_without_cuda() {
        let error = |index, has_cuda, gpus| check_gpu(index, has_cuda, gpus).unwrap_err().to_string();
        assert!(error(0, false, 0).contains("libtorch 2.11 for CUDA"));
        assert!(error(0, true, 0).contains("nvidia-smi"));
        assert_eq!(error(1, true, 1), "there is no GPU 1: there is 1 GPU, counted from 0");
        assert_eq!(error(7, true, 2), "there is no GPU 7: there are 2 GPUs, counted from 0");
        check_gpu(1, true, 2).unwrap();
    }

    #[test]
    fn lack_of_memory_has_its_remedy_and_figures() {
        let said = |text: &str| meaning(text).to_string();
        let gpu = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.50 \
                   GiB is free. Including non-PyTorch memory, this process has 77.60 GiB memory in use.\nException raised \
                   from malloc at CUDACachingAllocator.cpp:1431 (most recent call first):\nframe #0: ...";
        let expected = "the GPU's memory does not hold this batch: choose a smaller --batch, or smaller images (libtorch: \
                        Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.50 GiB is free)";
        assert_eq!(said(gpu), expected);
        let here = "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate \
                    4503599627370496 bytes. Error code 12 (Cannot allocate memory)\nException raised from alloc_cpu at ...";
        let text = said(here);
        assert!(
            text.contains("a smaller --batch") && text.ends_with("you tried to allocate 4503599627370496 bytes)"),
            "{text}"
        );
        assert_eq!(said("shapes differ\nException raised from x.cpp"), "libtorch failed: shapes differ");
    }
}
