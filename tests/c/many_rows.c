// Many different rows through one prepared row: prints what the rows after the first ones allocated and locked, what
// loading did (which shows that the counting works), nanoseconds per row, and a digest of the answers.
#include <mlcore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// of counting.c, when it is preloaded
long counted_allocations(void) __attribute__((weak));
long counted_locks(void) __attribute__((weak));

enum { kWarmUp = 64, kRows = 4000 };

static long allocations(void) { return counted_allocations ? counted_allocations() : -1; }
static long locks(void) { return counted_locks ? counted_locks() : -1; }

static void check(mlc_status status) {
  if (status == MLC_OK) return;
  fprintf(stderr, "%s\n", mlc_last_error());
  exit(1);
}

typedef struct Column {
  int is_text;
  int is_float;
  int is_bool;
  char texts[4][16];
} Column;

static void set(mlc_row* row, int64_t index, const Column* column, unsigned round) {
  const unsigned mixed = (unsigned)index * 31u + round;
  if (mixed % 13 == 5) check(mlc_row_set_missing(row, index, MLC_MISSING_NULL));
  else if (column->is_text) check(mlc_row_set_text(row, index, column->texts[mixed % 4], -1));
  else if (column->is_float) check(mlc_row_set_f64(row, index, 0.25 * (mixed % 97) - 9.0));
  else if (column->is_bool) check(mlc_row_set_bool(row, index, mixed % 2 == 0));
  else check(mlc_row_set_i64(row, index, mixed % 5));
}

// The bytes of the answer, whose type is MLC_F64 or MLC_F32.
static const unsigned char* answer(const mlc_row* row, int32_t type, int64_t* bytes) {
  const double* f64 = NULL;
  const float* f32 = NULL;
  int64_t count = 0;
  if (type == MLC_F64) check(mlc_row_f64(row, 0, &f64, &count));
  else check(mlc_row_f32(row, 0, &f32, &count));
  *bytes = count * (int64_t)(f64 ? sizeof *f64 : sizeof *f32);
  return f64 ? (const unsigned char*)f64 : (const unsigned char*)f32;
}

int main(int argc, char** argv) {
  mlc_model* model = NULL;
  mlc_row* row = NULL;
  int64_t count = 0, output = 0;
  int32_t type = 0;
  if (argc != 3) return 2;
  const long before = allocations();
  check(mlc_model_load(argv[1], &model));
  check(mlc_row_new(model, argv[2], &row));
  const long loading = allocations() - before;
  check(mlc_model_find_output(model, argv[2], &output));
  check(mlc_model_output_type(model, output, &type));
  if (type != MLC_F64 && type != MLC_F32) return 3;
  check(mlc_model_column_count(model, &count));
  Column* columns = calloc((size_t)count, sizeof *columns);
  for (int64_t i = 0; i < count; ++i) {
    const char* name = NULL;
    check(mlc_model_column_type(model, i, &name));
    columns[i].is_text = strcmp(name, "string") == 0;
    columns[i].is_float = strncmp(name, "float", 5) == 0;
    columns[i].is_bool = strcmp(name, "bool") == 0;
    for (int k = 0; k < 4; ++k) snprintf(columns[i].texts[k], 16, "%s", (const char*[]){"Oslo", "cook", "", "Atlantis"}[k]);
  }
  unsigned long long state = 1469598103934665603ull;
  long used_allocations = 0, used_locks = 0;
  struct timespec start, end;
  for (unsigned round = 0; round < kWarmUp + kRows; ++round) {
    int64_t bytes = 0;
    if (round == kWarmUp) {
      used_allocations = allocations();
      used_locks = locks();
      clock_gettime(CLOCK_MONOTONIC, &start);
    }
    for (int64_t i = 0; i < count; ++i) set(row, i, &columns[i], round);
    check(mlc_row_run(row));
    const unsigned char* data = answer(row, type, &bytes);
    // two of the bytes: all of them would take longer than the row
    state = (state ^ data[0] ^ data[bytes - 2]) * 1099511628211ull;
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  used_allocations = allocations() - used_allocations;
  used_locks = locks() - used_locks;
  const double spent = 1e9 * (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec);
  printf("%ld %ld %ld %.0f %llx\n", used_allocations, used_locks, loading, spent / kRows, state);
  free(columns);
  mlc_row_free(row);
  mlc_model_free(model);
  return 0;
}
