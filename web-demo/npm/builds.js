// The builds of the worker's program in this package, and the one that this browser can run.
//
// Names of files stand in `new URL(..., import.meta.url)` as they are: by that, bundlers find them. `no-inline` is for Vite, which would put
// small files into the script, from where a browser does not start workers.

const BUILDS = {
  plain: {
    bindings: new URL("./worker-plain-bindings.js?no-inline", import.meta.url),
    wasm: new URL("./worker-plain.wasm.gz", import.meta.url),
  },
  relaxed: {
    bindings: new URL("./worker-relaxed-bindings.js?no-inline", import.meta.url),
    wasm: new URL("./worker-relaxed.wasm.gz", import.meta.url),
  },
  threads: {
    bindings: new URL("./worker-threads-bindings.js?no-inline", import.meta.url),
    wasm: new URL("./worker-threads.wasm.gz", import.meta.url),
  },
};
const THREAD = new URL("./thread.js?no-inline", import.meta.url);
// The same file as below, for pages of another origin.
const WORKER = new URL("./worker.js?no-inline", import.meta.url);

// More would hardly be faster: the small layers of the networks have little to share out.
const MOST_THREADS = 4;

// (func (param v128 v128 v128) (result v128) local.get 0 local.get 1 local.get 2 f32x4.relaxed_madd)
const RELAXED_MADD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0,
  10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2, 253, 133, 2, 11,
]);

/** How many threads a worker gets: as many as were asked for, where the page can have more than one. */
export function possibleThreads(asked) {
  const cores = navigator.hardwareConcurrency || 1;
  // Without waitAsync, Rust's promises would need further workers.
  const canShare = globalThis.crossOriginIsolated && WebAssembly.validate(RELAXED_MADD) && Atomics.waitAsync;
  return canShare ? asked ?? Math.min(cores, MOST_THREADS) : 1;
}

/** Starts a worker with so many threads. An error of one of them becomes the worker's. */
export function startWorker(threads) {
  const build = threads > 1 ? "threads" : WebAssembly.validate(RELAXED_MADD) ? "relaxed" : "plain";
  const alarm = `yolox-nano thread ${performance.timeOrigin} ${Math.random()}`;
  const name = new URLSearchParams({ ...BUILDS[build], thread: own(THREAD), threads, alarm }).toString();
  const worker = isForeign()
    ? new Worker(own(WORKER), { type: "module", name })
    : new Worker(new URL("./worker.js", import.meta.url), { type: "module", name });
  if (threads > 1) listen(worker, alarm);
  return worker;
}

/** The origin that the package comes from, where it is not the page's: browsers start no workers from there. */
export function isForeign() {
  return WORKER.protocol !== "data:" && WORKER.origin !== location.origin && WORKER.origin;
}

const wrapped = new Map();

// A script under an address of the page's own origin.
function own(url) {
  if (!isForeign()) return url;
  if (!wrapped.has(url)) {
    const script = new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" });
    wrapped.set(url, URL.createObjectURL(script));
  }
  return wrapped.get(url);
}

// A dying thread says so on a channel (thread.js): its worker may be waiting for it, and say nothing any more.
function listen(worker, alarm) {
  const channel = new BroadcastChannel(alarm);
  channel.onmessage = ({ data }) => {
    channel.close();
    worker.dispatchEvent(new ErrorEvent("error", { message: data }));
  };
}
