// What CUDA C has and C++ has not: enough of it to run the kernels of native-train/src/engine/cuda/kernels on a CPU. A block's threads are
// coroutines (ucontext) that take turns at every barrier; blocks run one after another.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

using std::max;
using std::min;

#define __global__
#define __device__ inline
#define __shared__ static thread_local
#define DYNAMIC_SHARED(type, name) type *name = static_cast<type *>(emulator::dynamic_shared)

struct Index {
    unsigned x, y;
};

namespace emulator {
extern thread_local Index block, thread, grid;
extern thread_local void *dynamic_shared;
// Gives the other threads of the block their turn.
void barrier();
}  // namespace emulator

#define blockIdx emulator::block
#define threadIdx emulator::thread
#define gridDim emulator::grid

static inline void __syncthreads() { emulator::barrier(); }
// Blocks run one after another: whatever one has written the next one sees.
static inline void __threadfence() {}
static inline unsigned atomicAdd(unsigned *place, unsigned value) {
    const unsigned before = *place;
    *place += value;
    return before;
}
template <class T>
static inline T __ldcg(const T *place) {
    return *place;
}
// Not functions: C's library has one of the same name.
#define __expf(x) std::exp(x)
static inline float __fdividef(float a, float b) { return a / b; }
