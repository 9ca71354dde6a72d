// Keeps the site for visits without a connection: the page and all its files, except weights, which the worker keeps (worker/weights.rs).
//
// The query of this script's URL says of which version of the site it is, and which build of the worker's program this browser runs
// (start.js): another version or build is another service worker to the browser, and gets a cache of its own.

const { site, build } = Object.fromEntries(new URL(location.href).searchParams);
// The page's own address. Other sites may live on the same origin, and their caches with this one's.
const PAGE = registration.scope;
const OURS = `yolox-nano-site ${PAGE} `;
const CACHE = `${OURS}${site} ${build}`;

// As xtask/src/names.rs names files whose content never changes.
const HASHED = /-[0-9a-f]{16}(\.[^./]*)?$/;

addEventListener("install", event => event.waitUntil(fill()));
addEventListener("activate", event => event.waitUntil(takeOver()));
addEventListener("fetch", event => {
  const { method, mode, url } = event.request;
  if (method !== "GET" || !url.startsWith(PAGE)) return;
  const name = url.slice(PAGE.length).replace(/[?#].*/, "");
  if (mode === "navigate") {
    if (["", "index.html"].includes(name)) event.respondWith(page(event.request));
  } else if (HASHED.test(name) && !isWeights(name)) {
    event.respondWith(file(event.request));
  }
});

// All or nothing: a cache that lacks a file would be a page that does not start.
async function fill() {
  try {
    const page = await download(PAGE, "no-cache");
    const [, assets] = /<script type="application\/json" id="assets">(.*?)<\/script>/s.exec(await page.clone().text());
    const files = Object.entries(JSON.parse(assets)).filter(([name, url]) => HASHED.test(url) && isNeeded(name));
    const cache = await caches.open(CACHE);
    await Promise.all(files.map(async ([, url]) => cache.put(new URL(url, PAGE), await checked(url))));
    await cache.put(PAGE, page);
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
  await skipWaiting();
}

async function takeOver() {
  for (const name of await caches.keys()) {
    if (name.startsWith(OURS) && name !== CACHE) await caches.delete(name);
  }
  await clients.claim();
}

// Files by their logical names: this browser never asks for the other builds, and licences can wait for a connection.
function isNeeded(name) {
  if (name === "licences.txt") return false;
  if (name === "thread.js") return build === "threads";
  return !isWeights(name) && (!/^worker-/.test(name) || name.startsWith(`worker-${build}`));
}

function isWeights(name) {
  return name.endsWith(".safetensors");
}

// Errors and redirections (to a page to sign in, say) are not to be kept.
async function download(url, cache) {
  const response = await fetch(url, { cache, priority: "low" });
  if (response.status !== 200 || response.redirected) throw new Error(`${url} brings ${response.url} with status ${response.status}`);
  return response;
}

// A file whose content is that of which its name has the hash: neither a page under its name nor a part of it.
async function checked(url) {
  const response = await download(new URL(url, PAGE), "default");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await response.clone().arrayBuffer()));
  const hash = Array.from(digest.subarray(0, 8), byte => byte.toString(16).padStart(2, "0")).join("");
  if (!url.includes(`-${hash}`)) throw new Error(`${url} is another file than its name says`);
  return response;
}

// Newest first: what the server has now, and the kept one if it cannot be reached.
async function page(request) {
  try {
    return await fetch(request, { cache: "no-cache" });
  } catch (error) {
    const kept = await (await caches.open(CACHE)).match(PAGE);
    if (kept) return kept;
    throw error;
  }
}

async function file(request) {
  return await (await caches.open(CACHE)).match(request) ?? fetch(request);
}
