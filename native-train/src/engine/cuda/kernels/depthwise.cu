// Depthwise convolutions, K wide, stride S, "same" padding: output channel o reads input channel o / multiplier. A thread computes
// a strip of STRIP numbers one below the other, so that each number it loads serves several of them.

#define STRIP 4

// The number at row y and column x, 0 beyond the plane.
__device__ float at(const float *plane, int y, int x, int height, int width) {
    return y >= 0 && y < height && x >= 0 && x < width ? plane[(size_t)y * width + x] : 0;
}

// Copies a channel's kernel to shared memory.
template <int K>
__device__ void load_kernel(const float *weights, float *shared) {
    for (int i = threadIdx.x; i < K * K; i += THREADS) shared[i] = weights[i];
    __syncthreads();
}

// y = the convolution of x (channels / multiplier x pictures x height x width), for blockIdx.y in channels.
template <int K, int S>
__device__ void depthwise(const float *x, const float *weights, float *y, int multiplier, int pictures, int height, int width,
                          const MomentsTarget &target) {
    __shared__ float kernel[K * K];
    __shared__ float scratch[SUMS_SCRATCH];
    const int channel = blockIdx.y, rows = height / S, columns = width / S;
    const int strips = (rows + STRIP - 1) / STRIP * columns;
    // One of the block's numbers, near the others: their squares' sum would else lose what makes them differ.
    __shared__ float first_number;
    float origin[1];
    bool is_first = true;
    x += (size_t)(channel / multiplier) * pictures * height * width;
    y += (size_t)channel * pictures * rows * columns;
    load_kernel<K>(weights + channel * K * K, kernel);
    float sums[3] = {0, 0, 0};
    for (int i = blockIdx.x * THREADS + threadIdx.x; is_first || i < pictures * strips; i += gridDim.x * THREADS) {
        // Threads without a strip of their own come along to the barrier, with numbers that nobody looks at.
        const bool has_strip = i < pictures * strips;
        const int picture = has_strip ? i / strips : 0, strip = i % strips;
        const int row = strip / columns * STRIP, column = strip % columns;
        const float *plane = x + (size_t)picture * height * width;
        float sum[STRIP] = {0, 0, 0, 0};
#pragma unroll
        for (int r = 0; r < (STRIP - 1) * S + K; r++) {
#pragma unroll
            for (int c = 0; c < K; c++) {
                const float number = at(plane, row * S + r - K / 2, column * S + c - K / 2, height, width);
#pragma unroll
                for (int j = 0; j < STRIP; j++) {
                    const int tap = r - j * S;
                    if (tap >= 0 && tap < K) sum[j] += kernel[tap * K + c] * number;
                }
            }
        }
        if (is_first) {
            if (threadIdx.x == 0) first_number = sum[0];
            __syncthreads();
            origin[0] = first_number;
            is_first = false;
        }
        if (!has_strip) break;
        float *out = y + (size_t)picture * rows * columns + column;
#pragma unroll
        for (int j = 0; j < STRIP; j++) {
            if (row + j >= rows) break;
            out[(size_t)(row + j) * columns] = sum[j];
            const float d = sum[j] - origin[0];
            sums[0] += d;
            sums[1] += d * d;
            sums[2] += 1;
        }
    }
    if (target.mode) add_moments<1>(target, channel, gridDim.y, sums, origin, scratch);
}

// What the gradient of y gives x, for blockIdx.y in the channels of x; added if it `accumulates`.
template <int K, int S>
__device__ void depthwise_input_gradient(const float *gradient, const float *weights, float *of_x, int multiplier, int pictures,
                                         int height, int width, int accumulates) {
    __shared__ float kernel[K * K];
    // A thread's numbers of x: a strip, or with stride 2 a square of 2 x 2, in which each position meets other taps.
    const int HIGH = S == 1 ? STRIP : 2, WIDE = S;
    const int rows = height / S, columns = width / S;
    const int wide = width / WIDE, parts = (height + HIGH - 1) / HIGH * wide;
    of_x += (size_t)blockIdx.y * pictures * height * width;
    for (int m = 0; m < multiplier; m++) {
        const int channel = blockIdx.y * multiplier + m;
        const float *planes = gradient + (size_t)channel * pictures * rows * columns;
        __syncthreads();
        load_kernel<K>(weights + channel * K * K, kernel);
        for (int i = blockIdx.x * THREADS + threadIdx.x; i < pictures * parts; i += gridDim.x * THREADS) {
            const int picture = i / parts, part = i % parts, row = part / wide * HIGH, column = part % wide * WIDE;
            const float *plane = planes + (size_t)picture * rows * columns;
            float sum[HIGH][WIDE] = {};
            if (S == 1) {
#pragma unroll
                for (int r = 0; r < STRIP - 1 + K; r++) {
#pragma unroll
                    for (int c = 0; c < K; c++) {
                        const float number = at(plane, row + r - K / 2, column + c - K / 2, rows, columns);
#pragma unroll
                        for (int j = 0; j < HIGH; j++) {
                            const int tap = j + K - 1 - r;
                            if (tap >= 0 && tap < K) sum[j][0] += kernel[tap * K + K - 1 - c] * number;
                        }
                    }
                }
            } else {
                // Position p of the square and the number d places further meet at the tap p + K / 2 - 2 * d.
#pragma unroll
                for (int r = -(K / 2 / 2); r <= (K / 2 + 1) / 2; r++) {
#pragma unroll
                    for (int c = -(K / 2 / 2); c <= (K / 2 + 1) / 2; c++) {
                        const float number = at(plane, row / 2 + r, column / 2 + c, rows, columns);
#pragma unroll
                        for (int j = 0; j < HIGH; j++) {
#pragma unroll
                            for (int k = 0; k < WIDE; k++) {
                                const int tap_y = j + K / 2 - 2 * r, tap_x = k + K / 2 - 2 * c;
                                if (tap_y >= 0 && tap_y < K && tap_x >= 0 && tap_x < K)
                                    sum[j][k] += kernel[tap_y * K + tap_x] * number;
                            }
                        }
                    }
                }
            }
            float *out = of_x + ((size_t)picture * height + row) * width + column;
#pragma unroll
            for (int j = 0; j < HIGH; j++) {
                if (row + j >= height) break;
#pragma unroll
                for (int k = 0; k < WIDE; k++) {
                    float *number = out + (size_t)j * width + k;
                    *number = accumulates || m > 0 ? *number + sum[j][k] : sum[j][k];
                }
            }
        }
    }
}

