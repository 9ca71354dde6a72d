// Loads the page's program, and shows how far it is; then keeps the site for visits without a connection.

const assets = JSON.parse(document.getElementById("assets").textContent);
const url = name => new URL(assets[name], document.baseURI);

try {
  const program = await fetch(url("page.wasm"));
  if (!program.ok) throw new Error(`the server answered ${program.status} to ${program.url}`);
  const { default: init } = await import(url("page.js"));
  await init({ module_or_path: counted(program) });
} catch (error) {
  const failure = document.getElementById("failure");
  failure.textContent = `The page could not start: ${error.message}. `
    + "It needs WebAssembly with SIMD (Chrome 91, Firefox 89, Safari 16.4 or newer) and an unbroken connection; "
    + "reload it to try again.";
  failure.hidden = false;
  document.querySelector(".busy")?.remove();
  throw error;
}

// On plain http and in some private windows there is no keeping anything, and the page does without.
keep().catch(error => console.debug(`The page is not kept for visits without a connection: ${error.message}`));

// Not before the first boxes, if the visitor looks at any, nor while the networks' times are taken: keeping is work for the same
// connection and processor.
async function keep() {
  await Promise.race([firstBoxes(), pause(30_000)]);
  await pause(2000);
  const worker = url("service-worker.js");
  worker.searchParams.set("build", globalThis.workerStart.build);
  await navigator.serviceWorker.register(worker);
}

function pause(milliseconds) {
  return new Promise(resolve => setTimeout(resolve, milliseconds));
}

function firstBoxes() {
  return new Promise(resolve => {
    const observer = new MutationObserver(look);
    observer.observe(document.body, { subtree: true, childList: true, attributeFilter: ["data-state"] });
    look();
    function look() {
      if (!document.querySelector("[data-testid=viewer][data-state=done]")) return;
      observer.disconnect();
      resolve();
    }
  });
}

// The same response, with its bytes counted on the way to the compiler.
function counted(response) {
  const bar = document.getElementById("progress");
  const text = document.getElementById("loading");
  // Of a compressed file the length is known, but what arrives here is longer.
  const length = response.headers.get("Content-Encoding") ? 0 : Number(response.headers.get("Content-Length"));
  if (length) bar.max = length;
  let received = 0;
  const count = new TransformStream({
    transform(chunk, controller) {
      received += chunk.byteLength;
      if (length) bar.value = received;
      text.textContent = `Loading the page: ${Math.round(received / 1000)} kB`
        + (length ? ` of ${Math.round(length / 1000)} kB` : "");
      controller.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(count), { headers: { "Content-Type": "application/wasm" } });
}
