// Loads the page's program, and shows how far it is.

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
