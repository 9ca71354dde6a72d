//! Devices that libtorch computes on, transfers to and from them, and what their errors mean.

use anyhow::{Context, Error, Result, anyhow, ensure};
use tch::kind::Element;
use tch::{Cuda, Device, Kind, TchError, Tensor};

use crate::train::DeviceName;

/// Makes a device ready for computation.
///
/// # Errors
/// Fails where there is no such GPU, or this libtorch cannot use one.
pub(super) fn open(name: DeviceName) -> Result<Device> {
    match name {
        DeviceName::Cpu => {
            tch::set_num_threads(i32::try_from(rayon::current_num_threads())?);
            Ok(Device::Cpu)
        }
        DeviceName::Cuda(index) => {
            load_cuda()?;
            check_gpu(index, tch::utils::has_cudart(), usize::try_from(Cuda::device_count())?)?;
            // Tries out cuDNN's kernels on every new shape; training repeats few shapes thousands of times.
            Cuda::cudnn_set_benchmark(true);
            Ok(Device::Cuda(index))
        }
    }
}

/// Loads libtorch's CUDA part. No symbol of it is used by name, so linkers leave it out of programs; once it is loaded, it
/// registers what it can do. That must be before libtorch is asked anything about CUDA, as it remembers its first answer.
fn load_cuda() -> Result<()> {
    let name = libloading::library_filename("torch_cuda");
    #[expect(unsafe_code, reason = "shared libraries may do anything when they are loaded")]
    // SAFETY: it is a part of the libtorch that this program is linked with, made to be loaded so.
    let library = unsafe { libloading::Library::new(&name) };
    let library = library.with_context(|| {
        format!(
            "libtorch's part for NVIDIA GPUs, {}, cannot be loaded: install a libtorch 2.11 for CUDA and let \
             LD_LIBRARY_PATH name its folder, see docs/cuda.md",
            name.display()
        )
    })?;
    // For as long as the program runs: libtorch now refers to it.
    std::mem::forget(library);
    Ok(())
}

fn check_gpu(index: usize, has_cuda: bool, gpus: usize) -> Result<()> {
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

/// A copy of `values` on `device`, one-dimensional. To a GPU it goes while the host carries on.
pub(super) fn upload<T: Element>(values: &[T], device: Device) -> Result<Tensor, TchError> {
    let size = [values.len() as i64];
    #[expect(unsafe_code, reason = "tch copies slices to a tensor first, and only then to pinned memory or the device")]
    // SAFETY: the numbers are of this type and count, and below they are copied before the borrow ends.
    let here = unsafe { Tensor::f_from_blob(values.as_ptr().cast(), &size, &[], T::KIND, Device::Cpu) }?;
    // From pinned memory, which libtorch keeps until the transfer is over. (`pin_memory` warns of the device that tch gives it.)
    let here = if device.is_cuda() { here.f_internal_pin_memory(device)? } else { here };
    here.f_internal_to_copy((T::KIND, device), device.is_cuda())
}

/// The numbers of `tensor`, of type [`Kind::Float`]. Waits until a GPU has computed them.
pub(super) fn download(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    let device = tensor.device();
    // Non-blocking means pinned memory, to which transfers are fastest.
    let here = tensor.f_internal_to_copy((Kind::Float, Device::Cpu), device.is_cuda())?;
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
    let mut values = vec![0.0; here.numel()];
    let count = values.len();
    here.f_copy_data(&mut values, count)?;
    Ok(values)
}

/// What an exception of libtorch means, and the remedy where it is known.
pub(super) fn explained(error: TchError) -> Error {
    let TchError::Torch(text) = error else { return anyhow!("libtorch failed: {error}") };
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
            "the {whose} memory does not hold this batch: choose a smaller --batch, or smaller pictures (libtorch: {})",
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
        let said = |text: &str| explained(TchError::Torch(text.into())).to_string();
        let gpu = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.50 \
                   GiB is free. Including non-PyTorch memory, this process has 77.60 GiB memory in use.\nException raised \
                   from malloc at CUDACachingAllocator.cpp:1431 (most recent call first):\nframe #0: ...";
        let expected = "the GPU's memory does not hold this batch: choose a smaller --batch, or smaller pictures (libtorch: \
                        Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.50 GiB is free)";
        assert_eq!(said(gpu), expected);
        // As libtorch itself says it.
        let error = Tensor::f_empty([1_i64 << 50], (Kind::Float, Device::Cpu)).unwrap_err();
        let text = explained(error).to_string();
        assert!(
            text.contains("a smaller --batch") && text.ends_with("you tried to allocate 4503599627370496 bytes)"),
            "{text}"
        );
        assert_eq!(said("shapes differ\nException raised from x.cpp"), "libtorch failed: shapes differ");
    }
}
