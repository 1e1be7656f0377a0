// What the allocator asks of the system as it begins, answered without a way through other libraries. A library put before the
// program to change its time (libfaketime) looks for the functions it stands in for when one is first called, and allocates for
// that; called by the allocator's own beginning, each would wait for the other for ever.
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

extern "C" {

int __wrap_clock_gettime(clockid_t clock, timespec* now) { return static_cast<int>(syscall(SYS_clock_gettime, clock, now)); }

// Of its background thread, which is not used. Nobody else in the program calls this: std::condition_variable needs no call.
int __wrap_pthread_cond_init(pthread_cond_t* cond, const pthread_condattr_t*) {
  *cond = PTHREAD_COND_INITIALIZER;
  return 0;
}

}  // extern "C"
