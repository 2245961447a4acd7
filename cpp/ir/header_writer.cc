#include <type_traits>

#include "ir/artifact.h"
#include "ir/header.h"

namespace mlcore {
namespace {

void append_text(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20) {
      out += "\\u00";
      out += {kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_value(std::string& out, bool value) { out += text(value); }
void append_value(std::string& out, int64_t value) { out += text(value); }
void append_value(std::string& out, int32_t value) { out += text(value); }
void append_value(std::string& out, const std::string& value) { append_text(out, value); }
void append_value(std::string& out, const Attribute& value) {
  std::visit([&](const auto& held) { append_value(out, held); }, value);
}

template <class T>
void append_value(std::string& out, const std::vector<T>& values) {
  out += '[';
  for (size_t i = 0; i < values.size(); ++i) {
    if (i) out += ',';
    append_value(out, values[i]);
  }
  out += ']';
}

template <class T>
void append_value(std::string& out, const std::map<std::string, T>& values) {
  out += '{';
  bool first = true;
  for (const auto& [key, value] : values) {
    if (!first) out += ',';
    first = false;
    append_text(out, key);
    out += ':';
    append_value(out, value);
  }
  out += '}';
}

// `head` is everything up to the value: the brace or comma, the key and the colon.
template <class T>
void append_member(std::string& out, std::string_view head, const T& value) {
  out += head;
  append_value(out, value);
}

template <class Items, class Append>
void append_section(std::string& out, std::string_view head, const Items& items, const Append& append) {
  out += head;
  out += '[';
  for (size_t i = 0; i < items.size(); ++i) {
    if (i) out += ',';
    append(items[i], i);
  }
  out += ']';
}

}  // namespace

void append_json(std::string& out, const ColumnSpec& column) {
  append_member(out, "{\"name\":", column.name);
  append_member(out, ",\"type\":", name_of(column.type));
  append_member(out, ",\"nullable\":", column.nullable);
  append_member(out, ",\"distinguishes_missing\":", column.distinguishes_missing);
  out += '}';
}

void append_json(std::string& out, const Node& node) {
  append_member(out, "{\"op\":", node.op);
  append_member(out, ",\"path\":", node.path);
  append_member(out, ",\"inputs\":", node.inputs);
  append_member(out, ",\"attributes\":", node.attributes);
  append_member(out, ",\"constants\":", node.constants);
  out += '}';
}

void append_json(std::string& out, const Slab& slab) {
  append_member(out, "{\"dtype\":", std::string(name_of(slab.type)));
  append_member(out, ",\"shape\":", slab.shape);
  append_member(out, ",\"offset\":", slab.offset);
  append_member(out, ",\"bytes\":", slab.bytes);
  out += '}';
}

void append_json(std::string& out, const OutputSpec& output, size_t names) {
  append_member(out, "{\"method\":", output.method);
  append_member(out, ",\"index\":", output.index);
  append_member(out, ",\"value\":", output.value);
  append_member(out, ",\"dtype\":", output.dtype);
  append_member(out, ",\"vector\":", output.vector);
  append_member(out, ",\"names\":", static_cast<int64_t>(names));
  append_member(out, ",\"labels\":", output.labels);
  out += '}';
}

void append_json(std::string& out, const GoldenRows& golden) {
  append_member(out, "{\"rows\":", golden.rows);
  append_member(out, ",\"columns\":", golden.columns);
  append_member(out, ",\"missing\":", golden.missing);
  append_member(out, ",\"expected\":", golden.expected);
  out += '}';
}

void append_json(std::string& out, const std::map<std::string, std::string>& texts) {
  append_value(out, texts);
}

std::string header_text(const Program& program, std::span<const Slab> slabs) {
  std::string out(kHeaderStart);
  out += text(kArtifactVersion);
  append_section(out, ",\"schema\":", program.schema,
                 [&](const ColumnSpec& item, size_t) { append_json(out, item); });
  append_section(out, ",\"nodes\":", program.nodes,
                 [&](const Node& item, size_t) { append_json(out, item); });
  append_section(out, ",\"constants\":", slabs, [&](const Slab& item, size_t) { append_json(out, item); });
  append_section(out, ",\"outputs\":", program.outputs, [&](const OutputSpec& item, size_t index) {
    append_json(out, item, program.constants.size() + index);
  });
  out += ",\"golden\":";
  append_json(out, program.golden);
  out += ",\"provenance\":";
  append_json(out, program.provenance);
  return out + "}";
}

}  // namespace mlcore
