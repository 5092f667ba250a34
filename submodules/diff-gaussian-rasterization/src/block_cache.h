// Uninitialised, 64-byte aligned memory that is kept for the next view instead of being returned
// to the system: fresh pages cost more than the work done on them.
#pragma once

#include <cstddef>
#include <utility>

namespace igs {

void* acquire_block(std::size_t bytes, std::size_t* granted);
void release_block(void* block, std::size_t granted) noexcept;
// Gives all cached blocks back to the system.
void trim_block_cache() noexcept;

// An owning, uninitialised array. Element types must be trivial.
template <class T> class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t count) { resize(count); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { clear(); }

  // Forgets the contents.
  void resize(std::size_t count) {
    if (count * sizeof(T) > granted_) {
      clear();
      data_ = static_cast<T*>(acquire_block(count * sizeof(T), &granted_));
    }
    size_ = count;
  }
  void clear() noexcept {
    if (data_) release_block(data_, granted_);
    data_ = nullptr;
    size_ = granted_ = 0;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(granted_, other.granted_);
  }
  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t granted_ = 0;
};

}  // namespace igs
