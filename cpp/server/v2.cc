// The Open Inference Protocol, which is KServe v2 and Triton's: tensors by name, as JSON or behind it.
#include <cstring>
#include <deque>
#include <limits>
#include <optional>

#include "base/number.h"
#include "base/status.h"
#include "runtime/decode.h"
#include "runtime/tensor_table.h"
#include "server/codecs.h"
#include "server/json_writer.h"

namespace mlcore::server {
namespace {

constexpr std::string_view kHeaderLength = "Inference-Header-Content-Length";

// One tensor of a request.
struct Tensor {
  std::string_view name;
  const TensorType* type = nullptr;
  int64_t rows = 0, width = 1;
  JsonRef data;  // nothing: the bytes
  std::span<const std::byte> bytes;
};

std::string where(const Tensor& tensor) { return "input " + quoted(tensor.name); }

JsonRef parameter(JsonRef object, std::string_view name) {
  const JsonRef parameters = find(object, "parameters");
  return parameters ? find(parameters, name, "parameters") : JsonRef();
}

bool flag(JsonRef value, bool otherwise, std::string_view name) {
  if (!value) return otherwise;
  require(value.is(JsonKind::boolean), ErrorCode::input, name, ": expected true or false but found ",
          name_of(value->kind));
  return value->boolean;
}

std::string_view text_member(JsonRef object, std::string_view name, std::string_view what) {
  const JsonRef found = find(object, name, what);
  require(found && found.is(JsonKind::string), ErrorCode::input, what, ": expected a string as ", name,
          " but found ", found ? name_of(found->kind) : "none");
  return found->text();
}

// [rows], [rows, 1] or [rows, width].
void read_shape(JsonRef shape, Tensor& tensor) {
  require(shape && shape.is(JsonKind::array) && (shape->size == 1 || shape->size == 2), ErrorCode::input,
          where(tensor), ": expected a shape of one or two numbers but found ",
          shape ? name_of(shape->kind) : "none");
  for_elements(shape, [&](uint32_t i, JsonRef dim) {
    require(
        dim.is(JsonKind::integer) && dim->integer >= 0 && dim->integer <= std::numeric_limits<int32_t>::max(),
        ErrorCode::input, where(tensor), ": expected a shape of numbers from 0 on but found ",
        name_of(dim->kind));
    (i == 0 ? tensor.rows : tensor.width) = dim->integer;
  });
}

// The tensors of a request; those that are not JSON lie in `binary`, one after the other.
std::vector<Tensor> read_tensors(JsonRef body, std::span<const std::byte> binary) {
  const JsonRef inputs = find(body, "inputs");
  require(inputs && inputs.is(JsonKind::array), ErrorCode::input, "expected {\"inputs\": [...]} but found ",
          inputs ? name_of(inputs->kind) : "no inputs");
  std::vector<Tensor> out;
  for_elements(inputs, [&](uint32_t i, JsonRef input) {
    Tensor& tensor = out.emplace_back();
    tensor.name = text_member(input, "name", "inputs[" + text(size_t{i}) + "]");
    const std::string_view datatype = text_member(input, "datatype", where(tensor));
    tensor.type = tensor_type_named(datatype);
    require(tensor.type, ErrorCode::input, where(tensor),
            ": expected a datatype of the protocol but found another");
    read_shape(find(input, "shape"), tensor);
    tensor.data = find(input, "data");
    const JsonRef size = parameter(input, "binary_data_size");
    require(static_cast<bool>(size) != static_cast<bool>(tensor.data), ErrorCode::input, where(tensor),
            ": expected either data or binary_data_size but found ", size ? "both" : "neither");
    if (!size) return;
    require(size.is(JsonKind::integer) && size->integer >= 0 &&
                static_cast<size_t>(size->integer) <= binary.size(),
            ErrorCode::input, where(tensor), ": expected binary_data_size within the body's ", binary.size(),
            " bytes that are left but found more");
    tensor.bytes = binary.first(static_cast<size_t>(size->integer));
    binary = binary.subspan(tensor.bytes.size());
  });
  require(binary.empty(), ErrorCode::input, "expected the tensors to take the whole body but found ",
          binary.size(), " bytes more");
  return out;
}

// JSON data as the bytes of a tensor; what is null is missing.
class Elements {
 public:
  Elements(const Tensor& tensor, std::vector<std::byte>& bytes, std::vector<std::byte>& valid)
      : tensor_(tensor), bytes_(bytes), valid_(valid) {
    spec_.type.kind = tensor.type->kind;
  }

