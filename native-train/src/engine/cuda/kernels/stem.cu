// The first convolution, on bytes: space-to-depth and 3 x 3, which together are a 6 x 6 convolution of stride 2 on the picture. A tap
// is one of its 108 weights of an output channel: tap = (colour * 6 + ty) * 6 + tx.

// Output channels of a block.
#define GROUP 16
#define TAPS 108
// Columns of the tile that the weights' gradient is summed up over at once.
#define TILE 32
#define TILE_PIXELS (2 * TILE + 4)

// Where the weight of a tap lies in channels x 12 x 3 x 3: space-to-depth has the order top left, bottom left, top right, bottom
// right.
__device__ int stem_weight(int channel, int tap) {
    const int colour = tap / 36, ty = tap / 6 % 6, tx = tap % 6;
    const int input = (tx % 2 * 2 + ty % 2) * 3 + colour;
    return ((channel * 12 + input) * 3 + ty / 2) * 3 + tx / 2;
}

// y (channels x pictures x height/2 x width/2) from pixels (pictures x 3 x height x width); blockIdx.y is a group of channels.
extern "C" __global__ void stem(const byte *pixels, const float *weights, float *y, int channels, int pictures, int height,
                                int width, MOMENTS_PARAMETERS) {
    const MomentsTarget target = MOMENTS_TARGET;
    __shared__ float kernel[TAPS * GROUP];
    __shared__ float scratch[SUMS_SCRATCH];
    const int first = blockIdx.y * GROUP, rows = height / 2, columns = width / 2, plane = rows * columns;
    // As in depthwise.cu: numbers near the block's others.
    __shared__ float first_numbers[GROUP];
    float origins[GROUP];
    bool is_first = true;
    for (int i = threadIdx.x; i < TAPS * GROUP; i += THREADS) {
        const int channel = first + i % GROUP;
        kernel[i] = channel < channels ? weights[stem_weight(channel, i / GROUP)] : 0;
    }
    __syncthreads();
    float sums[2 * GROUP + 1] = {};
    for (int i = blockIdx.x * THREADS + threadIdx.x; is_first || i < pictures * plane; i += gridDim.x * THREADS) {
        const bool has_pixel = i < pictures * plane;
        const int picture = has_pixel ? i / plane : 0, row = i % plane / columns, column = i % columns;
        float sum[GROUP] = {};
        for (int colour = 0; colour < 3; colour++) {
            const byte *of_colour = pixels + ((size_t)picture * 3 + colour) * height * width;
#pragma unroll
            for (int ty = 0; ty < 6; ty++) {
                const int py = 2 * row + ty - 2;
                if (py < 0 || py >= height) continue;
#pragma unroll
                for (int tx = 0; tx < 6; tx++) {
                    const int px = 2 * column + tx - 2;
                    const float number = px >= 0 && px < width ? of_colour[(size_t)py * width + px] : 0;
                    const float *taps = kernel + ((colour * 6 + ty) * 6 + tx) * GROUP;
#pragma unroll
                    for (int c = 0; c < GROUP; c++) sum[c] += taps[c] * number;
                }
            }
        }
        if (is_first) {
            if (threadIdx.x == 0)
                for (int c = 0; c < GROUP; c++) first_numbers[c] = sum[c];
            __syncthreads();
            for (int c = 0; c < GROUP; c++) origins[c] = first_numbers[c];
            is_first = false;
        }
        if (!has_pixel) break;
#pragma unroll
        for (int c = 0; c < GROUP; c++) {
            if (first + c < channels) y[((size_t)(first + c) * pictures + picture) * plane + row * columns + column] = sum[c];
            const float d = sum[c] - origins[c];
            sums[2 * c] += d;
            sums[2 * c + 1] += d * d;
        }
        sums[2 * GROUP] += 1;
    }
    if (mode) add_moments<GROUP>(target, first, channels, sums, origins, scratch);
}

// The gradient of the weights. `parts` has GROUP * TAPS numbers for each block of each group of channels. 216 threads add up, each
// for one tap and half of the channels.
extern "C" __global__ void stem_weight_gradient(const byte *pixels, const float *gradient, float *of_weights, int channels,
                                                int pictures, int height, int width, float *parts, unsigned *counters) {
    __shared__ float of_y[TILE][GROUP];
    __shared__ float patch[18][TILE_PIXELS];
    const int first = blockIdx.y * GROUP, rows = height / 2, columns = width / 2;
    const int tiles_across = (columns + TILE - 1) / TILE, tiles = pictures * rows * tiles_across;
    const int tap = threadIdx.x / 2, half = threadIdx.x % 2 * (GROUP / 2);
    float sums[GROUP / 2] = {};
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
        const int picture = i / (rows * tiles_across), row = i / tiles_across % rows, column = i % tiles_across * TILE;
        for (int j = threadIdx.x; j < TILE * GROUP; j += THREADS) {
            const int c = j / TILE, x = j % TILE;
            const bool inside = first + c < channels && column + x < columns;
            const size_t plane = (size_t)(first + c) * pictures + picture;
            of_y[x][c] = inside ? gradient[(plane * rows + row) * columns + column + x] : 0;
        }
        for (int j = threadIdx.x; j < 18 * TILE_PIXELS; j += THREADS) {
            const int line = j / TILE_PIXELS, py = 2 * row + line % 6 - 2, px = 2 * column + j % TILE_PIXELS - 2;
            const bool inside = py >= 0 && py < height && px >= 0 && px < width;
            const size_t plane = (size_t)picture * 3 + line / 6;
            patch[line][j % TILE_PIXELS] = inside ? pixels[(plane * height + py) * width + px] : 0;
        }
        __syncthreads();
        if (tap < TAPS) {
            const float *line = &patch[tap / 6][tap % 6];
#pragma unroll 4
            for (int x = 0; x < TILE; x++) {
                const float number = line[2 * x];
#pragma unroll
                for (int c = 0; c < GROUP / 2; c++) sums[c] += of_y[x][half + c] * number;
            }
        }
        __syncthreads();
    }
    float *part = parts + (size_t)blockIdx.y * gridDim.x * GROUP * TAPS;
    if (tap < TAPS)
        for (int c = 0; c < GROUP / 2; c++) part[(blockIdx.x * GROUP + half + c) * TAPS + tap] = sums[c];
    if (!is_last_block(counters + first, gridDim.x)) return;
    for (int i = threadIdx.x; i < GROUP * TAPS; i += THREADS) {
        float sum = 0;
#pragma unroll 8
        for (int block = 0; block < (int)gridDim.x; block++) sum += __ldcg(part + block * GROUP * TAPS + i);
        if (first + i / TAPS < channels) of_weights[stem_weight(first + i / TAPS, i % TAPS)] = sum;
    }
}
