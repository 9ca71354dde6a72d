// A worker that is replaced when it dies, and what is asked of it, one thing after the other.
//
// Messages are those between the comparison page and its worker: the enums of web-demo/src/protocol.rs as serde writes them.

import { isForeign, possibleThreads, startWorker } from "./builds.js";

// A worker that says nothing for so long will say nothing any more.
const PATIENCE_MS = 60_000;

const connections = new Map();

/** The page's worker with so many threads; models of the same number share one. */
export function connect(asked) {
  const threads = possibleThreads(asked);
  if (!connections.has(threads)) connections.set(threads, new Connection(threads));
  return connections.get(threads);
}

class Connection {
  #threads;
  #worker;
  #last = Promise.resolve();
  #answer;
  #users = 0;

  constructor(threads) {
    this.#threads = threads;
  }

  /** Stands for the worker of the moment; null if there is none. What it was told, another one does not know. */
  get worker() {
    return this.#worker ?? null;
  }

  /** Counts those who need the worker; when there are none any more, it ends. */
  open() {
    this.#users += 1;
  }

  close() {
    this.#users -= 1;
    this.enqueue(() => { if (!this.#users) this.#end(); });
  }

  /** Runs a task when all before it are through, whatever became of them. */
  enqueue(task) {
    const result = this.#last.then(task);
    this.#last = result.catch(() => {});
    return result;
  }

  /** Sees to it that there is a worker. For tasks only. */
  async start() {
    if (this.#worker) return;
    const threads = this.#threads;
    try {
      await this.#launch();
    } catch (error) {
      if (threads === 1) throw error;
      console.warn(`yolox-nano-web goes on without threads. ${error.message}`);
      await this.#launch();
    }
  }

  /** Sends a request, and waits for the reply for which `read` gives something. For tasks only. */
  exchange(request, read, transfer = []) {
    return this.#wait(read, () => this.#worker.postMessage(request, transfer));
  }

  /** Sends a request that nothing answers. */
  tell(request) {
    this.#worker?.postMessage(request);
  }

  async #launch() {
    const isForeignScript = isForeign();
    try {
      await this.#wait(reply => reply.Ready, () => {
        this.#worker = startWorker(this.#threads);
        this.#worker.onmessage = ({ data }) => this.#hear(data);
        this.#worker.onerror = event => {
          event.preventDefault?.();
          this.#die(event.message || "its script cannot be loaded");
        };
      });
    } catch (error) {
      if (!isForeignScript) throw error;
      throw new Error(`${error.message} The package comes from ${isForeignScript}, not from the page's origin: its files need CORS ` +
        "headers, and a Content-Security-Policy of the page must allow `worker-src blob:`. Or serve the package's files with the page.");
    }
  }

  #wait(read, act) {
    return new Promise((resolve, reject) => {
      let timer;
      const patience = () => {
        clearTimeout(timer);
        timer = setTimeout(() => this.#die("it does not answer any more"), PATIENCE_MS);
      };
      const settle = (end, value) => {
        clearTimeout(timer);
        this.#answer = undefined;
        end(value);
      };
      this.#answer = {
        reply(said) {
          patience();
          try {
            const value = read(said);
            if (value !== undefined) settle(resolve, value);
          } catch (error) {
            settle(reject, error);
          }
        },
        fail: error => settle(reject, error),
      };
      patience();
      try {
        act();
      } catch (error) {
        settle(reject, error);
      }
    });
  }

  #hear(reply) {
    if (reply.Died !== undefined) this.#die(reply.Died);
    else this.#answer?.reply(reply);
  }

  // The next task starts another worker. Without threads: they are what may fail for reasons of the browser's.
  #die(why) {
    this.#end();
    this.#threads = 1;
    this.#answer?.fail(new Error(`The worker that runs the networks has died (${why}).`));
  }

  #end() {
    if (!this.#worker) return;
    this.#worker.onmessage = this.#worker.onerror = null;
    this.#worker.terminate();
    this.#worker = undefined;
  }
}
