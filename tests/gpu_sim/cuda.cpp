// A CUDA runtime, and what torch calls of cuBLAS, for cards that do not exist: loaded in front of the
// real ones (LD_PRELOAD), under torch's ordinary CUDA build. What it does not define is the real
// runtime's, which says that there is no driver.
//
// Kernels compute nothing: each takes its time on the timeline of its stream. What is copied to a card
// is not kept, and what is read from it is made up. Time is the host's own; who waits for a card sleeps.
// So it shows how a program launches, waits, captures, allocates and fails, and no number that a GPU
// would give. Beside cards.h:
//   SIM_QUEUE      launches that a stream holds before the host has to wait
//   SIM_GRAPHS     fail: nothing can be captured
//   SIM_LOST       ERROR:LAUNCHES: after so many launches every call fails with this number
//   SIM_BLAS       alloc: cuBLAS has no memory
#include <cuda_runtime_api.h>

#include <algorithm>
#include <ctime>
#include <cwchar>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unordered_map>
#include <vector>

#include "cards.h"

#define API extern "C" __attribute__((visibility("default")))
using Ns = int64_t;

namespace {

// ---- time, and what things cost ---------------------------------------------------------------

constexpr Ns LATENCY = 3'000;  // from a launch to its start on an idle card
constexpr Ns KERNEL = 2'000;   // the shortest kernel
constexpr Ns PRODUCT = 4'000;  // the shortest product
constexpr Ns MARK = 300;       // an event
constexpr double L2_BYTES = 50 << 20, L2_FASTER = 3, LINK = 25e9, PAGEABLE = 8e9;
constexpr double BYTES_PER_THREAD = 96; // torch's: 8 elements of three arrays in float32

Ns now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * Ns(1e9) + t.tv_nsec;
}
// Sleepers are woken when they asked for it, not up to 50 µs later.
const int punctual = prctl(PR_SET_TIMERSLACK, 1);
void wait_until(Ns when) {
  const timespec t{when / Ns(1e9), when % Ns(1e9)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr)) {
  }
}

Ns streaming(double bytes) {
  double rate = 2e6 * number("SIM_MEMORY_MHZ", 0, "2619") * number("SIM_BUS_BITS", 0, "5120") / 8;
  return KERNEL + Ns(1e9 * bytes / (bytes < L2_BYTES ? L2_FASTER * rate : rate));
}

// ---- cards, streams, graphs -------------------------------------------------------------------

thread_local cudaError_t last = cudaSuccess;
thread_local int current = 0;
std::recursive_mutex& lock = *new std::recursive_mutex;
#define LOCKED std::lock_guard<std::recursive_mutex> held(lock)

struct Graph {
  std::vector<Ns> nodes;
};
struct Stream {
  int card = 0, priority = 0;
  Ns busy = 0; // until then
  std::deque<Ns> queue;
  Graph* capture = nullptr;
};
struct Event {
  int card;
  Ns at = 0;
  Graph* capture = nullptr;
};
struct Block {
  size_t size;
  int card; // -1: pinned memory of the host
};
constexpr int MOST = 16;
Stream* const legacy = [] {
  auto* made = new Stream[MOST];
  for (int i = 0; i < MOST; ++i) made[i].card = i;
  return made;
}();
auto& streams = *new std::vector<Stream*>;
auto& blocks = *new std::map<char*, Block>;
auto& kernels = *new std::unordered_map<const void*, std::string>;

cudaError_t fail(cudaError_t error) { return last = error; }

// A card that is lost fails every call, for ever.
cudaError_t lost = cudaSuccess;
void count_launch() {
  static int launches = 0, error = 0, least = -1;
  if (least < 0 && sscanf(setting("SIM_LOST", "0:0"), "%d:%d", &error, &least) < 2) least = 0;
  if (error && ++launches > least) lost = cudaError_t(error);
}
#define UNLESS_LOST \
  if (lost) return fail(lost)

Stream* of(cudaStream_t handle) {
  return reinterpret_cast<uintptr_t>(handle) <= 2 ? &legacy[current]
                                                  : reinterpret_cast<Stream*>(handle);
}

// When it ends. The host waits where the queue is full.
Ns put(Stream* stream, Ns takes) {
  LOCKED;
  count_launch();
  if (stream->capture) {
    stream->capture->nodes.push_back(takes);
    return 0;
  }
  static const size_t depth = number("SIM_QUEUE", 0, "1024");
  auto& queue = stream->queue;
  while (!queue.empty() && queue.front() <= now()) queue.pop_front();
  if (queue.size() >= depth) wait_until(queue.front());
  stream->busy = std::max(stream->busy, now() + LATENCY) + takes;
  queue.push_back(stream->busy);
  return stream->busy;
}

