// What a network computes on the way against what its teacher does. The formulas are in native-train/src/train/distill/features.rs.

// A channel that hardly varies counts as if it had this part of the mean variance of all.
#define LEAST_VARIANCE 0.05f
// The smallest positive number with all of its digits.
#define SMALLEST 1.17549435e-38f

// The mean square of found - taught, channel by channel over the teacher's variance, over all channels; both are channels x count.
// `losses` gets each channel's share, and `taught` the gradient with respect to `found`, times `weight`. `parts` has a number for each
// block of each channel.
extern "C" __global__ void feature_loss(const float *found, float *taught, const float *variances, const float *weight, int count,
                                        float *parts, unsigned *counters, float *losses) {
    __shared__ float scratch[SUMS_SCRATCH];
    __shared__ float totals[1];
    const int channel = blockIdx.y, channels = gridDim.y;
    float sum[1] = {0};
    for (int i = threadIdx.x; i < channels; i += THREADS) sum[0] += variances[i];
    block_sums(sum, scratch, totals);
    const float least = fmaxf(LEAST_VARIANCE * totals[0] / channels, SMALLEST);
    const float factor = 1 / fmaxf(variances[channel], least) / channels / count;
    // Before the totals are written again.
    __syncthreads();
    const float slope = 2 * factor * *weight;
    const size_t first = (size_t)channel * count;
    found += first;
    taught += first;
    sum[0] = 0;
#pragma unroll 4
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
        const float d = found[i] - taught[i];
        sum[0] += d * d;
        taught[i] = slope * d;
    }
    block_sums(sum, scratch, totals);
    if (threadIdx.x == 0) parts[(size_t)channel * gridDim.x + blockIdx.x] = totals[0];
    if (!is_last_block(counters + channel, gridDim.x)) return;
    sum[0] = 0;
    const int blocks = gridDim.x;
    for (int i = threadIdx.x; i < blocks; i += THREADS) sum[0] += __ldcg(parts + (size_t)channel * blocks + i);
    block_sums(sum, scratch, totals);
    if (threadIdx.x == 0) losses[channel] = factor * totals[0];
}
