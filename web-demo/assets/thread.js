// One more thread of the worker's program: the same module on the same memory.

async function join({ bindings, module, memory, stack, alarm }) {
  const program = await import(bindings);
  await program.default({ module_or_path: module, memory, thread_stack_size: stack });
  postMessage("here");
  // Works for ever: no further message would arrive.
  try {
    program.join();
  } catch (error) {
    // A trap. The first thread may be waiting for this one's part of the work, and would wait for ever: no error reaches it meanwhile.
    new BroadcastChannel(alarm).postMessage(error.message);
    throw error;
  }
}

// An error here becomes one of the worker that started this thread.
onmessage = event => join(event.data).catch(reportError);
