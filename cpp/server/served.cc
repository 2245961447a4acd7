#include "server/served.h"

#include "base/file.h"
#include "base/status.h"
#include "ir/artifact.h"
#include "server/json_writer.h"

namespace mlcore::server {

const std::array<double, ModelCounts::kBuckets - 1> ModelCounts::kBounds{
    10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 50e-3, 250e-3, 1.0};

Served::Served(std::string name_, int64_t version_, std::string path_, std::shared_ptr<ModelCounts> counts_)
    : name(std::move(name_)),
      version(version_),
      path(std::move(path_)),
      loaded(std::chrono::system_clock::now()),
      counts(std::move(counts_)) {
  const FileBytes file = read_file(path, [](std::span<const std::byte>, size_t) {});
  digest = digest_of(file.span());
  const std::shared_ptr<Model> own = [&] {
    try {
      auto loading = std::make_shared<Model>(decode_artifact(file.span()));
      watch = std::make_unique<ColumnWatch>(*loading);
      return loading;
    } catch (const Error& error) {
      fail(error.code(), quoted_path(path), ": ", error.what());
    }
  }();
  own->set_threads(1);  // the loops are the threads
  model = own;
  const Program& program = model->program();
  auto names_of_columns = std::make_shared<std::vector<std::string>>();
  for (size_t i = 0; i < program.schema.size(); ++i) {
    columns.emplace(program.schema[i].name, static_cast<uint32_t>(i));
    names_of_columns->push_back(program.schema[i].name);
  }
  column_names = std::move(names_of_columns);
  outputs = tensor_outputs(program);
  for (size_t i = 0; i < outputs.size(); ++i) {
    std::vector<std::string>& names = keys.emplace_back();
    const OutputSpec& spec = program.outputs[i];
    if (!spec.vector && static_cast<int64_t>(spec.names.size()) == outputs[i].width()) {
      for (const std::string& column : spec.names) {
        append_text(names.emplace_back(), column);
        names.back() += ':';
      }
    }
    if (spec.method == "predict" || spec.method == "predict_proba") usual_.push_back(i);
  }
  if (usual_.empty())
    for (size_t i = 0; i < outputs.size(); ++i) usual_.push_back(i);
}

size_t Served::output_named(std::string_view output) const {
  const std::optional<size_t> found = find_tensor_output(outputs, output);
  if (found) return *found;
  fail(ErrorCode::input, "expected an output of the model (", names_of(outputs), ") but found another name");
}

}  // namespace mlcore::server
