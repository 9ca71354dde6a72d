//! A GPU for machines without one: the kernels of `native-train/src/gpu/kernels`, compiled by a C++ compiler, on this computer's memory.

#![expect(unsafe_code, reason = "the kernels are C++ and take addresses")]

use std::ffi::{CString, c_char, c_int, c_void};

use anyhow::{Result, ensure};
use native_train::engine::cuda::device::{Argument, Command, Device, Launch, Offset, Product, Program, Transposed};

unsafe extern "C" {
    fn emulator_launch(
        name: *const c_char,
        grid_x: u32,
        grid_y: u32,
        shared_bytes: u32,
        arguments: *mut *mut c_void,
        count: usize,
        backwards: bool,
    ) -> c_int;
}

/// Numbers behind the memory that no kernel may change.
const GUARD: usize = 1024;
/// What the guard holds.
const UNTOUCHED: f32 = 12345.0;

/// The emulated GPU. Memory that nothing has been written to holds NaN, so that whoever reads it is found out.
pub struct Emulator {
    memory: Vec<f32>,
    /// Whether the last block comes first, and of each the last thread: results must not depend on it.
    backwards: bool,
    /// Numbers that there is room for.
    pub room: usize,
}

impl Emulator {
    /// An emulator; `backwards` turns the order of blocks and threads around.
    pub fn new(backwards: bool) -> Self {
        Self { memory: vec![UNTOUCHED; GUARD], backwards, room: usize::MAX }
    }

    fn launch(&mut self, launch: &Launch) -> Result<()> {
        let Launch { kernel, grid, shared_bytes, arguments } = launch;
        let base = self.memory.as_mut_ptr();
        let mut values: Vec<u64> = Vec::new();
        for argument in arguments {
            values.push(match *argument {
                Argument::At(offset) => {
                    ensure!(offset < self.capacity(), "{kernel}: the place {offset} is beyond the memory");
                    base.wrapping_add(offset) as u64
                }
                Argument::Nothing => 0,
                // In the lower half, which is where a little-endian machine looks for it.
                Argument::Int(number) => u64::from(number as u32),
            });
        }
        let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect();
        let name = CString::new(kernel.as_str())?;
        // SAFETY: pointers lead to as many arguments as are announced, and kernels are given offsets in the memory, which is as
        // large as their programs say; what they write beyond it is noticed.
        let result = unsafe {
            emulator_launch(
                name.as_ptr(),
                grid.0,
                grid.1,
                *shared_bytes,
                pointers.as_mut_ptr(),
                pointers.len(),
                self.backwards,
            )
        };
        match result {
            0 => {}
            1 => anyhow::bail!("there is no kernel {kernel}"),
            2 => anyhow::bail!("{kernel}: another number of arguments is wanted than {}", arguments.len()),
            _ => anyhow::bail!("{kernel}: the threads of a block part at a barrier"),
        }
        let guard = &self.memory[self.capacity()..];
        ensure!(guard.iter().all(|&number| number == UNTOUCHED), "{kernel} wrote behind the memory");
        Ok(())
    }

    /// In double precision, row by row.
    fn product(&mut self, product: &Product) {
        let &Product { left, right, out, rows, columns, inner, accumulates } = product;
        let left_at = |i: usize, k: usize| match left {
            (offset, Transposed::No) => offset + i * inner + k,
            (offset, Transposed::Yes) => offset + k * rows + i,
        };
        for i in 0..rows {
            let mut sums = vec![0.0; columns];
            for k in 0..inner {
                let factor = f64::from(self.memory[left_at(i, k)]);
                let (first, step) = match right {
                    (offset, Transposed::No) => (offset + k * columns, 1),
                    (offset, Transposed::Yes) => (offset + k, inner),
                };
                let numbers = self.memory[first..].iter().step_by(step);
                sums.iter_mut().zip(numbers).for_each(|(sum, &number)| *sum += factor * f64::from(number));
            }
            for (offset, sum) in self.memory[out + i * columns..].iter_mut().zip(sums) {
                *offset = if accumulates { *offset + sum as f32 } else { sum as f32 };
            }
        }
    }
}

impl Device for Emulator {
    fn allocate(&mut self, numbers: usize) -> Result<()> {
        self.memory = vec![f32::NAN; numbers];
        self.memory.extend([UNTOUCHED; GUARD]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.memory.len() - GUARD
    }

    fn available(&self) -> Result<usize> {
        Ok(self.room)
    }

    fn upload(&mut self, offset: Offset, numbers: &[f32]) -> Result<()> {
        ensure!(offset + numbers.len() <= self.capacity(), "an upload goes beyond the memory");
        self.memory[offset..][..numbers.len()].copy_from_slice(numbers);
        Ok(())
    }

    fn upload_bytes(&mut self, offset: Offset, bytes: &[u8]) -> Result<()> {
        ensure!(offset + bytes.len().div_ceil(4) <= self.capacity(), "an upload goes beyond the memory");
        for (number, bytes) in self.memory[offset..].iter_mut().zip(bytes.chunks(4)) {
            let mut four = [0; 4];
            four[..bytes.len()].copy_from_slice(bytes);
            *number = f32::from_ne_bytes(four);
        }
        Ok(())
    }

    fn download(&mut self, offset: Offset, numbers: &mut [f32]) -> Result<()> {
        ensure!(offset + numbers.len() <= self.capacity(), "a download goes beyond the memory");
        numbers.copy_from_slice(&self.memory[offset..][..numbers.len()]);
        Ok(())
    }

    fn fetch(&mut self, offset: Offset, other: &Self, from: Offset, numbers: usize) -> Result<()> {
        ensure!(from + numbers <= other.capacity(), "numbers are fetched from beyond the other memory");
        self.upload(offset, &other.memory[from..][..numbers])
    }

    fn run(&mut self, program: &Program) -> Result<()> {
        for command in &program.commands {
            match command {
                Command::Launch(launch) => self.launch(launch)?,
                Command::Product(product) => self.product(product),
            }
        }
        Ok(())
    }
}
