// Between the server's errors and our exceptions, in both directions.
#pragma once

#include <new>
#include <stdexcept>
#include <string>

#include "base/status.h"
#include "triton/abi.h"

namespace mlcore::triton {

// An error in the server's own terms.
class Failure : public std::runtime_error {
 public:
  Failure(TRITONSERVER_Error_Code code, const std::string& message)
      : std::runtime_error(message), code_(code) {}
  TRITONSERVER_Error_Code code() const noexcept { return code_; }

 private:
  TRITONSERVER_Error_Code code_;
};

// What a function of the server gave: nothing, or an error, which is thrown.
inline void check(TRITONSERVER_Error* error) {
  if (!error) [[likely]]
    return;
  struct Deleter {
    TRITONSERVER_Error* error;
    ~Deleter() { TRITONSERVER_ErrorDelete(error); }
  } const deleter{error};
  throw Failure(TRITONSERVER_ErrorCode(error), TRITONSERVER_ErrorMessage(error));
}

// The same where nobody is left to be told but the log.
inline void note(TRITONSERVER_Error* error) noexcept {
  if (!error) return;
  TRITONSERVER_Error* unlogged =
      TRITONSERVER_LogMessage(TRITONSERVER_LOG_ERROR, "mlcore", __LINE__, TRITONSERVER_ErrorMessage(error));
  if (unlogged) TRITONSERVER_ErrorDelete(unlogged);
  TRITONSERVER_ErrorDelete(error);
}

// The exception being handled, as the server's.
inline TRITONSERVER_Error* current_error() noexcept {
  try {
    throw;
  } catch (const Failure& error) {
    return TRITONSERVER_ErrorNew(error.code(), error.what());
  } catch (const Error& error) {
    const TRITONSERVER_Error_Code code = error.code() == ErrorCode::program ? TRITONSERVER_ERROR_INTERNAL
                                         : error.code() == ErrorCode::io    ? TRITONSERVER_ERROR_UNAVAILABLE
                                                                            : TRITONSERVER_ERROR_INVALID_ARG;
    return TRITONSERVER_ErrorNew(code, error.what());
  } catch (const std::bad_alloc&) {
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNAVAILABLE, "out of memory");
  } catch (const std::exception& error) {
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, error.what());
  } catch (...) {
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, "expected no exception of an unknown type");
  }
}

template <class Action>
TRITONSERVER_Error* guarded(const Action& action) noexcept {
  try {
    action();
    return nullptr;
  } catch (...) {
    return current_error();
  }
}

}  // namespace mlcore::triton
