#include "thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <unistd.h>
#endif

namespace igs {
namespace {

using Body = std::function<void(std::size_t, std::size_t, int)>;

long process_id() {
#if defined(_WIN32)
  return 0;  // no fork there
#else
  return long(getpid());
#endif
}

struct Job {
  const Body* body = nullptr;
  std::size_t count = 0, grain = 1;
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::mutex error_mutex;

  void run(int worker) {
    while (!failed.load(std::memory_order_relaxed)) {
      const std::size_t begin = next.fetch_add(grain);
      if (begin >= count) return;
      try {
        (*body)(begin, std::min(begin + grain, count), worker);
      } catch (...) {
        std::lock_guard<std::mutex> lock(error_mutex);
        if (!error) error = std::current_exception();
        failed = true;
      }
    }
  }
};

class Pool {
 public:
  explicit Pool(int threads) : owner_(process_id()) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { loop(i); });
  }
  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (auto& w : workers_) w.join();
  }
  int size() const { return int(workers_.size()) + 1; }
  bool is_ours() const { return owner_ == process_id(); }

  void run(Job& job) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = &job;
      busy_ = int(workers_.size());
      ++round_;
    }
    wake_.notify_all();
    job.run(0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
    job_ = nullptr;
  }

 private:
  void loop(int worker) {
    std::size_t seen = 0;
    for (;;) {
      Job* job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return stop_ || round_ != seen; });
        if (stop_) return;
        seen = round_;
        job = job_;
      }
      job->run(worker);
      std::lock_guard<std::mutex> lock(mutex_);
      if (--busy_ == 0) done_.notify_one();
    }
  }

  long owner_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  std::size_t round_ = 0;
  int busy_ = 0;
  bool stop_ = false;
};

int default_threads() {
  if (const char* text = std::getenv("IGS_NUM_THREADS")) {
    const int n = std::atoi(text);
    if (n > 0) return n;
  }
  return std::max(1, int(std::thread::hardware_concurrency()));
}

std::atomic<int>& wanted_threads() {
  static std::atomic<int> value{default_threads()};
  return value;
}

// One loop at a time uses the pool; a second caller runs its loop on its own thread.
std::mutex& pool_mutex() {
  static std::mutex* m = new std::mutex;
  return *m;
}

Pool& current_pool(int threads) {
  static Pool* pool = nullptr;  // leaked at exit: joining in static destructors can hang
  if (pool && !pool->is_ours()) pool = nullptr;  // after fork the threads are gone
  if (pool && pool->size() != threads) {
    delete pool;
    pool = nullptr;
  }
  if (!pool) pool = new Pool(threads);
  return *pool;
}

}  // namespace

void set_num_threads(int count) { wanted_threads() = std::max(1, count); }
int num_threads() { return wanted_threads(); }

void parallel_for(std::size_t count, std::size_t grain, const Body& body) {
  if (count == 0) return;
  Job job;
  job.body = &body;
  job.count = count;
  job.grain = std::max<std::size_t>(1, grain);
  const int threads = num_threads();
  std::unique_lock<std::mutex> lock(pool_mutex(), std::try_to_lock);
  if (threads == 1 || count <= job.grain || !lock.owns_lock()) {
    job.run(0);
  } else {
    current_pool(threads).run(job);
  }
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace igs
