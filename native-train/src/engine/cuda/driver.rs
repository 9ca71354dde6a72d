//! An NVIDIA GPU as a [`Device`]: CUDA's driver for memory and launches, cuBLAS for products.

#![expect(unsafe_code, reason = "CUDA is a C library; kernels take addresses")]

use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cudarc::driver::{CudaContext, CudaFunction, CudaGraph, CudaSlice, CudaStream, DevicePtrMut, PinnedHostSlice};
use cudarc::driver::{result, sys};
use cudarc::nvrtc::Ptx;
use rayon::prelude::*;

use super::blas::Blas;
use super::device::{Argument, Command, Device, Launch, Offset, Program, THREADS};
use super::kernels::compiled;
use crate::engine::Precision;

/// Bytes of a cache line.
const LINE: usize = 64;
/// Bytes that are copied by one thread at a time.
const CHUNK: usize = 1 << 20;

/// A GPU.
pub struct Cuda {
    properties: Properties,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    blas: Blas,
    functions: HashMap<String, CudaFunction>,
    /// Kept while its address is in use.
    memory: Option<CudaSlice<f32>>,
    address: sys::CUdeviceptr,
    capacity: usize,
    staging: Staging,
    /// By the programs' numbers.
    graphs: HashMap<u64, Recorded>,
}

/// What is known of a GPU and its software.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Properties {
    pub name: String,
    /// Such as (9, 0).
    pub compute_capability: (i32, i32),
    pub multiprocessors: i32,
    /// In bytes.
    pub memory: usize,
    /// The newest CUDA that the driver knows, major and minor.
    pub driver: (i32, i32),
    /// Of the compiler of kernels, major and minor.
    pub nvrtc: (i32, i32),
    /// Of cuBLAS, such as 130000.
    pub cublas: i32,
}

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, multiprocessors, driver, nvrtc, cublas, .. } = self;
        let gib = self.memory as f64 / f64::from(1 << 30);
        write!(
            f,
            "{name}, {multiprocessors} multiprocessors, {gib:.1} GiB; driver for CUDA {}.{}, NVRTC {}.{}, cuBLAS {cublas}",
            driver.0, driver.1, nvrtc.0, nvrtc.1
        )
    }
}

/// Memory of the host that the GPU reaches by itself. Uploads take one part after another, until a download has waited for all.
struct Staging {
    memory: Option<PinnedHostSlice<u8>>,
    used: usize,
}

/// What is known of a program.
enum Recorded {
    /// It has run once, which cuBLAS needs before it can be recorded.
    Warm,
    /// All of its launches as one.
    Graph(CudaGraph),
}

impl Cuda {
    /// Opens GPU number `index`, and compiles the kernels for it.
    ///
    /// # Errors
    /// Fails where there is no driver or no such GPU, or CUDA's libraries are missing, saying what to do.
    pub fn open(index: usize, precision: Precision) -> Result<Self> {
        // SAFETY: the library is only opened.
        let is_there = unsafe { sys::is_culib_present() };
        ensure!(
            is_there,
            "this machine has no NVIDIA driver (libcuda.so is not found): install it, or use --device cpu"
        );
        let count = CudaContext::device_count()
            .context("CUDA cannot be started: check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu")?;
        ensure!(
            count > 0,
            "the NVIDIA driver finds no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu"
        );
        ensure!((index as i64) < i64::from(count), "there is no GPU {index}: this machine has {count}, counted from 0");
        let context = CudaContext::new(index).context("the GPU cannot be opened")?;
        // SAFETY: one stream does everything, in order.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream()?;
        let compute_capability = context.compute_capability()?;
        let compiled = compiled(compute_capability)?;
        let mut driver = 0;
        // SAFETY: the offset lies in the memory.
        unsafe { sys::cuDriverGetVersion(&raw mut driver) }.result()?;
        let driver = (driver / 1000, driver % 1000 / 10);
        let mut functions = HashMap::new();
        for (code, names) in &compiled.units {
            let module = context.load_module(Ptx::from_binary(code.clone())).with_context(|| {
                let ((driver, d), (nvrtc, n)) = (driver, compiled.version);
                format!(
                    "the driver (CUDA {driver}.{d}) does not take what NVRTC {nvrtc}.{n} compiles: update the driver, or use \
                     CUDA {driver}'s libraries"
                )
            })?;
            for name in names {
                functions.insert(name.clone(), module.load_function(name)?);
            }
        }
        let blas = Blas::new(Arc::clone(&stream), precision)?;
        let attribute = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let properties = Properties {
            name: context.name()?,
            compute_capability,
            multiprocessors: context.attribute(attribute)?,
            memory: context.total_mem()?,
            driver,
            nvrtc: compiled.version,
            cublas: blas.version()?,
        };
        let (memory, staging) = (None, Staging { memory: None, used: 0 });
        Ok(Self {
            properties,
            context,
            stream,
            blas,
            functions,
            memory,
            address: 0,
            capacity: 0,
            staging,
            graphs: HashMap::new(),
        })
    }

