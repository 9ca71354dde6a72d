//! Where a network is computed, by what, and how exactly.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use shared_model::Graph;

use super::{CandleEngine, CpuEngine, Engine};

/// A processor or a GPU; on the command line `cpu`, `cuda` or `cuda:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceName {
    /// This machine's processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU, counted from 0.
    Cuda(usize),
}

impl DeviceName {
    /// The device of process `index` on a machine, where the first one has this: GPUs are one for each.
    #[must_use]
    pub fn of_process(self, index: usize) -> Self {
        match self {
            Self::Cpu => Self::Cpu,
            Self::Cuda(first) => Self::Cuda(first + index),
        }
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let index = text.strip_prefix("cuda:").map_or(Ok(0), str::parse);
        match (text, index) {
            ("cpu", _) => Ok(Self::Cpu),
            (_, Ok(index)) if text.starts_with("cuda:") || text == "cuda" => Ok(Self::Cuda(index)),
            _ => Err("the device is cpu, cuda, or one of several GPUs, as in cuda:1".into()),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Whose kernels compute the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// This project's.
    #[default]
    Native,
    /// libtorch's, PyTorch's library.
    Torch,
    /// This project's on the CPU, with candle's automatic differentiation: slower, to check the others by.
    Candle,
}

/// How exactly a GPU computes matrix products and convolutions. Parameters and what is added up have single precision in any
/// case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// In single precision.
    F32,
    /// By tensor cores, from numbers of which 10 bits behind the point are left.
    #[default]
    Tf32,
    /// As `tf32` from 7 bits; --engine torch keeps what lies between layers so, too.
    Bf16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => write!(f, "f32"),
            Self::Tf32 => write!(f, "tf32"),
            Self::Bf16 => write!(f, "bf16"),
        }
    }
}

/// What computes networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineChoice {
    pub device: DeviceName,
    pub engine: EngineName,
    /// How exactly, on a GPU.
    pub precision: Precision,
}

impl fmt::Display for EngineChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = match self.engine {
            EngineName::Native => "",
            EngineName::Torch => " with libtorch",
            EngineName::Candle => " with candle",
        };
        match self.device {
            DeviceName::Cpu => write!(f, "{}{engine}", self.device),
            DeviceName::Cuda(_) => write!(f, "{}{engine} in {}", self.device, self.precision),
        }
    }
}

impl EngineChoice {
    /// Whether inference is that of [`shared_model::Network`], which the page has, too.
    pub fn is_runtime(self) -> bool {
        (self.engine, self.device) == (EngineName::Native, DeviceName::Cpu)
    }

    /// An engine for `graph`.
    ///
    /// # Errors
    /// Fails where the program was built without this engine, or the device is not to be had, saying what to do.
    pub fn engine(self, graph: &Graph) -> Result<Box<dyn Engine>> {
        match (self.engine, self.device) {
            (EngineName::Native, DeviceName::Cpu) => Ok(Box::new(CpuEngine::new(graph)?)),
            #[cfg(feature = "cuda")]
            (EngineName::Native, DeviceName::Cuda(index)) => {
                let device = crate::engine::cuda::Cuda::open(index, self.precision)?;
                Ok(Box::new(crate::engine::cuda::CudaEngine::new(graph, device)?))
            }
            #[cfg(not(feature = "cuda"))]
            (EngineName::Native, DeviceName::Cuda(_)) => {
                bail!(
                    "this program was built without support of GPUs: build it with --features cuda, or use --device cpu"
                )
            }
            (EngineName::Candle, DeviceName::Cpu) => Ok(Box::new(CandleEngine::new(graph)?)),
            (EngineName::Candle, DeviceName::Cuda(_)) => {
                bail!("--engine candle computes on the CPU: on a GPU take --engine native")
            }
            #[cfg(feature = "torch")]
            (EngineName::Torch, device) => Ok(Box::new(super::TorchEngine::new(graph, device, self.precision)?)),
            #[cfg(not(feature = "torch"))]
            (EngineName::Torch, _) => {
                bail!("this program was built without libtorch: build it with --features torch (docs/cuda.md)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_what_they_are_called() {
        assert_eq!("cpu".parse(), Ok(DeviceName::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceName::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceName::Cuda(3)));
        assert_eq!(DeviceName::Cuda(3).to_string().parse(), Ok(DeviceName::Cuda(3)));
        for text in ["gpu", "cuda:", "cuda:x", "cuda3", ""] {
            assert!(text.parse::<DeviceName>().unwrap_err().contains("cuda:1"), "{text}");
        }
    }
}
