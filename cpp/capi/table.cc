// Arrow tables from C.
#include "capi/capi.h"
#include "runtime/arrow_import.h"

using namespace mlcore;
using namespace mlcore::capi;

namespace {

// The caller keeps what it owns: the importer gets a copy of the outermost struct, whose release does
// nothing.
template <class Struct>
Struct borrowed(const Struct& original) {
  Struct copy = original;
  if (copy.release) copy.release = [](Struct* released) { released->release = nullptr; };
  return copy;
}

}  // namespace

mlc_status mlc_model_predict(const mlc_model* model, const ArrowSchema* schema, const ArrowArray* array,
                             int64_t output_count, const int64_t* outputs, void* const* destinations,
                             const int64_t* sizes) {
  return guarded([&] {
    const Loaded& loaded = *not_null(model, "a model").loaded;
    ArrowSchema schema_copy = borrowed(not_null(schema, "an Arrow schema"));
    ArrowArray array_copy = borrowed(not_null(array, "an Arrow array"));
    require_argument(output_count >= 0, "expected a count of outputs but found ", output_count);
    require_argument(output_count == 0 || (outputs && destinations && sizes),
                     "expected outputs, destinations and sizes but found a null pointer");
    const Batch batch = import_batch(&schema_copy, &array_copy);
    std::vector<int32_t> indices;
    std::vector<void*> blocks;
    std::vector<std::vector<std::byte>> hidden(static_cast<size_t>(output_count));
    for (int64_t i = 0; i < output_count; ++i) {
      const Output& output = loaded.output(outputs[i]);
      const int64_t values = batch.rows() * output.width();
      const int64_t bytes = values * static_cast<int64_t>(output.value_bytes());
      require_argument(sizes[i] == bytes, "output ", outputs[i], ": expected memory of ", bytes,
                       " bytes for ", batch.rows(), " rows but found ", sizes[i]);
      require_argument(destinations[i] || bytes == 0, "output ", outputs[i],
                       ": expected memory but found a null pointer");
      auto& block = hidden[static_cast<size_t>(i)];
      if (output.is_shown()) block.resize(static_cast<size_t>(values) * size_of(output.block_type()));
      indices.push_back(static_cast<int32_t>(outputs[i]));
      blocks.push_back(output.is_shown() ? block.data() : destinations[i]);
    }
    for (size_t i = 0; i < indices.size(); ++i)
      for (size_t k = 0; k < i; ++k)
        require_argument(indices[i] != indices[k], "expected each output once but found ", indices[i],
                         " twice");
    Workspace workspace;
    loaded.model->run(batch, indices, blocks, workspace);
    for (int64_t i = 0; i < output_count; ++i) {
      const Output& output = loaded.output(outputs[i]);
      if (output.is_shown())
        output.show(hidden[static_cast<size_t>(i)].data(), batch.rows() * output.width(),
                    static_cast<std::byte*>(destinations[i]));
    }
  });
}
