// Batch normalisation or bias, and activation. The formulas are in shared-model/src/kernels/norm.rs.

// Moments of x: channels x count.
extern "C" __global__ void moments(const float *x, int count, MOMENTS_PARAMETERS) {
    __shared__ float scratch[SUMS_SCRATCH];
    const int channel = blockIdx.y, stretch = (count + gridDim.x - 1) / gridDim.x;
    const int begin = blockIdx.x * stretch, end = min(begin + stretch, count);
    x += (size_t)channel * count;
    // Near the mean, so that squares do not cancel out.
    const float origin[1] = {begin < end ? x[begin] : 0};
    float sums[3] = {0, 0, threadIdx.x == 0 ? (float)max(end - begin, 0) : 0};
#pragma unroll 4
    for (int i = begin + threadIdx.x; i < end; i += THREADS) {
        const float d = x[i] - origin[0];
        sums[0] += d;
        sums[1] += d * d;
    }
    add_moments<1>(MOMENTS_TARGET, channel, gridDim.y, sums, origin, scratch);
}

// For every channel of the network: what its normalisation by running statistics, or its bias, comes to. `places` holds for each
// channel where among the parameters its weight, bias, running mean and running variance are; for a bias alone the first is -1.
extern "C" __global__ void prepare_channels(const int *places, const float *parameters, Channel *channels, int count) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= count) return;
    const int *place = places + 4 * i;
    Channel state = {1, parameters[place[1]], 0, 1, 1, 0, 0, 0};
    if (place[0] >= 0)
        state.normalise_by(parameters[place[2]], parameters[place[3]], parameters[place[0]], parameters[place[1]]);
    channels[i] = state;
}

// out = act(scale * y + shift) + residual, channels x count; the residual may be missing.
extern "C" __global__ void normalise(const float *y, const Channel *channels, const float *residual, float *out, int count,
                                     int activation) {
    const Channel state = channels[blockIdx.y];
    const size_t first = (size_t)blockIdx.y * count;
    y += first;
    out += first;
    if (residual) residual += first;
#pragma unroll 4
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
        const float z = activate(activation, state.scale * y[i] + state.shift);
        out[i] = residual ? z + residual[i] : z;
    }
}

// With g = gradient * act'(scale * y + shift): the sums of g and of g * (y - mean), from which the last block of a channel takes
// the gradients of weight and bias and the factors a, b, c. `parts` has two numbers for each block of each channel. Without
// `of_weight` there is a bias alone.
extern "C" __global__ void normalise_backward_sums(const float *y, const float *gradient, Channel *channels, int count,
                                                   int activation, float *parts, unsigned *counters, float *of_weight,
                                                   float *of_bias) {
    __shared__ float scratch[SUMS_SCRATCH];
    __shared__ float totals[2];
    const int channel = blockIdx.y;
    Channel state = channels[channel];
    const size_t first = (size_t)channel * count;
    y += first;
    gradient += first;
    float sums[2] = {0, 0};
#pragma unroll 4
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
        const float g = gradient[i] * slope(activation, state.scale * y[i] + state.shift);
        sums[0] += g;
        sums[1] += g * (y[i] - state.mean);
    }
    block_sums(sums, scratch, totals);
    float *part = parts + (size_t)2 * channel * gridDim.x;
    if (threadIdx.x < 2) part[2 * blockIdx.x + threadIdx.x] = totals[threadIdx.x];
    if (!is_last_block(counters + channel, gridDim.x)) return;
    float all[2] = {0, 0};
    for (int i = threadIdx.x; i < (int)gridDim.x; i += THREADS) {
        all[0] += __ldcg(part + 2 * i);
        all[1] += __ldcg(part + 2 * i + 1);
    }
    block_sums(all, scratch, totals);
    if (threadIdx.x != 0) return;
    of_bias[channel] = totals[0];
    state.a = 1;
    state.b = state.c = 0;
    if (of_weight) {
        const double by_mean = (double)totals[0] / count, by_inverse = (double)state.inverse * totals[1] / count;
        of_weight[channel] = totals[1] * sqrt((double)state.inverse);
        state.a = state.scale;
        state.b = -state.scale * by_inverse;
        state.c = -state.scale * (by_mean - by_inverse * state.mean);
    }
    channels[channel] = state;
}

// gradient = a * g + b * y + c, with g as above.
extern "C" __global__ void normalise_backward(const float *y, float *gradient, const Channel *channels, int count,
                                              int activation) {
    const Channel state = channels[blockIdx.y];
    const size_t first = (size_t)blockIdx.y * count;
    y += first;
    gradient += first;
#pragma unroll 4
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
        const float g = gradient[i] * slope(activation, state.scale * y[i] + state.shift);
        gradient[i] = state.a * g + state.b * y[i] + state.c;
    }
}
