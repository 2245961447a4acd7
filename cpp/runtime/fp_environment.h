// Results must not depend on the caller's floating-point state (flush-to-zero, denormals-are-zero, rounding).
#pragma once

#include <cfenv>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace mlcore {

// Default IEEE state inside the scope, the caller's state after it.
class FpEnvironment {
 public:
  FpEnvironment() {
#if defined(__SSE__)
    constexpr unsigned kDefault = 0x1f80;  // round to nearest, all exceptions masked, no FTZ, no DAZ
    constexpr unsigned kControl = 0xffc0;  // the bits that are settings; the rest are sticky exception flags
    saved_ = _mm_getcsr();
    changed_ = (saved_ & kControl) != (kDefault & kControl);
    if (changed_) _mm_setcsr(kDefault);
#else
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
#endif
  }
  ~FpEnvironment() {
#if defined(__SSE__)
    if (changed_) _mm_setcsr(saved_);
#else
    std::fesetenv(&saved_);
#endif
  }
  FpEnvironment(const FpEnvironment&) = delete;
  FpEnvironment& operator=(const FpEnvironment&) = delete;

 private:
#if defined(__SSE__)
  unsigned saved_;
  bool changed_;
#else
  std::fenv_t saved_;
#endif
};

}  // namespace mlcore
