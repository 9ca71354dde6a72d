//! What the page and its worker say to each other. The npm package (`web-demo/npm`) speaks the same from JavaScript.
//!
//! Models go by the names of their entries in the manifest (or of the visitor's files), pictures by numbers that the page counts
//! up.
//!
//! The worker speaks first ([`Reply::Ready`]): what is posted to a worker before it listens is lost. Every answer about a
//! picture carries the picture's number, so that the page can drop answers about pictures it no longer shows.

use serde::{Deserialize, Serialize};
use shared_model::{Detection, WeightsError};
use wasm_bindgen::JsValue;

/// Least score of the candidates that the worker sends: the official score needs no lower ones, and the page's sliders choose
/// among them without another run.
pub const MIN_SCORE: f32 = shared_model::evaluation::MIN_SCORE;

/// Name of the browser's cache for weights of the visitor's own: the page fills it, the worker reads it.
pub const OWN_WEIGHTS_CACHE: &str = "yolox-nano-own-weights";

/// From the page to the worker.
#[derive(Serialize, Deserialize)]
pub enum Request {
    /// Get a model ready, beside whatever else there is to do.
    Load {
        model: String,
        /// Where its weights come from.
        source: WeightsSource,
        /// Side in pixels of the square that pictures are fitted into; the model's own if there is none.
        input_size: Option<usize>,
    },
    /// Give a model's memory back.
    Unload { model: String },
    /// Decode a picture; later runs are on it.
    Open {
        /// The picture's number, larger than all before.
        picture: u32,
        /// What it is made of.
        source: PictureSource,
    },
    /// Run a loaded model on the picture opened last.
    Run {
        picture: u32,
        model: String,
        /// What chooses among the candidates; without, all of them are sent.
        thresholds: Option<Thresholds>,
    },
    /// Run a loaded model several times on the picture opened last, for the time it takes. Ends early when another
    /// request arrives.
    Measure { picture: u32, model: String, runs: usize },
    /// Time every layer of a loaded model.
    Profile { model: String },
}

/// What chooses among a network's candidates, for those who do not choose again without another run as the page does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// The least score; candidates under [`MIN_SCORE`] are never found.
    pub score: f32,
    /// The greatest overlap (IoU) of two boxes of a class.
    pub max_iou: f32,
}

/// What a picture is made of.
#[derive(Clone, Serialize, Deserialize)]
pub enum PictureSource {
    /// A file: a reference to it, its bytes are not copied here.
    File(#[serde(with = "serde_wasm_bindgen::preserve")] web_sys::Blob),
    /// A camera's frame, which needs no decoding; its pixels are copied.
    Frame(#[serde(with = "serde_wasm_bindgen::preserve")] web_sys::ImageBitmap),
}

/// Where a model's weights come from.
#[derive(Clone, Serialize, Deserialize)]
pub enum WeightsSource {
    /// The site.
    Published(ModelFile),
    /// The visitor's disk.
    File(#[serde(with = "serde_wasm_bindgen::preserve")] web_sys::Blob),
    /// Weights of the visitor's own that this browser has kept, by their URL in [`OWN_WEIGHTS_CACHE`].
    Kept(String),
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
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal digits.
    pub sha256: String,
}

/// What a loaded weight file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Name of the variant.
    pub variant: String,
    /// Its classes, in the order of [`Detection::class`].
    pub classes: Vec<String>,
    /// Side in pixels of the square that pictures are fitted into.
    pub input_size: usize,
    /// Where the weights come from, in a sentence.
    pub source: String,
    /// Trained numbers: fewer than the variant's, if the network is pruned.
    pub parameters: usize,
    /// Operations on a picture, in thousands of millions.
    pub gflops: f64,
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
        model: String,
        /// How many, of [`ModelFile::bytes`].
        received: u64,
    },
    /// A model can run.
    Loaded {
        model: String,
        /// What its file says.
        facts: ModelFacts,
    },
    /// A model's weights cannot be had.
    LoadFailed { model: String, error: LoadError },
    /// A picture is decoded.
    Opened {
        picture: u32,
        /// Width in pixels, upright.
        width: u32,
        /// Height in pixels, upright.
        height: u32,
    },
    /// A picture cannot be decoded.
    OpenFailed { picture: u32, error: OpenError },
    /// A model has looked at a picture.
    Found {
        picture: u32,
        model: String,
        /// All boxes over [`MIN_SCORE`], overlapping ones among them; or what is left of them by the request's [`Thresholds`], cut off at
        /// the picture's edges, in order of falling score.
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
        picture: u32,
        model: String,
        /// One entry a run; fewer than asked for if another request came.
        timings: Vec<Timing>,
        /// WebAssembly memory that the worker has taken so far, in bytes: it never gives any back.
        memory: u64,
    },
    /// What [`Request::Profile`] asked for.
    Profiled {
        model: String,
        /// Milliseconds of every layer, in the order of the graph; 0 for those that are part of another's work.
        times: Vec<f64>,
    },
    /// A run failed, and the worker lives on.
    RunFailed { picture: u32, model: String, error: RunError },
    /// The worker's last words: it has to be replaced.
    Died(String),
}

/// Why a model's weights cannot be had. The page has the sentences, in the visitor's language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LoadError {
    /// The server does not answer.
    Unreachable,
    /// The server answers with this HTTP status.
    Status(u16),
    /// The download has stopped on the way.
    BrokenOff {
        /// Bytes that have arrived.
        received: u64,
        /// Bytes that there are.
        expected: u64,
    },
    /// A web page came in place of the file.
    WebPage,
    /// A file of the right length came whose SHA-256 is another.
    OtherFile,
    /// A file of another length came.
    OtherLength {
        /// Bytes that have arrived.
        received: u64,
        /// Bytes that there are.
        expected: u64,
    },
    /// The visitor's file has more bytes than weights of these networks could.
    TooLarge(u64),
    /// The browser cannot read the visitor's file.
    Unreadable,
    /// The browser no longer has what it kept for the visitor.
    Gone,
    /// The file's content is of no use.
    Content(WeightsFlaw),
    /// The network cannot be prepared, in the runtime's words.
    Network(String),
}

