// What all kernels share. They are compiled by NVRTC when a GPU is opened, and by a C++ compiler for the tests
// (tests/emulator), so they include nothing and keep to what both know.
//
// A value of the network lies in memory as channels x pictures x height x width: a channel's numbers of all pictures are one
// stretch, which is what batch normalisation adds up and what makes a pointwise convolution one matrix product.
//
// blockIdx.y is the channel (or a group of channels), blockIdx.x one of the blocks that share its numbers.

// Threads of a block, for every kernel.
#define THREADS 256
// Numbers that are added up at once by block_sums.
#define SUMS 8
// Threads that add up one of them, and the room between their sums, which spares conflicts of memory banks.
#define LANES (THREADS / SUMS)
#define LANES_ROOM (LANES + 1)
// Shared memory that block_sums needs, in numbers.
#define SUMS_SCRATCH (SUMS * (THREADS + LANES_ROOM))

typedef unsigned char byte;

// Added to the variance (graph::BN_EPS).
#define BN_EPS 1e-3f

// What is known of a channel between the passes. Its numbers are computed in double precision: where the mean is far greater than
// what the sums differ by, products with it nearly cancel out.
struct Channel {
    // act(scale * y + shift) is the output.
    float scale, shift;
    // Of the sums that are normalised; inverse = 1 / (variance + eps).
    float mean, inverse;
    // a * g + b * y + c is the gradient with respect to the sums y.
    float a, b, c;
    float unused;

    // Normalisation by a mean and a biased variance.
    __device__ void normalise_by(double by_mean, double variance, double weight, double bias) {
        const double by_inverse = 1 / (variance + BN_EPS), by_scale = weight * sqrt(by_inverse);
        scale = by_scale;
        shift = bias - by_mean * by_scale;
        mean = by_mean;
        inverse = by_inverse;
    }
};

// Sums of N numbers over the threads of a block; `totals` (shared, N numbers) holds them for all threads afterwards. The order
// of additions is fixed. Every thread of the block must take part.
template <int N>
__device__ void block_sums(const float (&values)[N], float *scratch, float *totals) {
    const int row = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    float *parts = scratch + SUMS * THREADS + row * LANES_ROOM;
#pragma unroll
    for (int first = 0; first < N; first += SUMS) {
#pragma unroll
        for (int i = 0; i < SUMS; i++)
            if (first + i < N) scratch[i * THREADS + threadIdx.x] = values[first + i];
        __syncthreads();
        float sum = 0;
        if (first + row < N)
            for (int i = lane; i < THREADS; i += LANES) sum += scratch[row * THREADS + i];
        parts[lane] = sum;
        __syncthreads();
        if (lane == 0 && first + row < N) {
            float total = 0;
            for (int i = 0; i < LANES; i++) total += parts[i];
            totals[first + row] = total;
        }
    }
    __syncthreads();
}

// True in the last of `blocks` blocks that gets here, for all of its threads; it sees what the others wrote before. The counter
// is 0 before and afterwards.
__device__ bool is_last_block(unsigned *counter, unsigned blocks) {
    __shared__ bool is_last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        is_last = atomicAdd(counter, 1u) == blocks - 1;
        if (is_last) *counter = 0;
    }
    __syncthreads();
    const bool result = is_last;
    if (result) __threadfence();
    return result;
}

__device__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }

// graph::Activation
enum { IDENTITY = 0, SILU = 1, RELU = 2, HARD_SIGMOID = 3 };

__device__ float activate(int activation, float u) {
    if (activation == SILU) return u * sigmoid(u);
    if (activation == RELU) return u > 0 ? u : 0;
    if (activation == HARD_SIGMOID) return fminf(fmaxf(u + 3, 0), 6) / 6;
    return u;
}

// Derivative of the activation at u.
__device__ float slope(int activation, float u) {
    if (activation == SILU) {
        const float s = sigmoid(u);
        return s * (1 + u * (1 - s));
    }
    if (activation == RELU) return u > 0 ? 1 : 0;
    if (activation == HARD_SIGMOID) return u > -3 && u < 3 ? 1.0f / 6 : 0;
    return 1;
}
