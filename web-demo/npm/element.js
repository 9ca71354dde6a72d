// `<yolox-compare models="a.safetensors, b.safetensors" src="photo.jpg">`: a picture with the boxes of each model, side by side.
// Attributes and events: element.d.ts.

import { download } from "./files.js";
import { load } from "./index.js";
import { Panel } from "./panel.js";

const STYLE = `
:host { display: block; color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif; }
:host([hidden]) { display: none; }
.panels { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 280px), 1fr)); }
.panels.dragged { outline: 3px dashed; outline-offset: 4px; }
figure { margin: 0; min-width: 0; }
.stage { position: relative; min-height: 48px; background: color-mix(in srgb, currentColor 8%, transparent); }
.stage img { display: block; width: 100%; height: auto; }
.stage canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
figcaption { margin-top: 4px; overflow-wrap: anywhere; }
figcaption strong { display: block; }
.status { margin: 8px 0 0; }
.status:empty { display: none; }
.error { color: light-dark(#a40000, #ff9d94); }
ul { list-style: none; margin: 4px 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 12px; }
`;

const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);

export class YoloxCompare extends HTMLElement {
  static observedAttributes = ["models", "src", "alt", "min-score", "iou", "input-size", "threads"];

  #panels = document.createElement("div");
  #status = document.createElement("p");
  // Detectors by what they were loaded from and how.
  #detectors = new Map();
  #dropped;
  // Of the update on its way; whatever an earlier one still brings is dropped.
  #update = 0;
  #isPlanned = false;
  #observer = new ResizeObserver(() => this.#shown.forEach(panel => panel.draw()));
  #shown = [];
  #pictureUrl;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    this.#panels.className = "panels";
    this.#status.className = "status";
    this.#status.setAttribute("role", "status");
    root.append(this.#panels, this.#status);
    this.addEventListener("dragover", event => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      this.#panels.classList.add("dragged");
    });
    this.addEventListener("dragleave", () => this.#panels.classList.remove("dragged"));
    this.addEventListener("drop", event => {
      event.preventDefault();
      this.#panels.classList.remove("dragged");
      this.show(event.dataTransfer.files[0]);
    });
  }

  /** Shows a picture of the page's own in place of that of `src`. */
  show(picture) {
    if (!picture) return;
    this.#dropped = picture;
    this.#plan();
  }

  connectedCallback() {
    this.#observer.observe(this.#panels);
    this.#plan();
  }

  disconnectedCallback() {
    this.#observer.disconnect();
    this.#update += 1;
    this.#keepDetectors(new Set());
    URL.revokeObjectURL(this.#pictureUrl);
  }

  attributeChangedCallback(name, before, after) {
    if (before === after) return;
    if (name === "src") this.#dropped = undefined;
    this.#plan();
  }

  // Once for all attributes that change together.
  #plan() {
    if (this.#isPlanned || !this.isConnected) return;
    this.#isPlanned = true;
    queueMicrotask(() => {
      this.#isPlanned = false;
      if (this.isConnected) this.#run();
    });
  }

  async #run() {
    const update = this.#update += 1;
    const isStale = () => update !== this.#update;
    const models = (this.getAttribute("models") ?? "").split(",").map(model => model.trim()).filter(Boolean);
    const source = this.#dropped ?? this.getAttribute("src");
    if (!models.length) return this.#say("No model is named: the attribute `models` is a list of weight files.");
    if (!source) return this.#say("No picture yet: drop one here.");
    this.#say("Loading the picture");
    try {
      this.#shown = models.map(model => new Panel(model));
      this.#panels.replaceChildren(...this.#shown.map(panel => panel.figure));
      this.#keepDetectors(new Set(models.map(model => this.#key(model))));
      const picture = source instanceof Blob ? source : await download(source, "the picture");
      if (isStale()) return;
      URL.revokeObjectURL(this.#pictureUrl);
      this.#pictureUrl = URL.createObjectURL(picture);
      await Promise.all(this.#shown.map(panel => panel.picture(this.#pictureUrl)));
      const results = [];
      for (const panel of this.#shown) {
        if (isStale()) return;
        this.#say(`Looking with ${panel.name}`);
        results.push(await this.#look(panel, picture, isStale));
      }
      if (isStale()) return;
      this.#say("");
      this.dispatchEvent(new CustomEvent("compare", { detail: { results } }));
    } catch (error) {
      if (!isStale()) this.#say(error.message, true);
    }
  }

  async #look(panel, picture, isStale) {
    const { model } = panel;
    try {
      const detector = await this.#detector(model);
      const result = await detector.detect(picture, { minScore: this.#number("min-score"), iou: this.#number("iou") });
      if (!isStale()) panel.show(result, this.getAttribute("alt"));
      return { model, ...result };
    } catch (error) {
      if (!isStale()) panel.fail(error);
      return { model, error };
    }
  }

  #key(model) {
    return [new URL(model, document.baseURI), this.#number("input-size"), this.#number("threads")].join(" ");
  }

  #detector(model) {
    const key = this.#key(model);
    if (!this.#detectors.has(key)) {
      const detector = load(model, { inputSize: this.#number("input-size"), threads: this.#number("threads") });
      // The next update tries again.
      detector.catch(() => this.#detectors.delete(key));
      this.#detectors.set(key, detector);
    }
    return this.#detectors.get(key);
  }

  #keepDetectors(keys) {
    for (const [key, detector] of this.#detectors) {
      if (keys.has(key)) continue;
      this.#detectors.delete(key);
      detector.then(detector => detector.close(), () => {});
    }
  }

  // What is no number fails where it is used, with a sentence.
  #number(name) {
    return this.hasAttribute(name) ? Number(this.getAttribute(name) || NaN) : undefined;
  }

  #say(text, isError = false) {
    this.#status.textContent = text;
    this.#status.classList.toggle("error", isError);
  }
}

if (!customElements.get("yolox-compare")) customElements.define("yolox-compare", YoloxCompare);
