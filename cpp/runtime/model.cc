#include "runtime/model.h"

#include <algorithm>

#include "ir/artifact.h"
#include "runtime/decode.h"
#include "runtime/golden.h"
#include "runtime/thread_count.h"
#include "runtime/translation.h"

namespace mlcore {
namespace {

class BatchSource final : public Source {
 public:
  BatchSource(const Program& program, const Plan& plan, const Batch& batch)
      : loops_(plan.loops()), first_row_(batch.first_row()), inputs_(program.schema.size()) {
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

  int64_t first_row() const override { return first_row_; }
  const Translation* translation(size_t node) const override { return translations_.of(node); }

 private:
  const BlockLoops& loops_;
  int64_t first_row_;
  std::vector<DecodeInput> inputs_;
  Translations translations_;  // points into inputs_
};

// The rows of several tables, one after the other; each is bound by itself.
class JoinedSource final : public Source {
 public:
  JoinedSource(const Program& program, const Plan& plan, std::span<const Batch* const> batches) {
    parts_.reserve(batches.size());
    for (const Batch* batch : batches) {
      parts_.emplace_back(program, plan, *batch);
      ends_.push_back(rows() + batch->rows());
    }
  }

  int64_t rows() const { return ends_.empty() ? 0 : ends_.back(); }

  void read(int32_t column, int64_t first, int64_t n, DType dtype, void* out) const override {
    auto* to = static_cast<std::byte*>(out);
    auto part = static_cast<size_t>(std::ranges::upper_bound(ends_, first) - ends_.begin());
    for (; n > 0; ++part) {
      const int64_t start = part == 0 ? 0 : ends_[part - 1];
      const int64_t count = std::min(n, ends_[part] - first);
      if (count == 0) continue;  // a table without rows
      parts_[part].read(column, first - start, count, dtype, to);
      to += size_of(dtype) * static_cast<size_t>(count);
      first += count;
      n -= count;
    }
  }

 private:
  std::vector<BatchSource> parts_;
  std::vector<int64_t> ends_;  // rows up to the end of each part
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
  chosen_isa();  // what these say of the environment is not the file's fault
  threads_of_environment();
  thread_work_of_environment();
  try {
    return make();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::program && error.code() != ErrorCode::input) throw;
    throw Error(ErrorCode::artifact,
                std::string("the file holds a program that cannot run: ") + error.what());
  }
}

}  // namespace

Model::Model(Program program)
    : program_(validated(std::move(program))),
      fold_(fold(program_)),
      plan_(fold_.changed ? fold_.program : program_),
      threads_(threads_of_environment()),
      thread_work_(thread_work_of_environment()) {
  replay();
}

const Plan& Model::original_plan() const {
  if (!fold_.changed) return plan_;
  std::call_once(original_once_, [this] { original_ = std::make_unique<Plan>(program_); });
  return *original_;
}

// The folded plan may refuse more rows than the original, and in other words: the original has the last word.
template <class Fast, class Last>
void Model::run_plan(const Fast& fast, const Last& last) const {
  if (!fold_.changed) return fast();
  try {
    fast();
  } catch (const Error&) {
    last();
  }
}

std::shared_ptr<const Model> Model::load(const std::string& path) {
  return as_artifact([&] { return std::make_shared<const Model>(load_artifact(path)); });
}

std::shared_ptr<const Model> Model::from_bytes(std::span<const std::byte> bytes) {
  return as_artifact([&] { return std::make_shared<const Model>(decode_artifact(bytes)); });
}

int Model::threads() const {
  const int threads = threads_.load(std::memory_order_relaxed);
  return threads > 0 ? threads : available_processors();
}

void Model::set_threads(int64_t threads) {
  require(threads >= 0 && threads <= kMaxThreads, ErrorCode::input, "threads: expected an integer from 1 to ",
          kMaxThreads, ", or 0 for the default, but found ", threads);
  threads_.store(threads > 0 ? static_cast<int>(threads) : threads_of_environment(),
                 std::memory_order_relaxed);
}

void Model::run(const Batch& batch, std::span<const int32_t> outputs, std::span<void* const> destinations,
                Workspace& workspace) const {
  const BatchSource source(program_, plan_, batch);
  // one chunk needs no question to the system how many processors there are
  const Threading threading{batch.rows() > plan_.chunk_rows() ? threads() : 1, thread_work_};
  run_plan([&] { plan_.run(source, batch.rows(), outputs, destinations, workspace, threading); },
           [&] { run_unfolded(batch, outputs, destinations, workspace); });
}

void Model::run(std::span<const Batch* const> batches, std::span<const int32_t> outputs,
                std::span<void* const> destinations, Workspace& workspace) const {
  if (batches.size() == 1) return run(*batches.front(), outputs, destinations, workspace);
  const auto run_joined = [&](const Plan& plan, const JoinedSource& source) {
    const Threading threading{source.rows() > plan.chunk_rows() ? threads() : 1, thread_work_};
    plan.run(source, source.rows(), outputs, destinations, workspace, threading);
  };
  const JoinedSource source(program_, plan_, batches);
  run_plan([&] { run_joined(plan_, source); },
           [&] { run_joined(original_plan(), JoinedSource(program_, original_plan(), batches)); });
}

void Model::run_row(const Source& source, std::span<const int32_t> outputs,
                    std::span<void* const> destinations, Workspace& workspace) const {
  run_plan([&] { plan_.run(source, 1, outputs, destinations, workspace); },
           [&] { original_plan().run(source, 1, outputs, destinations, workspace); });
}

void Model::run_unfolded(const Batch& batch, std::span<const int32_t> outputs,
                         std::span<void* const> destinations, Workspace& workspace) const {
  const BatchSource source(program_, original_plan(), batch);
  original_plan().run(source, batch.rows(), outputs, destinations, workspace);
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
