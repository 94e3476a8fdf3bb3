// Selective scan on the CPU, forward and backward; native.py compiles, loads and calls it.
//
// One vector holds one value of several neighbouring channels, so that neither direction needs sums across lanes in
// its inner loop. The forward pass keeps the states of every `every`-th step; the backward pass recomputes those
// between from there. No -ffast-math: NaN and infinity go through.

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

// The widest register of the processor; compilers split wider vectors badly.
#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

template <typename T>
struct Types;
template <>
struct Types<float> {
  typedef float Vector __attribute__((vector_size(kBytes)));
  typedef int32_t Bits __attribute__((vector_size(kBytes)));
};
template <>
struct Types<double> {
  typedef double Vector __attribute__((vector_size(kBytes)));
  typedef int64_t Bits __attribute__((vector_size(kBytes)));
};

template <typename T>
using Vector = typename Types<T>::Vector;

template <typename T>
constexpr int64_t kLanes = kBytes / sizeof(T);

// In a struct the vector keeps its alignment inside std::vector.
template <typename T>
struct alignas(kBytes) Cell {
  Vector<T> v;
};

template <typename T>
using Cells = std::vector<Cell<T>>;

template <typename T>
inline Vector<T> load(const T* from, int64_t count) {
  Vector<T> v = {};
  // A size that the compiler knows is one instruction.
  if (count == kLanes<T>)
    std::memcpy(&v, from, sizeof(v));
  else
    std::memcpy(&v, from, count * sizeof(T));
  return v;
}

template <typename T>
inline void store(T* to, Vector<T> v, int64_t count) {
  if (count == kLanes<T>)
    std::memcpy(to, &v, sizeof(v));
  else
    std::memcpy(to, &v, count * sizeof(T));
}

template <typename T>
inline T sum(Vector<T> v) {
  T lane[kLanes<T>];
  std::memcpy(lane, &v, sizeof(v));
  for (int64_t half = kLanes<T> / 2; half > 0; half /= 2)
    for (int64_t i = 0; i < half; ++i) lane[i] += lane[i + half];
  return lane[0];
}

// exp(x) = 2^n exp(r), |r| <= ln(2) / 2, by the Taylor series: its remainder is below a tenth of the last bit.
// Below the smallest normal number the result is 0; above the largest exponent it stays finite, which a scan with
// negative A never reaches.
template <typename T, typename Constants>
inline Vector<T> exponential(Vector<T> x, Constants c) {
  using Bits = typename Types<T>::Bits;
  const Vector<T> limited = x > c.highest ? (Vector<T>{} + c.highest) : x;
  // Adding 1.5 * 2^(bits of the mantissa - 1) rounds to an integer that then stands in the low bits.
  const Vector<T> shifted = limited * c.log2_e + c.rounder;
  const Vector<T> n = shifted - c.rounder;
  const Vector<T> r = (limited - n * c.ln2_high) - n * c.ln2_low;
  Vector<T> series = Vector<T>{} + c.factor[0];
#pragma GCC unroll 16
  for (int k = 1; k < Constants::kTerms; ++k) series = series * r + c.factor[k];
  Bits bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  Bits scaled;
  std::memcpy(&scaled, &series, sizeof(scaled));
  scaled += bits << c.mantissa;
  Vector<T> result;
  std::memcpy(&result, &scaled, sizeof(result));
  return x < c.lowest ? Vector<T>{} : result;
}

struct FloatConstants {
  static constexpr int kTerms = 8;
  float highest = 88.0f, lowest = -87.3f, log2_e = 1.44269504f, rounder = 12582912.0f;
  float ln2_high = 0.693145752f, ln2_low = 1.42860677e-6f;
  int32_t mantissa = 23;
  float factor[kTerms] = {1.f / 5040, 1.f / 720, 1.f / 120, 1.f / 24, 1.f / 6, 0.5f, 1.f, 1.f};
};

