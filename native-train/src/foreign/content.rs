//! What a file is, by its first bytes.

use anyhow::{Result, bail};

/// A kind of file that may hold weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Safetensors,
    Onnx,
    /// A zip archive with a pickle, as `torch.save` writes.
    Torch,
}

/// First bytes, where they stand, and what they say.
const SIGNS: [(&[u8], usize, &str); 20] = [
    (b"version https://git-lfs", 0, "a pointer of Git LFS, not the file that it stands for: run `git lfs pull`"),
    (b"\x1f\x8b", 0, "a gzip archive: unpack it first (gunzip, or tar xzf)"),
    (b"BZh", 0, "a bzip2 archive: unpack it first"),
    (b"\xfd7zXZ\x00", 0, "an xz archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7z archive: unpack it first"),
    (b"\x28\xb5\x2f\xfd", 0, "a zstd archive: unpack it first"),
    (b"Rar!", 0, "a rar archive: unpack it first"),
    (b"ustar", 257, "a tar archive: unpack it first (tar xf)"),
    (b"\x89HDF", 0, "an HDF5 file (Keras), which no exporter of YOLOX writes: use its ONNX or PyTorch file"),
    (b"TFL3", 4, "a TensorFlow Lite file: use the ONNX or PyTorch file that it was made of"),
    (b"ORTM", 4, "a file in onnxruntime's own format: use the ONNX file that it was made of"),
    (b"7767517", 0, "an ncnn file: use the ONNX file that it was made of"),
    (b"\x93NUMPY", 0, "a NumPy array: weights come as safetensors, ONNX or PyTorch files"),
    (b"GGUF", 0, "a GGUF file: weights come as safetensors, ONNX or PyTorch files"),
    (b"\xff\xd8\xff", 0, "a JPEG image: weights come as safetensors, ONNX or PyTorch files"),
    (b"\x89PNG", 0, "a PNG image: weights come as safetensors, ONNX or PyTorch files"),
    (b"RIFF", 0, "an image or a sound: weights come as safetensors, ONNX or PyTorch files"),
    (b"%PDF", 0, "a PDF document: weights come as safetensors, ONNX or PyTorch files"),
    (b"ELF", 1, "a program: weights come as safetensors, ONNX or PyTorch files"),
    (b"\x00\x00\x00\x00\x00\x00\x00\x00", 0, "zeros at its beginning: the download or the copy was cut short"),
];

impl Content {
    /// What `bytes` are.
    ///
    /// # Errors
    /// Says what they are and what to do where they are nothing that weights are read from.
    pub(super) fn of(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            bail!("the file is empty: the download or the copy failed; get it anew");
        }
        let sign = |&&(sign, at, _): &&(&[u8], usize, &str)| bytes.get(at..).is_some_and(|rest| rest.starts_with(sign));
        if let Some((_, _, what)) = SIGNS.iter().find(sign) {
            bail!("this is {what}");
        }
        let text = bytes.trim_ascii_start();
        let begins =
            |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
        if ["<!doctype", "<html", "<?xml", "<head", "<script"].into_iter().any(begins) {
            bail!(
                "this is a web page (or XML), not a weight file: a download that needs a login or another link, for \
                 GitHub the one of \"Download raw file\""
            );
        }
        match bytes {
            // The archive's end is looked for by whoever reads it.
            [b'P', b'K', ..] => Ok(Self::Torch),
            [0x80, 2..=5, ..] => bail!(
                "this is a pickle without an archive around it, as PyTorch wrote until 1.5: load it with PyTorch and \
                 save it anew, torch.save(torch.load(FILE, map_location=\"cpu\"), NEW), or export it to ONNX"
            ),
            [_, _, _, _, _, _, _, _, b'{', ..] => Ok(Self::Safetensors),
            // The first field of an ONNX file is its version, a small number; some programs begin with another field.
            [0x08, 1..=127, ..] | [0x12 | 0x3a | 0x42, ..] => Ok(Self::Onnx),
            _ if bytes.len() < 200
                || bytes.iter().take(200).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) =>
            {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
                bail!(
                    "this is no weight file, but begins with {start:?}: weights come as safetensors, ONNX or PyTorch files"
                )
            }
            _ => bail!(
                "this is neither a safetensors, nor an ONNX, nor a PyTorch file (it begins with {:02x?}): was it damaged \
                 on its way?",
                &bytes[..8]
            ),
        }
    }
}
