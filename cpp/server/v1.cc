// The REST API of TensorFlow Serving, which KServe calls v1.
#include "base/status.h"
#include "server/codecs.h"
#include "server/json_writer.h"

namespace mlcore::server {
namespace {

// {"examples": [{...}, ...], "context": {...}}: what holds for all rows is in the context. Columns that stand
// in both are a key that stands twice.
Batch examples(const Served& served, JsonRef body, Workbench& bench, const Limits& limits) {
  const JsonRef list = find(body, "examples");
  require(static_cast<bool>(list), ErrorCode::input, "expected {\"examples\": [...]} but found no examples");
  const JsonRef context = find(body, "context");
  require(!context || (context.is(JsonKind::object) && context->size == 0), ErrorCode::input,
          "context: expected every column in the examples but found a context");
  return bench.table.records(served, list, limits.max_rows);
}

// Where TensorFlow Serving has it, or among the parameters, which Vertex AI passes on.
JsonRef signature_of(JsonRef body) {
  const JsonRef own = find(body, "signature_name");
  const JsonRef parameters = find(body, "parameters");
  if (!parameters || parameters.is(JsonKind::null)) return own;
  const JsonRef other = find(parameters, "signature_name", "parameters");
  require(parameters->size == (other ? 1u : 0u) && !(own && other), ErrorCode::input,
          "parameters: expected at most a signature_name, in one place, but found others");
  return other ? other : own;
}

// {"predictions": [...]} and the like.
std::function<Answer(const Computed&)> write_as(const char* name) {
  return [name](const Computed& computed) {
    Answer answer;
    answer.body.append("{\"").append(name).append("\":");
    append_predictions(answer.body, computed);
    answer.body += '}';
    return answer;
  };
}

Answer write_classes(const Computed& computed) {
  const std::vector<std::string>& keys = computed.served.keys[computed.outputs[0]];
  ElementWriter values(computed.output(0).type(), computed.tensors[0].data());
  Answer answer;
  std::string& out = answer.body;
  out = "{\"results\":[";
  for (int64_t row = 0; row < computed.rows; ++row) {
    out += row == 0 ? "[" : ",[";
    for (size_t i = 0; i < keys.size(); ++i) {
      out += i == 0 ? "[" : ",[";
      out.append(keys[i], 0, keys[i].size() - 1);  // without the colon
      out += ',';
      values.append(out);
      out += ']';
    }
    out += ']';
  }
  out += "]}";
  return answer;
}

}  // namespace

Prepared prepare_v1_predict(const Served& served, const Request& request, Workbench& bench,
                            const Limits& limits) {
  const JsonRef body = parse_body(request, bench);
  const JsonRef instances = find(body, "instances");
  const JsonRef inputs = find(body, "inputs");
  require(static_cast<bool>(instances) != static_cast<bool>(inputs), ErrorCode::input,
          "expected either {\"instances\": [...]} or {\"inputs\": {...}} but found ",
          instances ? "both" : "neither");
  const size_t output = signature_output(served, signature_of(body));
  Batch batch = instances ? bench.table.instances(served, instances, limits.max_rows)
                          : bench.table.columns(served, inputs, limits.max_rows);
  return {std::move(batch), {output}, write_as(instances ? "predictions" : "outputs")};
}

Prepared prepare_v1_classify(const Served& served, const Request& request, Workbench& bench,
                             const Limits& limits) {
  const JsonRef body = parse_body(request, bench);
  const size_t output = served.output_named("predict_proba");
  require(!served.keys[output].empty(), ErrorCode::input,
          "classify: expected a model with names of classes but found one without");
  return {examples(served, body, bench, limits), {output}, write_classes};
}

Prepared prepare_v1_regress(const Served& served, const Request& request, Workbench& bench,
                            const Limits& limits) {
  const JsonRef body = parse_body(request, bench);
  const size_t output = served.output_named("predict");
  require(served.outputs[output].is_vector() && served.outputs[output].type().bytes > 0, ErrorCode::input,
          "regress: expected a model that predicts one number but found one that does not");
  return {examples(served, body, bench, limits), {output}, write_as("results")};
}

namespace {

std::string_view tensorflow_type(const TensorType& type) {
  switch (type.kind) {
    case Kind::boolean: return "DT_BOOL";
    case Kind::int8: return "DT_INT8";
    case Kind::int16: return "DT_INT16";
    case Kind::int32: return "DT_INT32";
    case Kind::int64: return "DT_INT64";
    case Kind::uint8: return "DT_UINT8";
    case Kind::uint16: return "DT_UINT16";
    case Kind::uint32: return "DT_UINT32";
    case Kind::uint64: return "DT_UINT64";
    case Kind::float16: return "DT_HALF";
    case Kind::float32: return "DT_FLOAT";
    case Kind::float64: return "DT_DOUBLE";
    default: return "DT_STRING";
  }
}

void append_tensor(std::string& out, std::string_view name, const TensorType& type, int64_t width) {
  append_text(out, name);
  out += ":{\"dtype\":\"";
  out += tensorflow_type(type);
  out += "\",\"tensor_shape\":{\"dim\":[{\"size\":\"-1\",\"name\":\"\"}";
  if (width > 0) out += ",{\"size\":\"" + text(width) + "\",\"name\":\"\"}";
  out += "],\"unknown_rank\":false},\"name\":";
  append_text(out, name);
  out += '}';
}

}  // namespace

Answer answer_v1_metadata(const Served& served) {
  Answer answer;
  std::string& out = answer.body;
  out = "{\"model_spec\":{\"name\":";
  append_text(out, served.name);
  out += ",\"signature_name\":\"\",\"version\":\"" + text(served.version) +
         "\"},\"metadata\":{\"signature_def\":{\"signature_def\":{\"serving_default\":{\"inputs\":{";
  const std::vector<ColumnSpec>& schema = served.model->program().schema;
  bool first = true;
  for (size_t i = 0; i < schema.size(); ++i) {
    if (!served.model->used_columns()[i]) continue;
    if (!first) out += ',';
    first = false;
    append_tensor(out, schema[i].name, *tensor_of(schema[i], i).type, 0);
  }
  out += "},\"outputs\":{";
  const TensorOutput& output = served.outputs[signature_output(served, {})];
  append_tensor(out, output.name(), output.type(), output.is_vector() ? 0 : output.width());
  out += "},\"method_name\":\"tensorflow/serving/predict\"}}}}}";
  return answer;
}

}  // namespace mlcore::server
