//! What a GPU does for the engine: it keeps numbers, and runs lists of commands on them.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;

/// An offset in a device's memory, counted in numbers of four bytes.
pub type Offset = usize;

/// Threads of every kernel's blocks (`THREADS` in `kernels/common.cu`).
pub const THREADS: usize = 256;

/// What a kernel is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument {
    /// The address of an offset.
    At(Offset),
    /// A null pointer.
    Nothing,
    Int(i32),
}

/// One start of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// Its name in `kernels/`.
    pub kernel: String,
    /// Width and height of the grid of blocks.
    pub grid: (u32, u32),
    /// Shared memory whose size is not known to the compiler.
    pub shared_bytes: u32,
    /// In the kernel's order.
    pub arguments: Vec<Argument>,
}

/// A matrix product of row-major matrices, `out = left * right` or `out += left * right`; `out` is rows x columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// rows x inner, or inner x rows if it is to be transposed.
    pub left: (Offset, Transposed),
    /// inner x columns, or columns x inner if it is to be transposed.
    pub right: (Offset, Transposed),
    /// rows x columns.
    pub out: Offset,
    /// Of the result.
    pub rows: usize,
    /// Of the result.
    pub columns: usize,
    /// What is summed up over.
    pub inner: usize,
    /// Whether the product is added to what lies in `out`.
    pub accumulates: bool,
}

/// Whether a matrix is used the other way round than it lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transposed {
    /// As it lies.
    No,
    /// The other way round.
    Yes,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A kernel of this project.
    Launch(Launch),
    /// A matrix product, which the device's library computes.
    Product(Product),
}

/// Commands that are run one after another, again and again.
#[derive(Debug)]
pub struct Program {
    /// No other program has it: devices may keep a program in a form of their own.
    pub id: u64,
    /// In their order.
    pub commands: Vec<Command>,
}

impl Program {
    /// A program of these commands.
    pub fn new(commands: Vec<Command>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), commands }
    }
}

/// A GPU, or what stands for one in tests. Everything is done in the order of the calls.
pub trait Device {
    /// Makes room for so many numbers; what was there before is lost, and so are all programs.
    ///
    /// # Errors
    /// Fails where there is not so much memory, saying how much there is.
    fn allocate(&mut self, numbers: usize) -> Result<()>;

    /// Numbers that there is room for.
    fn capacity(&self) -> usize;

    /// Numbers that there could be room for.
    ///
    /// # Errors
    /// Fails where the device does.
    fn available(&self) -> Result<usize>;

    /// Takes over numbers.
    ///
    /// # Errors
    /// Fails where the device does.
    fn upload(&mut self, offset: Offset, numbers: &[f32]) -> Result<()>;

    /// Takes over bytes, four to a number.
    ///
    /// # Errors
    /// Fails where the device does.
    fn upload_bytes(&mut self, offset: Offset, bytes: &[u8]) -> Result<()>;

    /// Waits until everything is done, and returns numbers.
    ///
    /// # Errors
    /// Fails where the device does, in this or an earlier call.
    fn download(&mut self, offset: Offset, numbers: &mut [f32]) -> Result<()>;

    /// Takes over numbers from the memory of another device on the same GPU, which has computed them by now.
    ///
    /// # Errors
    /// Fails where the device does, and where the other is on another GPU.
    fn fetch(&mut self, offset: Offset, other: &Self, from: Offset, numbers: usize) -> Result<()>;

    /// Begins to run a program.
    ///
    /// # Errors
    /// Fails where the device does.
    fn run(&mut self, program: &Program) -> Result<()>;
}
