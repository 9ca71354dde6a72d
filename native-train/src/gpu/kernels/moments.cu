// Mean and variance of channels, for batch normalisation. Kernels that write a layer's sums take them on the way.

// Added to the variance (graph::BN_EPS).
#define BN_EPS 1e-3f

// What is done with a batch's moments.
enum { NO_MOMENTS = 0, NORMALISE_BY_BATCH = 1, OBSERVE = 2 };

// Where the moments of a layer's channels go.
struct MomentsTarget {
    int mode;
    // Three numbers for each block of each channel: count, mean, sum of squared distances.
    float *parts;
    // One for each channel.
    unsigned *counters;
    // Parameters.
    const float *weight, *bias;
    // Statistics of the batch: mean and variance, the latter unbiased unless observing.
    float *mean, *variance;
    Channel *states;
};

#define MOMENTS_PARAMETERS                                                                                              \
    int mode, float *parts, unsigned *counters, const float *weight, const float *bias, float *mean, float *variance, \
        Channel *states
#define MOMENTS_TARGET                                                                                                  \
    MomentsTarget { mode, parts, counters, weight, bias, mean, variance, states }

// Merges the moments of a channel's blocks (Chan et al., "Updating formulae and a pairwise algorithm for computing sample
// variances"). Every thread of the block takes part.
__device__ void finish_moments(const MomentsTarget &target, int channel, int blocks, float *scratch) {
    __shared__ float totals[2];
    const float *parts = target.parts + (size_t)3 * channel * blocks;
    const float origin = __ldcg(parts + 1);
    float sums[2] = {0, 0};
    for (int i = threadIdx.x; i < blocks; i += THREADS) {
        const float count = __ldcg(parts + 3 * i);
        sums[0] += count;
        // An empty block has no mean.
        if (count > 0) sums[1] += count * (__ldcg(parts + 3 * i + 1) - origin);
    }
    block_sums(sums, scratch, totals);
    const float count = totals[0], mean = origin + totals[1] / count;
    // Before the totals are written again.
    __syncthreads();
    float squares[1] = {0};
    for (int i = threadIdx.x; i < blocks; i += THREADS) {
        const float distance = __ldcg(parts + 3 * i + 1) - mean, part = __ldcg(parts + 3 * i);
        if (part > 0) squares[0] += __ldcg(parts + 3 * i + 2) + part * distance * distance;
    }
    block_sums(squares, scratch, totals);
    if (threadIdx.x == 0) {
        const float variance = totals[0] / count, unbiased = totals[0] / fmaxf(count - 1, 1);
        target.mean[channel] = mean;
        target.variance[channel] = target.mode == OBSERVE ? variance : unbiased;
        if (target.mode == NORMALISE_BY_BATCH) {
            const float inverse = 1 / (variance + BN_EPS), scale = target.weight[channel] * sqrtf(inverse);
            Channel &state = target.states[channel];
            state.scale = scale;
            state.shift = target.bias[channel] - mean * scale;
            state.mean = mean;
            state.inverse = inverse;
        }
    }
    __syncthreads();
}

// Takes a block's count, and sums of (y - origin) and its square, for CHANNELS channels from `first` on; the last block of these
// channels merges. Every thread of the block takes part.
template <int CHANNELS>
__device__ void add_moments(const MomentsTarget &target, int first, int channels, const float (&sums)[2 * CHANNELS + 1],
                            const float (&origins)[CHANNELS], float *scratch) {
    __shared__ float totals[2 * CHANNELS + 1];
    block_sums(sums, scratch, totals);
    if (threadIdx.x == 0) {
        const float count = totals[2 * CHANNELS];
        for (int i = 0; i < CHANNELS; i++) {
            if (first + i >= channels) break;
            float *part = target.parts + (size_t)3 * ((first + i) * gridDim.x + blockIdx.x);
            const float mean = totals[2 * i] / fmaxf(count, 1);
            part[0] = count;
            part[1] = origins[i] + mean;
            part[2] = fmaxf(totals[2 * i + 1] - totals[2 * i] * mean, 0);
        }
    }
    if (!is_last_block(target.counters + first, gridDim.x)) return;
    for (int i = 0; i < CHANNELS; i++)
        if (first + i < channels) finish_moments(target, first + i, gridDim.x, scratch);
}
