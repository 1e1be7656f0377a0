// What ThreadSanitizer can't see of gRPC, whose library is not built with it: that a completion queue hands memory from the thread that
// starts an operation to the one that polls. It is told here, so that what our code does on both sides is judged. Without
// ThreadSanitizer all of this is empty.
#pragma once

#include <absl/base/config.h>

#ifdef ABSL_HAVE_THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace coffer::link {

#ifdef ABSL_HAVE_THREAD_SANITIZER

// What this thread has done up to here is done before what a thread does after TakeOver of the same tag. Before the operation is
// started: its event may be running by the time the call that starts it returns.
inline void HandOver(void* tag) {
  __tsan_release(tag);
}
// As soon as the tag has come out of the queue.
inline void TakeOver(void* tag) {
  __tsan_acquire(tag);
}

// While one exists, what this thread does to memory is not judged: around calls into gRPC, whose headers are compiled with
// our code, but share memory by the locks of its library. Nothing of ours may run within.
class Unjudged {
 public:
  Unjudged() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Unjudged() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
  Unjudged(const Unjudged&) = delete;
  Unjudged& operator=(const Unjudged&) = delete;
};

#else

inline void HandOver(void*) {}
inline void TakeOver(void*) {}
class Unjudged {
 public:
  Unjudged() {}
};

#endif

}  // namespace coffer::link
