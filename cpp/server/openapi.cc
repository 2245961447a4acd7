#include "server/openapi.h"

#include "server/codecs.h"
#include "server/json_writer.h"

namespace mlcore::server {
namespace {

std::string_view range_of(Kind kind) {
  switch (kind) {
    case Kind::int8: return ",\"minimum\":-128,\"maximum\":127";
    case Kind::int16: return ",\"minimum\":-32768,\"maximum\":32767";
    case Kind::int32: return ",\"minimum\":-2147483648,\"maximum\":2147483647";
    case Kind::int64: return ",\"minimum\":-9223372036854775808,\"maximum\":9223372036854775807";
    case Kind::uint8: return ",\"minimum\":0,\"maximum\":255";
    case Kind::uint16: return ",\"minimum\":0,\"maximum\":65535";
    case Kind::uint32: return ",\"minimum\":0,\"maximum\":4294967295";
    case Kind::uint64: return ",\"minimum\":0,\"maximum\":18446744073709551615";
    case Kind::float16: return ",\"minimum\":-65504,\"maximum\":65504";
    case Kind::float32:  // 2^128 - 2^103: from here on the nearest float32 is infinite
      return ",\"exclusiveMinimum\":-3.4028235677973366e38,\"exclusiveMaximum\":3.4028235677973366e38";
    default: return "";
  }
}

void append_column(std::string& out, const ColumnSpec& column) {
  const std::string null = column.nullable ? ",\"null\"" : "";
  switch (column.type.kind) {
    case Kind::boolean: out += "{\"type\":[\"boolean\"" + null + "]}"; return;
    case Kind::string: out += "{\"type\":[\"string\"" + null + "]}"; return;
    case Kind::date32:
    case Kind::date64: out += "{\"type\":[\"string\"" + null + "],\"format\":\"date\"}"; return;
    case Kind::timestamp: out += "{\"type\":[\"string\"" + null + "],\"format\":\"date-time\"}"; return;
    case Kind::float16:
    case Kind::float32:
    case Kind::float64: out += "{\"type\":[\"number\"" + null + "]"; break;
    default: out += "{\"type\":[\"integer\"" + null + "]"; break;
  }
  out += range_of(column.type.kind);
  out += '}';
}

void append_row(std::string& out, const Served& served) {
  const std::vector<ColumnSpec>& schema = served.model->program().schema;
  out += "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{";
  for (size_t i = 0; i < schema.size(); ++i) {
    if (i > 0) out += ',';
    append_text(out, schema[i].name);
    out += ':';
    append_column(out, schema[i]);
  }
  out += "},\"required\":[";
  bool first = true;
  for (size_t i = 0; i < schema.size(); ++i) {
    if (!served.model->used_columns()[i]) continue;
    if (!first) out += ',';
    first = false;
    append_text(out, schema[i].name);
  }
  out += "]}";
}

// One number, text or truth value of an answer.
std::string_view element_schema(Kind kind) {
  switch (kind) {
    case Kind::boolean: return R"({"type":"boolean"})";
    case Kind::float16:
    case Kind::float32:
    case Kind::float64: return R"({"type":["number","string"]})";  // "NaN", "Infinity"
    case Kind::string: return R"({"type":"string"})";
    default: return R"({"type":"integer"})";
  }
}

// What one row has of an output; by name where its columns have names and `by_name` is asked for.
std::string output_schema(const Served& served, size_t output, bool by_name) {
  const std::string element(element_schema(served.outputs[output].type().kind));
  if (served.outputs[output].is_vector()) return element;
  if (by_name && !served.keys[output].empty())
    return R"({"type":"object","additionalProperties":)" + element + "}";
  return R"({"type":"array","items":)" + element + "}";
}

std::string rows_answer(const Served& served) {
  std::string out =
      R"({"type":"object","required":["model_name","model_version","rows"],"properties":{"model_name":)"
      R"({"type":"string"},"model_version":{"type":"string"},"rows":{"type":"array","items":{"type":"object",)"
      R"("additionalProperties":false,"properties":{)";
  for (size_t i = 0; i < served.outputs.size(); ++i) {
    if (i > 0) out += ',';
    append_text(out, served.outputs[i].name());
    out += ':' + output_schema(served, i, true);
  }
  return out + "}}}}}";
}

constexpr std::string_view kRefusals =
    R"("400":{"description":"a value that the model does not take; the text names row and column"},)"
    R"("401":{"description":"no token, or another"},)"
    R"("408":{"description":"the time that the client gave had passed"},)"
    R"("413":{"description":"more rows, values or bytes than the server takes"},)"
    R"("415":{"description":"a body that is not JSON"},)"
    R"("429":{"description":"more requests of this client than it may send"},)"
    R"("503":{"description":"too many requests wait, or the server is stopping"})";

void append_post(std::string& out, const std::string& path, std::string_view summary,
                 const std::string& schema, const std::string& answer) {
  append_text(out, path);
  out += ":{\"post\":{\"summary\":";
  append_text(out, summary);
  out +=
      ",\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":" + schema + "}}},";
  out += R"("responses":{"200":{"description":"the answer","content":{"application/json":{"schema":)" +
         answer + "}}},";
  out += kRefusals;
  out += "}}}";
}

std::string names_of_outputs(const Served& served) {
  std::string out;
  for (const TensorOutput& output : served.outputs) {
    if (!out.empty()) out += ',';
    append_text(out, output.name());
  }
  return out;
}

}  // namespace

std::string openapi_document(const Snapshot& snapshot) {
  std::string out =
      R"({"openapi":"3.1.0","info":{"title":"mlcore","version":")" MLCORE_VERSION R"("},"paths":{)";
  bool first = true;
  for (const auto& [name, versions] : snapshot.models) {
    const Served& served = *versions.rbegin()->second;
    std::string row;
    append_row(row, served);
    const std::string list = "{\"type\":\"array\",\"items\":" + row + "}";
    if (!first) out += ',';
    first = false;
    append_post(
        out, "/v1/models/" + name + "/rows", "Outputs for rows",
        "{\"oneOf\":[" + list +
            R"(,{"type":"object","required":["rows"],"additionalProperties":false,"properties":{"rows":)" +
            list + R"(,"outputs":{"type":"array","minItems":1,"uniqueItems":true,"items":{"enum":[)" +
            names_of_outputs(served) + "]}}}}]}",
        rows_answer(served));
    out += ',';
    append_post(out, "/v1/models/" + name + ":predict",
                "Predictions for rows, as TensorFlow Serving gives them",
                R"({"type":"object","required":["instances"],"properties":{"instances":)" + list + "}}",
                R"({"type":"object","required":["predictions"],"properties":{"predictions":{"type":"array",)"
                R"("items":)" +
                    output_schema(served, signature_output(served, {}), false) + "}}}");
  }
  return out += "}}";
}

}  // namespace mlcore::server
