// Mean and variance of channels, for batch normalisation. Kernels that write a layer's sums take them on the way.

// What is done with a batch's moments.
enum { NO_MOMENTS = 0, NORMALISE_BY_BATCH = 1, OBSERVE = 2 };

// Where the moments of a layer's channels go.
struct MomentsTarget {
    int mode;
    // A Part for each block of each channel.
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

// What a block leaves of a channel: with the count n of numbers y, the sums of d = y - origin and of d * d.
struct Part {
    float count, origin, sum, squares;
    // In double precision, as the mean may be far greater than what numbers differ by.
    __device__ double mean() const { return origin + (double)sum / count; }
    __device__ float squares_around_mean() const { return fmaxf(squares - sum * (sum / count), 0); }
};

__device__ Part part_of(const float *parts, int i) {
    return {__ldcg(parts + 4 * i), __ldcg(parts + 4 * i + 1), __ldcg(parts + 4 * i + 2), __ldcg(parts + 4 * i + 3)};
}

// Merges the moments of a channel's blocks (Chan et al., "Updating formulae and a pairwise algorithm for computing sample
// variances"). Every thread of the block takes part.
__device__ void finish_moments(const MomentsTarget &target, int channel, int blocks, float *scratch) {
    __shared__ float totals[2];
    const float *parts = target.parts + (size_t)4 * channel * blocks;
    const float origin = part_of(parts, 0).origin;
    float sums[2] = {0, 0};
    for (int i = threadIdx.x; i < blocks; i += THREADS) {
        const Part part = part_of(parts, i);
        // An empty block has no mean.
        if (part.count == 0) continue;
        sums[0] += part.count;
        sums[1] += part.count * (float)(part.mean() - origin);
    }
    block_sums(sums, scratch, totals);
    const float count = totals[0];
    const double mean = origin + (double)totals[1] / count;
    // Before the totals are written again.
    __syncthreads();
    float squares[1] = {0};
    for (int i = threadIdx.x; i < blocks; i += THREADS) {
        const Part part = part_of(parts, i);
        if (part.count == 0) continue;
        const float distance = part.mean() - mean;
        squares[0] += part.squares_around_mean() + part.count * distance * distance;
    }
    block_sums(squares, scratch, totals);
    if (threadIdx.x == 0) {
        const float variance = totals[0] / count, unbiased = totals[0] / fmaxf(count - 1, 1);
        target.mean[channel] = mean;
        target.variance[channel] = target.mode == OBSERVE ? variance : unbiased;
        if (target.mode == NORMALISE_BY_BATCH)
            target.states[channel].normalise_by(mean, variance, target.weight[channel], target.bias[channel]);
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
            float *part = target.parts + (size_t)4 * ((first + i) * gridDim.x + blockIdx.x);
            part[0] = count;
            part[1] = origins[i];
            part[2] = totals[2 * i];
            part[3] = totals[2 * i + 1];
        }
    }
    if (!is_last_block(target.counters + first, gridDim.x)) return;
    for (int i = 0; i < CHANNELS; i++)
        if (first + i < channels) finish_moments(target, first + i, gridDim.x, scratch);
}
