// Between the server's errors and our exceptions, in both directions.
#pragma once

#include <exception>
#include <memory>
#include <new>
#include <string>

#include "base/status.h"
#include "triton/abi.h"

namespace mlcore::triton {

struct ErrorDeleter {
  void operator()(TRITONSERVER_Error* error) const { TRITONSERVER_ErrorDelete(error); }
};
// Nothing, or an error of the server's; thrown as it is.
using Failure = std::unique_ptr<TRITONSERVER_Error, ErrorDeleter>;

[[noreturn]] inline void fail(TRITONSERVER_Error_Code code, const std::string& message) {
  throw Failure(TRITONSERVER_ErrorNew(code, message.c_str()));
}

// What a function of the server gave: nothing, or an error, which is thrown.
inline void check(TRITONSERVER_Error* error) {
  if (error) [[unlikely]]
    throw Failure(error);
}

// The one thing that a function of the server gives behind its last parameter.
template <class Result, class Function, class... Arguments>
Result get(Function function, Arguments... arguments) {
  Result result{};
  check(function(arguments..., &result));
  return result;
}

// As `check` where nobody is left to be told but the log.
inline void note(TRITONSERVER_Error* error) noexcept {
  if (!error) return;
  const Failure logged(error);
  const Failure unlogged(
      TRITONSERVER_LogMessage(TRITONSERVER_LOG_ERROR, "mlcore", __LINE__, TRITONSERVER_ErrorMessage(error)));
}

// The exception being handled, as the server's.
inline TRITONSERVER_Error* current_error() noexcept {
  try {
    throw;
  } catch (Failure& failure) {
    return failure.release();
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