cudaError_t launch(const void* function, dim3 grid, dim3 block, void** arguments, cudaStream_t s) {
  static int sleeps = 0;
  if (kernels[function].find("spin_kernel") != std::string::npos) {
    const auto cycles = double(*static_cast<int64_t*>(arguments[0]));
    put(of(s), Ns(1e3 * cycles / sm_mhz(sleeps++)));
  } else {
    const double threads = double(grid.x) * grid.y * grid.z * block.x * block.y * block.z;
    put(of(s), streaming(threads * BYTES_PER_THREAD));
  }
  UNLESS_LOST;
  return cudaSuccess;
}

cudaError_t wait_for(Stream* stream) {
  UNLESS_LOST;
  if (stream->capture) return fail(cudaErrorStreamCaptureUnsupported);
  wait_until(stream->busy);
  return cudaSuccess;
}

Block* block_at(const void* p) {
  auto after = blocks.upper_bound(static_cast<char*>(const_cast<void*>(p)));
  if (after == blocks.begin()) return nullptr;
  auto& [start, block] = *--after;
  return p < start + block.size ? &block : nullptr;
}

size_t memory() { return size_t(number("SIM_MEMORY_MIB", 0, "4096")) << 20; }
size_t used(int card) {
  size_t sum = 0;
  for (auto& [start, block] : blocks) sum += block.card == card ? block.size : 0;
  return sum;
}

cudaError_t allocate(void** p, size_t size, int card) {
  LOCKED;
  UNLESS_LOST;
  if (card >= 0 && used(card) + size > memory()) return fail(cudaErrorMemoryAllocation);
  *p = mmap(nullptr, std::max<size_t>(size, 1), PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (*p == MAP_FAILED) return fail(cudaErrorMemoryAllocation);
  blocks[static_cast<char*>(*p)] = {size, card};
  return cudaSuccess;
}
cudaError_t release(void* p) {
  LOCKED;
  auto found = blocks.find(static_cast<char*>(p));
  if (found == blocks.end()) return p ? fail(cudaErrorInvalidValue) : cudaSuccess;
  munmap(p, std::max<size_t>(found->second.size, 1));
  blocks.erase(found);
  return cudaSuccess;
}

// What the host reads from a card: an integer 1, or so many of 32 bits. As a float each is tiny, so that
// sums of them are finite, their ratios 1, and differences 0.
void ones(char* to, size_t size) {
  memset(to, 0, std::min<size_t>(size, 8)), to[0] = 1;
  if (size > 8) wmemset(reinterpret_cast<wchar_t*>(to), 1, size / sizeof(wchar_t));
}

cudaError_t copy(void* to, const void* from, size_t size, Stream* stream, bool wait) {
  LOCKED;
  UNLESS_LOST;
  const Block *target = block_at(to), *source = block_at(from);
  const bool inside = target && source && target->card >= 0 && source->card >= 0;
  const bool pageable = !target || !source;
  if (stream->capture && pageable) return fail(cudaErrorStreamCaptureUnsupported);
  const double rate = pageable ? PAGEABLE : LINK;
  const Ns end = put(stream, inside ? streaming(2.0 * size) : KERNEL + Ns(1e9 * size / rate));
  if (!target || target->card < 0) {
    if (source && source->card >= 0) ones(static_cast<char*>(to), size);
    else memmove(to, from, size);
  }
  if (wait || pageable) wait_until(end);
  return cudaSuccess;
}

} // namespace

// ---- cards ------------------------------------------------------------------------------------

API cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (is_driver("old")) return fail(cudaErrorInsufficientDriver);
  if (is_driver("none")) return fail(cudaErrorNoDevice);
  const char* visible = getenv("CUDA_VISIBLE_DEVICES");
  *count = visible ? 0 : card_count();
  char one[64];
  for (int i = 0, more = 1; visible && *visible && more; ++i) {
    more = entry(visible, i, one, sizeof one);
    *count += more;
  }
  return *count ? cudaSuccess : fail(cudaErrorNoDevice);
}
API cudaError_t cudaGetDevice(int* card) { return *card = current, cudaSuccess; }
API cudaError_t cudaSetDevice(int card) {
  int count;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return last;
  if (card < 0 || card >= count) return fail(cudaErrorInvalidDevice);
  current = card;
  return cudaSuccess;
}
API cudaError_t cudaDeviceSynchronize() {
  LOCKED;
  for (auto* each : streams)
    if (each->card == current)
      if (auto error = wait_for(each)) return error;
  return wait_for(&legacy[current]);
}
API cudaError_t cudaGetDeviceProperties(cudaDeviceProp* card, int index) {
  *card = {};
  card_name(index, card->name, sizeof card->name);
  if (is_mig()) strcat(card->name, " MIG 1g.10gb");
  card->uuid.bytes[0] = 0x51, card->uuid.bytes[1] = 0x30, card->uuid.bytes[15] = char(index);
  card->totalGlobalMem = memory();
  card->major = 9;
  card->multiProcessorCount = int(number("SIM_SMS", 0, "132"));
  card->memoryBusWidth = int(number("SIM_BUS_BITS", 0, "5120"));
  card->l2CacheSize = int(L2_BYTES);
  card->pciBusID = PCI_BUS + index;
  card->warpSize = 32;
  card->maxThreadsPerBlock = card->maxThreadsDim[0] = card->maxThreadsDim[1] = 1024;
  card->maxThreadsDim[2] = 64;
  card->maxGridSize[0] = 2147483647, card->maxGridSize[1] = card->maxGridSize[2] = 65535;
  card->maxThreadsPerMultiProcessor = 2048, card->maxBlocksPerMultiProcessor = 32;
  card->regsPerBlock = card->regsPerMultiprocessor = 65536;
  card->sharedMemPerBlock = 49152, card->sharedMemPerBlockOptin = 232448;
  card->sharedMemPerMultiprocessor = 233472;
  card->unifiedAddressing = card->canMapHostMemory = card->hostRegisterSupported = 1;
  card->concurrentKernels = card->streamPrioritiesSupported = card->cooperativeLaunch = 1;
  return cudaSuccess;
}
API cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int index) {
  cudaDeviceProp card;
  cudaGetDeviceProperties(&card, index);
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = card.multiProcessorCount; break;
    case cudaDevAttrComputeCapabilityMajor: *value = card.major; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = card.maxThreadsPerBlock; break;
    case cudaDevAttrWarpSize: *value = card.warpSize; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = int(card.sharedMemPerBlock); break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = int(card.sharedMemPerBlockOptin); break;
    default: *value = 0;
  }
  return cudaSuccess;
}
API cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) { return *can = 0, cudaSuccess; }
API cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* most) {
  return *least = *most = 0, cudaSuccess;
}
API cudaError_t cudaDriverGetVersion(int* version) { return *version = 13020, cudaSuccess; }
API cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13020, cudaSuccess; }
API cudaError_t cudaPeekAtLastError() { return last; }
API cudaError_t cudaGetLastError() {
  UNLESS_LOST;
  const auto error = last;
  last = cudaSuccess;
  return error;
}
API const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    case cudaErrorECCUncorrectable: return "uncorrectable ECC error encountered";
    default: return "an error of a simulated card";
  }
}
API const char* cudaGetErrorName(cudaError_t error) { return cudaGetErrorString(error); }

// The driver's own functions, which torch asks the runtime for.
static int context_of_card(int, unsigned* flags, int* active) { return *flags = 0, *active = 1, 0; }
static int not_simulated() { return cudaErrorNotSupported; }
API cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned,
                                                 unsigned long long,
                                                 cudaDriverEntryPointQueryResult* result) {
  if (result) *result = cudaDriverEntryPointSuccess;
  const bool known = !strcmp(name, "cuDevicePrimaryCtxGetState");
  *function = known ? reinterpret_cast<void*>(context_of_card)
                    : reinterpret_cast<void*>(not_simulated);
  return cudaSuccess;
}

// ---- memory -----------------------------------------------------------------------------------

API cudaError_t cudaMalloc(void** p, size_t size) { return allocate(p, size, current); }
API cudaError_t cudaFree(void* p) { return release(p); }
API cudaError_t cudaHostAlloc(void** p, size_t size, unsigned) { return allocate(p, size, -1); }
API cudaError_t cudaMallocHost(void** p, size_t size) { return allocate(p, size, -1); }
API cudaError_t cudaFreeHost(void* p) { return release(p); }
API cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  LOCKED;
  return *total = memory(), *free = *total - used(current), cudaSuccess;
}
API cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, const void* p) {
  LOCKED;
  const Block* block = block_at(p);
  *found = {};
  found->type = !block ? cudaMemoryTypeUnregistered
                       : block->card < 0 ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
  found->device = block ? std::max(block->card, 0) : 0;
  found->devicePointer = found->hostPointer = const_cast<void*>(p);
  return cudaSuccess;
}
API cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind,
                                cudaStream_t s) {
  return copy(to, from, size, of(s), false);
}
API cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind) {
  return copy(to, from, size, of(nullptr), true);
}
API cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t size,
                                    cudaStream_t s) {
  return copy(to, from, size, of(s), false);
}
API cudaError_t cudaMemsetAsync(void*, int, size_t size, cudaStream_t s) {
  return put(of(s), streaming(size)), cudaSuccess;
}

