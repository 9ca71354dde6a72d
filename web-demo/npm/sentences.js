// What the worker could not do, in sentences. It sends codes (`LoadError`, `OpenError` and `RunError` in web-demo/src/protocol.rs): an enum of
// serde's is a string, or an object with one key.

/** Why weights cannot be had. */
export function loading(error) {
  return say(error, {
    TooLarge: bytes => `The weight file has ${(bytes / 1e6).toFixed(1)} MB, far more than weights of these networks.`,
    Unreadable: () => "The weight file cannot be read. Was it moved or deleted?",
    Content: flaw => say(flaw, FLAWS),
    Network: why => `The network cannot be prepared (${why}).`,
  });
}

const FLAWS = {
  NotSafetensors: why => `The weights are no complete .safetensors file (${why}). Was the download or the copy cut short?`,
  NoMetadata: () => "The weights are a .safetensors file without yolox-nano's metadata: `yolox-nano` has not written it.",
  Metadata: why => `The metadata of the weight file are of no use (${why}).`,
  Newer: version => `The weight file has format version ${version}, which is newer than this package.`,
  Variant: name => `This package does not know the variant of the weight file, ${name}.`,
  NumberFormat: ({ tensor, format }) => `The weight file's tensor ${tensor} holds ${format}, which is not supported.`,
  NotFinite: tensor => `The weight file's tensor ${tensor} holds a value that is not finite: the training that wrote it had diverged.`,
  Misfit: ({ variant, problems }) => `The weight file's tensors are not those of ${variant} (${problems}).`,
};

/** Why a picture cannot be looked at. */
export function opening(error) {
  return say(error, {
    Undecodable: () => "This browser cannot decode the picture: the file is damaged, or of a kind that the browser does not know.",
    Memory: ({ width, height }) => `There is not enough memory for a picture of ${width} \u{d7} ${height} pixels.`,
    Pixels: why => `The picture's pixels cannot be read (${why}).`,
  });
}

/** Why a network has not run on a picture. */
export function running(error) {
  return say(error, {
    Gone: () => "The worker no longer has the model or the picture.",
    Network: why => `The network failed on this picture: ${why}.`,
  });
}

function say(error, sentences) {
  const [code, value] = typeof error === "string" ? [error] : Object.entries(error)[0];
  return sentences[code]?.(value) ?? `The worker failed (${JSON.stringify(error)}).`;
}
