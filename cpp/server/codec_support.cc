#include "base/status.h"
#include "server/codecs.h"
#include "server/json_writer.h"

namespace mlcore::server {

std::string content_type(const Request& request) {
  std::string_view type = request.header("Content-Type");
  type = type.substr(0, type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  std::string out(type);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

JsonRef parse_body(const Request& request, Workbench& bench) {
  const std::string type = content_type(request);
  // curl's own default too: what a shell user sends
  if (!type.empty() && type != "application/json" && type != "application/octet-stream" &&
      type != "application/x-www-form-urlencoded")
    throw HttpError(415, "expected a body of application/json but found another type");
  return bench.json.parse(request.body);
}

size_t signature_output(const Served& served, JsonRef name) {
  if (!name || name.is(JsonKind::null) || (name.is(JsonKind::string) && name->text() == "serving_default"))
    return find_tensor_output(served.outputs, "predict").value_or(served.usual_outputs().front());
  require(name.is(JsonKind::string), ErrorCode::input, "signature_name: expected a string but found ",
          name_of(name->kind));
  return served.output_named(name->text());
}

void append_predictions(std::string& out, const Computed& computed) {
  const TensorOutput& output = computed.output(0);
  ElementWriter values(output.type(), computed.tensors[0].data());
  if (output.is_vector()) return values.append_list(out, computed.rows);
  out += '[';
  for (int64_t row = 0; row < computed.rows; ++row) {
    if (row > 0) out += ',';
    values.append_list(out, output.width());
  }
  out += ']';
}

void append_model(std::string& out, const Served& served) {
  out += "\"model_name\":";
  append_text(out, served.name);
  out += ",\"model_version\":\"" + text(served.version) + '"';
}

}  // namespace mlcore::server
