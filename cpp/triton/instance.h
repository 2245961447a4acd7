// One instance of a model in the server: runs batches of requests, one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "triton/config.h"
#include "triton/requests.h"

namespace mlcore::triton {

class Instance {
 public:
  Instance(TRITONBACKEND_ModelInstance* handle, std::shared_ptr<const Served> served);

  // Answers and releases every request, each exactly once. Throws only before it has touched one.
  void execute(std::span<TRITONBACKEND_Request* const> requests);

 private:
  struct Item {
    TRITONBACKEND_Request* handle = nullptr;
    std::optional<Request> request;  // what it sends, once it is read
    bool succeeded = false;
  };
  // As Triton's statistics want them, in nanoseconds.
  struct Times {
    uint64_t start = 0, compute_start = 0, compute_end = 0, end = 0;
  };

  void run(std::span<Item* const> items, Times& times);
  void respond(Item& item, int64_t first, TRITONSERVER_Error* error) const noexcept;
  void answer(const Request& request, int64_t first, TRITONBACKEND_Response* response) const;
  void report(std::span<const Item> items, const Times& times) const noexcept;

  TRITONBACKEND_ModelInstance* handle_;
  std::shared_ptr<const Served> served_;
  TensorTable table_;
  Workspace workspace_;
  std::vector<std::vector<std::byte>> blocks_;  // by output of the configuration: all rows of the last run
};

}  // namespace mlcore::triton
