#include "runtime/model.h"

#include "ir/artifact.h"
#include "runtime/decode.h"
#include "runtime/golden.h"
#include "runtime/translation.h"

namespace mlcore {
namespace {

class BatchSource final : public Source {
 public:
  BatchSource(const Program& program, const Plan& plan, const Batch& batch)
      : loops_(plan.loops()), inputs_(program.schema.size()) {
    const std::vector<int32_t> bound = bind_columns(program.schema, plan.used_columns(), batch);
    for (size_t i = 0; i < inputs_.size(); ++i)
      if (bound[i] >= 0) inputs_[i] = {&program.schema[i], &batch.column(static_cast<size_t>(bound[i]))};
    if (batch.rows() > 1) {
      find_matrices(inputs_);
      translations_ = Translations(plan.encoded_columns(), plan.column_of(), inputs_);
    }
  }

  void read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const override {
    const DecodeInput& input = inputs_[static_cast<size_t>(column)];
    decode(*input.spec, *input.column, first, n, dtype, out);
  }

  void read_columns(std::span<const int32_t> columns, int64_t first, int64_t n, DType dtype,
                    std::byte* out) const override {
    if (!decode_matrix(loops_, inputs_, columns, first, n, dtype, out))
      Source::read_columns(columns, first, n, dtype, out);
  }

  const Translation* translation(size_t node) const override { return translations_.of(node); }

 private:
  const BlockLoops& loops_;
  std::vector<DecodeInput> inputs_;
  Translations translations_;  // points into inputs_
};

class InOrderSource final : public Source {
 public:
  InOrderSource(const Program& program, const Batch& batch) : program_(program), batch_(batch) {}

  void read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const override {
    const auto index = static_cast<size_t>(column);
    decode(program_.schema[index], batch_.column(index), first, n, dtype, out);
  }

 private:
  const Program& program_;
  const Batch& batch_;
};

Program validated(Program program) {
  validate_program(program);
  return program;
}

// All outputs for all rows, each as row-major bytes of its block.
std::vector<std::vector<std::byte>> run_all(const Program& program, const Plan& plan, const Source& source,
                                            int64_t rows) {
  std::vector<int32_t> outputs;
  std::vector<void*> destinations;
  std::vector<std::vector<std::byte>> results;
  for (size_t i = 0; i < program.outputs.size(); ++i) {
    const ValueType type = program.nodes[static_cast<size_t>(program.outputs[i].value)].type;
    outputs.push_back(static_cast<int32_t>(i));
    results.emplace_back(size_of(type.dtype) * static_cast<size_t>(type.width * rows));
  }
  for (auto& result : results) destinations.push_back(result.data());
  Workspace workspace;
  plan.run(source, rows, outputs, destinations, workspace);
  return results;
}

// A file that passed the codec may still hold a program that no op accepts: for the reader that is a bad
// file.
template <class Make>
std::shared_ptr<const Model> as_artifact(const Make& make) {
  chosen_isa();  // what it says of the environment is not the file's fault
  try {
    return make();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::program && error.code() != ErrorCode::input) throw;
    throw Error(ErrorCode::artifact,
                std::string("the file holds a program that cannot run: ") + error.what());
  }
}

}  // namespace

Model::Model(Program program) : program_(validated(std::move(program))), plan_(program_) { replay(); }

std::shared_ptr<const Model> Model::load(const std::string& path) {
  return as_artifact([&] { return std::make_shared<const Model>(load_artifact(path)); });
}

std::shared_ptr<const Model> Model::from_bytes(std::span<const std::byte> bytes) {
  return as_artifact([&] { return std::make_shared<const Model>(decode_artifact(bytes)); });
}

void Model::run(const Batch& batch, std::span<const int32_t> outputs, std::span<void* const> destinations,
                Workspace& workspace) const {
  const BatchSource source(program_, plan_, batch);
  plan_.run(source, batch.rows(), outputs, destinations, workspace);
}

void Model::run_in_order(const Batch& batch, std::span<const int32_t> outputs,
                         std::span<void* const> destinations, Workspace& workspace) const {
  plan_.run(InOrderSource(program_, batch), batch.rows(), outputs, destinations, workspace);
}

Program Model::with_golden(const Batch& batch) const {
  const BatchSource source(program_, plan_, batch);
  Program program = program_;
  store_golden(program, plan_.used_columns(), source, batch.rows(),
               run_all(program_, plan_, source, batch.rows()));
  return program;
}

void Model::replay() const {
  const GoldenRows& golden = program_.golden;
  if (golden.rows == 0) return;
  const auto found = run_all(program_, plan_, GoldenSource(program_), golden.rows);
  for (size_t i = 0; i < found.size(); ++i) {
    const Constant& expected = program_.constants[static_cast<size_t>(golden.expected[i])];
    require(same_bytes(expected, found[i]), ErrorCode::artifact, "golden rows: output ",
            quoted(program_.outputs[i].method),
            " differs from the bytes stored in the file; this build or CPU does not reproduce the model");
  }
}

}  // namespace mlcore