// ---- streams and events -----------------------------------------------------------------------

API cudaError_t cudaStreamCreateWithPriority(cudaStream_t* s, unsigned, int priority) {
  LOCKED;
  streams.push_back(new Stream{current, priority, 0, {}, nullptr});
  *s = reinterpret_cast<cudaStream_t>(streams.back());
  return cudaSuccess;
}
API cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned flags) {
  return cudaStreamCreateWithPriority(s, flags, 0);
}
API cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
API cudaError_t cudaStreamGetPriority(cudaStream_t s, int* p) {
  return *p = of(s)->priority, cudaSuccess;
}
API cudaError_t cudaStreamSynchronize(cudaStream_t s) { return wait_for(of(s)); }
API cudaError_t cudaStreamQuery(cudaStream_t s) {
  return of(s)->busy > now() ? fail(cudaErrorNotReady) : cudaSuccess;
}
API cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  LOCKED;
  auto *stream = of(s);
  auto *event = reinterpret_cast<Event*>(e);
  if (event->capture) stream->capture = event->capture;
  else stream->busy = std::max(stream->busy, event->at);
  return cudaSuccess;
}
API cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
  *e = reinterpret_cast<cudaEvent_t>(new Event{current});
  return cudaSuccess;
}
API cudaError_t cudaEventCreate(cudaEvent_t* e) { return cudaEventCreateWithFlags(e, 0); }
API cudaError_t cudaEventDestroy(cudaEvent_t e) {
  delete reinterpret_cast<Event*>(e);
  return cudaSuccess;
}
API cudaError_t cudaEventRecordWithFlags(cudaEvent_t e, cudaStream_t s, unsigned) {
  LOCKED;
  UNLESS_LOST;
  auto *event = reinterpret_cast<Event*>(e);
  auto *stream = of(s);
  if (event->card != stream->card) return fail(cudaErrorInvalidResourceHandle);
  event->capture = stream->capture;
  if (!stream->capture) event->at = put(stream, MARK);
  return cudaSuccess;
}
API cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  return cudaEventRecordWithFlags(e, s, 0);
}
API cudaError_t cudaEventQuery(cudaEvent_t e) {
  return reinterpret_cast<Event*>(e)->at > now() ? fail(cudaErrorNotReady) : cudaSuccess;
}
API cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  return wait_until(reinterpret_cast<Event*>(e)->at), cudaSuccess;
}
API cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  auto *start = reinterpret_cast<Event*>(from), *end = reinterpret_cast<Event*>(to);
  if (std::max(start->at, end->at) > now()) return fail(cudaErrorNotReady);
  return *ms = float(end->at - start->at) * 1e-6f, cudaSuccess;
}
API cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t call, void* data) {
  return wait_until(of(s)->busy), call(data), cudaSuccess;
}

// ---- graphs -----------------------------------------------------------------------------------

API cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
  if (!strcmp(setting("SIM_GRAPHS", ""), "fail")) return fail(cudaErrorNotSupported);
  of(s)->capture = new Graph;
  return cudaSuccess;
}
API cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* graph) {
  LOCKED;
  auto* captured = of(s)->capture;
  for (auto* each : streams)
    if (each->capture == captured) each->capture = nullptr;
  *graph = reinterpret_cast<cudaGraph_t>(captured);
  return cudaSuccess;
}
API cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus* status) {
  *status = of(s)->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
API cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, cudaStreamCaptureStatus* status,
                                         unsigned long long* id, cudaGraph_t* graph,
                                         const cudaGraphNode_t**, const cudaGraphEdgeData**,
                                         size_t* count) {
  cudaStreamIsCapturing(s, status);
  if (id) *id = reinterpret_cast<uintptr_t>(of(s)->capture);
  if (graph) *graph = reinterpret_cast<cudaGraph_t>(of(s)->capture);
  if (count) *count = 0;
  return cudaSuccess;
}
API cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) { return cudaSuccess; }
API cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, size_t* count) {
  return *count = reinterpret_cast<Graph*>(graph)->nodes.size(), cudaSuccess;
}
API cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  *made = reinterpret_cast<cudaGraphExec_t>(new Graph(*reinterpret_cast<Graph*>(graph)));
  return cudaSuccess;
}
API cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* made, cudaGraph_t graph,
                                              unsigned long long flags) {
  return cudaGraphInstantiate(made, graph, flags);
}
API cudaError_t cudaGraphDestroy(cudaGraph_t) { return cudaSuccess; }
API cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) { return cudaSuccess; }
API cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t s) {
  Ns sum = 0;
  for (Ns each : reinterpret_cast<Graph*>(graph)->nodes) sum += each;
  return put(of(s), sum), cudaSuccess;
}
API cudaError_t cudaUserObjectCreate(cudaUserObject_t*, void*, cudaHostFn_t, unsigned, unsigned) {
  return cudaSuccess;
}
API cudaError_t cudaGraphRetainUserObject(cudaGraph_t, cudaUserObject_t, unsigned, unsigned) {
  return cudaSuccess;
}

// ---- kernels ----------------------------------------------------------------------------------

API void** __cudaRegisterFatBinary(void*) { return new void*; }
API void __cudaRegisterFatBinaryEnd(void**) {}
API void __cudaUnregisterFatBinary(void**) {}
API void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
API void __cudaRegisterFunction(void**, const char* function, char*, const char* name, int, void*,
                                void*, void*, void*, int*) {
  kernels[function] = name;
}
static thread_local struct {
  dim3 grid, block;
  size_t shared;
  void* stream;
} pushed;
API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void* stream) {
  return pushed = {grid, block, shared, stream}, 0;
}
API cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  *grid = pushed.grid, *block = pushed.block, *shared = pushed.shared;
  return *static_cast<void**>(stream) = pushed.stream, cudaSuccess;
}
API cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}
API cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                                 size_t, cudaStream_t s) {
  return launch(function, grid, block, arguments, s);
}
API cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                                   size_t, cudaStream_t s) {
  return launch(kernel, grid, block, arguments, s);
}
API cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* how, const void* function,
                                    void** arguments) {
  return launch(function, how->gridDim, how->blockDim, arguments, how->stream);
}
API cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* found, const void*) {
  *found = {};
  found->maxThreadsPerBlock = 1024;
  found->ptxVersion = found->binaryVersion = 90;
  return cudaSuccess;
}
API cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* count, const void*, int,
                                                                       size_t, unsigned) {
  return *count = 2, cudaSuccess;
}
API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* count, const void*, int,
                                                              size_t) {
  return *count = 2, cudaSuccess;
}

// ---- cuBLAS -----------------------------------------------------------------------------------

namespace {
struct Blas {
  cudaStream_t stream = nullptr;
  int math_mode = 0, pointer_mode = 0;
};
enum { FLOAT32 = 0, FLOAT64 = 1, FLOAT16 = 2, TF32_MODE = 3, BFLOAT16 = 14 };

// Half precision wants rows of whole 16 bytes: else tensor cores take half as long again.
int product(Blas* blas, int type, double m, double n, double k, int lda, int ldb, int batch = 1) {
  const bool half = type == FLOAT16 || type == BFLOAT16;
  const double rate = half ? 8e14 : blas->math_mode == TF32_MODE ? 4e14 : 5e13;
  const double slower = half && (lda % 8 || ldb % 8) ? 1.5 : 1;
  put(of(blas->stream), PRODUCT + Ns(1e9 * slower * 2 * m * n * k * batch / rate));
  return 0;
}
using Scalar = const void*;
using Matrix = const void*;
} // namespace

API int cublasCreate_v2(Blas** blas) {
  return *blas = new Blas, strcmp(setting("SIM_BLAS", ""), "alloc") ? 0 : 3;
}
API int cublasDestroy_v2(Blas*) { return 0; }
API int cublasSetStream_v2(Blas* blas, cudaStream_t stream) { return blas->stream = stream, 0; }
API int cublasSetWorkspace_v2(Blas*, void*, size_t) { return 0; }
API int cublasSetMathMode(Blas* blas, int mode) { return blas->math_mode = mode, 0; }
API int cublasGetMathMode(Blas* blas, int* mode) { return *mode = blas->math_mode, 0; }
API int cublasSetPointerMode_v2(Blas* blas, int mode) { return blas->pointer_mode = mode, 0; }
API int cublasGetPointerMode_v2(Blas* blas, int* mode) { return *mode = blas->pointer_mode, 0; }

