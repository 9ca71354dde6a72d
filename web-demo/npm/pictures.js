// From whatever holds a picture to what the worker opens (`PictureSource` in web-demo/src/protocol.rs).

import { download } from "./files.js";

/** The picture as a message, and what of it may be moved to the worker instead of being copied. */
export async function pictureSource(image) {
  if (image instanceof Blob) return { source: { File: image }, transfer: [] };
  if (typeof image === "string" || image instanceof URL) {
    return { source: { File: await download(image, "the picture") }, transfer: [] };
  }
  // The caller's own, who may need it again.
  if (is(image, "ImageBitmap")) return { source: { Frame: image }, transfer: [] };
  const frame = await bitmap(image);
  return { source: { Frame: frame }, transfer: [frame] };
}

async function bitmap(image) {
  if (is(image, "HTMLImageElement")) {
    try {
      await image.decode();
    } catch {
      throw new Error(`The image element has no picture that this browser can decode (${image.currentSrc || "no src"}).`);
    }
  } else if (is(image, "HTMLVideoElement")) {
    if (image.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) {
      throw new Error("The video has no frame yet: wait for its event `loadeddata`.");
    }
  } else if (!["HTMLCanvasElement", "OffscreenCanvas", "ImageData"].some(name => is(image, name))) {
    throw new TypeError("A picture is a Blob, a URL, an ImageBitmap, an ImageData, or an image, canvas or video element.");
  }
  try {
    // The values in the file, as training and the command line see them.
    return await createImageBitmap(image, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch (error) {
    throw new Error(`The picture's pixels cannot be read (${error.message}).`);
  }
}

// Not every browser, and no worker, has all of these classes.
function is(value, name) {
  return typeof globalThis[name] === "function" && value instanceof globalThis[name];
}
