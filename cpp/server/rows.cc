// Rows as a web developer has them: objects of column to value, and objects of output to value back.
#include "base/status.h"
#include "server/codecs.h"
#include "server/json_writer.h"

namespace mlcore::server {
namespace {

std::vector<size_t> outputs_of(const Served& served, JsonRef names) {
  if (!names) return served.usual_outputs();
  require(names.is(JsonKind::array) && names->size > 0, ErrorCode::input,
          "outputs: expected a list of names but found ",
          names.is(JsonKind::array) ? "an empty one" : name_of(names->kind));
  std::vector<size_t> out;
  for_elements(names, [&](uint32_t, JsonRef name) {
    require(name.is(JsonKind::string), ErrorCode::input, "outputs: expected names but found ",
            name_of(name->kind));
    const size_t output = served.output_named(name->text());
    require(std::ranges::find(out, output) == out.end(), ErrorCode::input,
            "outputs: expected each name once but found one twice");
    out.push_back(output);
  });
  return out;
}

void append_columns(std::string& out, ElementWriter& values, const std::vector<std::string>& keys,
                    int64_t width) {
  if (keys.empty()) return values.append_list(out, width);
  for (size_t i = 0; i < keys.size(); ++i) {
    out += i == 0 ? '{' : ',';
    out += keys[i];
    values.append(out);
  }
  out += '}';
}

Answer write_rows(const Computed& computed) {
  const Served& served = computed.served;
  const std::span<const size_t> outputs = computed.outputs;
  Answer answer;
  std::string& out = answer.body;
  std::vector<ElementWriter> values;
  std::vector<std::string> keys;
  for (size_t i = 0; i < outputs.size(); ++i) {
    values.emplace_back(computed.output(i).type(), computed.tensors[i].data());
    append_text(keys.emplace_back(), computed.output(i).name());
    keys.back() += ':';
  }
  out += '{';
  append_model(out, served);
  out += ",\"rows\":[";
  for (int64_t row = 0; row < computed.rows; ++row) {
    out += row == 0 ? "{" : ",{";
    for (size_t i = 0; i < outputs.size(); ++i) {
      const TensorOutput& output = computed.output(i);
      if (i > 0) out += ',';
      out += keys[i];
      if (output.is_vector()) values[i].append(out);
      else append_columns(out, values[i], served.keys[outputs[i]], output.width());
    }
    out += '}';
  }
  out += "]}";
  return answer;
}

}  // namespace

Prepared prepare_rows(const Served& served, const Request& request, Workbench& bench, const Limits& limits) {
  const JsonRef body = parse_body(request, bench);
  JsonRef rows = body;
  std::vector<size_t> outputs = served.usual_outputs();
  if (body.is(JsonKind::object)) {
    rows = {};
    for_members(body, [&](std::string_view key, JsonRef value) {
      if (key == "rows") rows = value;
      else if (key == "outputs") outputs = outputs_of(served, value);
      else fail(ErrorCode::input, "expected {\"rows\": [...], \"outputs\": [...]} but found another key");
    });
    require(static_cast<bool>(rows), ErrorCode::input, "expected {\"rows\": [...]} but found no rows");
  }
  return {bench.table.records(served, rows, limits.max_rows), std::move(outputs), write_rows};
}

}  // namespace mlcore::server
