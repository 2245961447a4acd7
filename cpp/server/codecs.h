// One function per thing that clients ask a model for: from a body to a Batch, and to how the answer is
// written. None of them decides what a value may be; JsonTable and the tensors of the runtime do.
#pragma once

#include <cstdint>
#include <string_view>

#include "server/http.h"
#include "server/prepared.h"
#include "server/workbench.h"

namespace mlcore::server {

struct Limits {
  int64_t max_rows = 1'000'000;
};

// rows.cc
Prepared prepare_rows(const Served& served, const Request& request, Workbench& bench, const Limits& limits);
// v2.cc: Open Inference Protocol, KServe v2
Prepared prepare_v2_infer(const Served& served, const Request& request, Workbench& bench,
                          const Limits& limits);
Answer answer_v2_metadata(const Served& served, const std::vector<int64_t>& versions);
// v1.cc: TensorFlow Serving, KServe v1
Prepared prepare_v1_predict(const Served& served, const Request& request, Workbench& bench,
                            const Limits& limits);
Prepared prepare_v1_classify(const Served& served, const Request& request, Workbench& bench,
                             const Limits& limits);
Prepared prepare_v1_regress(const Served& served, const Request& request, Workbench& bench,
                            const Limits& limits);
Answer answer_v1_metadata(const Served& served);
// invocations.cc: MLflow, SageMaker; TorchServe
Prepared prepare_invocations(const Served& served, const Request& request, Workbench& bench,
                             const Limits& limits);
Prepared prepare_torchserve(const Served& served, const Request& request, Workbench& bench,
                            const Limits& limits);

// -- shared by them (codec_support.cc)

// The document of a request; throws HttpError 415 when the body says that it is something else.
JsonRef parse_body(const Request& request, Workbench& bench);
// "application/json" of a request, without what follows a semicolon; lower case.
std::string content_type(const Request& request);
// predict, or the output that this name of a signature means.
size_t signature_output(const Served& served, JsonRef name);
// A list of predictions by the only output that was asked for: values where it is a vector, else lists.
void append_predictions(std::string& out, const Computed& computed);
// `"model_name":"m","model_version":"1"`.
void append_model(std::string& out, const Served& served);

}  // namespace mlcore::server
