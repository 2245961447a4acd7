/* Predict one row in C:
 *
 *   predict_row model.mlc predict_proba amount=12.5 merchant=travel
 *
 * A column that is not named is missing. Prints one line per value: its name, a tab, the number in hexadecimal (exact)
 * or the text. Build it with CMakeLists.txt, or with
 *
 *   cc predict_row.c -I"$(python -c 'import mlcore; print(mlcore.get_include())')" \
 *      -L"$LIB" -lmlcore -Wl,-rpath,"$LIB"   # LIB=$(python -c 'import mlcore; print(mlcore.get_library_dir())')
 */
#include <errno.h>
#include <mlcore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(mlc_status status) {
  if (status == MLC_OK) return;
  fprintf(stderr, "%s\n", mlc_last_error());
  exit(1);
}

/* Sets a column from text, as its type asks. */
static void set(mlc_row* row, int64_t column, const char* type, const char* value) {
  char* end = NULL;
  errno = 0;
  if (strcmp(type, "string") == 0) {
    check(mlc_row_set_text(row, column, value, -1));
    return;
  }
  if (strcmp(type, "bool") == 0) {
    check(mlc_row_set_bool(row, column, strcmp(value, "true") == 0));
    return;
  }
  if (strncmp(type, "float", 5) == 0) {
    const double number = strtod(value, &end);
    check(mlc_row_set_f64(row, column, number));
  } else {
    const long long number = strtoll(value, &end, 10);
    check(mlc_row_set_i64(row, column, number));
  }
  if (end == value || *end != 0 || errno != 0) {
    fprintf(stderr, "expected a number of type %s but found '%s'\n", type, value);
    exit(1);
  }
}

static void print(const mlc_model* model, const mlc_row* row, int64_t output) {
  int32_t type = 0;
  int64_t count = 0, number = 0;
  const double* f64 = NULL;
  const float* f32 = NULL;
  const int64_t* i64 = NULL;
  const mlc_text* texts = NULL;
  check(mlc_row_output(row, output, &number));
  check(mlc_model_output_type(model, number, &type));
  if (type == MLC_F64) check(mlc_row_f64(row, output, &f64, &count));
  if (type == MLC_F32) check(mlc_row_f32(row, output, &f32, &count));
  if (type == MLC_I64) check(mlc_row_i64(row, output, &i64, &count));
  if (type == MLC_TEXT) check(mlc_row_text(row, output, &texts, &count));
  for (int64_t i = 0; i < count; ++i) {
    const char* name = NULL;
    check(mlc_model_output_name(model, number, i, &name));
    printf("%s\t", name);
    if (f64) printf("%a\n", f64[i]);
    if (f32) printf("%a\n", (double)f32[i]);
    if (i64) printf("%lld\n", (long long)i64[i]);
    if (texts) printf("%.*s\n", texts[i].data ? (int)texts[i].size : 0, texts[i].data ? texts[i].data : "");
  }
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: predict_row MODEL METHOD [COLUMN=VALUE ...]\n");
    return 2;
  }
  mlc_model* model = NULL;
  mlc_row* row = NULL;
  int64_t columns = 0, outputs = 0;
  check(mlc_model_load(argv[1], &model));
  check(mlc_row_new(model, argv[2], &row));
  check(mlc_model_column_count(model, &columns));
  for (int64_t column = 0; column < columns; ++column) check(mlc_row_set_missing(row, column, MLC_MISSING_NULL));
  for (int i = 3; i < argc; ++i) {
    char* equals = strchr(argv[i], '=');
    int64_t column = 0;
    const char* type = NULL;
    if (!equals) {
      fprintf(stderr, "expected COLUMN=VALUE but found '%s'\n", argv[i]);
      return 2;
    }
    *equals = 0;
    check(mlc_model_find_column(model, argv[i], &column));
    check(mlc_model_column_type(model, column, &type));
    set(row, column, type, equals + 1);
  }
  check(mlc_row_run(row));
  check(mlc_row_output_count(row, &outputs));
  for (int64_t output = 0; output < outputs; ++output) print(model, row, output);
  mlc_row_free(row);
  mlc_model_free(model);
  return 0;
}
