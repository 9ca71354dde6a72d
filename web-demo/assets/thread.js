// One more thread of the worker's program: the same module on the same memory.

async function join({ bindings, module, memory, stack }) {
  const program = await import(bindings);
  await program.default({ module_or_path: module, memory, thread_stack_size: stack });
  postMessage("here");
  // Works for ever: no further message would arrive.
  program.join();
}

// An error here becomes one of the worker that started this thread.
onmessage = event => join(event.data).catch(reportError);
