// What the program calls of CUDA's driver, NVRTC and cuBLAS, on the emulator: so that all of the program, its way to these libraries
// included, runs on a machine without a GPU. Built as a shared library that goes by the names of all three. Types are what C's
// calling conventions make of CUDA's: handles are addresses, enumerations are int.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" int emulator_launch(const char *name, unsigned grid_x, unsigned grid_y, unsigned shared_bytes, void **arguments,
                               size_t count, bool backwards);
extern "C" int emulator_arguments(const char *name);

namespace {
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500, LAUNCH_FAILED = 719 };

// Bytes of the fake GPU's memory.
const size_t MEMORY = size_t(2) << 30;
size_t used = 0;

struct Header {
    size_t bytes;
    size_t padding[7];
};

// One command of a recorded graph.
struct Recorded {
    std::string kernel;
    unsigned grid_x, grid_y, shared_bytes;
    std::vector<uint64_t> arguments;
    // Of a product: m, n, k, transa, transb, lda, ldb, ldc.
    std::vector<int> product;
    const float *a, *b;
    float *c;
    float alpha, beta;
};

std::vector<Recorded> *recording = nullptr;

int run(Recorded &command) {
    if (!command.kernel.empty()) {
        std::vector<void *> pointers;
        for (uint64_t &argument : command.arguments) pointers.push_back(&argument);
        const int result = emulator_launch(command.kernel.c_str(), command.grid_x, command.grid_y, command.shared_bytes,
                                           pointers.data(), pointers.size(), false);
        if (result != 0) std::fprintf(stderr, "fake CUDA: %s fails with %d\n", command.kernel.c_str(), result);
        return result == 0 ? SUCCESS : LAUNCH_FAILED;
    }
    const std::vector<int> &p = command.product;
    const int m = p[0], n = p[1], k = p[2];
    // Column-major, as cuBLAS' documentation has it.
    for (int j = 0; j < n; j++)
        for (int i = 0; i < m; i++) {
            double sum = 0;
            for (int l = 0; l < k; l++) {
                const float a = p[3] ? command.a[l + size_t(i) * p[5]] : command.a[i + size_t(l) * p[5]];
                const float b = p[4] ? command.b[j + size_t(l) * p[6]] : command.b[l + size_t(j) * p[6]];
                sum += double(a) * b;
            }
            float &c = command.c[i + size_t(j) * p[7]];
            c = command.alpha * sum + (command.beta != 0 ? command.beta * c : 0);
        }
    return SUCCESS;
}

int run_or_record(Recorded command) {
    if (!recording) return run(command);
    recording->push_back(command);
    return SUCCESS;
}
}  // namespace

extern "C" {
// The driver.
int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int *device, int index) { return *device = index, index == 0 ? SUCCESS : INVALID_VALUE; }
int cuDeviceGetName(char *name, int length, int) {
    std::snprintf(name, length, "emulated GPU");
    return SUCCESS;
}
int cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = MEMORY, SUCCESS; }
int cuDeviceGetAttribute(int *value, int attribute, int) {
    // Compute capability 9.0; everything else, such as memory pools: one.
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : 1;
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &used, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxGetCurrent(void **context) { return *context = &used, SUCCESS; }
int cuCtxSetCurrent(void *) { return SUCCESS; }
int cuCtxSynchronize() { return SUCCESS; }
int cuStreamCreate(void **stream, unsigned) { return *stream = &used, SUCCESS; }
int cuStreamDestroy_v2(void *) { return SUCCESS; }
int cuStreamSynchronize(void *) { return SUCCESS; }
int cuEventCreate(void **event, unsigned) { return *event = &used, SUCCESS; }
int cuEventSynchronize(void *) { return SUCCESS; }
int cuEventDestroy_v2(void *) { return SUCCESS; }
int cuMemGetInfo_v2(size_t *free, size_t *total) { return *free = MEMORY - used, *total = MEMORY, SUCCESS; }

// Memory of the host does not count.
int cuMemHostAlloc(void **memory, size_t bytes, unsigned) { return *memory = std::malloc(bytes), SUCCESS; }
int cuMemFreeHost(void *memory) { return std::free(memory), SUCCESS; }

// What nothing was written to is NaN.
int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
    if (bytes > MEMORY - used) return OUT_OF_MEMORY;
    Header *header = static_cast<Header *>(std::aligned_alloc(64, (sizeof(Header) + bytes + 63) / 64 * 64));
    header->bytes = bytes;
    used += bytes;
    std::memset(header + 1, 0xff, bytes);
    *address = reinterpret_cast<uint64_t>(header + 1);
    return SUCCESS;
}
int cuMemAllocAsync(uint64_t *address, size_t bytes, void *) { return cuMemAlloc_v2(address, bytes); }
int cuMemFree_v2(uint64_t address) {
    Header *header = reinterpret_cast<Header *>(address) - 1;
    used -= header->bytes;
    std::free(header);
    return SUCCESS;
}
int cuMemFreeAsync(uint64_t address, void *) { return cuMemFree_v2(address); }
int cuMemsetD8Async(uint64_t address, unsigned char value, size_t bytes, void *) {
    std::memset(reinterpret_cast<void *>(address), value, bytes);
    return SUCCESS;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *) {
    std::memcpy(reinterpret_cast<void *>(to), from, bytes);
    return SUCCESS;
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *) {
    std::memcpy(to, reinterpret_cast<void *>(from), bytes);
    return SUCCESS;
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *) {
    std::memcpy(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes);
    return SUCCESS;
}

