// Layers without parameters, and the way between predictions and the raw head output. blockIdx.y is a channel of the output, or of
// the input in backward passes, unless said otherwise. Gradients are added if they `accumulate`, else written.

__device__ void put(float *place, float value, int accumulates) { *place = accumulates ? *place + value : value; }

// to = from, or to += from: count numbers.
extern "C" __global__ void copy(const float *from, float *to, int count, int accumulates) {
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) put(to + i, from[i], accumulates);
}

// out = a + b: count numbers.
extern "C" __global__ void add(const float *a, const float *b, float *out, int count) {
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) out[i] = a[i] + b[i];
}

// Where in a plane the greatest number under the square around (row, column) is: the first, by rows, of several.
__device__ int greatest(const float *plane, int row, int column, int kernel, int height, int width) {
    const int top = max(row - kernel / 2, 0), bottom = min(row + kernel / 2, height - 1);
    const int left = max(column - kernel / 2, 0), right = min(column + kernel / 2, width - 1);
    int best = top * width + left;
    for (int y = top; y <= bottom; y++)
        for (int x = left; x <= right; x++)
            if (plane[y * width + x] > plane[best]) best = y * width + x;
    return best;
}

// Stride 1, padding kernel / 2; blockIdx.x is a picture, for both passes.
extern "C" __global__ void max_pool_same(const float *x, float *y, int kernel, int height, int width) {
    const size_t first = ((size_t)blockIdx.y * gridDim.x + blockIdx.x) * height * width;
    const float *plane = x + first;
    for (int i = threadIdx.x; i < height * width; i += THREADS)
        y[first + i] = plane[greatest(plane, i / width, i % width, kernel, height, width)];
}

// Needs room for a plane of int in shared memory: which number won every square. Then every number collects what it won.
extern "C" __global__ void max_pool_same_gradient(const float *x, const float *gradient, float *of_x, int kernel, int height,
                                                  int width, int accumulates) {
    DYNAMIC_SHARED(int, winners);
    const size_t first = ((size_t)blockIdx.y * gridDim.x + blockIdx.x) * height * width;
    x += first;
    gradient += first;
    for (int i = threadIdx.x; i < height * width; i += THREADS)
        winners[i] = greatest(x, i / width, i % width, kernel, height, width);
    __syncthreads();
    for (int i = threadIdx.x; i < height * width; i += THREADS) {
        const int row = i / width, column = i % width;
        const int top = max(row - kernel / 2, 0), bottom = min(row + kernel / 2, height - 1);
        const int left = max(column - kernel / 2, 0), right = min(column + kernel / 2, width - 1);
        float sum = 0;
        for (int at_y = top; at_y <= bottom; at_y++)
            for (int at_x = left; at_x <= right; at_x++)
                if (winners[at_y * width + at_x] == i) sum += gradient[at_y * width + at_x];
        put(of_x + first + i, sum, accumulates);
    }
}

// Squares of 2 x 2, stride 2; height and width are the output's, count the numbers of a channel of the output.
extern "C" __global__ void max_pool_halving(const float *x, float *y, int count, int width) {
    const size_t first = (size_t)blockIdx.y * count;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
        const float *square = x + 4 * first + (size_t)(i / width) * 4 * width + i % width * 2;
        y[first + i] = fmaxf(fmaxf(square[0], square[1]), fmaxf(square[2 * width], square[2 * width + 1]));
    }
}

extern "C" __global__ void max_pool_halving_gradient(const float *x, const float *gradient, float *of_x, int count, int width,
                                                     int accumulates) {
    const size_t first = (size_t)blockIdx.y * count;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
        const size_t corner = 4 * first + (size_t)(i / width) * 4 * width + i % width * 2;
        const int places[4] = {0, 1, 2 * width, 2 * width + 1};
        int best = 0;
        for (int j = 1; j < 4; j++)
            if (x[corner + places[j]] > x[corner + places[best]]) best = j;
        for (int j = 0; j < 4; j++) put(of_x + corner + places[j], j == best ? gradient[first + i] : 0, accumulates);
    }
}

// Every pixel becomes a square of 2 x 2; count and width are the input's, for both passes.
extern "C" __global__ void upsample(const float *x, float *y, int count, int width) {
    const size_t first = (size_t)blockIdx.y * count;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < 4 * count; i += gridDim.x * THREADS)
        y[4 * first + i] = x[first + (size_t)(i / (4 * width)) * width + i % (2 * width) / 2];
}

extern "C" __global__ void upsample_gradient(const float *gradient, float *of_x, int count, int width, int accumulates) {
    const size_t first = (size_t)blockIdx.y * count;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
        const float *square = gradient + 4 * first + (size_t)(i / width) * 4 * width + i % width * 2;
        put(of_x + first + i, square[0] + square[1] + square[2 * width] + square[2 * width + 1], accumulates);
    }
}

// Means of planes of `plane` numbers; blockIdx.x is a picture.
extern "C" __global__ void global_mean(const float *x, float *y, int plane) {
    __shared__ float scratch[SUMS_SCRATCH];
    __shared__ float totals[1];
    const size_t i = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    float sum[1] = {0};
    for (int j = threadIdx.x; j < plane; j += THREADS) sum[0] += x[i * plane + j];
    block_sums(sum, scratch, totals);
    if (threadIdx.x == 0) y[i] = totals[0] / plane;
}

extern "C" __global__ void global_mean_gradient(const float *gradient, float *of_x, int plane, int accumulates) {
    const size_t i = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    for (int j = threadIdx.x; j < plane; j += THREADS) put(of_x + i * plane + j, gradient[i] / plane, accumulates);
}

// y = x * factor, a factor for each plane; blockIdx.x is a picture, for both passes.
extern "C" __global__ void scale(const float *x, const float *factors, float *y, int plane) {
    const size_t i = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    for (int j = threadIdx.x; j < plane; j += THREADS) y[i * plane + j] = x[i * plane + j] * factors[i];
}

extern "C" __global__ void scale_gradient(const float *x, const float *factors, const float *gradient, float *of_x,
                                          float *of_factors, int plane, int x_accumulates, int factors_accumulate) {
    __shared__ float scratch[SUMS_SCRATCH];
    __shared__ float totals[1];
    const size_t i = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    float sum[1] = {0};
    for (int j = threadIdx.x; j < plane; j += THREADS) {
        const float g = gradient[i * plane + j];
        sum[0] += g * x[i * plane + j];
        put(of_x + i * plane + j, g * factors[i], x_accumulates);
    }
    block_sums(sum, scratch, totals);
    if (threadIdx.x == 0) put(of_factors + i, totals[0], factors_accumulate);
}

// A level's predictions (blockIdx.y channels x pictures x plane) become columns of the raw output (pictures x anchors x row), from
// anchor `first` and column `column` on.
extern "C" __global__ void gather_predictions(const float *predictions, float *raw, int pictures, int plane, int anchors, int first,
                                              int row, int column) {
    const float *from = predictions + (size_t)blockIdx.y * pictures * plane;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < pictures * plane; i += gridDim.x * THREADS)
        raw[((size_t)(i / plane) * anchors + first + i % plane) * row + column + blockIdx.y] = from[i];
}

// The other way, for gradients.
extern "C" __global__ void scatter_predictions(const float *raw, float *predictions, int pictures, int plane, int anchors, int first,
                                               int row, int column) {
    float *to = predictions + (size_t)blockIdx.y * pictures * plane;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < pictures * plane; i += gridDim.x * THREADS)
        to[i] = raw[((size_t)(i / plane) * anchors + first + i % plane) * row + column + blockIdx.y];
}
