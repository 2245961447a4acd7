#include "triton/config.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>

#include "base/number.h"
#include "base/status.h"
#include "runtime/decode.h"
#include "runtime/thread_count.h"

namespace mlcore::triton {
namespace {

namespace json = boost::json;

// Rows that Triton may gather for one run, and that one request may have, when the configuration does not
// say.
constexpr int64_t kMaxBatchSize = 65'536;

// The server gives objects; not as_object(), which would leave the build's path in the library.
const json::object& object_of(const json::value& value) {
  static const json::object kEmpty;
  return value.is_object() ? value.get_object() : kEmpty;
}

std::string_view text_of(const json::object& object, std::string_view key) {
  const json::value* found = object.if_contains(key);
  return found && found->is_string() ? std::string_view(found->get_string()) : std::string_view();
}

// Entries of a list, which an absent one has none of.
json::array list_of(const json::object& object, std::string_view key) {
  const json::value* found = object.if_contains(key);
  return found && found->is_array() ? found->get_array() : json::array();
}

std::string_view parameter(const json::object& config, std::string_view name) {
  const json::value* all = config.if_contains("parameters");
  const json::value* one = all && all->is_object() ? all->get_object().if_contains(name) : nullptr;
  return one && one->is_object() ? text_of(one->get_object(), "string_value") : std::string_view();
}

std::vector<std::string_view> words(std::string_view list) {
  std::vector<std::string_view> out;
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    std::string_view word = list.substr(0, end);
    while (!word.empty() && word.front() == ' ') word.remove_prefix(1);
    while (!word.empty() && word.back() == ' ') word.remove_suffix(1);
    if (!word.empty()) out.push_back(word);
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return out;
}

using Dims = std::vector<int64_t>;

std::string shown(const Dims& dims) {
  std::string out = "[ ";
  for (size_t i = 0; i < dims.size(); ++i) out += (i > 0 ? ", " : "") + text(dims[i]);
  return out + " ]";
}

// Dimensions beside the batch's: those of the rows, where a request gives lists, and of `width` values.
Dims dims_of(const Served& served, int64_t width, bool vector) {
  if (served.lists) return vector ? Dims{-1} : Dims{-1, width};
  return {width};
}

class Reader {
 public:
  Reader(Served& served, const json::object& config)
      : served_(served), program_(served.model->program()), config_(config) {}

  void read() {
    read_parameters();
    read_form(config_);
    for (const json::value& input : list_of(config_, "input")) read_input(object_of(input));
    for (const json::value& output : list_of(config_, "output")) read_output(object_of(output));
    expect_every_column();
    if (served_.outputs.empty()) problem("output", "at least one of ", known_outputs(), "none");
    if (!problems_.empty()) fail(ErrorCode::input, list_problems("configuration", problems_));
  }

  // What the configuration leaves out, added to it.
  void complete(json::object& config) {
    read_parameters();
    read_form(config);
    const bool stated = !list_of(config, "input").empty();
    if (!stated && !served_.batched) {
      config["max_batch_size"] = kMaxBatchSize;
      read_form(config);
      if (!config.contains("dynamic_batching") && !config.contains("sequence_batching"))
        config["dynamic_batching"] = json::object();
    }
    if (!stated) config["input"] = inputs_of_model();
    if (list_of(config, "output").empty()) config["output"] = outputs_of_model();
  }

 private:
  template <class Found>
  void problem(std::string_view where, std::string_view what, const std::string& expected,
               const Found& found) {
    problems_.push_back(std::string(where) + ": expected " + std::string(what) + expected + " but found " +
                        text(found));
  }

  // Whether rows are Triton's batch, and whether a request gives lists of them.
  void read_form(const json::object& config) {
    const json::value* size = config.if_contains("max_batch_size");
    served_.batched = size && size->is_int64() && size->get_int64() > 0;
    served_.lists = !served_.batched;
    for (const json::value& input : list_of(config, "input")) {
      const Dims dims = dims_in(object_of(input));
      if (!dims.empty() && dims.front() == -1) served_.lists = true;
    }
  }

