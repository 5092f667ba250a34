// Runs CUDA kernels on the CPU, for tests: every thread of a block is a fiber with a real stack,
// barriers and warp exchanges are real, blocks run one after the other.
//
// Slow, and strict where a GPU is not: a barrier that some threads never reach, and a warp
// exchange that some lanes miss, end the program with a message.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __shared__ static

struct float3 {
  float x, y, z;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};

namespace emulator {

struct Index {
  int x = 0, y = 0, z = 0;
};

constexpr int kStack = 128 * 1024;
constexpr int kLanes = 32;

#if defined(__x86_64__)
extern "C" void igs_switch_fiber(void** save, void* load);
__asm__(
    ".text\n.weak igs_switch_fiber\nigs_switch_fiber:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");
#endif

struct Fiber {
  char* stack = nullptr;
  bool done = false;
#if defined(__x86_64__)
  void* at = nullptr;
#else
  ucontext_t at;
#endif
};

struct Barrier {
  int arrived = 0;
  unsigned generation = 0;
  int collected = 0, result = 0;
};

struct Warp {
  Barrier barrier;
  std::uint64_t values[2][kLanes];
  int live = 0;
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  Barrier barrier;
  int live = 0, current = 0;
  long progress = 0;
  void (*body)(const void*) = nullptr;
  const void* arguments = nullptr;
#if defined(__x86_64__)
  void* scheduler = nullptr;
#else
  ucontext_t scheduler;
#endif
};

inline Block& block() {
  static Block b;
  return b;
}

inline Index& thread_index() {
  static Index i;
  return i;
}
inline Index& block_index() {
  static Index i;
  return i;
}

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "emulated kernel, block %d, thread %d: %s\n", block_index().x,
               thread_index().x, what);
  std::abort();
}

inline void yield() {
  Block& b = block();
  Fiber& f = b.fibers[std::size_t(b.current)];
#if defined(__x86_64__)
  igs_switch_fiber(&f.at, b.scheduler);
#else
  swapcontext(&f.at, &b.scheduler);
#endif
}

inline void start() {
  Block& b = block();
  b.body(b.arguments);
  b.fibers[std::size_t(b.current)].done = true;
  --b.live;
  --b.warps[std::size_t(b.current / kLanes)].live;
  ++b.progress;
  yield();
  fail("ran on after its end");
}

inline void make_ready(Fiber& f) {
  if (!f.stack) f.stack = static_cast<char*>(std::aligned_alloc(64, kStack));
  f.done = false;
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(f.stack + kStack);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&start);
  for (int k = 0; k < 6; ++k) *--top = nullptr;
  f.at = top;
#else
  getcontext(&f.at);
  f.at.uc_stack.ss_sp = f.stack;
  f.at.uc_stack.ss_size = kStack;
  f.at.uc_link = nullptr;
  makecontext(&f.at, &start, 0);
#endif
}

// Waits until `needed` threads are here; returns the bitwise or of what they brought.
// Threads that end while others wait lower `needed`, which is why it is a reference.
inline int wait(Barrier& barrier, const int& needed, int brought) {
  const unsigned generation = barrier.generation;
  barrier.collected |= brought;
  ++barrier.arrived;
  ++block().progress;
  while (barrier.generation == generation) {
    if (barrier.arrived == needed) {
      barrier.result = barrier.collected;
      barrier.collected = barrier.arrived = 0;
      ++barrier.generation;
      break;
    }
    yield();
  }
  return barrier.result;
}

inline Warp& my_warp() { return block().warps[std::size_t(thread_index().x / kLanes)]; }

// Leaves `value` for the warp and waits for all; returns everybody's values.
inline const std::uint64_t* exchange(unsigned mask, std::uint64_t value) {
  Warp& w = my_warp();
  if (mask != 0xffffffffu || w.live != kLanes) fail("a warp exchange needs all 32 lanes");
  std::uint64_t* values = w.values[w.barrier.generation % 2];
  values[thread_index().x % kLanes] = value;
  wait(w.barrier, kLanes, 0);
  return values;
}

