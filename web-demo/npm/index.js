// `load` weights, `detect` in pictures. Types and their documentation: index.d.ts.

import { connect } from "./connection.js";
import { checkSha256, download } from "./files.js";
import { pictureSource } from "./pictures.js";
import * as sentences from "./sentences.js";

// As the comparison page and the command line begin with.
const MIN_SCORE = 0.3;
const MAX_IOU = 0.45;

let models = 0;
let pictures = 0;

export async function load(weights, { threads, inputSize, sha256, signal } = {}) {
  atLeastOne("threads", threads);
  atLeastOne("inputSize", inputSize);
  signal?.throwIfAborted();
  const blob = await weightFile(weights, signal);
  if (sha256 !== undefined) await checkSha256(blob, sha256);
  return Detector.load(connect(threads), blob, inputSize, signal);
}

async function weightFile(weights, signal) {
  if (weights instanceof Blob) return weights;
  if (weights instanceof ArrayBuffer || ArrayBuffer.isView(weights)) return new Blob([weights]);
  if (typeof weights !== "string" && !(weights instanceof URL)) throw new TypeError("Weights are a URL, a Blob or an ArrayBuffer.");
  const blob = await download(weights, "the weight file", signal);
  if (await blob.slice(0, 1).text() === "<") throw new Error(`The server sent a web page instead of the weight file ${weights}.`);
  return blob;
}

class Detector {
  #connection;
  #weights;
  #inputSize;
  #model = `model ${models += 1}`;
  #facts;
  // The worker that has the model.
  #worker;
  #isClosed = false;

  static async load(connection, weights, inputSize, signal) {
    const detector = new Detector(connection, weights, inputSize);
    try {
      await untilAborted(connection.enqueue(() => detector.#prepare()), signal);
      return detector;
    } catch (error) {
      detector.close();
      throw error;
    }
  }

  constructor(connection, weights, inputSize) {
    this.#connection = connection;
    this.#weights = weights;
    this.#inputSize = inputSize;
    connection.open();
  }

  get classes() {
    return this.#facts.classes;
  }

  get variant() {
    return this.#facts.variant;
  }

  get inputSize() {
    return this.#facts.input_size;
  }

  get parameters() {
    return this.#facts.parameters;
  }

  get gflops() {
    return this.#facts.gflops;
  }

  async detect(image, { minScore = MIN_SCORE, iou = MAX_IOU } = {}) {
    fraction("minScore", minScore);
    fraction("iou", iou);
    // Taken now: a video or a canvas shows something else when its turn comes.
    const { source, transfer } = await pictureSource(image);
    return this.#connection.enqueue(async () => {
      await this.#prepare();
      const picture = pictures += 1;
      const { width, height } = await this.#open(picture, source, transfer);
      const thresholds = { score: minScore, max_iou: iou };
      const run = { Run: { picture, model: this.#model, thresholds } };
      const { candidates, timing } = await this.#connection.exchange(run, ({ Found, RunFailed }) => {
        if (RunFailed?.picture === picture) throw new Error(sentences.running(RunFailed.error));
        return Found?.picture === picture ? Found : undefined;
      });
      const boxes = candidates.map(({ bbox: { x1, y1, x2, y2 }, score, class: index }) =>
        ({ x: x1, y: y1, width: x2 - x1, height: y2 - y1, score, class: index, label: this.classes[index] }));
      return { boxes, milliseconds: timing.preprocess + timing.network + timing.postprocess, width, height };
    });
  }

  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#connection.enqueue(() => this.#connection.tell({ Unload: { model: this.#model } }));
    this.#connection.close();
  }

  // Loads the weights, unless the worker of the moment has them. For tasks only.
  async #prepare() {
    if (this.#isClosed) throw new Error("The detector is closed.");
    await this.#connection.start();
    if (this.#worker === this.#connection.worker) return;
    const load = { Load: { model: this.#model, source: { File: this.#weights }, input_size: this.#inputSize } };
    this.#facts = await this.#connection.exchange(load, ({ Loaded, LoadFailed }) => {
      if (LoadFailed?.model === this.#model) throw new Error(sentences.loading(LoadFailed.error));
      return Loaded?.model === this.#model ? Loaded.facts : undefined;
    });
    Object.freeze(this.#facts.classes);
    this.#worker = this.#connection.worker;
  }

  async #open(picture, source, transfer) {
    try {
      return await this.#connection.exchange({ Open: { picture, source } }, ({ Opened, OpenFailed }) => {
        if (OpenFailed?.picture === picture) throw new Error(sentences.opening(OpenFailed.error));
        return Opened?.picture === picture ? Opened : undefined;
      }, transfer);
    } catch (error) {
      // What a picture of another origin is for the browser.
      if (error.name !== "DataCloneError") throw error;
      throw new Error("The page may not read this picture, which comes from another origin: its element needs the attribute " +
        "`crossorigin`, and its server must allow it (CORS).");
    }
  }
}

function atLeastOne(name, value) {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1)) throw new RangeError(`${name} is a whole number from 1 on, not ${value}.`);
}

function fraction(name, value) {
  if (!(value >= 0 && value <= 1)) throw new RangeError(`${name} is a number from 0 to 1, not ${value}.`);
}

function untilAborted(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