  static Dims dims_in(const json::object& tensor) {
    Dims out;
    for (const json::value& dim : list_of(tensor, "dims")) {
      int64_t number = 0;
      if (dim.is_int64()) number = dim.get_int64();
      else if (dim.is_string()) std::from_chars(dim.get_string().begin(), dim.get_string().end(), number);
      out.push_back(number);
    }
    return out;
  }

  void read_parameters() {
    const std::string_view nulls = parameter(config_, "null_policy");
    if (nulls == "empty_string") served_.nulls = NullPolicy::empty_string;
    else if (nulls == "refuse") served_.nulls = NullPolicy::refuse;
    else if (!nulls.empty() && nulls != "nan")
      fail(ErrorCode::input, "parameter 'null_policy': expected 'nan', 'empty_string' or 'refuse' but found ",
           quoted(nulls));
    wanted_ = words(parameter(config_, "outputs"));
    for (const std::string_view name : wanted_)
      require(find_output(name) >= 0, ErrorCode::input, "parameter 'outputs': expected some of ",
              known_outputs(), " but found ", quoted(name));
    if (const std::string_view threads = parameter(config_, "threads"); !threads.empty()) {
      const std::optional<int64_t> number = number_in<int64_t>(threads);
      require(number && *number >= 1 && *number <= kMaxThreads, ErrorCode::input,
              "parameter 'threads': expected an integer from 1 to ", kMaxThreads, " but found ",
              quoted(threads));
      // nobody else has the model yet
      std::const_pointer_cast<Model>(served_.model)->set_threads(*number);
    }
  }

  int32_t find_output(std::string_view name) const {
    for (size_t i = 0; i < program_.outputs.size(); ++i)
      if (TensorOutput(program_, static_cast<int32_t>(i)).is_called(name)) return static_cast<int32_t>(i);
    return -1;
  }

  std::string known_outputs() const {
    std::string out;
    for (size_t i = 0; i < program_.outputs.size(); ++i)
      out += (i > 0 ? ", " : "") + quoted(TensorOutput(program_, static_cast<int32_t>(i)).name());
    return out;
  }

  void read_input(const json::object& input) {
    const std::string name(text_of(input, "name"));
    const std::string where = "input " + quoted(name);
    const std::string_view type = text_of(input, "data_type");
    std::optional<TensorInput> found = find_tensor_input(program_, name);
    const bool is_valid = !found && name.ends_with(kValidSuffix);
    if (is_valid) found = find_tensor_input(program_, name.substr(0, name.size() - kValidSuffix.size()));
    if (!found) return problem(where, "a column of the model", "", "no such column");
    const Dims expected = dims_of(served_, found->width, !found->matrix), dims = dims_in(input);
    if (dims != expected) problem(where, "dims ", shown(expected), shown(dims));
    if (input.contains("reshape")) problem(where, "no reshape", "", "one");
    const json::value* optional = input.if_contains("optional");
    if (optional && optional->is_bool() && optional->get_bool() && !is_valid)
      problem(where, "an input that every request has", "", "an optional one");
    if (is_valid) {
      if (type != "TYPE_BOOL") problem(where, "TYPE_BOOL", "", type);
      if (served_.nulls == NullPolicy::refuse)
        problem(where, "null_policy 'nan' or 'empty_string'", "", "'refuse'");
      valid_.push_back(name);
      return;
    }
    const ColumnSpec& column = program_.schema[found->column];
    const auto stated = std::ranges::find(tensor_types(), type, config_name);
    if (stated == tensor_types().end() || !retype(*found, *stated, column))
      problem(where, config_name(*found->type) + " for the model's ", name_of(column.type), type);
    served_.inputs.push_back(std::move(*found));
  }

  void read_output(const json::object& output) {
    const std::string name(text_of(output, "name"));
    const std::string where = "output " + quoted(name);
    const int32_t index = find_output(name);
    if (index < 0) return problem(where, "one of the model's ", known_outputs(), "no such output");
    const TensorOutput tensor(program_, index);
    const std::string_view type = text_of(output, "data_type");
    if (type != config_name(tensor.type())) problem(where, config_name(tensor.type()), "", type);
    const Dims expected = dims_of(served_, tensor.width(), tensor.is_vector()), dims = dims_in(output);
    if (dims != expected) problem(where, "dims ", shown(expected), shown(dims));
    if (output.contains("reshape")) problem(where, "no reshape", "", "one");
    if (std::ranges::find(served_.outputs, index, &TensorOutput::index) != served_.outputs.end())
      problem(where, "an output once", "", "it under two names");
    served_.outputs.push_back(tensor);
    served_.output_names.push_back(name);
  }

