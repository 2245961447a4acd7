// What MLflow's scoring server and SageMaker's containers are asked, and TorchServe's predictions.
#include "base/status.h"
#include "server/codecs.h"
#include "server/csv.h"

namespace mlcore::server {
namespace {

Batch batch_of(const Served& served, JsonRef body, Workbench& bench, const Limits& limits) {
  require(body.is(JsonKind::object), ErrorCode::input, "the body: expected an object but found ",
          name_of(body->kind));
  const JsonRef split = find(body, "dataframe_split");
  const JsonRef records = find(body, "dataframe_records");
  const JsonRef instances = find(body, "instances");
  const JsonRef inputs = find(body, "inputs");
  const int count = (split ? 1 : 0) + (records ? 1 : 0) + (instances ? 1 : 0) + (inputs ? 1 : 0);
  require(count == 1, ErrorCode::input,
          "expected one of dataframe_split, dataframe_records, instances and inputs but found ", count);
  if (records) return bench.table.records(served, records, limits.max_rows);
  if (instances) return bench.table.instances(served, instances, limits.max_rows);
  if (inputs)
    return inputs.is(JsonKind::object) ? bench.table.columns(served, inputs, limits.max_rows)
                                       : bench.table.instances(served, inputs, limits.max_rows);
  const JsonRef columns = find(split, "columns", "dataframe_split");
  const JsonRef data = find(split, "data", "dataframe_split");
  require(columns && data, ErrorCode::input, "dataframe_split: expected columns and data but found ",
          columns ? "no data" : "no columns");
  return bench.table.split(served, columns, data, limits.max_rows);
}

std::string predictions(const Served& served, const Batch& batch, Workbench& bench) {
  const size_t output = signature_output(served, {});
  bench.run(served, batch, {&output, 1});
  std::string out;
  append_predictions(out, served, output, bench, 0, batch.rows());
  return out;
}

}  // namespace

Answer answer_invocations(const Served& served, const Request& request, Workbench& bench,
                          const Limits& limits) {
  Answer answer;
  std::string json;
  if (content_type(request) == "text/csv") {
    json = csv_as_split(served, request.body, limits.max_rows);
    const JsonRef document = bench.json.parse(json);
    answer.body = predictions(
        served, bench.table.split(served, find(document, "columns"), find(document, "data"), limits.max_rows),
        bench);
  } else {
    answer.body = predictions(served, batch_of(served, parse_body(request, bench), bench, limits), bench);
  }
  answer.body = "{\"predictions\":" + answer.body + '}';
  return answer;
}

// An object is one row, and its answer one prediction.
Answer answer_torchserve(const Served& served, const Request& request, Workbench& bench,
                         const Limits& limits) {
  const JsonRef body = parse_body(request, bench);
  Answer answer;
  if (body.is(JsonKind::array)) {
    answer.body = predictions(served, bench.table.records(served, body, limits.max_rows), bench);
    return answer;
  }
  const std::string one = "[" + std::string(request.body) + "]";
  const std::string list =
      predictions(served, bench.table.records(served, bench.json.parse(one), limits.max_rows), bench);
  answer.body = list.substr(1, list.size() - 2);
  return answer;
}

}  // namespace mlcore::server