  void read() {
    require(tensor_.type->kind != Kind::float16, ErrorCode::input, where(tensor_),
            ": expected FP16 as binary data but found JSON, which has no such numbers");
    add(tensor_.data);
    const int64_t count = tensor_.rows * tensor_.width;
    require(done_ == count, ErrorCode::input, where(tensor_), ": expected ", count, " values but found ",
            done_);
  }

 private:
  void add(JsonRef value) {
    if (value.is(JsonKind::array)) {
      for_elements(value, [&](uint32_t, JsonRef element) { add(element); });
      return;
    }
    std::byte element[sizeof(StringRef)] = {};
    const std::optional<uint8_t> kind = put_json(*value, spec_, element);
    require(kind.has_value(), ErrorCode::input, where(tensor_), ", row ",
            done_ / std::max<int64_t>(tensor_.width, 1), ": expected ", tensor_.type->name, " but found ",
            name_of(value->kind), " that it does not hold");
    const bool is_null = value.is(JsonKind::null);
    if (is_null && valid_.empty()) valid_.resize(static_cast<size_t>(done_), std::byte{1});
    if (is_null || !valid_.empty()) valid_.push_back(is_null ? std::byte{0} : std::byte{1});
    append(element, is_null);
    ++done_;
  }

  void append(const std::byte* element, bool is_null) {
    if (tensor_.type->bytes > 0) {
      bytes_.insert(bytes_.end(), element, element + tensor_.type->bytes);
      return;
    }
    StringRef text{nullptr, 0};
    if (!is_null) std::memcpy(&text, element, sizeof text);
    const auto size = static_cast<uint32_t>(text.size);
    const auto* prefix = reinterpret_cast<const std::byte*>(&size);
    bytes_.insert(bytes_.end(), prefix, prefix + sizeof size);
    const auto* characters = reinterpret_cast<const std::byte*>(text.data);
    if (size > 0) bytes_.insert(bytes_.end(), characters, characters + size);
  }

  const Tensor& tensor_;
  std::vector<std::byte>& bytes_;
  std::vector<std::byte>& valid_;
  ColumnSpec spec_;
  int64_t done_ = 0;
};

// The tensors of a request, matched with the columns.
class Columns {
 public:
  Columns(const Served& served, std::vector<Tensor> tensors, const Limits& limits)
      : served_(served), tensors_(std::move(tensors)) {
    require(!tensors_.empty(), ErrorCode::input, "expected inputs but found none");
    const size_t most = 2 * served.model->program().schema.size();
    require(tensors_.size() <= most, ErrorCode::input, "expected at most ", most,
            " inputs, one and a mask for each column, but found ", tensors_.size());
    rows_.rows = tensors_.front().rows;
    if (rows_.rows > limits.max_rows)
      throw HttpError(413,
                      "expected at most " + text(limits.max_rows) + " rows but found " + text(rows_.rows));
    bytes_.resize(tensors_.size());
    valid_.resize(tensors_.size());
    for (size_t i = 0; i < tensors_.size(); ++i) add(i);
    for (const Tensor& tensor : tensors_) add_mask(tensor);
    const std::vector<std::string> problems = column_problems(*served.model, inputs_);
    if (!problems.empty()) fail(ErrorCode::input, list_problems("request", problems));
  }

