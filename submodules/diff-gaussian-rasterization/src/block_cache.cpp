#include "block_cache.h"

#include <map>
#include <mutex>
#include <new>

namespace igs {
namespace {

constexpr std::size_t kAlign = 64;
constexpr std::size_t kCacheLimit = std::size_t(256) << 20;

struct Cache {
  std::mutex mutex;
  std::multimap<std::size_t, void*> blocks;
  std::size_t held = 0;
};

// Never destroyed: buffers of other static objects may be released after it would have gone.
Cache& cache() {
  static Cache* instance = new Cache;
  return *instance;
}

std::size_t round_up(std::size_t bytes) {
  // Steps of about an eighth keep neighbouring sizes interchangeable.
  std::size_t step = 4096;
  while (step * 16 < bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

void free_block(void* block) noexcept { ::operator delete(block, std::align_val_t(kAlign)); }

}  // namespace

void* acquire_block(std::size_t bytes, std::size_t* granted) {
  const std::size_t wanted = round_up(bytes);
  Cache& c = cache();
  {
    std::lock_guard<std::mutex> lock(c.mutex);
    auto it = c.blocks.lower_bound(wanted);
    if (it != c.blocks.end() && it->first <= 2 * wanted) {
      void* block = it->second;
      *granted = it->first;
      c.held -= it->first;
      c.blocks.erase(it);
      return block;
    }
  }
  void* block = ::operator new(wanted, std::align_val_t(kAlign));
  *granted = wanted;
  return block;
}

void release_block(void* block, std::size_t granted) noexcept {
  Cache& c = cache();
  {
    std::lock_guard<std::mutex> lock(c.mutex);
    if (c.held + granted <= kCacheLimit) {
      try {
        c.blocks.emplace(granted, block);
        c.held += granted;
        return;
      } catch (...) {
        // No memory for the bookkeeping: give the block back below.
      }
    }
  }
  free_block(block);
}

void trim_block_cache() noexcept {
  Cache& c = cache();
  std::lock_guard<std::mutex> lock(c.mutex);
  for (auto& entry : c.blocks) free_block(entry.second);
  c.blocks.clear();
  c.held = 0;
}

}  // namespace igs
