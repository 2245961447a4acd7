// Every op of the engine. registry.cc puts their addresses into one sorted array, so nothing registers
// itself.
#pragma once

#include "ops/op.h"

namespace mlcore {

extern const OpDef kArgmaxOp;
extern const OpDef kArithOp;
extern const OpDef kBinOp;
extern const OpDef kBinarizeOp;
extern const OpDef kBroadcastOp;
extern const OpDef kCastOp;
extern const OpDef kCheckOp;
extern const OpDef kClipOp;
extern const OpDef kColumnOp;
extern const OpDef kCombineOp;
extern const OpDef kComplementOp;
extern const OpDef kConcatOp;
extern const OpDef kDotOp;
extern const OpDef kEncodeOp;
extern const OpDef kFillOp;
extern const OpDef kGuardOp;
extern const OpDef kInterpOp;
extern const OpDef kIsMissingOp;
extern const OpDef kLinkOp;
extern const OpDef kNormalizeOp;
extern const OpDef kOneHotOp;
extern const OpDef kPolyOp;
extern const OpDef kRangeOp;
extern const OpDef kRowNormalizeOp;
extern const OpDef kSelectOp;
extern const OpDef kTableOp;
extern const OpDef kThresholdOp;
extern const OpDef kTreesOp;
extern const OpDef kUnaryOp;
extern const OpDef kVoteOp;
extern const OpDef kWeightedSumOp;

}  // namespace mlcore