struct DoubleConstants {
  static constexpr int kTerms = 14;
  double highest = 709.0, lowest = -708.3, log2_e = 1.4426950408889634, rounder = 6755399441055744.0;
  double ln2_high = 0.693147180369123816, ln2_low = 1.90821492927058770e-10;
  int64_t mantissa = 52;
  double factor[kTerms] = {1. / 6227020800, 1. / 479001600, 1. / 39916800, 1. / 3628800, 1. / 362880,
                           1. / 40320,      1. / 5040,      1. / 720,      1. / 120,     1. / 24,
                           1. / 6,          0.5,            1.,            1.};
};

inline Types<float>::Vector exponential(Types<float>::Vector x) { return exponential<float>(x, FloatConstants{}); }
inline Types<double>::Vector exponential(Types<double>::Vector x) { return exponential<double>(x, DoubleConstants{}); }

struct Shape {
  int64_t batch, length, channels, states, every, groups;

  int64_t chunks() const { return (length + every - 1) / every; }
};

// Channels of one block, and where the blocks of one group of one batch entry begin and end.
template <typename T>
struct Part {
  int64_t entry, group, first, last;

  Part(const Shape& s, int64_t task) : entry(task / s.groups), group(task % s.groups) {
    const int64_t blocks = (s.channels + kLanes<T> - 1) / kLanes<T>;
    first = blocks * group / s.groups;
    last = blocks * (group + 1) / s.groups;
  }
};

template <typename T>
inline int64_t lanes_of(const Shape& s, int64_t block) {
  return std::min(kLanes<T>, s.channels - block * kLanes<T>);
}

// A of one group, a vector for each block and state.
template <typename T>
Cells<T> by_state(const Shape& s, const T* A, const Part<T>& part) {
  Cells<T> cells((part.last - part.first) * s.states);
  for (int64_t block = part.first; block < part.last; ++block)
    for (int64_t n = 0; n < s.states; ++n)
      for (int64_t i = 0; i < lanes_of<T>(s, block); ++i)
        cells[(block - part.first) * s.states + n].v[i] = A[(block * kLanes<T> + i) * s.states + n];
  return cells;
}

// kept: (batch, chunks, blocks, states, lanes), the states before each chunk; null where no gradient follows. The
// caller has room for blocks of 64 bytes, so for narrower ones too.
template <typename T>
void forward(const Shape& s, const T* u, const T* dt, const T* A, const T* B, const T* C, T* y, T* kept) {
  const int64_t N = s.states, blocks = (s.channels + kLanes<T> - 1) / kLanes<T>;
  at::parallel_for(0, s.batch * s.groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const Part<T> part(s, task);
      const Cells<T> decay = by_state(s, A, part);
      Cells<T> state(decay.size());
      for (int64_t chunk = 0; chunk < s.chunks(); ++chunk) {
        for (int64_t block = part.first; block < part.last; ++block) {
          const Cell<T>* a = &decay[(block - part.first) * N];
          Cell<T>* h = &state[(block - part.first) * N];
          const int64_t lanes = lanes_of<T>(s, block);
          if (kept != nullptr)
            std::memcpy(kept + ((part.entry * s.chunks() + chunk) * blocks + block) * N * kLanes<T>, h, N * sizeof(*h));
          for (int64_t t = chunk * s.every; t < std::min(s.length, (chunk + 1) * s.every); ++t) {
            const int64_t row = part.entry * s.length + t, at = row * s.channels + block * kLanes<T>;
            const Vector<T> step = load(dt + at, lanes), drive = step * load(u + at, lanes);
            Vector<T> out = {};
            for (int64_t n = 0; n < N; ++n) {
              h[n].v = exponential(step * a[n].v) * h[n].v + drive * B[row * N + n];
              out += h[n].v * C[row * N + n];
            }
            store(y + at, out, lanes);
          }
        }
      }
    }
  });
}

