//! Devices that libtorch computes on, transfers to and from them, and what their errors mean.

use anyhow::{Context, Error, Result, anyhow};
use tch::kind::Element;
use tch::{Cuda, Device, Kind, TchError, Tensor};

use crate::engine::{DeviceName, libtorch_errors};

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
            libtorch_errors::check_gpu(index, tch::utils::has_cudart(), usize::try_from(Cuda::device_count())?)?;
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

/// What libtorch's exception means (see [`libtorch_errors::meaning`]).
pub(super) fn explained(error: TchError) -> Error {
    match error {
        TchError::Torch(text) => libtorch_errors::meaning(&text),
        error => anyhow!("libtorch failed: {error}"),
    }
}