template <class T> std::uint64_t packed(T value) {
  static_assert(sizeof(T) <= 8, "one register");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}
template <class T> T unpacked(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void run_block(int threads, bool backwards) {
  Block& b = block();
  b.fibers.resize(std::size_t(threads));
  b.warps.assign(std::size_t((threads + kLanes - 1) / kLanes), Warp{});
  b.barrier = Barrier{};
  b.live = threads;
  for (int t = 0; t < threads; ++t) {
    make_ready(b.fibers[std::size_t(t)]);
    ++b.warps[std::size_t(t / kLanes)].live;
  }
  while (b.live > 0) {
    const long before = b.progress;
    for (int k = 0; k < threads; ++k) {
      const int t = backwards ? threads - 1 - k : k;
      Fiber& f = b.fibers[std::size_t(t)];
      if (f.done) continue;
      b.current = thread_index().x = t;
#if defined(__x86_64__)
      igs_switch_fiber(&b.scheduler, f.at);
#else
      swapcontext(&b.scheduler, &f.at);
#endif
    }
    if (b.progress == before) {
      // Threads that ended may have been the last that a barrier waited for: one more look.
      static long stuck = -1;
      if (stuck == b.progress) fail("deadlock: some threads never reach a barrier or warp exchange");
      stuck = b.progress;
    }
  }
}

inline void run(int blocks, int threads, bool backwards, void (*body)(const void*),
                const void* arguments) {
  block().body = body;
  block().arguments = arguments;
  for (int k = 0; k < blocks; ++k) {
    block_index().x = backwards ? blocks - 1 - k : k;
    run_block(threads, backwards);
  }
}

}  // namespace emulator

#define threadIdx (emulator::thread_index())
#define blockIdx (emulator::block_index())

inline void __syncthreads() { emulator::wait(emulator::block().barrier, emulator::block().live, 0); }
inline int __syncthreads_or(int predicate) {
  return emulator::wait(emulator::block().barrier, emulator::block().live, predicate != 0);
}
inline void __syncwarp() { emulator::exchange(0xffffffffu, 0); }

template <class T> T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  const int lane = threadIdx.x % emulator::kLanes;
  return emulator::unpacked<T>(emulator::exchange(mask, emulator::packed(value))[lane ^ lanes]);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, int lanes) {
  const int lane = threadIdx.x % emulator::kLanes;
  const std::uint64_t* all = emulator::exchange(mask, emulator::packed(value));
  return emulator::unpacked<T>(all[lane < lanes ? lane : lane - lanes]);
}
template <class T> T __shfl_sync(unsigned mask, T value, int lane) {
  return emulator::unpacked<T>(emulator::exchange(mask, emulator::packed(value))[lane % 32]);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const std::uint64_t* all = emulator::exchange(mask, predicate != 0);
  unsigned bits = 0;
  for (int k = 0; k < emulator::kLanes; ++k) bits |= unsigned(all[k]) << k;
  return bits;
}
inline int __any_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) != 0;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __float_as_int(float x) { return emulator::unpacked<int>(emulator::packed(x)); }
inline float __int_as_float(int x) { return emulator::unpacked<float>(emulator::packed(x)); }
inline int min(int a, int b) { return a < b ? a : b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }

template <class T> T atomicMin(T* at, T value) {
  const T old = *at;
  if (value < old) *at = value;
  return old;
}
template <class T> T atomicAdd(T* at, T value) {
  const T old = *at;
  *at += value;
  return old;
}

#define IGS_EMULATE(KERNEL, ARGS)                                                     \
  static void body_##KERNEL(const void* a) { KERNEL(*static_cast<const ARGS*>(a)); }  \
  extern "C" void emulate_##KERNEL(int blocks, int threads, int backwards,            \
                                   const void* arguments) {                           \
    emulator::run(blocks, threads, backwards != 0, &body_##KERNEL, arguments);        \
  }                                                                                   \
  extern "C" int size_of_##KERNEL() { return int(sizeof(ARGS)); }