// dA: (batch, channels, states); dB, dC: (groups, batch, length, states); to be summed over the first dimension.
template <typename T>
void backward(const Shape& s, const T* gy, const T* u, const T* dt, const T* A, const T* B, const T* C, const T* kept,
              T* du, T* ddt, T* dA, T* dB, T* dC) {
  const int64_t N = s.states, blocks = (s.channels + kLanes<T> - 1) / kLanes<T>;
  at::parallel_for(0, s.batch * s.groups, 1, [&](int64_t begin, int64_t end) {
    Cells<T> decays(s.every * N), states((s.every + 1) * N), sum_B(s.every * N), sum_C(s.every * N);
    for (int64_t task = begin; task < end; ++task) {
      const Part<T> part(s, task);
      const Cells<T> rate = by_state(s, A, part);
      Cells<T> carried(rate.size()), sum_A(rate.size());
      for (int64_t chunk = s.chunks() - 1; chunk >= 0; --chunk) {
        const int64_t start = chunk * s.every, steps = std::min(s.every, s.length - start);
        std::fill(sum_B.begin(), sum_B.end(), Cell<T>{});
        std::fill(sum_C.begin(), sum_C.end(), Cell<T>{});
        for (int64_t block = part.first; block < part.last; ++block) {
          const int64_t lanes = lanes_of<T>(s, block), own = (block - part.first) * N;
          std::memcpy(&states[0], kept + ((part.entry * s.chunks() + chunk) * blocks + block) * N * kLanes<T>,
                      N * sizeof(Cell<T>));
          for (int64_t t = 0; t < steps; ++t) {
            const int64_t row = part.entry * s.length + start + t, at = row * s.channels + block * kLanes<T>;
            const Vector<T> step = load(dt + at, lanes), drive = step * load(u + at, lanes);
            for (int64_t n = 0; n < N; ++n) {
              decays[t * N + n].v = exponential(step * rate[own + n].v);
              states[(t + 1) * N + n].v = decays[t * N + n].v * states[t * N + n].v + drive * B[row * N + n];
            }
          }
          for (int64_t t = steps - 1; t >= 0; --t) {
            const int64_t row = part.entry * s.length + start + t, at = row * s.channels + block * kLanes<T>;
            const Vector<T> step = load(dt + at, lanes), in = load(u + at, lanes), out = load(gy + at, lanes);
            const Vector<T> drive = step * in;
            Vector<T> to_drive = {}, to_step = {};
            for (int64_t n = 0; n < N; ++n) {
              const Vector<T> g = carried[own + n].v + out * C[row * N + n];
              sum_C[t * N + n].v += states[(t + 1) * N + n].v * out;
              sum_B[t * N + n].v += g * drive;
              to_drive += g * B[row * N + n];
              const Vector<T> back = g * decays[t * N + n].v, w = back * states[t * N + n].v;
              to_step += w * rate[own + n].v;
              sum_A[own + n].v += w * step;
              carried[own + n].v = back;
            }
            store(du + at, to_drive * step, lanes);
            store(ddt + at, to_step + to_drive * in, lanes);
          }
        }
        const int64_t to = ((part.group * s.batch + part.entry) * s.length + start) * N;
        for (int64_t i = 0; i < steps * N; ++i) {
          dB[to + i] = sum<T>(sum_B[i].v);
          dC[to + i] = sum<T>(sum_C[i].v);
        }
      }
      for (int64_t block = part.first; block < part.last; ++block)
        for (int64_t n = 0; n < N; ++n)
          for (int64_t i = 0; i < lanes_of<T>(s, block); ++i)
            dA[(part.entry * s.channels + block * kLanes<T> + i) * N + n] = sum_A[(block - part.first) * N + n].v[i];
    }
  });
}

}  // namespace

#define GASTROMAP_SCAN(T, NAME)                                                                                       \
  extern "C" void gastromap_scan_forward_##NAME(const int64_t* s, const T* u, const T* dt, const T* A, const T* B,    \
                                                const T* C, T* y, T* kept) {                                          \
    forward<T>({s[0], s[1], s[2], s[3], s[4], s[5]}, u, dt, A, B, C, y, kept);                                        \
  }                                                                                                                   \
  extern "C" void gastromap_scan_backward_##NAME(const int64_t* s, const T* gy, const T* u, const T* dt, const T* A,  \
                                                 const T* B, const T* C, const T* kept, T* du, T* ddt, T* dA, T* dB,  \
                                                 T* dC) {                                                             \
    backward<T>({s[0], s[1], s[2], s[3], s[4], s[5]}, gy, u, dt, A, B, C, kept, du, ddt, dA, dB, dC);                 \
  }

GASTROMAP_SCAN(float, float32)
GASTROMAP_SCAN(double, float64)
