/* mlcore from C: load a model, predict rows and Arrow tables. Needs libmlcore.so, libstdc++ and libc, no
 * Python.
 *
 * Every function gives a status: MLC_OK, or what went wrong, and then mlc_last_error() says it in words.
 * Nothing is printed, no exception leaves the library, and a null or an index out of range is
 * MLC_ERROR_ARGUMENT. When a function fails, what it would have written through its pointers is not written.
 *
 * A model is immutable: any number of threads may use one. A row belongs to one thread at a time. Handles are
 * freed with the function of their kind, which takes null too; a row keeps its model alive by itself.
 */
#ifndef MLCORE_H
#define MLCORE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Names, numbers and layouts below stay what they are while this number does; functions may be added. */
#define MLC_ABI_VERSION 1

#if defined(__GNUC__)
#define MLC_API __attribute__((visibility("default")))
#else
#define MLC_API
#endif

typedef int32_t mlc_status;
#define MLC_OK 0
#define MLC_ERROR_ARGUMENT                                                                                 \
  1                          /* a null, an index out of range, an unknown method: a mistake in the program \
                              */
#define MLC_ERROR_INPUT 2    /* a row or table does not fit, or a step of the model refuses a value */
#define MLC_ERROR_ARTIFACT 3 /* the file is no artifact, damaged, from a newer version */
#define MLC_ERROR_IO 4       /* the operating system refused */
#define MLC_ERROR_MEMORY 5
#define MLC_ERROR_INTERNAL 6 /* a bug of mlcore's */

/* The type of results. */
#define MLC_F64 1  /* double */
#define MLC_F32 2  /* float */
#define MLC_I64 3  /* int64_t */
#define MLC_TEXT 4 /* mlc_text */

/* UTF-8, not ended by a zero. A missing text has null `data`, and then `size` is one of MLC_MISSING_... */
typedef struct mlc_text {
  const char* data;
  int64_t size;
} mlc_text;

/* Which missing value; MLC_MISSING_NULL unless the model learned None and NaN as different categories. */
#define MLC_MISSING_NULL 0
#define MLC_MISSING_NONE 1
#define MLC_MISSING_NAN 2

typedef struct mlc_model mlc_model;
typedef struct mlc_row mlc_row;
struct ArrowSchema; /* of the Arrow C Data Interface */
struct ArrowArray;

/* MLC_ABI_VERSION of the library in use. */
MLC_API int32_t mlc_abi_version(void);
/* "0.1.0" */
MLC_API const char* mlc_version(void);
/* What the last call that failed in this thread says, never null; kept until the next one that fails in it.
 */
MLC_API const char* mlc_last_error(void);

/* -- models: texts that these functions give live as long as the model -------------------------------------
 */

MLC_API mlc_status mlc_model_load(const char* path, mlc_model** out);
MLC_API mlc_status mlc_model_from_bytes(const void* data, int64_t size, mlc_model** out);
MLC_API void mlc_model_free(mlc_model* model);

/* The schema's columns; those that are not used need no value. */
MLC_API mlc_status mlc_model_column_count(const mlc_model* model, int64_t* out);
MLC_API mlc_status mlc_model_column_name(const mlc_model* model, int64_t column, const char** out);
/* "float64", "string", "timestamp[us]" ... */
MLC_API mlc_status mlc_model_column_type(const mlc_model* model, int64_t column, const char** out);
MLC_API mlc_status mlc_model_column_nullable(const mlc_model* model, int64_t column, int32_t* out);
MLC_API mlc_status mlc_model_column_used(const mlc_model* model, int64_t column, int32_t* out);
MLC_API mlc_status mlc_model_find_column(const mlc_model* model, const char* name, int64_t* out);

/* The outputs of all methods: "predict", "predict_proba", "decision_function", "transform". A method has one
 * output, or one per target where the original returns a list of arrays. */
