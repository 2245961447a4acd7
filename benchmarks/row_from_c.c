/* Times single rows through the C API:
 *
 *   row_from_c MODEL METHOD ROWS ROUNDS
 *
 * ROWS: a line per row, a field per column of the model, separated by tabs: "f" and a number, "s" and a text, "-" where
 * it is missing. Every row's columns are set and its answer is read. Prints the median and the 99th percentile in
 * seconds, and the sum of all first values, so that nothing is left out.
 */
#define _POSIX_C_SOURCE 200809L
#include <mlcore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
  char kind;
  double number;
  const char* text;
  int64_t size;
} value;

static void check(mlc_status status) {
  if (status == MLC_OK) return;
  fprintf(stderr, "%s\n", mlc_last_error());
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int ascending(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

int main(int argc, char** argv) {
  mlc_model* model = NULL;
  mlc_row* row = NULL;
  int64_t columns = 0, count = 0;
  if (argc != 5) return 2;
  check(mlc_model_load(argv[1], &model));
  check(mlc_row_new(model, argv[2], &row));
  check(mlc_model_column_count(model, &columns));
  FILE* file = fopen(argv[3], "r");
  if (!file) return 2;
  value* values = NULL;
  char* line = NULL;
  size_t room = 0;
  size_t rows = 0;
  while (getline(&line, &room, file) > 0) {
    values = realloc(values, (rows + 1) * (size_t)columns * sizeof *values);
    char* field = strtok(line, "\t\n");
    for (int64_t c = 0; c < columns; ++c, field = strtok(NULL, "\t\n")) {
      if (!field) return 2;
      value* to = values + rows * (size_t)columns + c;
      to->kind = field[0];
      to->number = field[0] == 'f' ? strtod(field + 1, NULL) : 0;
      to->text = field[0] == 's' ? strdup(field + 1) : NULL;
      to->size = to->text ? (int64_t)strlen(to->text) : 0;
    }
    ++rows;
  }
  const size_t rounds = (size_t)atoi(argv[4]), total = rows * rounds;
  double* times = malloc(total * sizeof *times);
  double sum = 0;
  for (size_t i = 0; i < total; ++i) {
    const value* from = values + i % rows * (size_t)columns;
    const float* f32 = NULL;
    const double start = now();
    for (int64_t c = 0; c < columns; ++c) {
      if (from[c].kind == 'f') check(mlc_row_set_f64(row, c, from[c].number));
      else if (from[c].kind == 's') check(mlc_row_set_text(row, c, from[c].text, from[c].size));
      else check(mlc_row_set_missing(row, c, MLC_MISSING_NULL));
    }
    check(mlc_row_run(row));
    check(mlc_row_f32(row, 0, &f32, &count));
    times[i] = now() - start;
    sum += (double)f32[count - 1];
  }
  /* the first round warms up */
  qsort(times + rows, total - rows, sizeof *times, ascending);
  printf("%.9g %.9g %.17g\n", times[rows + (total - rows) / 2], times[rows + (total - rows) * 99 / 100], sum);
  mlc_row_free(row);
  mlc_model_free(model);
  return 0;
}
