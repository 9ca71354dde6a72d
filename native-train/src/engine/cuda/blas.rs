//! Matrix products by cuBLAS.

#![expect(unsafe_code, reason = "cuBLAS is a C library")]

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use cudarc::cublas::{CudaBlas, result, sys};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtrMut};

use super::device::{Offset, Product, Transposed};
use crate::engine::Precision;

/// Room for cuBLAS in bytes, as it wants it on Hopper: with its own room a product cannot be recorded with other launches.
const WORKSPACE: usize = 32 << 20;

pub(super) struct Blas {
    blas: CudaBlas,
    compute: sys::cublasComputeType_t,
    /// Its address is in use.
    _workspace: CudaSlice<u8>,
}

impl Blas {
    pub(super) fn new(stream: Arc<CudaStream>, precision: Precision) -> Result<Self> {
        // SAFETY: the library is only opened.
        let is_there = unsafe { sys::is_culib_present() };
        ensure!(
            is_there,
            "cuBLAS (libcublas.so) is not found. It comes with the CUDA toolkit and with PyTorch (pip install \
             nvidia-cublas); name its folder in LD_LIBRARY_PATH"
        );
        let compute = match precision {
            Precision::F32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            Precision::Tf32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            Precision::Bf16 => bail!("this engine computes in f32 or tf32; bf16 is --engine torch's"),
        };
        let mut workspace = stream.alloc_zeros::<u8>(WORKSPACE)?;
        let blas = CudaBlas::new(Arc::clone(&stream)).context("cuBLAS cannot be started")?;
        let (address, _) = workspace.device_ptr_mut(&stream);
        // SAFETY: the room is there as long as the handle.
        unsafe { sys::cublasSetWorkspace_v2(*blas.handle(), address as *mut _, WORKSPACE) }.result()?;
        Ok(Self { blas, compute, _workspace: workspace })
    }

    /// Such as 130000.
    pub(super) fn version(&self) -> Result<i32> {
        let mut version = 0;
        // SAFETY: the offset lies in the memory.
        unsafe { sys::cublasGetVersion_v2(*self.blas.handle(), &raw mut version) }.result()?;
        Ok(version)
    }

    /// Begins to compute a product; `address` gives an offset's address.
    pub(super) fn run(&self, product: &Product, address: impl Fn(Offset) -> u64) -> Result<()> {
        let &Product { left, right, out, rows, columns, inner, accumulates } = product;
        let (one, beta) = (1.0_f32, f32::from(u8::from(accumulates)));
        let as_blas = |transposed: Transposed| match transposed {
            Transposed::No => sys::cublasOperation_t::CUBLAS_OP_N,
            Transposed::Yes => sys::cublasOperation_t::CUBLAS_OP_T,
        };
        let length = |transposed: Transposed, no: usize, yes: usize| match transposed {
            Transposed::No => no as i32,
            Transposed::Yes => yes as i32,
        };
        let f32 = sys::cudaDataType::CUDA_R_32F;
        // cuBLAS has columns where these matrices have rows: it computes the transposed product, right before left.
        // SAFETY: the tests run the same programs on an emulator, which checks what they reach; numbers are read at once.
        unsafe {
            result::gemm_ex(
                *self.blas.handle(),
                as_blas(right.1),
                as_blas(left.1),
                columns as i32,
                rows as i32,
                inner as i32,
                (&raw const one).cast(),
                address(right.0) as *const _,
                f32,
                length(right.1, columns, inner),
                address(left.0) as *const _,
                f32,
                length(left.1, inner, rows),
                (&raw const beta).cast(),
                address(out) as *mut _,
                f32,
                columns as i32,
                self.compute,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .with_context(|| format!("cuBLAS cannot multiply {rows} x {inner} by {inner} x {columns}"))
    }
}
