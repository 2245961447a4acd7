#include "runtime/translation.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "runtime/column_reader.h"

namespace mlcore {
namespace {

// Whether looking the entries up costs less than looking the rows up.
bool pays(const ColumnView& column) {
  return column.dictionary && column.dictionary->length > 0 &&
         column.dictionary->length <=
             std::min<int64_t>(column.length / 2, std::numeric_limits<int32_t>::max());
}

// None where some entry is bad, which is an error only if a row has it.
std::optional<Dictionary> read_dictionary(const DecodeInput& input) {
  const ColumnView& values = *input.column->dictionary;
  Dictionary out{&input, std::vector<StringRef>(static_cast<size_t>(values.length))};
  const ColumnSpec spec{input.spec->name, input.spec->type, true, false};
  try {
    decode_text({spec, values, 0}, values.length, out.entries.data());
  } catch (const Error&) {
    return std::nullopt;
  }
  out.complete =
      std::ranges::all_of(out.entries, [](const StringRef& entry) { return entry.data != nullptr; });
  return out;
}

}  // namespace

std::vector<EncodedColumn> encoded_columns(const Program& program,
                                           std::span<const std::unique_ptr<Step>> steps) {
  std::vector<uint8_t> only_encoded(program.nodes.size());
  for (size_t i = 0; i < program.nodes.size(); ++i) {
    const Node& node = program.nodes[i];
    only_encoded[i] = node.op == "column" && node.type.dtype == DType::str;
    if (!steps[i] || !steps[i]->text_encoder())
      for (int32_t input : node.inputs) only_encoded[static_cast<size_t>(input)] = 0;
  }
  for (const OutputSpec& output : program.outputs) only_encoded[static_cast<size_t>(output.value)] = 0;
  std::vector<EncodedColumn> out;
  for (size_t i = 0; i < program.nodes.size(); ++i)
    for (int32_t input : program.nodes[i].inputs)
      if (only_encoded[static_cast<size_t>(input)])
        out.push_back({input, static_cast<int32_t>(i), steps[i]->text_encoder()});
  return out;
}

void read_positions(const Translation& translation, int64_t first, int64_t n, int32_t* out) {
  const Dictionary& dictionary = *translation.dictionary;
  decode_positions({*dictionary.input->spec, *dictionary.input->column, first}, n, dictionary.entries,
                   dictionary.complete, out);
}

void run_translated(const Step& encode, const Translation& translation, const StepArgs& args) {
  encode.text_encoder()->run_translated(args, translation.dictionary->entries, translation.codes);
}

Translations::Translations(std::span<const EncodedColumn> encoded, std::span<const int32_t> columns,
                           std::span<const DecodeInput> inputs) {
  for (const EncodedColumn& pair : encoded) {
    const DecodeInput& input = inputs[static_cast<size_t>(columns[static_cast<size_t>(pair.column_node)])];
    if (!pays(*input.column)) continue;
    auto dictionary = std::ranges::find(dictionaries_, &input, &Dictionary::input);
    if (dictionary == dictionaries_.end()) {
      auto read = read_dictionary(input);
      if (!read) continue;
      dictionary = dictionaries_.insert(dictionaries_.end(), std::move(*read));
    }
    auto& translation = translations_.emplace_back(
        Translation{&*dictionary, std::vector<int32_t>(dictionary->entries.size())});
    pair.encoder->find(dictionary->entries, translation.codes.data());
    by_node_.resize(columns.size());
    by_node_[static_cast<size_t>(pair.column_node)] = &translation;
    by_node_[static_cast<size_t>(pair.encode_node)] = &translation;
  }
}

}  // namespace mlcore