    /// What is known of it.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    fn at(&self, offset: Offset) -> sys::CUdeviceptr {
        self.address + 4 * offset as u64
    }

    /// Begins to copy bytes to the GPU, by way of the staging memory.
    fn copy_to(&mut self, offset: Offset, bytes: &[u8]) -> Result<()> {
        self.context.bind_to_thread()?;
        let end = self.staging.used + bytes.len();
        if self.staging.len() < end {
            self.stream.synchronize()?;
            self.staging.reserve(&self.context, end)?;
        }
        let memory = self.staging.memory.as_mut().context("there is staging memory by now")?;
        let to = &mut memory.as_mut_slice()?[self.staging.used..][..bytes.len()];
        to.par_chunks_mut(CHUNK).zip(bytes.par_chunks(CHUNK)).for_each(|(to, from)| to.copy_from_slice(from));
        let at = self.address + 4 * offset as u64;
        // SAFETY: the memory is there, and nobody writes to this part of the staging memory before the next download has waited.
        unsafe { result::memcpy_htod_async(at, to, self.stream.cu_stream()) }?;
        self.staging.used += bytes.len().next_multiple_of(LINE);
        Ok(())
    }

    fn start(&self, program: &Program) -> Result<()> {
        for command in &program.commands {
            match command {
                Command::Launch(launch) => self.launch(launch)?,
                Command::Product(product) => self.blas.run(product, |offset| self.at(offset))?,
            }
        }
        Ok(())
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        let Launch { kernel, grid, shared_bytes, arguments } = launch;
        let function = self.functions.get(kernel).with_context(|| format!("there is no kernel {kernel}"))?;
        let mut values: Vec<u64> = arguments
            .iter()
            .map(|argument| match *argument {
                Argument::At(offset) => self.at(offset),
                Argument::Nothing => 0,
                // In the lower half, which is where a little-endian machine looks for it.
                Argument::Int(number) => u64::from(number as u32),
            })
            .collect();
        let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect();
        // SAFETY: pointers lead to the arguments that the kernel takes: the tests run the same programs on an emulator, which
        // checks their number and what they reach.
        unsafe {
            result::launch_kernel(
                function.cu_function(),
                (grid.0, grid.1, 1),
                (THREADS as u32, 1, 1),
                *shared_bytes,
                self.stream.cu_stream(),
                &mut pointers,
            )
        }
        .with_context(|| format!("the kernel {kernel} cannot be started"))
    }

    /// Records a program's launches, so that they start as one.
    fn record(&self, program: &Program) -> Result<CudaGraph> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode)?;
        let started = self.start(program);
        // Ended in any case: a stream that goes on recording does nothing else.
        let flags = sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
        let graph = self.stream.end_capture(flags);
        started?;
        graph?.context("the GPU recorded nothing")
    }
}

impl Staging {
    fn len(&self) -> usize {
        self.memory.as_ref().map_or(0, PinnedHostSlice::len)
    }

    /// Begins anew, with room for so many bytes; nothing may be on its way.
    fn reserve(&mut self, context: &Arc<CudaContext>, bytes: usize) -> Result<()> {
        self.used = 0;
        if self.len() < bytes {
            self.memory = None;
            // SAFETY: it is written to before it is read.
            let memory = unsafe { context.alloc_pinned_with_flags(bytes, 0) };
            self.memory =
                Some(memory.with_context(|| format!("{} MiB of pinned memory are not to be had", bytes >> 20))?);
        }
        Ok(())
    }
}

impl Device for Cuda {
    fn allocate(&mut self, numbers: usize) -> Result<()> {
        self.graphs.clear();
        self.stream.synchronize()?;
        self.memory = None;
        self.capacity = 0;
        // SAFETY: programs write before they read.
        let mut memory = unsafe { self.stream.alloc::<f32>(numbers) }?;
        self.address = memory.device_ptr_mut(&self.stream).0;
        self.memory = Some(memory);
        self.capacity = numbers;
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn available(&self) -> Result<usize> {
        let (free, _) = self.context.mem_get_info()?;
        Ok(self.capacity + free / 4)
    }

    fn upload(&mut self, offset: Offset, numbers: &[f32]) -> Result<()> {
        // SAFETY: numbers are bytes, too.
        let bytes = unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) };
        self.copy_to(offset, bytes)
    }

    fn upload_bytes(&mut self, offset: Offset, bytes: &[u8]) -> Result<()> {
        self.copy_to(offset, bytes)
    }

    fn download(&mut self, offset: Offset, numbers: &mut [f32]) -> Result<()> {
        self.context.bind_to_thread()?;
        self.stream.synchronize()?;
        self.staging.reserve(&self.context, size_of_val(numbers))?;
        let memory = self.staging.memory.as_mut().context("there is staging memory by now")?;
        let from = &mut memory.as_mut_slice()?[..size_of_val(numbers)];
        let at = self.address + 4 * offset as u64;
        // SAFETY: the memory is there, and nothing else is on its way.
        unsafe { result::memcpy_dtoh_async(from, at, self.stream.cu_stream()) }?;
        self.stream.synchronize()?;
        let to = numbers.par_chunks_mut(CHUNK / 4).zip(from.par_chunks(CHUNK));
        to.for_each(|(to, from)| {
            let from = from.chunks_exact(4).map(|bytes| f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
            to.iter_mut().zip(from).for_each(|(to, from)| *to = from);
        });
        Ok(())
    }

    fn fetch(&mut self, offset: Offset, other: &Self, from: Offset, numbers: usize) -> Result<()> {
        ensure!(self.context.ordinal() == other.context.ordinal(), "the two networks are on different GPUs");
        self.context.bind_to_thread()?;
        // SAFETY: both places are within memory of this context, and the other's stream has nothing left to do.
        unsafe { result::memcpy_dtod_async(self.at(offset), other.at(from), 4 * numbers, self.stream.cu_stream()) }?;
        Ok(())
    }

    fn run(&mut self, program: &Program) -> Result<()> {
        self.context.bind_to_thread()?;
        match self.graphs.get(&program.id) {
            Some(Recorded::Graph(graph)) => Ok(graph.launch()?),
            Some(Recorded::Warm) => {
                let graph = self.record(program)?;
                graph.launch()?;
                self.graphs.insert(program.id, Recorded::Graph(graph));
                Ok(())
            }
            None => {
                self.start(program)?;
                self.graphs.insert(program.id, Recorded::Warm);
                Ok(())
            }
        }
    }
}