  void expect_every_column() {
    std::vector<int> sent(program_.schema.size());
    for (const TensorInput& input : served_.inputs)
      for (size_t i = 0; i < static_cast<size_t>(input.width); ++i) ++sent[input.column + i];
    for (size_t i = 0; i < sent.size(); ++i) {
      const std::string where = "column " + quoted(program_.schema[i].name);
      if (sent[i] == 0 && served_.model->used_columns()[i]) problem(where, "an input", "", "none");
      if (sent[i] > 1) problem(where, "one input", "", sent[i]);
    }
    for (const std::string& valid : valid_) {
      const auto of = std::ranges::find(served_.inputs, valid.substr(0, valid.size() - kValidSuffix.size()),
                                        &TensorInput::name);
      if (of == served_.inputs.end()) problem("input " + quoted(valid), "the input it is about", "", "none");
      else of->valid = valid;
    }
  }

  json::object tensor(const std::string& name, std::string_view type, const Dims& dims) const {
    json::object out;
    out["name"] = name;
    out["data_type"] = type;
    out["dims"] = json::array(dims.begin(), dims.end());
    return out;
  }

  json::array inputs_of_model() const {
    json::array out, valid;
    for (const TensorInput& input : default_inputs(*served_.model)) {
      const Dims dims = dims_of(served_, input.width, !input.matrix);
      out.push_back(tensor(input.name, config_name(*input.type), dims));
      if (served_.nulls == NullPolicy::refuse || input.valid.empty()) continue;
      json::object mask = tensor(input.valid, "TYPE_BOOL", dims);
      mask["optional"] = true;
      valid.push_back(std::move(mask));
    }
    out.insert(out.end(), valid.begin(), valid.end());
    return out;
  }

  json::array outputs_of_model() const {
    json::array out;
    for (size_t i = 0; i < program_.outputs.size(); ++i) {
      const TensorOutput one(program_, static_cast<int32_t>(i));
      const bool wanted = wanted_.empty() || std::ranges::any_of(wanted_, [&](std::string_view name) {
                            return one.is_called(name);
                          });
      if (wanted)
        out.push_back(
            tensor(one.name(), config_name(one.type()), dims_of(served_, one.width(), one.is_vector())));
    }
    return out;
  }

  Served& served_;
  const Program& program_;
  const json::object& config_;
  std::vector<std::string_view> wanted_;
  std::vector<std::string> valid_;
  std::vector<std::string> problems_;
};

}  // namespace

TRITONSERVER_DataType code_of(const TensorType& type) {
  static_assert(TRITONSERVER_TYPE_BOOL == 1 && TRITONSERVER_TYPE_BYTES == 13);  // the protocol's order
  return static_cast<TRITONSERVER_DataType>(1 + (&type - tensor_types().data()));
}

std::string config_name(const TensorType& type) {
  return "TYPE_" + std::string(type.bytes == 0 ? "STRING" : type.name);
}

const TensorOutput* Served::output(std::string_view name) const {
  const auto found = std::ranges::find(output_names, name);
  return found == output_names.end() ? nullptr : &outputs[static_cast<size_t>(found - output_names.begin())];
}

Served serve(const std::string& folder, uint64_t version, std::string_view config, bool complete,
             std::string& completed) {
  json::value parsed = json::parse(config);
  require(parsed.is_object(), ErrorCode::input,
          "configuration: expected a JSON object but found another value");
  json::object& stated = parsed.get_object();
  const std::string_view file = text_of(stated, "default_model_filename");
  require(file.find('/') == file.npos, ErrorCode::input,
          "default_model_filename: expected the name of a file in the version's folder but found ",
          quoted(file));
  Served served;
  served.model = Model::load(folder + "/" + std::to_string(version) + "/" +
                             (file.empty() ? "model.mlc" : std::string(file)));
  if (complete) {
    const json::object before = stated;
    Reader(served, before).complete(stated);
    completed = json::serialize(parsed);
  }
  Reader(served, stated).read();
  return served;
}

}  // namespace mlcore::triton
