// Runs a saved model on a generated table, for callgrind: `measured` is the one function whose instructions
// count.
//
//   mlcore_instructions MODEL.mlc METHOD ROWS CALLS
//
// ROWS rows per call; the table depends on the model's schema and constants alone, so that counts can be
// compared.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model.h"

namespace {

using namespace mlcore;

// splitmix64
uint64_t mixed(uint64_t state) {
  state += 0x9e3779b97f4a7c15;
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
  state = (state ^ (state >> 27)) * 0x94d049bb133111eb;
  return state ^ (state >> 31);
}

// Numbers lie row by row, as in NumPy's matrices, and strings as in Arrow's arrays.
class Table {
 public:
  Table(const Program& program, int64_t rows) : rows_(rows) {
    const size_t columns = program.schema.size();
    const auto n = static_cast<size_t>(rows);
    for (const Constant& constant : program.constants)
      if (constant.type() == DType::str)
        for (int64_t i = 0; i < constant.size(); ++i) words_.emplace_back(constant.string_at(i));
    narrow_.resize(n * columns);
    wide_.resize(n * columns);
    texts_.resize(columns);
    offsets_.resize(columns);
    auto names = std::make_shared<std::vector<std::string>>();
    for (size_t i = 0; i < columns; ++i) {
      const ColumnSpec& spec = program.schema[i];
      names->push_back(spec.name);
      ColumnView view;
      view.type = spec.type;
      view.length = rows;
      if (spec.type.kind == Kind::string) {
        fill_text(i, n);
        view.storage = Storage::large_utf8;
        view.data = texts_[i].data();
        view.offsets = offsets_[i].data();
      } else {
        const bool is_narrow = spec.type.kind == Kind::float32;
        for (size_t row = 0; row < n; ++row) {
          const auto unit = static_cast<double>(mixed(row * columns + i) >> 11) * 0x1p-53;
          wide_[row * columns + i] = 4 * unit - 2;
          narrow_[row * columns + i] = static_cast<float>(4 * unit - 2);
        }
        view.storage = is_narrow ? Storage::float32 : Storage::float64;
        view.data = is_narrow ? static_cast<const void*>(&narrow_[i]) : static_cast<const void*>(&wide_[i]);
        view.stride = static_cast<int64_t>(columns * (is_narrow ? sizeof(float) : sizeof(double)));
      }
      views_.push_back(view);
    }
    names_ = std::move(names);
  }

  Batch batch(int64_t first, int64_t count) const {
    std::vector<ColumnView> views;
    for (const ColumnView& view : views_) views.push_back(slice(view, first, count));
    return Batch(count, names_, std::move(views), {});
  }

 private:
  void fill_text(size_t column, size_t rows) {
    offsets_[column].push_back(0);
    for (size_t row = 0; row < rows; ++row) {
      const uint64_t random = mixed(row * texts_.size() + column);
      // one in fifty was never seen
      texts_[column] +=
          random % 50 == 0 || words_.empty() ? "never-seen" : words_[(random >> 8) % words_.size()];
      offsets_[column].push_back(static_cast<int64_t>(texts_[column].size()));
    }
  }

  int64_t rows_;
  std::vector<std::string> words_;
  std::vector<float> narrow_;
  std::vector<double> wide_;
  std::vector<std::string> texts_;
  std::vector<std::vector<int64_t>> offsets_;
  std::vector<ColumnView> views_;
  Names names_;
};

}  // namespace

// Not inlined and with a plain name: callgrind is told to collect inside it.
extern "C" __attribute__((noinline)) void measured(const Model& model, const std::vector<Batch>& batches,
                                                   int32_t output, void* destination, Workspace& workspace) {
  const std::vector<int32_t> outputs = {output};
  const std::vector<void*> destinations = {destination};
  for (const Batch& batch : batches) model.run(batch, outputs, destinations, workspace);
}

int main(int count, char** arguments) {
  try {
    if (count != 5) throw std::runtime_error("expected MODEL METHOD ROWS CALLS");
    const std::shared_ptr<const Model> model = Model::load(arguments[1]);
    const int64_t rows = std::atoll(arguments[3]), calls = std::atoll(arguments[4]);
    const Program& program = model->program();
    int32_t output = -1;
    for (size_t i = 0; i < program.outputs.size(); ++i)
      if (program.outputs[i].method == arguments[2]) output = static_cast<int32_t>(i);
    if (output < 0) throw std::runtime_error(std::string("the model has no ") + arguments[2]);

    const Table table(program, rows * calls);
    std::vector<Batch> batches;
    for (int64_t call = 0; call < calls; ++call) batches.push_back(table.batch(call * rows, rows));
    const OutputSpec& spec = program.outputs[static_cast<size_t>(output)];
    const ValueType type = program.nodes[static_cast<size_t>(spec.value)].type;
    std::vector<std::byte> result(size_of(type.dtype) * static_cast<size_t>(type.width * rows));
    Workspace workspace;
    const std::vector<int32_t> outputs = {output};
    const std::vector<void*> destinations = {result.data()};
    model->run(batches[0], outputs, destinations, workspace);  // memory grows here
    measured(*model, batches, output, result.data(), workspace);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
