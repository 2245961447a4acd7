#include "server/openapi.h"

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
    case Kind::float64: out += "{\"type\":[\"number\"" + null + "]}"; return;
    default: break;
  }
  out += "{\"type\":[\"integer\"" + null + "]";
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

constexpr std::string_view kResponses =
    R"("responses":{"200":{"description":"the answer","content":{"application/json":{"schema":{"type":"object"}}}},)"
    R"("400":{"description":"a value that the model does not take; the text names row and column"},)"
    R"("413":{"description":"more rows or bytes than the server takes"},)"
    R"("415":{"description":"a body that is not JSON"}})";

void append_post(std::string& out, const std::string& path, std::string_view summary,
                 const std::string& schema) {
  append_text(out, path);
  out += ":{\"post\":{\"summary\":";
  append_text(out, summary);
  out +=
      ",\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":" + schema + "}}},";
  out += kResponses;
  out += "}}";
}

}  // namespace

std::string openapi_document(const Snapshot& snapshot) {
  std::string out =
      R"({"openapi":"3.1.0","info":{"title":"mlcore","version":")" MLCORE_VERSION R"("},"paths":{)";
  bool first = true;
  for (const auto& [name, versions] : snapshot.models) {
    std::string row;
    append_row(row, *versions.rbegin()->second);
    const std::string list = "{\"type\":\"array\",\"items\":" + row + "}";
    if (!first) out += ',';
    first = false;
    append_post(
        out, "/v1/models/" + name + "/rows", "Outputs for rows",
        "{\"oneOf\":[" + list +
            R"(,{"type":"object","required":["rows"],"additionalProperties":false,"properties":{"rows":)" +
            list + R"(,"outputs":{"type":"array","minItems":1,"items":{"type":"string"}}}}]})");
    out += ',';
    append_post(out, "/v1/models/" + name + ":predict",
                "Predictions for rows, as TensorFlow Serving gives them",
                R"({"type":"object","required":["instances"],"properties":{"instances":)" + list + "}}");
  }
  return out += "}}";
}

}  // namespace mlcore::server
