// One model's view of the picture: boxes on it, and in words below.

// Of labels, in CSS pixels.
const LABEL = 18;
const PADDING = 4;
// Between the hues of neighbouring classes.
const GOLDEN_ANGLE = 137.508;

/** The colour that the comparison page and the command line give a class (shared-model/src/colour.rs). */
export function classColour(index) {
  return `hsl(${(index * GOLDEN_ANGLE + 25) % 360} 85% ${[60, 72, 57][index % 3]}%)`;
}

export class Panel {
  #image = document.createElement("img");
  #canvas = document.createElement("canvas");
  #caption = document.createElement("figcaption");
  #result;

  constructor(model) {
    this.model = model;
    this.name = new URL(model, document.baseURI).pathname.split("/").pop().replace(/\.safetensors$/, "");
    const stage = element("div", "stage");
    this.#image.alt = "";
    this.#canvas.setAttribute("aria-hidden", "true");
    stage.append(this.#image, this.#canvas);
    this.figure = element("figure");
    this.figure.append(stage, this.#caption);
    this.#describe("");
  }

  /** Shows a picture without boxes. */
  async picture(url) {
    this.#image.src = url;
    // What cannot be decoded here, the worker says.
    await this.#image.decode().catch(() => {});
  }

  show(result, description) {
    this.#result = result;
    const { boxes, milliseconds } = result;
    const count = boxes.length === 1 ? "1 object" : `${boxes.length} objects`;
    this.#describe(`${count}, ${milliseconds.toFixed(1)} ms`);
    const list = element("ul");
    list.append(...boxes.map(box => element("li", "", words(box))));
    if (boxes.length) this.figure.append(list);
    const found = boxes.length ? `${count}: ${boxes.map(words).join(", ")}` : "nothing found";
    this.figure.setAttribute("aria-label", [description, `${this.name}, ${found}`].filter(Boolean).join(". "));
    this.draw();
  }

  fail(error) {
    this.#describe(error.message, "error");
  }

  draw() {
    if (!this.#result) return;
    const { clientWidth: width, clientHeight: height } = this.#image;
    const sharpness = devicePixelRatio;
    this.#canvas.width = Math.round(width * sharpness);
    this.#canvas.height = Math.round(height * sharpness);
    const context = this.#canvas.getContext("2d");
    context.scale(sharpness, sharpness);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    const scale = width / this.#result.width;
    // The surest on top of the others.
    for (const box of this.#result.boxes.toReversed()) {
      const [x, y, w, h] = [box.x, box.y, box.width, box.height].map(value => value * scale);
      // A dark rim keeps the line visible on pictures of its own colour.
      for (const [line, colour] of [[4, "rgb(0 0 0 / 55%)"], [2, classColour(box.class)]]) {
        context.lineWidth = line;
        context.strokeStyle = colour;
        context.strokeRect(x, y, w, h);
      }
      const text = words(box);
      const wide = context.measureText(text).width + 3 * PADDING;
      const left = Math.max(0, Math.min(x, width - wide));
      const top = y >= LABEL ? y - LABEL : y;
      context.fillStyle = "rgb(0 0 0 / 80%)";
      context.fillRect(left, top, wide, LABEL);
      context.fillStyle = classColour(box.class);
      context.fillRect(left, top, PADDING, LABEL);
      context.fillStyle = "#fff";
      context.fillText(text, left + 2 * PADDING, top + LABEL / 2);
    }
  }

  #describe(text, className = "") {
    this.figure.setAttribute("aria-label", [this.name, text].filter(Boolean).join(": "));
    this.#caption.replaceChildren(element("strong", "", this.name), element("span", className, text));
  }
}

function words({ label, score }) {
  return `${label} ${score.toFixed(2)}`;
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