  Batch batch() {
    table_.emplace(served_.model->program(), inputs_, NullPolicy::nan);
    const TensorRows* const parts[] = {&rows_};
    return table_->of(parts);
  }

 private:
  void check_shape(const Tensor& tensor, int64_t width) const {
    require(tensor.rows == rows_.rows, ErrorCode::input, where(tensor), ": expected ", rows_.rows,
            " rows, as in the first input, but found ", tensor.rows);
    require(tensor.width == width, ErrorCode::input, where(tensor), ": expected rows of ", width,
            " values but found ", tensor.width);
    if (!tensor.data)
      expect_values(tensor.name, *tensor.type, tensor.rows * tensor.width, tensor.bytes.size());
  }

  void add(size_t index) {
    Tensor& tensor = tensors_[index];
    const Program& program = served_.model->program();
    if (find_masked_input(program, tensor.name)) return;
    std::optional<TensorInput> input = find_tensor_input(program, tensor.name);
    require(input.has_value(), ErrorCode::input, "expected an input of the model but found ",
            quoted(tensor.name));
    check_shape(tensor, input->width);
    require(retype(*input, *tensor.type, program.schema[input->column]), ErrorCode::input, where(tensor),
            ": expected ", input->type->name, " but found ", tensor.type->name,
            ", which the column does not take");
    if (tensor.data) {
      Elements(tensor, bytes_[index], valid_[index]).read();
      tensor.bytes = bytes_[index];
    }
    inputs_.push_back(std::move(*input));
    rows_.values.push_back(tensor.bytes);
    rows_.valid.push_back(valid_[index]);
  }

  void add_mask(const Tensor& tensor) {
    const std::optional<TensorInput> column = find_masked_input(served_.model->program(), tensor.name);
    if (!column) return;
    size_t at = 0;
    while (at < inputs_.size() && inputs_[at].name != column->name) ++at;
    require(at < inputs_.size(), ErrorCode::input, where(tensor), ": expected the input ",
            quoted(column->name), " beside it but found none");
    require(tensor.type->kind == Kind::boolean, ErrorCode::input, where(tensor), ": expected BOOL but found ",
            tensor.type->name);
    check_shape(tensor, inputs_[at].width);
    require(rows_.valid[at].empty(), ErrorCode::input, where(tensor),
            ": expected one way to say what is missing but found null in the data too");
    if (tensor.data) {
      std::vector<std::byte> none;
      Elements(tensor, masks_.emplace_back(), none).read();
      require(none.empty(), ErrorCode::input, where(tensor), ": expected true or false but found null");
      rows_.valid[at] = masks_.back();
    } else {
      rows_.valid[at] = tensor.bytes;
    }
  }