// The gradient of the kernels (channels x K x K), for blockIdx.y in channels. `parts` has K * K numbers for each block of each
// channel.
template <int K, int S>
__device__ void depthwise_weight_gradient(const float *x, const float *gradient, float *of_weights, int multiplier, int pictures,
                                          int height, int width, float *parts, unsigned *counters) {
    __shared__ float scratch[SUMS_SCRATCH];
    __shared__ float totals[K * K];
    const int channel = blockIdx.y, rows = height / S, columns = width / S;
    const int strips = (rows + STRIP - 1) / STRIP * columns;
    x += (size_t)(channel / multiplier) * pictures * height * width;
    gradient += (size_t)channel * pictures * rows * columns;
    float sums[K * K] = {};
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < pictures * strips; i += gridDim.x * THREADS) {
        const int picture = i / strips, strip = i % strips, row = strip / columns * STRIP, column = strip % columns;
        const float *plane = x + (size_t)picture * height * width;
        const float *of_y = gradient + (size_t)picture * rows * columns;
        float g[STRIP];
#pragma unroll
        for (int j = 0; j < STRIP; j++) g[j] = at(of_y, row + j, column, rows, columns);
#pragma unroll
        for (int r = 0; r < (STRIP - 1) * S + K; r++) {
#pragma unroll
            for (int c = 0; c < K; c++) {
                const float number = at(plane, row * S + r - K / 2, column * S + c - K / 2, height, width);
#pragma unroll
                for (int j = 0; j < STRIP; j++) {
                    const int tap = r - j * S;
                    if (tap >= 0 && tap < K) sums[tap * K + c] += g[j] * number;
                }
            }
        }
    }
    block_sums(sums, scratch, totals);
    of_weights += channel * K * K;
    float *part = parts + (size_t)channel * gridDim.x * K * K;
    for (int i = threadIdx.x; i < K * K; i += THREADS) part[blockIdx.x * K * K + i] = totals[i];
    if (!is_last_block(counters + channel, gridDim.x)) return;
    for (int i = threadIdx.x; i < K * K; i += THREADS) {
        float sum = 0;
        for (int block = 0; block < (int)gridDim.x; block++) sum += __ldcg(part + block * K * K + i);
        of_weights[i] = sum;
    }
}

// The kernels of one width and stride, for whoever compiles them.
#define DEPTHWISE(K, S)                                                                                                     \
    extern "C" __global__ void depthwise_##K##_##S(const float *x, const float *weights, float *y, int multiplier,          \
                                                   int pictures, int height, int width, MOMENTS_PARAMETERS) {               \
        depthwise<K, S>(x, weights, y, multiplier, pictures, height, width, MOMENTS_TARGET);                                \
    }                                                                                                                       \
    extern "C" __global__ void depthwise_input_gradient_##K##_##S(const float *gradient, const float *weights, float *of_x, \
                                                                  int multiplier, int pictures, int height, int width,      \
                                                                  int accumulates) {                                        \
        depthwise_input_gradient<K, S>(gradient, weights, of_x, multiplier, pictures, height, width, accumulates);          \
    }                                                                                                                       \
    extern "C" __global__ void depthwise_weight_gradient_##K##_##S(                                                         \
        const float *x, const float *gradient, float *of_weights, int multiplier, int pictures, int height, int width,      \
        float *parts, unsigned *counters) {                                                                                 \
        depthwise_weight_gradient<K, S>(x, gradient, of_weights, multiplier, pictures, height, width, parts, counters);     \
    }