// A module is its source text, a function its name.
int cuModuleLoadData(void **module, const void *image) {
    return *module = strdup(static_cast<const char *>(image)), SUCCESS;
}
int cuModuleUnload(void *module) { return std::free(module), SUCCESS; }
int cuModuleGetFunction(void **function, void *, const char *name) {
    if (emulator_arguments(name) < 0) return NOT_FOUND;
    *function = strdup(name);
    return SUCCESS;
}
int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared_bytes, void *, void **arguments, void **) {
    if (grid_z != 1 || block_x != 256 || block_y != 1 || block_z != 1 || grid_y > 65535) return INVALID_VALUE;
    Recorded command = {};
    command.kernel = static_cast<const char *>(function);
    command.grid_x = grid_x;
    command.grid_y = grid_y;
    command.shared_bytes = shared_bytes;
    // The program keeps every argument in eight bytes.
    for (int i = 0; i < emulator_arguments(command.kernel.c_str()); i++)
        command.arguments.push_back(*static_cast<uint64_t *>(arguments[i]));
    return run_or_record(command);
}
int cuStreamBeginCapture_v2(void *, int) { return recording = new std::vector<Recorded>, SUCCESS; }
int cuStreamEndCapture(void *, void **graph) {
    *graph = recording;
    recording = nullptr;
    return SUCCESS;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long) { return *executable = graph, SUCCESS; }
int cuGraphLaunch(void *executable, void *) {
    for (Recorded &command : *static_cast<std::vector<Recorded> *>(executable))
        if (const int result = run(command)) return result;
    return SUCCESS;
}
int cuGraphExecDestroy(void *) { return SUCCESS; }
int cuGraphDestroy(void *graph) { return delete static_cast<std::vector<Recorded> *>(graph), SUCCESS; }
int cuGetErrorString(int error, const char **text) {
    return *text = error == OUT_OF_MEMORY ? "out of memory" : "an error of the fake CUDA", SUCCESS;
}

// NVRTC: compiled code is the source text.
int nvrtcVersion(int *major, int *minor) { return *major = 13, *minor = 0, 0; }
int nvrtcCreateProgram(void **program, const char *source, const char *, int, const char *const *, const char *const *) {
    return *program = strdup(source), 0;
}
int nvrtcCompileProgram(void *, int, const char *const *) { return 0; }
int nvrtcGetCUBINSize(void *program, size_t *size) { return *size = std::strlen(static_cast<char *>(program)) + 1, 0; }
int nvrtcGetCUBIN(void *program, char *code) { return std::strcpy(code, static_cast<char *>(program)), 0; }
int nvrtcDestroyProgram(void **program) { return std::free(*program), 0; }

// cuBLAS.
int cublasCreate_v2(void **handle) { return *handle = &used, 0; }
int cublasDestroy_v2(void *) { return 0; }
int cublasSetStream_v2(void *, void *) { return 0; }
int cublasSetWorkspace_v2(void *, void *, size_t) { return 0; }
int cublasGetVersion_v2(void *, int *version) { return *version = 130000, 0; }
int cublasGemmEx(void *, int transa, int transb, int m, int n, int k, const void *alpha, const void *a, int a_type, int lda,
                 const void *b, int b_type, int ldb, const void *beta, void *c, int c_type, int ldc, int, int) {
    // CUDA_R_32F
    if (a_type != 0 || b_type != 0 || c_type != 0) return 7;
    if (lda < (transa ? k : m) || ldb < (transb ? n : k) || ldc < m) return 7;
    Recorded command = {};
    command.product = {m, n, k, transa, transb, lda, ldb, ldc};
    command.a = static_cast<const float *>(a);
    command.b = static_cast<const float *>(b);
    command.c = static_cast<float *>(c);
    command.alpha = *static_cast<const float *>(alpha);
    command.beta = *static_cast<const float *>(beta);
    return run_or_record(command) == SUCCESS ? 0 : 13;
}
}
