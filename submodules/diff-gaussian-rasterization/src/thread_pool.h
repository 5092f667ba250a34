// A pool of threads for loops over independent chunks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace igs {

// Threads used by later calls; at least 1. The default is IGS_NUM_THREADS or the CPU count.
void set_num_threads(int count);
int num_threads();

// Calls body(begin, end, worker) for the chunks of [0, count), each of at most `grain` elements,
// in any order; worker is in [0, num_threads()). The first exception is rethrown here.
// Results must not depend on the order or on the worker.
void parallel_for(std::size_t count, std::size_t grain,
                  const std::function<void(std::size_t, std::size_t, int)>& body);

}  // namespace igs
