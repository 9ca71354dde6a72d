/** Where weights are: a file that `yolox-nano train` or `publish` wrote. Strings are URLs, relative to the document. */
export type WeightsSource = string | URL | Blob | ArrayBuffer | ArrayBufferView;

/** What can hold a picture. Strings are URLs, relative to the document. */
export type PictureSource =
  | string
  | URL
  | Blob
  | ImageBitmap
  | ImageData
  | HTMLImageElement
  | HTMLCanvasElement
  | HTMLVideoElement
  | OffscreenCanvas;

export interface LoadOptions {
  /** Threads to run on, where the page is isolated from other origins; else there is one. Without: as many as the device has, up to 4. */
  threads?: number;
  /** Side in pixels of the square that pictures are fitted into, a multiple of 32. Without: that of the weights. */
  inputSize?: number;
  /** What the weight file's SHA-256 must be, in 64 hexadecimal digits. Without, it is not checked. */
  sha256?: string;
  /** Gives up loading. */
  signal?: AbortSignal;
}

export interface DetectOptions {
  /** Boxes with a lower score are left out: 0 to 1, 0.3 without. Under 0.01 nothing is found. */
  minScore?: number;
  /** Of two boxes of a class that overlap more (intersection over union), the surer one stays: 0 to 1, 0.45 without. */
  iou?: number;
}

/** An object, in pixels of the picture. */
export interface DetectedBox {
  /** Left. */
  readonly x: number;
  /** Top. */
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** How sure the network is, 0 to 1. */
  readonly score: number;
  /** Index into {@link Detector.classes}. */
  readonly class: number;
  /** Name of the class. */
  readonly label: string;
}

export interface DetectionResult {
  /** In order of falling score. */
  readonly boxes: readonly DetectedBox[];
  /** What the network took, with the fitting of the picture and the choice of boxes; decoding the file comes on top. */
  readonly milliseconds: number;
  /** Of the picture, upright, in pixels. */
  readonly width: number;
  readonly height: number;
}

/** Weights in a worker, made by {@link load}. Calls wait for one another. */
export interface Detector {
  /** Names of the classes that it knows. */
  readonly classes: readonly string[];
  /** Name of the network's variant, as in `yolox-nano variants`. */
  readonly variant: string;
  /** Side in pixels of the square that pictures are fitted into. */
  readonly inputSize: number;
  /** Trained numbers. */
  readonly parameters: number;
  /** Operations on a picture, in thousands of millions. */
  readonly gflops: number;
  /**
   * Looks for objects in a picture.
   *
   * Rejects with an `Error` that says in a sentence what is the matter: the picture cannot be decoded or read, memory does not suffice, the worker
   * has died. After that the next call starts another worker.
   */
  detect(image: PictureSource, options?: DetectOptions): Promise<DetectionResult>;
  /** Gives the memory back. The last detector's worker ends. */
  close(): void;
}

/**
 * Loads weights into a worker.
 *
 * Rejects with an `Error` that says in a sentence what is the matter: the file cannot be had, is damaged, or is not of these networks.
 */
export declare function load(weights: WeightsSource, options?: LoadOptions): Promise<Detector>;
