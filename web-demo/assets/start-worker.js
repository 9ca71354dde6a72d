// Chooses the build of the worker's program that this browser can run, and starts it while the page's own is on its way.
//
// `?build=plain|relaxed|threads` and `?threads=N` in the page's address overrule the choice, where the browser allows it.

// More would hardly be faster: the small layers of the networks have little to share out.
const MOST_THREADS = 4;

// (func (param v128 v128 v128) (result v128) local.get 0 local.get 1 local.get 2 f32x4.relaxed_madd)
const RELAXED_MADD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0,
  10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2, 253, 133, 2, 11,
]);

const assets = JSON.parse(document.getElementById("assets").textContent);
const asked = new URLSearchParams(location.search);
const cores = navigator.hardwareConcurrency || 1;
const hasRelaxed = WebAssembly.validate(RELAXED_MADD);

// The best build without threads.
const single = hasRelaxed && asked.get("build") !== "plain" ? "relaxed" : "plain";

// Why there is only one thread, in a word that the page has a sentence for (page/views/build.rs); nothing if there can be more.
function obstacle() {
  if (["plain", "relaxed"].includes(asked.get("build")) || asked.get("threads") === "1" && asked.get("build") !== "threads")
    return "asked";
  if (!isSecureContext) return "insecure";
  if (!crossOriginIsolated) return "not-isolated";
  if (!assets["worker-threads.wasm"]) return "not-built";
  // Without waitAsync, Rust's promises would need workers that the page's security policy forbids.
  if (!hasRelaxed || !Atomics.waitAsync) return "old-browser";
  if (cores < 2 && !asked.has("build")) return "one-core";
}

const why = obstacle();
const threads = Math.max(1, Math.trunc(asked.get("threads")) || Math.min(cores, MOST_THREADS));

// The page takes the worker over, together with what it has said so far, and starts its successors.
globalThis.workerStart = {
  build: why ? single : "threads",
  threads: why ? 1 : threads,
  why: why ?? (threads > 1 ? "" : "asked"),
  events: [],
  start() {
    const file = name => assets[name] && new URL(assets[name], document.baseURI);
    const name = new URLSearchParams({
      bindings: file(`worker-${this.build}-bindings.js`),
      wasm: file(`worker-${this.build}.wasm`),
      thread: file("thread.js"),
      threads: this.threads,
      alarm: `yolox-nano thread ${performance.timeOrigin} ${Math.random()}`,
    });
    // Not in the URL: behind `#` it would get lost where a service worker answers, and behind `?` it would be another file.
    const worker = new Worker(file("worker.js"), { type: "module", name });
    if (this.threads > 1) listen(worker, name.get("alarm"));
    return worker;
  },
  // Turns to the build without threads; false if it was that already.
  retreat(reason) {
    if (this.build !== "threads") return false;
    Object.assign(this, { build: single, threads: 1, why: `failed: ${reason}` });
    return true;
  },
};

// Makes what a dying thread says (thread.js) an error of its worker, which may be waiting for that thread and say nothing any more.
function listen(worker, alarm) {
  const channel = new BroadcastChannel(alarm);
  channel.onmessage = ({ data }) => {
    channel.close();
    worker.dispatchEvent(new ErrorEvent("error", { message: data }));
  };
}

try {
  const worker = globalThis.workerStart.start();
  worker.onmessage = worker.onerror = event => globalThis.workerStart.events.push(event);
  globalThis.workerStart.worker = worker;
} catch {
  // The page tries once more, and says what is the matter.
}
