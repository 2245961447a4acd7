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

Answer write_predictions(const Computed& computed) {
  Answer answer;
  answer.body = "{\"predictions\":";
  append_predictions(answer.body, computed);
  answer.body += '}';
  return answer;
}

Answer write_list(const Computed& computed) {
  Answer answer;
  append_predictions(answer.body, computed);
  return answer;
}

Answer write_only_one(const Computed& computed) {
  Answer answer = write_list(computed);
  answer.body.pop_back();
  answer.body.erase(0, 1);
  return answer;
}

}  // namespace

Prepared prepare_invocations(const Served& served, const Request& request, Workbench& bench,
                             const Limits& limits) {
  if (content_type(request) != "text/csv")
    return {batch_of(served, parse_body(request, bench), bench, limits),
            {signature_output(served, {})},
            write_predictions};
  const JsonRef document = bench.json.parse(csv_as_split(served, request.body, limits.max_rows));
  return {bench.table.split(served, find(document, "columns"), find(document, "data"), limits.max_rows),
          {signature_output(served, {})},
          write_predictions};
}

// An object is one row, and its answer one prediction.
Prepared prepare_torchserve(const Served& served, const Request& request, Workbench& bench,
                            const Limits& limits) {
  JsonRef body = parse_body(request, bench);
  const bool is_list = body.is(JsonKind::array);
  if (!is_list) body = bench.json.parse("[" + std::string(request.body) + "]");
  return {bench.table.records(served, body, limits.max_rows),
          {signature_output(served, {})},
          is_list ? write_list : write_only_one};
}

}  // namespace mlcore::server
