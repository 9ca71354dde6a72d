// Starts the worker's program, in the build and on as many threads as the worker's name says.

// By then threads, whose files are in the browser's cache, have started or never will.
const PATIENCE_MS = 10_000;
// Of a thread, in bytes: as much as the first one has.
const STACK = 1 << 20;

const { bindings, wasm, thread, threads, alarm } = Object.fromEntries(new URLSearchParams(name));

async function run() {
  // All on their way at once.
  const response = download(wasm);
  const others = Array.from({ length: threads - 1 }, () => new Worker(thread, { type: "module" }));
  // Bundlers of pages that embed the worker (docs/embedding.md) must leave this to the browser.
  const program = await import(/* webpackIgnore: true */ /* @vite-ignore */ bindings);
  if (!others.length) {
    await program.default({ module_or_path: response });
    program.gather?.(1);
    return program.serve();
  }
  const module = await compile(await response);
  const { memory } = await program.default({ module_or_path: module });
  try {
    const joined = others.map(other => new Promise((resolve, reject) => {
      other.onmessage = resolve;
      other.onerror = event => {
        event.preventDefault();
        reject(new Error(event.message ?? "its script cannot be loaded"));
      };
      other.postMessage({ bindings, module, memory, stack: STACK, alarm });
    }));
    await Promise.race([
      Promise.all(joined),
      new Promise((_, reject) => setTimeout(reject, PATIENCE_MS, new Error("it does not answer"))),
    ]);
    // From here on a thread's error is the worker's.
    others.forEach(other => { other.onerror = null; });
  } catch (error) {
    console.warn(`a thread does not start: ${error.message}`);
    others.splice(0).forEach(other => other.terminate());
  }
  program.gather(1 + others.length);
  program.serve();
}

async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the server answered ${response.status} to ${url}`);
  return new URL(url).pathname.endsWith(".gz") ? decompress(response) : response;
}

// A host that knows the file's ending may say how it is encoded, and then the browser has decompressed it already.
async function decompress(response) {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const isCompressed = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const body = isCompressed ? new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")) : bytes;
  return new Response(body, { headers: { "Content-Type": "application/wasm" } });
}

// Compiles while it still arrives, which needs the right MIME type.
async function compile(response) {
  const isTyped = response.headers.get("Content-Type")?.startsWith("application/wasm");
  return isTyped ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}

// Inside a worker, a rejected promise stays unseen outside; this makes it the worker's `error` event.
run().catch(reportError);
