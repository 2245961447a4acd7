// Arrow arrays built by hand, with every release counted.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/arrow_abi.h"

namespace samples {

inline int live_structs = 0;  // schemas, arrays and streams not yet released
inline int double_releases = 0;

struct Field {
  std::string name;
  std::string format;
  std::string metadata;
  std::vector<Field> children;
  std::shared_ptr<Field> dictionary;
};

struct Column {
  int64_t length = 0;
  int64_t null_count = 0;
  int64_t offset = 0;
  std::vector<const void*> buffers;
  std::vector<Column> children;
  std::shared_ptr<Column> dictionary;
};

template <class Struct, class Source>
struct Owner {
  Source source;
  std::vector<Struct> children;
  std::vector<Struct*> pointers;
  Struct dictionary{};
};

template <class Struct, class Source>
void release_owned(Struct* value) {
  auto* owner = static_cast<Owner<Struct, Source>*>(value->private_data);
  for (Struct& child : owner->children)
    if (child.release) child.release(&child);
  if (owner->dictionary.release) owner->dictionary.release(&owner->dictionary);
  delete owner;
  if (value->release == nullptr) ++double_releases;
  value->release = nullptr;
  --live_structs;
}

inline ArrowSchema schema_of(const Field& field) {
  auto* owner = new Owner<ArrowSchema, Field>{field, {}, {}, {}};
  for (const Field& child : owner->source.children) owner->children.push_back(schema_of(child));
  for (ArrowSchema& child : owner->children) owner->pointers.push_back(&child);
  ArrowSchema out{};
  out.format = owner->source.format.c_str();
  out.name = owner->source.name.c_str();
  out.metadata = field.metadata.empty() ? nullptr : owner->source.metadata.c_str();
  out.flags = mlcore::kArrowNullable;
  out.n_children = static_cast<int64_t>(owner->children.size());
  out.children = owner->pointers.data();
  if (field.dictionary) {
    owner->dictionary = schema_of(*field.dictionary);
    out.dictionary = &owner->dictionary;
  }
  out.release = &release_owned<ArrowSchema, Field>;
  out.private_data = owner;
  ++live_structs;
  return out;
}

inline ArrowArray array_of(const Column& column) {
  auto* owner = new Owner<ArrowArray, Column>{column, {}, {}, {}};
  for (const Column& child : owner->source.children) owner->children.push_back(array_of(child));
  for (ArrowArray& child : owner->children) owner->pointers.push_back(&child);
  ArrowArray out{};
  out.length = column.length;
  out.null_count = column.null_count;
  out.offset = column.offset;
  out.n_buffers = static_cast<int64_t>(owner->source.buffers.size());
  out.buffers = owner->source.buffers.data();
  out.n_children = static_cast<int64_t>(owner->children.size());
  out.children = owner->pointers.data();
  if (column.dictionary) {
    owner->dictionary = array_of(*column.dictionary);
    out.dictionary = &owner->dictionary;
  }
  out.release = &release_owned<ArrowArray, Column>;
  out.private_data = owner;
  ++live_structs;
  return out;
}

// A table of one column named "c".
inline Field table_field(const Field& column) { return {"", "+s", "", {column}, nullptr}; }
inline Column table_column(const Column& column) {
  return {column.length, 0, 0, {nullptr}, {column}, nullptr};
}

// A stream of the given batches; `fail_at` < 0: none fails.
struct StreamState {
  Field field;
  std::vector<Column> batches;
  size_t next = 0;
  int fail_at = -1;
};

inline ArrowArrayStream stream_of(StreamState state) {
  ArrowArrayStream out{};
  out.private_data = new StreamState(std::move(state));
  out.get_schema = [](ArrowArrayStream* stream, ArrowSchema* schema) {
    const auto* own = static_cast<StreamState*>(stream->private_data);
    if (own->fail_at == 0) return 5;
    *schema = schema_of(own->field);
    return 0;
  };
  out.get_next = [](ArrowArrayStream* stream, ArrowArray* array) {
    auto* own = static_cast<StreamState*>(stream->private_data);
    if (own->fail_at == static_cast<int>(own->next) + 1) return 5;
    *array = {};
    if (own->next < own->batches.size()) *array = array_of(own->batches[own->next++]);
    return 0;
  };
  out.get_last_error = [](ArrowArrayStream*) -> const char* { return "disk on fire"; };
  out.release = [](ArrowArrayStream* stream) {
    delete static_cast<StreamState*>(stream->private_data);
    stream->release = nullptr;
    --live_structs;
  };
  ++live_structs;
  return out;
}

}  // namespace samples
