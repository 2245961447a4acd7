#include "triton/config.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <set>

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

// What lies at a path such as /input/0/dims, as messages have it; empty: nothing, or false. Not at() nor
// as_string() and its like, which would leave the build's path in the library.
std::string text_at(const json::value& from, std::string_view path) {
  boost::system::error_code absent;
  const json::value* found = from.find_pointer(path, absent);
  if (!found) return {};
  if (found->is_string()) return std::string(found->get_string());
  if (found->is_int64()) return text(found->get_int64());
  if (found->is_object() || (found->is_bool() && found->get_bool())) return "one";
  if (!found->is_array()) return {};
  std::string list;
  for (const json::value& entry : found->get_array())
    list += (list.empty() ? " " : ", ") + text_at(entry, "");
  return "[" + list + " ]";
}

// Entries of a list, which an absent one has none of.
json::array list_at(const json::value& from, std::string_view path) {
  boost::system::error_code absent;
  const json::value* found = from.find_pointer(path, absent);
  return found && found->is_array() ? found->get_array() : json::array();
}

std::string config_name(const TensorType& type) {
  return "TYPE_" + std::string(type.bytes == 0 ? "STRING" : type.name);
}

class Reader {
 public:
  Reader(Served& served, json::value& config)
      : served_(served),
        program_(served.model->program()),
        known_(tensor_outputs(program_)),
        config_(config) {}

  // With `complete`, what the configuration leaves out is added to it first.
  void read(bool complete) {
    read_parameters();
    json::object& config = config_.get_object();
    const bool bare = complete && list_at(config_, "/input").empty();
    if (bare && !is_batched()) {
      config["max_batch_size"] = kMaxBatchSize;
      if (!config.contains("sequence_batching")) config.emplace("dynamic_batching", json::object());
    }
    served_.batched = is_batched();
    served_.lists = !served_.batched;
    for (const json::value& input : list_at(config_, "/input"))
      if (text_at(input, "/dims/0") == "-1") served_.lists = true;
    if (bare) config["input"] = usual_inputs();
    if (complete && list_at(config_, "/output").empty()) config["output"] = usual_outputs();
    for (const json::value& input : list_at(config_, "/input")) read_input(input);
    for (const json::value& input : list_at(config_, "/input")) read_mask(input);
    for (const json::value& output : list_at(config_, "/output")) read_output(output);
    for (const std::string& problem : column_problems(*served_.model, served_.inputs))
      problems_.push_back(problem);
    expect(!served_.outputs.empty(), "output", "at least one of " + names_of(known_), "none");
    if (!problems_.empty()) fail(ErrorCode::input, list_problems("configuration", problems_));
  }

 private:
  bool is_batched() const { return number_in<int64_t>(text_at(config_, "/max_batch_size")).value_or(0) > 0; }

  std::string parameter(const std::string& name) const {
    return text_at(config_, "/parameters/" + name + "/string_value");
  }

  void read_parameters() {
    if (const std::string name = parameter("null_policy"); !name.empty()) {
      const std::optional<NullPolicy> nulls = null_policy_named(name);
      require(nulls.has_value(), ErrorCode::input,
              "parameter 'null_policy': expected 'nan', 'empty_string' or 'refuse' but found ", quoted(name));
      served_.nulls = *nulls;
    }
    if (const std::string threads = parameter("threads"); !threads.empty()) {
      const int64_t number = number_in<int64_t>(threads).value_or(0);
      require(number >= 1 && number <= kMaxThreads, ErrorCode::input,
              "parameter 'threads': expected an integer from 1 to ", kMaxThreads, " but found ",
              quoted(threads));
      // nobody else has the model yet
      std::const_pointer_cast<Model>(served_.model)->set_threads(number);
    }
    const std::string names = parameter("outputs");
    for (size_t at = 0, end = 0; (at = names.find_first_not_of(" ,", end)) != names.npos;) {
      end = std::min(names.find_first_of(" ,", at), names.size());
      const std::string name = names.substr(at, end - at);
      const std::optional<size_t> place = find_tensor_output(known_, name);
      require(place.has_value(), ErrorCode::input, "parameter 'outputs': expected some of ", names_of(known_),
              " but found ", quoted(name));
      wanted_.insert(*place);
    }
  }

  // What a configuration says of a tensor. Dimensions beside the batch's: those of the rows, where a request
  // gives lists, and of the values.
  json::object described(const TensorFacts& tensor) const {
    json::array dims;
    if (served_.lists) dims.push_back(-1);
    if (!served_.lists || !tensor.vector) dims.push_back(tensor.width);
    json::object out{{"name", tensor.name}, {"data_type", config_name(*tensor.type)}, {"dims", dims}};
    if (tensor.optional) out["optional"] = true;  // which an output has no place for
    return out;
  }