#define GEMM(letter, type)                                                                        \
  API int cublas##letter##gemm_v2(Blas* blas, int, int, int m, int n, int k, Scalar, Matrix,      \
                                  int lda, Matrix, int ldb, Scalar, void*, int) {                 \
    return product(blas, type, m, n, k, lda, ldb);                                                \
  }                                                                                               \
  API int cublas##letter##gemmStridedBatched(Blas* blas, int, int, int m, int n, int k, Scalar,   \
                                             Matrix, int lda, long long, Matrix, int ldb,         \
                                             long long, Scalar, void*, int, long long,            \
                                             int batch) {                                         \
    return product(blas, type, m, n, k, lda, ldb, batch);                                         \
  }                                                                                               \
  API int cublas##letter##gemv_v2(Blas* blas, int, int m, int n, Scalar, Matrix, int lda, Matrix, \
                                  int, Scalar, void*, int) {                                      \
    return product(blas, type, m, n, 1, lda, lda);                                                \
  }
GEMM(S, FLOAT32)
GEMM(D, FLOAT64)

API int cublasGemmEx(Blas* blas, int, int, int m, int n, int k, Scalar, Matrix, int type, int lda,
                     Matrix, int, int ldb, Scalar, void*, int, int, int, int) {
  return product(blas, type, m, n, k, lda, ldb);
}
API int cublasSgemmEx(Blas* blas, int, int, int m, int n, int k, Scalar, Matrix, int type, int lda,
                      Matrix, int, int ldb, Scalar, void*, int, int) {
  return product(blas, type, m, n, k, lda, ldb);
}
API int cublasGemmStridedBatchedEx(Blas* blas, int, int, int m, int n, int k, Scalar, Matrix,
                                   int type, int lda, long long, Matrix, int, int ldb, long long,
                                   Scalar, void*, int, int, long long, int batch, int, int) {
  return product(blas, type, m, n, k, lda, ldb, batch);
}
API int cublasSdot_v2(Blas* blas, int n, Matrix, int, Matrix, int, void*) {
  return product(blas, FLOAT32, n, 1, 1, 1, 1);
}
API int cublasDdot_v2(Blas* blas, int n, Matrix, int, Matrix, int, void*) {
  return product(blas, FLOAT64, n, 1, 1, 1, 1);
}

// ---- cuFFT ------------------------------------------------------------------------------------

static auto& fft_streams = *new std::map<int, cudaStream_t>;
API int cufftCreate(int* plan) { return fft_streams[*plan = int(fft_streams.size())] = nullptr, 0; }
API int cufftDestroy(int) { return 0; }
API int cufftSetAutoAllocation(int, int) { return 0; }
API int cufftSetStream(int plan, cudaStream_t s) { return fft_streams[plan] = s, 0; }
API int cufftSetWorkArea(int, void*) { return 0; }
API int cufftXtMakePlanMany(int, int, long long*, long long*, long long, long long, int, long long*,
                            long long, long long, int, long long, size_t* work, int) {
  return *work = 0, 0;
}
API int cufftXtExec(int plan, void*, void*, int) { return put(of(fft_streams[plan]), PRODUCT), 0; }

// ---- what talks to the driver itself ----------------------------------------------------------

// at::Context::userEnabledCuDNN: without cuDNN torch takes its own way.
API bool _ZNK2at7Context16userEnabledCuDNNEv(const void*) { return false; }

// The profiler gets along without CUPTI; the real one does not end without a driver.
API int cuptiGetResultString(int, const char** text) { return *text = "simulated", 0; }
#define NO_CUPTI(name) \
  API int cupti##name() { return 15; } // not initialised
NO_CUPTI(Subscribe) NO_CUPTI(Unsubscribe) NO_CUPTI(GetVersion) NO_CUPTI(EnableCallback)
NO_CUPTI(EnableDomain) NO_CUPTI(Finalize) NO_CUPTI(ActivityEnable) NO_CUPTI(ActivityDisable)
NO_CUPTI(ActivityFlushAll) NO_CUPTI(ActivityRegisterCallbacks) NO_CUPTI(ActivitySetAttribute)
NO_CUPTI(ActivityRegisterTimestampCallback) NO_CUPTI(ActivityEnableCudaEventDeviceTimestamps)
NO_CUPTI(ActivityPushExternalCorrelationId) NO_CUPTI(ActivityPopExternalCorrelationId)
