import type { DetectionResult } from "./index.js";

/** What a model has made of the picture. */
export type ComparedModel = { model: string } & (DetectionResult | { error: Error });

/**
 * `<yolox-compare models="a.safetensors, b.safetensors" src="photo.jpg">`: a picture with the boxes of each model, side by side.
 *
 * | attribute | what |
 * | --- | --- |
 * | `models` | URLs of weight files, separated by commas |
 * | `src` | URL of the picture; another one can be dropped on the element |
 * | `alt` | what the picture shows, for those who do not see it |
 * | `min-score`, `iou` | as `detect` has them: 0.3 and 0.45 without |
 * | `input-size`, `threads` | as `load` has them |
 *
 * The event `compare` says that all models have looked, and has `detail.results`.
 */
export declare class YoloxCompare extends HTMLElement {
  /** Shows a picture of the page's own in place of that of `src`. */
  show(picture: Blob): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "yolox-compare": YoloxCompare;
  }
  interface HTMLElementEventMap {
    compare: CustomEvent<{ results: readonly ComparedModel[] }>;
  }
}
