// The JSON header of a .mlc file: one canonical text per program. docs/artifact-format.md has the grammar.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/program.h"

namespace mlcore {

// Where a slab lies in the file's data section.
struct Slab {
  DType type = DType::u8;
  std::vector<int64_t> shape;
  int64_t offset = 0;
  int64_t bytes = 0;
};

// What the header says: the program without the content of its slabs. `slabs` holds the program's constants
// and then one name table per output.
struct Header {
  Program program;  // `constants` and the outputs' `names` are empty
  std::vector<Slab> slabs;
  size_t memory = 0;  // bytes it takes, roughly and at most
};

std::string header_text(const Program& program, std::span<const Slab> slabs);

// Reads what header_text writes, and nothing else. Throws ErrorCode::artifact.
Header read_header(std::string_view text);

// Everything in the file starts at a multiple of this.
constexpr size_t kAlignment = 64;

// The start of every header, of any version.
constexpr std::string_view kHeaderStart = "{\"format\":\"mlcore\",\"version\":";

// Pieces of the text, which the reader writes again and compares.
void append_json(std::string& out, const ColumnSpec& column);
void append_json(std::string& out, const Node& node);
void append_json(std::string& out, const Slab& slab);
void append_json(std::string& out, const OutputSpec& output, size_t names);
void append_json(std::string& out, const GoldenRows& golden);
void append_json(std::string& out, const std::map<std::string, std::string>& texts);

}  // namespace mlcore
