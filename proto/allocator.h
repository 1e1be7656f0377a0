// What our programs ask of glibc's allocator: values of a few KiB to a few MiB come and go all the time.
#pragma once

#include <malloc.h>

namespace coffer {

// Before there are threads.
inline void TuneAllocator() {
  // With "fast bins" every request of 1 KiB and more, and such are the values here, first merges all small free blocks anew.
  mallopt(M_MXFAST, 0);
  // Memory that goes back to the system with each value has to be zeroed and mapped again, page by page, for the next: a fifth of what a
  // get of 1 MiB costs. So values come from the heap, and the heap keeps what a burst of them needs, until ReturnFreeMemory.
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
  mallopt(M_TOP_PAD, 1 << 20);
}

// Gives the system back what is free, in all threads' heaps; takes milliseconds of processor time, and locks one heap after the other
// meanwhile. Thread-safe.
inline void ReturnFreeMemory() { malloc_trim(0); }

}  // namespace coffer
