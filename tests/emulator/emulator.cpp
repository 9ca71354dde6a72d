// Runs the GPU's kernels on a CPU, for tests.

#include "shim.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

// The kernels themselves.
#include "../../native-train/src/engine/cuda/kernels/common.cu"
#include "../../native-train/src/engine/cuda/kernels/moments.cu"
#include "../../native-train/src/engine/cuda/kernels/norm.cu"
#include "../../native-train/src/engine/cuda/kernels/depthwise.cu"
#include "../../native-train/src/engine/cuda/kernels/stem.cu"
#include "../../native-train/src/engine/cuda/kernels/simple.cu"
#include "../../native-train/src/engine/cuda/kernels/features.cu"
DEPTHWISE(3, 1)
DEPTHWISE(5, 1)
DEPTHWISE(7, 1)
DEPTHWISE(9, 1)
DEPTHWISE(3, 2)
DEPTHWISE(5, 2)
DEPTHWISE(7, 2)
DEPTHWISE(9, 2)

namespace emulator {
thread_local Index block, thread, grid;
thread_local void *dynamic_shared;

namespace {
const size_t STACK = 256 << 10;

// One for each thread of a block; it runs that thread of one block after another. It is begun by ucontext, which can give it a stack;
// from then on setjmp and longjmp switch, which is twenty times as fast, as they leave signals alone.
struct Coroutine {
    ucontext_t beginning;
    bool begun = false;
    jmp_buf here;
    bool done;
};

// What runs at the moment: a launch, by one of the test's threads.
struct Running {
    void (*call)(void *kernel, void **arguments);
    void *kernel;
    void **arguments;
    jmp_buf scheduler;
    Coroutine coroutines[THREADS];
    std::vector<char> stacks = std::vector<char>(STACK * THREADS);
    Coroutine *current;
};

thread_local Running *running;

void go_back() {
    if (_setjmp(running->current->here) == 0) _longjmp(running->scheduler, 1);
}

void body() {
    for (;;) {
        running->call(running->kernel, running->arguments);
        running->current->done = true;
        go_back();
    }
}

void go_on(Coroutine &coroutine, char *stack) {
    if (_setjmp(running->scheduler) != 0) return;
    running->current = &coroutine;
    if (coroutine.begun) _longjmp(coroutine.here, 1);
    coroutine.begun = true;
    getcontext(&coroutine.beginning);
    coroutine.beginning.uc_stack.ss_sp = stack;
    coroutine.beginning.uc_stack.ss_size = STACK;
    makecontext(&coroutine.beginning, body, 0);
    setcontext(&coroutine.beginning);
}

template <class... A, size_t... I>
void call_with(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<A> *>(arguments[I])...);
}

template <class... A>
void call(void *kernel, void **arguments) {
    call_with(reinterpret_cast<void (*)(A...)>(kernel), arguments, std::index_sequence_for<A...>());
}

struct Entry {
    const char *name;
    void *kernel;
    void (*call)(void *, void **);
    size_t arguments;
};

template <class... A>
Entry entry(const char *name, void (*kernel)(A...)) {
    return {name, reinterpret_cast<void *>(kernel), call<A...>, sizeof...(A)};
}

#define KERNEL(name) entry(#name, name)
#define DEPTHWISE_KERNELS(K, S) \
    KERNEL(depthwise_##K##_##S), KERNEL(depthwise_input_gradient_##K##_##S), KERNEL(depthwise_weight_gradient_##K##_##S)

const Entry KERNELS[] = {
    KERNEL(moments),
    KERNEL(prepare_channels),
    KERNEL(normalise),
    KERNEL(normalise_backward_sums),
    KERNEL(normalise_backward),
    DEPTHWISE_KERNELS(3, 1),
    DEPTHWISE_KERNELS(5, 1),
    DEPTHWISE_KERNELS(7, 1),
    DEPTHWISE_KERNELS(9, 1),
    DEPTHWISE_KERNELS(3, 2),
    DEPTHWISE_KERNELS(5, 2),
    DEPTHWISE_KERNELS(7, 2),
    DEPTHWISE_KERNELS(9, 2),
    KERNEL(stem),
    KERNEL(stem_weight_gradient),
    KERNEL(copy),
    KERNEL(add),
    KERNEL(max_pool_same),
    KERNEL(max_pool_same_gradient),
    KERNEL(max_pool_halving),
    KERNEL(max_pool_halving_gradient),
    KERNEL(upsample),
    KERNEL(upsample_gradient),
    KERNEL(global_mean),
    KERNEL(global_mean_gradient),
    KERNEL(scale),
    KERNEL(scale_gradient),
    KERNEL(gather_predictions),
    KERNEL(scatter_predictions),
    KERNEL(feature_loss),
};

// Runs one block; false if some of its threads wait at a barrier that others never reach.
bool run_block(bool backwards) {
    for (Coroutine &coroutine : running->coroutines) coroutine.done = false;
    for (;;) {
        unsigned done = 0;
        for (unsigned turn = 0; turn < THREADS; turn++) {
            const unsigned i = backwards ? THREADS - 1 - turn : turn;
            thread = {i, 0};
            go_on(running->coroutines[i], running->stacks.data() + i * STACK);
            done += running->coroutines[i].done;
        }
        if (done == THREADS) return true;
        if (done != 0) return false;
    }
}
}  // namespace

void barrier() { go_back(); }
}  // namespace emulator

// How many arguments a kernel takes; -1 if there is none of this name.
extern "C" int emulator_arguments(const char *name) {
    for (const emulator::Entry &entry : emulator::KERNELS)
        if (std::strcmp(entry.name, name) == 0) return static_cast<int>(entry.arguments);
    return -1;
}

// Runs a kernel: 0 if all went well, 1 if there is none of this name, 2 if it takes another number of arguments, 3 if the threads of
// a block part at a barrier. Blocks, and the threads of each, take their turns from the first or, `backwards`, from the last: where
// results differ, a barrier is missing, or a block needs what another has not written yet.
extern "C" int emulator_launch(const char *name, unsigned grid_x, unsigned grid_y, unsigned shared_bytes, void **arguments,
                               size_t count, bool backwards) {
    using namespace emulator;
    const auto has_name = [name](const Entry &entry) { return std::strcmp(entry.name, name) == 0; };
    const Entry *entry = std::find_if(std::begin(KERNELS), std::end(KERNELS), has_name);
    if (entry == std::end(KERNELS)) return 1;
    if (entry->arguments != count) return 2;
    static thread_local Running state;
    running = &state;
    state.call = entry->call;
    state.kernel = entry->kernel;
    state.arguments = arguments;
    std::vector<char> shared(shared_bytes);
    dynamic_shared = shared.data();
    grid = {grid_x, grid_y};
    const unsigned blocks = grid_x * grid_y;
    for (unsigned turn = 0; turn < blocks; turn++) {
        const unsigned i = backwards ? blocks - 1 - turn : turn;
        block = {i % grid_x, i / grid_x};
        if (!run_block(backwards)) return 3;
    }
    return 0;
}
