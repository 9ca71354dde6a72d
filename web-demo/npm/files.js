// Files from web servers, with errors that say what is the matter.

// A download that brings nothing for so long has broken off.
const SILENCE_MS = 20_000;

/** The file at a URL, as a Blob; `what` is how errors call it. */
export async function download(url, what, signal) {
  const address = new URL(url, document.baseURI);
  const silence = new AbortController();
  let timer;
  const patience = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_MS);
  };
  const abort = () => silence.abort();
  signal?.addEventListener("abort", abort);
  try {
    signal?.throwIfAborted();
    patience();
    let response;
    try {
      response = await fetch(address, { signal: silence.signal });
    } catch {
      signal?.throwIfAborted();
      throw new Error(unreachable(address, what));
    }
    if (!response.ok) throw new Error(`The server answered ${response.status} to ${what} ${address}.`);
    const chunks = [];
    try {
      for (const reader = response.body.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done) break;
        patience();
        chunks.push(value);
      }
    } catch {
      signal?.throwIfAborted();
      throw new Error(`The download of ${what} ${address} broke off.`);
    }
    return new Blob(chunks);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

function unreachable(address, what) {
  const isForeign = address.protocol.startsWith("http") && address.origin !== location.origin;
  const cors = ` It is on another origin, whose server must allow this page to read it (CORS: Access-Control-Allow-Origin: ${location.origin}, or *).`;
  return `The browser could not fetch ${what} ${address}. Is the connection up, and does the page's Content-Security-Policy allow it ` +
    `(connect-src)?${isForeign ? cors : ""}`;
}

/** Fails unless a file has this SHA-256, in hexadecimal digits. */
export async function checkSha256(blob, expected) {
  if (!/^[0-9a-f]{64}$/i.test(expected)) throw new TypeError(`sha256 is 64 hexadecimal digits, not ${JSON.stringify(expected)}.`);
  if (!globalThis.crypto?.subtle) throw new Error("SHA-256 can be checked only on pages that come by https, or from localhost.");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
  const found = Array.from(digest, byte => byte.toString(16).padStart(2, "0")).join("");
  if (found !== expected.toLowerCase()) throw new Error(`The weight file is another one: its SHA-256 is ${found}, not ${expected.toLowerCase()}.`);
}
