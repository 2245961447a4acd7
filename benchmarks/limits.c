/* What the machine itself can do: how fast memory is read and copied, and how long an addition waits for another. */
#include <stddef.h>
#include <string.h>

double read_words(const double* x, size_t count) {
  double a[32] = {0};
  for (size_t i = 0; i + 32 <= count; i += 32)
    for (int k = 0; k < 32; ++k) a[k] += x[i + k];
  double sum = 0;
  for (int k = 0; k < 32; ++k) sum += a[k];
  return sum;
}

void copy_bytes(void* to, const void* from, size_t count) { memcpy(to, from, count); }

float add_in_order(float x, size_t count) {
  float sum = 0;
  for (size_t i = 0; i < count; ++i) {
    sum += x;
    __asm__ volatile("" : "+x"(sum));
  }
  return sum;
}
