// The kernels for devices, as loops on the CPU: random programs give the bytes, or the messages, of the
// host's plan.
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>

#include "device/device_model.h"
#include "random_programs.h"
#include "runtime/warm_workspace.h"

namespace {

using namespace samples;

// Rows of the random table as a batch.
class Rows {
 public:
  explicit Rows(int64_t rows) : table_(0) {
    names_ = std::make_shared<std::vector<std::string>>();
    for (size_t i = 0; i < kKinds.size(); ++i) {
      const DType dtype = kKinds[i] == Kind::string    ? DType::str
                          : kKinds[i] == Kind::int64   ? DType::i64
                          : kKinds[i] == Kind::float32 ? DType::f32
                                                       : DType::f64;
      auto& bytes = memory_.emplace_back(size_of(dtype) * static_cast<size_t>(rows));
      table_.read(static_cast<int32_t>(i), 0, rows, dtype, bytes.data());
      ColumnView view;
      view.storage = dtype == DType::str   ? Storage::refs
                     : dtype == DType::i64 ? Storage::int64
                     : dtype == DType::f32 ? Storage::float32
                                           : Storage::float64;
      view.type.kind = kKinds[i];
      view.length = rows;
      view.stride = static_cast<int64_t>(size_of(dtype));
      view.data = bytes.data();
      views_.push_back(view);
      names_->push_back("c" + text(i));
    }
    rows_ = rows;
  }
  Batch batch() const { return {rows_, names_, views_, {}}; }

 private:
  Table table_;
  int64_t rows_;
  std::shared_ptr<std::vector<std::string>> names_;
  std::vector<std::vector<std::byte>> memory_;
  std::vector<ColumnView> views_;
};

// The same table as Arrow has it in what the emulated device takes for its memory; text as strings, or as a
// dictionary of all the texts that there are.
class ArrowRows {
 public:
  ArrowRows(const Batch& rows, bool dictionary, bool missing) {
    std::vector<ColumnView> views;
    for (size_t i = 0; i < rows.column_count(); ++i) {
      const ColumnView& column = rows.column(i);
      views.push_back(column.storage == Storage::refs ? text_column(column, dictionary, missing) : column);
    }
    table_.columns =
        Batch(rows.rows(),
              std::make_shared<const std::vector<std::string>>(rows.names().begin(), rows.names().end()),
              std::move(views), {});
  }
  const DeviceTable& table() const { return table_; }

 private:
  ColumnView text_column(const ColumnView& refs, bool dictionary, bool missing) {
    const auto* const values = static_cast<const StringRef*>(refs.data);
    std::string_view kKnown[] = {"", "re", "red"};
    auto& offsets = offsets_.emplace_back(1, 0);
    std::string& bytes = bytes_.emplace_back();
    auto& indices = indices_.emplace_back();
    auto& bits = bits_.emplace_back(static_cast<size_t>(refs.length / 8 + 1));
    const auto append = [&](std::string_view value) {
      bytes += value;
      offsets.push_back(static_cast<int64_t>(bytes.size()));
    };
    for (int64_t i = 0; i < refs.length; ++i) {
      const StringRef& value = values[i];
      const std::string_view text =
          value.data ? std::string_view(value.data, static_cast<size_t>(value.size)) : "";
      if (value.data || !missing) bits[static_cast<size_t>(i / 8)] |= static_cast<uint8_t>(1 << (i % 8));
      indices.push_back(static_cast<int16_t>(std::ranges::find(kKnown, text) - kKnown));
      if (!dictionary) append(text);
    }
    if (dictionary)
      for (std::string_view value : kKnown) append(value);
    ColumnView strings;
    strings.storage = Storage::large_utf8;
    strings.type.kind = Kind::string;
    strings.length = static_cast<int64_t>(offsets.size()) - 1;
    strings.offsets = offsets.data();
    strings.data = bytes.data();
    ColumnView out = strings;
    if (dictionary) {
      out.dictionary = &dictionaries_.emplace_back(strings);
      out.storage = Storage::int16;
      out.length = refs.length;
      out.stride = sizeof(int16_t);
      out.data = indices.data();
    }
    out.validity = bits.data();
    return out;
  }

