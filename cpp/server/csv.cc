#include "server/csv.h"

#include <vector>

#include "base/number.h"
#include "base/status.h"
#include "base/utf8.h"
#include "server/http.h"
#include "server/json_writer.h"

namespace mlcore::server {
namespace {

struct Cell {
  std::string text;
  bool quoted = false;
};

// Reads a record of RFC 4180 from the front of `left`.
std::vector<Cell> next_record(std::string_view& left) {
  std::vector<Cell> out(1);
  size_t i = 0;
  bool inside = false;
  for (; i < left.size(); ++i) {
    const char c = left[i];
    if (inside) {
      if (c != '"') out.back().text += c;
      else if (i + 1 < left.size() && left[i + 1] == '"') out.back().text += left[++i];
      else inside = false;
    } else if (c == '"' && out.back().text.empty() && !out.back().quoted) {
      inside = out.back().quoted = true;
    } else if (c == ',') {
      out.emplace_back();
    } else if (c == '\n' || (c == '\r' && i + 1 < left.size() && left[i + 1] == '\n')) {
      i += c == '\r' ? 2 : 1;
      left.remove_prefix(i);
      return out;
    } else {
      require(!out.back().quoted, ErrorCode::input,
              "expected a comma after a cell in quotes but found more text");
      out.back().text += c;
    }
  }
  require(!inside, ErrorCode::input, "expected a cell in quotes to end but found the end of the body");
  left = {};
  return out;
}

// False: a number is expected and this is none.
bool append_cell(std::string& out, const Cell& cell, Kind kind) {
  const std::string& text = cell.text;
  const bool is_number = kind != Kind::boolean && kind < Kind::string;
  if (text.empty() && !cell.quoted) {
    out += "null";
  } else if (kind == Kind::boolean) {
    const bool yes = text == "true" || text == "True" || text == "TRUE";
    if (!yes && text != "false" && text != "False" && text != "FALSE") return false;
    out += yes ? "true" : "false";
  } else if (is_number) {
    if (const auto integer = number_in<int64_t>(text)) append_number(out, *integer);
    else if (const auto positive = number_in<uint64_t>(text)) append_number(out, *positive);
    else if (const auto number = number_in<double>(text)) append_number(out, *number);
    else return false;
  } else {
    append_text(out, text);
  }
  return true;
}

}  // namespace

std::string csv_as_split(const Served& served, std::string_view csv, int64_t max_rows) {
  const std::vector<ColumnSpec>& schema = served.model->program().schema;
  require(is_utf8(csv), ErrorCode::input, "expected UTF-8 but found other bytes");
  std::string out = "{\"columns\":[";
  std::vector<Kind> kinds;
  std::vector<std::string> names;
  for (const Cell& cell : next_record(csv)) {
    const auto found = served.columns.find(cell.text);
    if (!names.empty()) out += ',';
    append_text(out, cell.text);
    names.push_back(cell.text);
    kinds.push_back(found == served.columns.end() ? Kind::string : schema[found->second].type.kind);
  }
  out += "],\"data\":[";
  for (int64_t row = 0; !csv.empty(); ++row) {
    if (row == max_rows) throw HttpError(413, "expected at most " + text(max_rows) + " rows but found more");
    const std::vector<Cell> cells = next_record(csv);
    require(cells.size() == kinds.size(), ErrorCode::input, "row ", row, ": expected ", kinds.size(),
            " cells, as in the header line, but found ", cells.size());
    if (row > 0) out += ',';
    for (size_t i = 0; i < cells.size(); ++i) {
      out += i == 0 ? '[' : ',';
      require(append_cell(out, cells[i], kinds[i]), ErrorCode::input, "row ", row, ", column ",
              quoted(names[i]), ": expected ", kinds[i] == Kind::boolean ? "true or false" : "a number",
              " but found other text");
    }
    out += ']';
  }
  return out += "]}";
}

}  // namespace mlcore::server