/// What is wrong with a weight file; see [`WeightsError`]. Texts are details for those who made the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WeightsFlaw {
    NotSafetensors(String),
    NoMetadata,
    /// Metadata that cannot be read or contradict themselves.
    Metadata(String),
    /// Of this format, which is newer than the page.
    Newer(u32),
    /// A variant that the page does not know.
    Variant(String),
    /// A tensor in a number format that is not supported.
    NumberFormat {
        tensor: String,
        format: String,
    },
    /// A tensor with a value that is not finite.
    NotFinite(String),
    /// The tensors are not those of the variant.
    Misfit {
        variant: String,
        problems: String,
    },
}

impl From<WeightsError> for WeightsFlaw {
    fn from(error: WeightsError) -> Self {
        match error {
            WeightsError::NotSafetensors(error) => Self::NotSafetensors(error.to_string()),
            WeightsError::NoMetadata => Self::NoMetadata,
            WeightsError::BadMetadata(error) => Self::Metadata(error.to_string()),
            WeightsError::Inconsistent(what) => Self::Metadata(what),
            WeightsError::Channels(error) => Self::Metadata(error.to_string()),
            error @ WeightsError::Scales { .. } => Self::Metadata(error.to_string()),
            WeightsError::Newer(version) => Self::Newer(version),
            WeightsError::Variant(error) => Self::Variant(error.name),
            WeightsError::Dtype { name, dtype } => Self::NumberFormat { tensor: name, format: format!("{dtype:?}") },
            WeightsError::NotFinite(tensor) | WeightsError::TooLarge { name: tensor, .. } => Self::NotFinite(tensor),
            WeightsError::Misfit { variant, problems } => Self::Misfit { variant, problems: problems.join("; ") },
        }
    }
}

/// Why a picture cannot be looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OpenError {
    /// Damaged, or of a kind that the browser does not know.
    Undecodable,
    /// Not enough memory for so many pixels.
    Memory { width: u32, height: u32 },
    /// Decoded, but its pixels are not to be had, in the browser's words.
    Pixels(String),
}

/// Why a network has not run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RunError {
    /// The worker no longer has the model or the picture.
    Gone,
    /// The runtime failed, in its own words.
    Network(String),
}

/// Milliseconds of one run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Fitting the picture into the network's input.
    pub preprocess: f64,
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
