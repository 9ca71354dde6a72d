//! What the page and its worker say to each other.
//!
//! The worker speaks first ([`Reply::Ready`]): what is posted to a worker before it listens is lost. Every answer about a
//! picture carries the picture's number, so that the page can drop answers about pictures it no longer shows.

use serde::{Deserialize, Serialize};
use shared_model::Detection;
use wasm_bindgen::JsValue;

/// Least score of the candidates that the worker sends: the page's sliders choose among them without another run.
pub const MIN_SCORE: f32 = 0.01;

/// From the page to the worker.
#[derive(Serialize, Deserialize)]
pub enum Request {
    /// Get a model ready, beside whatever else there is to do.
    Load {
        /// The model's name.
        model: String,
        /// Where its weights come from.
        source: Source,
    },
    /// Give a model's memory back.
    Unload {
        /// The model's name.
        model: String,
    },
    /// Decode a picture; later runs are on it.
    Open {
        /// The picture's number, larger than all before.
        picture: u32,
        /// The picture file: a reference to it, its bytes are not copied here.
        #[serde(with = "serde_wasm_bindgen::preserve")]
        blob: web_sys::Blob,
    },
    /// Run a loaded model on the picture opened last.
    Run {
        /// That picture's number.
        picture: u32,
        /// The model's name.
        model: String,
    },
    /// Run a loaded model several times on the picture opened last, for the time it takes. Ends early when another
    /// request arrives.
    Measure {
        /// That picture's number.
        picture: u32,
        /// The model's name.
        model: String,
        /// How often.
        runs: usize,
    },
    /// Time every layer of a loaded model.
    Profile {
        /// The model's name.
        model: String,
    },
}

/// Where a model's weights come from.
#[derive(Clone, Serialize, Deserialize)]
pub enum Source {
    /// The site.
    Published(ModelFile),
    /// The visitor's disk.
    File(#[serde(with = "serde_wasm_bindgen::preserve")] web_sys::Blob),
    /// Chance: a variant nobody has published weights of takes the same time with any.
    Random {
        /// Name of the variant.
        variant: String,
    },
}

/// Where published weights are, and how to know that they arrived whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Name in the manifest.
    pub model: String,
    /// Absolute URL.
    pub url: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal digits.
    pub sha256: String,
}

/// What a loaded weight file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Name of the variant.
    pub variant: String,
    /// Its classes, in the order of [`Detection::class`].
    pub classes: Vec<String>,
    /// Side in pixels of the square that pictures are fitted into.
    pub input_size: usize,
    /// Where the weights come from, in a sentence.
    pub source: String,
}

/// From the worker to the page.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The worker listens.
    Ready {
        /// Threads that share the work.
        threads: usize,
        /// Whether this build multiplies and adds in one instruction.
        relaxed_simd: bool,
    },
    /// Bytes of a model's weights have arrived.
    Progress {
        /// The model's name.
        model: String,
        /// How many, of [`ModelFile::bytes`].
        received: u64,
    },
    /// A model can run.
    Loaded {
        /// The model's name.
        model: String,
        /// What its file says.
        facts: Facts,
    },
    /// A model's weights cannot be had.
    LoadFailed {
        /// The model's name.
        model: String,
        /// Why, in a sentence.
        message: String,
    },
    /// A picture is decoded.
    Opened {
        /// The picture's number.
        picture: u32,
        /// Width in pixels, upright.
        width: u32,
        /// Height in pixels, upright.
        height: u32,
    },
    /// A picture cannot be decoded.
    OpenFailed {
        /// The picture's number.
        picture: u32,
        /// Why, in a sentence.
        message: String,
    },
    /// A model has looked at a picture.
    Found {
        /// The picture's number.
        picture: u32,
        /// The model's name.
        model: String,
        /// All boxes over [`MIN_SCORE`], overlapping ones among them.
        candidates: Vec<Detection>,
        /// How long it took.
        timing: Timing,
        /// Whether it was the model's first run in this worker.
        cold: bool,
        /// WebAssembly memory that the worker has taken so far, in bytes: it never gives any back.
        memory: u64,
    },
    /// What [`Request::Measure`] asked for.
    Measured {
        /// The picture's number.
        picture: u32,
        /// The model's name.
        model: String,
        /// One entry a run; fewer than asked for if another request came.
        timings: Vec<Timing>,
        /// WebAssembly memory that the worker has taken so far, in bytes: it never gives any back.
        memory: u64,
    },
    /// What [`Request::Profile`] asked for.
    Profiled {
        /// The model's name.
        model: String,
        /// Milliseconds of every layer, in the order of the graph; 0 for those that are part of another's work.
        times: Vec<f64>,
    },
    /// A run failed, and the worker lives on.
    RunFailed {
        /// The picture's number.
        picture: u32,
        /// The model's name.
        model: String,
        /// Why, in a sentence.
        message: String,
    },
    /// The worker's last words: it has to be replaced.
    Died(String),
}

/// Milliseconds of one run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Fitting the picture into the network's input.
    pub preprocess: f64,
    /// The network.
    pub network: f64,
    /// Decoding its output and dropping overlapping boxes.
    pub postprocess: f64,
}

/// A message as `postMessage` takes it.
pub fn encode(message: &impl Serialize) -> JsValue {
    serde_wasm_bindgen::to_value(message).expect("messages hold nothing that JavaScript cannot")
}

/// A message as a `message` event brings it. `None`: it does not come from this build's other half.
pub fn decode<T: for<'a> Deserialize<'a>>(message: JsValue) -> Option<T> {
    serde_wasm_bindgen::from_value(message).ok()
}