  const Served& served_;
  std::vector<Tensor> tensors_;
  std::vector<std::vector<std::byte>> bytes_, valid_;
  std::deque<std::vector<std::byte>> masks_;
  std::vector<TensorInput> inputs_;
  TensorRows rows_;
  std::optional<TensorTable> table_;
};

struct Wanted {
  std::vector<size_t> outputs;
  std::vector<bool> binary;
};

Wanted read_outputs(const Served& served, JsonRef body) {
  Wanted out;
  const bool binary = flag(parameter(body, "binary_data_output"), false, "binary_data_output");
  const JsonRef list = find(body, "outputs");
  if (!list || (list.is(JsonKind::array) && list->size == 0)) {
    for (size_t i = 0; i < served.outputs.size(); ++i) out.outputs.push_back(i);
    out.binary.assign(out.outputs.size(), binary);
    return out;
  }
  require(list.is(JsonKind::array), ErrorCode::input, "outputs: expected a list but found ",
          name_of(list->kind));
  for_elements(list, [&](uint32_t, JsonRef output) {
    out.outputs.push_back(served.output_named(text_member(output, "name", "outputs")));
    out.binary.push_back(flag(parameter(output, "binary_data"), binary, "binary_data"));
  });
  return out;
}

void append_shape(std::string& out, const TensorOutput& output, int64_t rows) {
  out += ",\"shape\":[" + text(rows);
  if (!output.is_vector()) out += "," + text(output.width());
  out += ']';
}

size_t json_length(const Request& request) {
  const std::string_view sent = request.header(kHeaderLength);
  if (sent.empty()) return request.body.size();
  const std::optional<size_t> length = number_in<size_t>(sent);
  require(length && *length <= request.body.size(), ErrorCode::input, kHeaderLength,
          ": expected a number up to the body's ", request.body.size(), " bytes but found another");
  return *length;
}

Answer write_tensors(const Computed& computed, JsonRef id, const std::vector<bool>& binary) {
  Answer answer;
  std::string& out = answer.body;
  out += '{';
  append_model(out, computed.served);
  if (id) {
    out += ",\"id\":";
    append_text(out, id->text());
  }
  out += ",\"outputs\":[";
  bool any_binary = false;
  for (size_t i = 0; i < binary.size(); ++i) {
    const TensorOutput& output = computed.output(i);
    out += i == 0 ? "{\"name\":" : ",{\"name\":";
    append_text(out, output.name());
    out += ",\"datatype\":\"";
    out += output.type().name;
    out += '"';
    append_shape(out, output, computed.rows);
    if (binary[i]) {
      out += ",\"parameters\":{\"binary_data_size\":" + text(computed.tensors[i].size()) + "}}";
      any_binary = true;
    } else {
      out += ",\"data\":";
      ElementWriter(output.type(), computed.tensors[i].data())
          .append_list(out, computed.rows * output.width());
      out += '}';
    }
  }
  out += "]}";
  if (!any_binary) return answer;
  answer.headers.emplace_back(kHeaderLength, text(out.size()));
  answer.type = "application/octet-stream";
  for (size_t i = 0; i < binary.size(); ++i)
    if (binary[i])
      out.append(reinterpret_cast<const char*>(computed.tensors[i].data()), computed.tensors[i].size());
  return answer;
}

}  // namespace

Prepared prepare_v2_infer(const Served& served, const Request& request, Workbench& bench,
                          const Limits& limits) {
  const size_t length = json_length(request);
  const JsonRef body = bench.json.parse(request.body.substr(0, length));
  const auto binary = std::as_bytes(std::span(request.body)).subspan(length);
  Wanted wanted = read_outputs(served, body);
  const JsonRef id = find(body, "id");
  if (id) text_member(body, "id", "the body");
  // the tensors lie in it until the answer is written
  const auto columns = std::make_shared<Columns>(served, read_tensors(body, binary), limits);
  return {columns->batch(), std::move(wanted.outputs),
          [columns, id, binary = std::move(wanted.binary)](const Computed& computed) {
            return write_tensors(computed, id, binary);
          }};
}

Answer answer_v2_metadata(const Served& served, const std::vector<int64_t>& versions) {
  Answer answer;
  std::string& out = answer.body;
  const auto append = [&](bool first, const TensorFacts& tensor) {
    out += first ? "{\"name\":" : ",{\"name\":";
    append_text(out, tensor.name);
    out += ",\"datatype\":\"";
    out += tensor.type->name;
    out += "\",\"shape\":[-1";
    if (!tensor.vector) out += "," + text(tensor.width);
    out += "]}";
  };
  out = "{\"name\":";
  append_text(out, served.name);
  out += ",\"versions\":[";
  for (size_t i = 0; i < versions.size(); ++i) out += (i == 0 ? "\"" : ",\"") + text(versions[i]) + '"';
  out += "],\"platform\":\"mlcore\",\"inputs\":[";
  bool first = true;
  for (const TensorFacts& input : default_facts(*served.model)) {
    if (input.optional) continue;
    append(first, input);
    first = false;
  }
  out += "],\"outputs\":[";
  first = true;
  for (const TensorOutput& output : served.outputs) {
    append(first, facts_of(output));
    first = false;
  }
  out += "]}";
  return answer;
}

}  // namespace mlcore::server