  json::array usual_inputs() const {
    json::array out;
    for (const TensorFacts& input : default_facts(*served_.model))
      if (served_.nulls != NullPolicy::refuse || !input.optional) out.push_back(described(input));
    return out;
  }

  json::array usual_outputs() const {
    json::array out;
    for (size_t i = 0; i < known_.size(); ++i)
      if (wanted_.empty() || wanted_.contains(i)) out.push_back(described(facts_of(known_[i])));
    return out;
  }

  void expect(bool is_so, const std::string& where, const std::string& expected, const std::string& found) {
    if (!is_so) problems_.push_back(where + ": expected " + expected + " but found " + found);
  }

  // Holds what is stated of a tensor to what the model says of it; `meaning`: why that type.
  void compare(const std::string& where, const json::value& stated, const json::value& model,
               const std::string& meaning = "") {
    const std::string type = text_at(model, "/data_type"), stated_type = text_at(stated, "/data_type");
    const std::string dims = text_at(model, "/dims"), stated_dims = text_at(stated, "/dims");
    expect(stated_type == type, where, type + meaning, stated_type);
    expect(stated_dims == dims, where, "dims " + dims, stated_dims);
    expect(text_at(stated, "/reshape").empty(), where, "no reshape", "one");
    expect(text_at(stated, "/optional") <= text_at(model, "/optional"), where,
           "an input that every request has", "an optional one");
  }

  void read_input(const json::value& stated) {
    const std::string name = text_at(stated, "/name"), where = "input " + quoted(name);
    std::optional<TensorInput> input = find_tensor_input(program_, name);
    if (!input) {
      const bool is_mask = find_masked_input(program_, name).has_value();
      return expect(is_mask, where, "a column of the model", "no such column");
    }
    const ColumnSpec& column = program_.schema[input->column];
    const auto type = std::ranges::find(tensor_types(), text_at(stated, "/data_type"), config_name);
    if (type != tensor_types().end()) retype(*input, *type, column);
    compare(where, stated, described(facts_of(*input)), " for the model's " + name_of(column.type));
    served_.inputs.push_back(std::move(*input));
  }

  void read_mask(const json::value& stated) {
    const std::string name = text_at(stated, "/name"), where = "input " + quoted(name);
    const std::optional<TensorInput> masked = find_masked_input(program_, name);
    if (!masked) return;
    compare(where, stated, described(mask_facts_of(*masked)));
    expect(served_.nulls != NullPolicy::refuse, where, "null_policy 'nan' or 'empty_string'", "'refuse'");
    const auto input = std::ranges::find(served_.inputs, masked->name, &TensorInput::name);
    if (input != served_.inputs.end()) input->valid = name;
    else expect(false, where, "the input it is about", "none");
  }

  void read_output(const json::value& stated) {
    const std::string name = text_at(stated, "/name"), where = "output " + quoted(name);
    const std::optional<size_t> place = find_tensor_output(known_, name);
    if (!place) return expect(false, where, "one of the model's " + names_of(known_), "no such output");
    const TensorOutput& output = known_[*place];
    compare(where, stated, described(facts_of(output)));
    const auto same = std::ranges::find(served_.outputs, output.index(), &TensorOutput::index);
    expect(same == served_.outputs.end(), where, "an output once", "it under two names");
    served_.outputs.emplace_back(output).rename(name);
  }

  Served& served_;
  const Program& program_;
  const std::vector<TensorOutput> known_;
  json::value& config_;
  std::set<size_t> wanted_;  // places of the outputs to offer where the configuration states none; empty: all
  std::vector<std::string> problems_;
};

}  // namespace

TRITONSERVER_DataType code_of(const TensorType& type) {
  static_assert(TRITONSERVER_TYPE_BOOL == 1 && TRITONSERVER_TYPE_BYTES == 13);  // the protocol's order
  return static_cast<TRITONSERVER_DataType>(1 + (&type - tensor_types().data()));
}

Served serve(const std::string& folder, uint64_t version, std::string& config, bool complete) {
  json::value parsed = json::parse(config);
  require(parsed.is_object(), ErrorCode::input,
          "configuration: expected a JSON object but found another value");
  const std::string file = text_at(parsed, "/default_model_filename");
  require(file.find('/') == file.npos, ErrorCode::input,
          "default_model_filename: expected the name of a file in the version's folder but found ",
          quoted(file));
  Served served;
  served.model =
      Model::load(folder + "/" + std::to_string(version) + "/" + (file.empty() ? "model.mlc" : file));
  Reader(served, parsed).read(complete);
  if (complete) config = json::serialize(parsed);
  return served;
}

}  // namespace mlcore::triton
