// Memory of the simulator. It has one thread and asks for small pieces all the time: they are cut from spans of one size each,
// and what is given back is given out again first. Larger pieces come from malloc. Nothing goes back to the system.
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

namespace {

constexpr std::size_t kStep = 16;  // sizes are multiples of it, and so aligned for everything
constexpr std::size_t kLargest = 1024;
constexpr std::size_t kSpan = std::size_t{64} << 10;
constexpr std::size_t kSpans = std::size_t{256} << 10;  // 16 GiB of addresses; what is not touched is no memory

struct Piece {
  Piece* next;
};

Piece* free_pieces[kLargest / kStep + 1];  // by size in steps
std::uint8_t size_of_span[kSpans];         // in steps
char* spans = nullptr;                     // null: none were needed yet, or there are no addresses
std::size_t spans_used = 0;

// A new span, cut up; the first of its pieces. Null: there is none.
Piece* Cut(std::size_t steps) {
  if (spans_used == 0) {
    void* got = mmap(nullptr, kSpans * kSpan, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    spans = got == MAP_FAILED ? nullptr : static_cast<char*>(got);
  }
  if (spans == nullptr || spans_used == kSpans) return nullptr;
  size_of_span[spans_used] = static_cast<std::uint8_t>(steps);
  char* const span = spans + spans_used++ * kSpan;
  Piece* first = nullptr;
  for (std::size_t n = kSpan / (steps * kStep); n-- > 0;) first = new (span + n * steps * kStep) Piece{first};
  return first;
}

void* Take(std::size_t size) {
  const std::size_t steps = size == 0 ? 1 : (size + kStep - 1) / kStep;
  if (size <= kLargest) {
    Piece*& first = free_pieces[steps];
    if (first == nullptr) first = Cut(steps);
    if (Piece* const piece = first; piece != nullptr) {
      first = piece->next;
      return piece;
    }
  }
  if (void* const large = std::malloc(size)) return large;
  throw std::bad_alloc();
}

void Give(void* memory) {
  const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(memory) - reinterpret_cast<std::uintptr_t>(spans);
  if (spans == nullptr || at >= spans_used * kSpan) return std::free(memory);
  Piece*& first = free_pieces[size_of_span[at / kSpan]];
  first = new (memory) Piece{first};
}

}  // namespace

void* operator new(std::size_t size) { return Take(size); }
void operator delete(void* memory) noexcept { Give(memory); }
void operator delete(void* memory, std::size_t) noexcept { Give(memory); }
