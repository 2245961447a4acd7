#include <algorithm>
#include <array>

#include "ops/all_ops.h"
#include "ops/step_support.h"

namespace mlcore {
namespace {

// Sorted by name: op_named bisects, and listings come out in one order.
constexpr std::array kAllOps{
    &kArgmaxOp, &kArithOp,  &kBinOp,          &kBinarizeOp,   &kBroadcastOp, &kCastOp,      &kCheckOp,
    &kClipOp,   &kColumnOp, &kCombineOp,      &kComplementOp, &kConcatOp,    &kDotOp,       &kEncodeOp,
    &kFillOp,   &kGuardOp,  &kInterpOp,       &kIsMissingOp,  &kLinkOp,      &kNormalizeOp, &kOneHotOp,
    &kPolyOp,   &kRangeOp,  &kRowNormalizeOp, &kSelectOp,     &kTableOp,     &kThresholdOp, &kTreesOp,
    &kUnaryOp,  &kVoteOp,   &kWeightedSumOp,
};

}  // namespace

std::span<const OpDef* const> all_ops() { return kAllOps; }

const OpDef& op_named(std::string_view name, std::string_view path) {
  const auto found =
      std::lower_bound(kAllOps.begin(), kAllOps.end(), name,
                       [](const OpDef* op, std::string_view wanted) { return op->name < wanted; });
  require(found != kAllOps.end() && (*found)->name == name, ErrorCode::program, step_name(path),
          ": expected an op of this version but found ", quoted(name));
  return **found;
}

}  // namespace mlcore