MLC_API mlc_status mlc_model_output_count(const mlc_model* model, int64_t* out);
MLC_API mlc_status mlc_model_output_method(const mlc_model* model, int64_t output, const char** out);
MLC_API mlc_status mlc_model_output_type(const mlc_model* model, int64_t output, int32_t* out);
/* Values per row. */
MLC_API mlc_status mlc_model_output_width(const mlc_model* model, int64_t output, int64_t* out);
/* What value `index` of an output is: a class, target or feature. */
MLC_API mlc_status mlc_model_output_name(const mlc_model* model, int64_t output, int64_t index,
                                         const char** out);
/* The first output of a method. */
MLC_API mlc_status mlc_model_find_output(const mlc_model* model, const char* method, int64_t* out);

/* -- rows: one method, prepared ---------------------------------------------------------------------------
 */

/* `method` null: the first of predict_proba, predict and transform that the model has. */
MLC_API mlc_status mlc_row_new(const mlc_model* model, const char* method, mlc_row** out);
MLC_API void mlc_row_free(mlc_row* row);

/* Set a column, by its number in the schema. A number is taken when the column's type holds exactly it:
 * integers by integer and float columns, floats by float columns only. NaN is a missing value. Dates and
 * timestamps are integers: days (date32), milliseconds (date64), ticks of the timestamp's unit, since 1970.
 */
MLC_API mlc_status mlc_row_set_f64(mlc_row* row, int64_t column, double value);
MLC_API mlc_status mlc_row_set_i64(mlc_row* row, int64_t column, int64_t value);
MLC_API mlc_status mlc_row_set_u64(mlc_row* row, int64_t column, uint64_t value);
MLC_API mlc_status mlc_row_set_bool(mlc_row* row, int64_t column, int32_t value);
/* Copies the text; `size` bytes, or -1: up to the zero. */
MLC_API mlc_status mlc_row_set_text(mlc_row* row, int64_t column, const char* text, int64_t size);
MLC_API mlc_status mlc_row_set_missing(mlc_row* row, int64_t column, int32_t kind);
/* Columns `first` to `first + count - 1` at once; all or, after an error, some of them are set. */
MLC_API mlc_status mlc_row_set_f64s(mlc_row* row, int64_t first, int64_t count, const double* values);
MLC_API mlc_status mlc_row_set_f32s(mlc_row* row, int64_t first, int64_t count, const float* values);
/* Forget all values. Without this, a column that is not set again keeps its value. */
MLC_API mlc_status mlc_row_clear(mlc_row* row);

/* Predict. An error if a used column has no value. From the second run on, nothing is allocated and no lock
 * is taken here or in the functions above, unless a text is longer than any before it in its column. */
MLC_API mlc_status mlc_row_run(mlc_row* row);

/* The answer of the last run, valid until the next one: output 0, or one for each target. The type must be
 * the output's (mlc_model_output_type); class labels come as what they are. */
MLC_API mlc_status mlc_row_output_count(const mlc_row* row, int64_t* out);
/* Which of the model's outputs this is. */
MLC_API mlc_status mlc_row_output(const mlc_row* row, int64_t output, int64_t* out);
MLC_API mlc_status mlc_row_f64(const mlc_row* row, int64_t output, const double** values, int64_t* count);
MLC_API mlc_status mlc_row_f32(const mlc_row* row, int64_t output, const float** values, int64_t* count);
MLC_API mlc_status mlc_row_i64(const mlc_row* row, int64_t output, const int64_t** values, int64_t* count);
MLC_API mlc_status mlc_row_text(const mlc_row* row, int64_t output, const mlc_text** values, int64_t* count);

/* -- tables ------------------------------------------------------------------------------------------------
 */

/* Predict all rows of a struct array, columns matched by name, into the caller's memory: destinations[i] gets
 * outputs[i] as rows x width values, row after row, and sizes[i] is how many bytes it has, which must be
 * exactly as many. The schema and array are borrowed: they are not released, and texts in the answer point
 * into them. */
MLC_API mlc_status mlc_model_predict(const mlc_model* model, const struct ArrowSchema* schema,
                                     const struct ArrowArray* array, int64_t output_count,
                                     const int64_t* outputs, void* const* destinations, const int64_t* sizes);

#ifdef __cplusplus
}
#endif

#endif