  DeviceTable table_;
  std::deque<std::vector<int64_t>> offsets_;
  std::deque<std::string> bytes_;
  std::deque<std::vector<int16_t>> indices_;
  std::deque<std::vector<uint8_t>> bits_;
  std::deque<ColumnView> dictionaries_;
};

// The block as text: NaNs are one, and strings what they hold.
template <class Run>
std::string answer(const Model& model, int32_t output, int64_t rows, const Run& run) {
  const ValueType type =
      model.program()
          .nodes[static_cast<size_t>(model.program().outputs[static_cast<size_t>(output)].value)]
          .type;
  const auto count = static_cast<size_t>(rows * type.width);
  std::vector<std::byte> block(size_of(type.dtype) * count);
  try {
    const int32_t outputs[] = {output};
    void* const destinations[] = {block.data()};
    run(outputs, destinations);
  } catch (const Error& error) {
    return std::string("error: ") + error.what();
  }
  std::string out;
  for (size_t i = 0; i < count; ++i) {
    const std::byte* at = block.data() + i * size_of(type.dtype);
    if (type.dtype == DType::str) {
      StringRef ref;
      std::memcpy(&ref, at, sizeof ref);
      out += ref.data ? quoted({ref.data, static_cast<size_t>(ref.size)}) : "missing " + text(ref.size);
    } else if (type.dtype == DType::f64 || type.dtype == DType::f32) {
      double value = 0;
      float narrow = 0;
      if (type.dtype == DType::f64) std::memcpy(&value, at, sizeof value);
      else std::memcpy(&narrow, at, sizeof narrow), value = static_cast<double>(narrow);
      out += value != value ? "nan" : (std::signbit(value) ? "-" : "+") + text(std::abs(value));
    } else {
      out.append(reinterpret_cast<const char*>(at), size_of(type.dtype));
    }
    out += ' ';
  }
  return out;
}

int64_t trials() {
  const char* scale = std::getenv("MLCORE_TEST_SCALE");
  return static_cast<int64_t>(200 * (scale ? std::atof(scale) : 1.0));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(device)

BOOST_AUTO_TEST_CASE(random_programs_give_the_hosts_bytes_and_messages) {
  if (std::getenv("MLCORE_TEST_GPU") == nullptr) ::setenv("MLCORE_CUDA_LIBRARY", MLCORE_EMULATED, 1);
  std::map<std::string, int> accepted;
  int64_t compared = 0, refused = 0;
  const Rows few(9), many(1'200);
  for (int64_t trial = 0; trial < trials(); ++trial) {
    std::shared_ptr<const Model> model;
    try {
      model = std::make_shared<const Model>(Generator(static_cast<uint64_t>(trial)).make(accepted));
    } catch (const Error& error) {
      BOOST_REQUIRE(error.code() == ErrorCode::program);
      continue;
    }
    const DeviceModel on_device(model, "cuda:0");
    for (const Rows* rows : {&few, &many}) {
      const Batch batch = rows->batch();
      for (int32_t output = 0; output < static_cast<int32_t>(model->program().outputs.size()); ++output) {
        const WarmWorkspace workspace;
        const std::string expected =
            answer(*model, output, batch.rows(), [&](auto outputs, auto destinations) {
              model->run(batch, {&outputs[0], 1}, {&destinations[0], 1}, *workspace);
            });
        const std::string found = answer(*model, output, batch.rows(), [&](auto outputs, auto destinations) {
          on_device.run(batch, {&outputs[0], 1}, {&destinations[0], 1});
        });
        BOOST_REQUIRE_MESSAGE(found == expected,
                              "trial " << trial << ", " << batch.rows() << " rows, output " << output
                                       << ", op " << model->program().nodes[static_cast<size_t>(output)].op
                                       << "\n"
                                       << expected.substr(0, 300) << "\n"
                                       << found.substr(0, 300));
        ++compared;
        refused += expected.starts_with("error: ");
      }
    }
  }
  BOOST_TEST(compared > 10 * trials());
  BOOST_TEST(refused > trials() / 10);
}

BOOST_AUTO_TEST_CASE(random_programs_read_columns_of_the_device) {
  ::setenv("MLCORE_CUDA_LIBRARY", MLCORE_EMULATED, 1);
  std::map<std::string, int> accepted;
  int64_t compared = 0, refused = 0, for_the_host = 0;
  const Rows rows(700);
  const Batch batch = rows.batch();
  const ArrowRows tables[] = {
      {batch, false, false}, {batch, true, false}, {batch, false, true}, {batch, true, true}};
  for (int64_t trial = 0; trial < trials(); ++trial) {
    std::shared_ptr<const Model> model;
    try {
      model = std::make_shared<const Model>(Generator(static_cast<uint64_t>(trial)).make(accepted));
    } catch (const Error& error) {
      BOOST_REQUIRE(error.code() == ErrorCode::program);
      continue;
    }
    const DeviceModel on_device(model, "cuda:0");
    for (const ArrowRows& rows_of : tables) {
      const Batch& columns = rows_of.table().columns;  // the device's memory is the host's
      for (int32_t output = 0; output < static_cast<int32_t>(model->program().outputs.size()); ++output) {
        const WarmWorkspace workspace;
        const std::string found =
            answer(*model, output, columns.rows(), [&](auto outputs, auto destinations) {
              on_device.run_on_device(rows_of.table(), {&outputs[0], 1}, {&destinations[0], 1}, nullptr);
            });
        if (found.find("expected a table in the host's memory") != std::string::npos) {
          ++for_the_host;
          continue;
        }
        const std::string expected =
            answer(*model, output, columns.rows(), [&](auto outputs, auto destinations) {
              model->run(columns, {&outputs[0], 1}, {&destinations[0], 1}, *workspace);
            });
        BOOST_REQUIRE_MESSAGE(found == expected,
                              "trial " << trial << ", output " << output << ", op "
                                       << model->program().nodes[static_cast<size_t>(output)].op << "\n"
                                       << expected.substr(0, 300) << "\n"
                                       << found.substr(0, 300));
        ++compared;
        refused += expected.starts_with("error: ");
      }
    }
  }
  BOOST_TEST(compared > 10 * trials());
  BOOST_TEST(refused > trials() / 10);
  BOOST_TEST(for_the_host < 2 * compared);
}

BOOST_AUTO_TEST_SUITE_END()
