// How steps but forests are built and launched.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bodies.h"
#include "forest_step.h"
#include "step.h"

namespace mlcore::device {

template <class T>
Columns<const T> input(const LaunchArgs& args, size_t index = 0) {
  return {static_cast<const T*>(args.inputs[index].data), args.stride};
}
template <class T>
Columns<T> output(const LaunchArgs& args) {
  return {static_cast<T*>(args.output.data), args.stride};
}

// A step whose launch is one function of its arguments.
template <class Launch>
struct SimpleStep final : Step {
  SimpleStep(Device& on, Launch f) : Step(on), run(std::move(f)) {}
  Failure launch(const LaunchArgs& args, Stream* stream) const override { return run(args, stream); }
  Launch run;
};
// `make` gives the launch once the constants are there.
template <class Make>
std::unique_ptr<Step> simple(Device& device, const Make& make) {
  DeviceMemory memory(device);
  auto run = make(memory);
  auto step = std::make_unique<SimpleStep<decltype(run)>>(device, std::move(run));
  step->memory = std::move(memory);
  return step;
}

inline std::unique_ptr<Step> build_elements(Device& device, const StepSpec& spec) {
  return simple(device, [&](DeviceMemory& memory) {
    Elements body{};
    body.count = static_cast<int>(spec.chain.size());
    for (size_t i = 0; i < spec.chain.size(); ++i) {
      Element& e = body.chain[i] = spec.chain[i];
      const auto keep = [&](const void*& data, int64_t count, DType type) {
        if (data != nullptr) data = memory.keep(data, static_cast<size_t>(count) * size_of(type));
      };
      const bool bins = e.fn == ElementFn::bin_left || e.fn == ElementFn::bin_right;
      keep(e.a, e.a_count, bins ? DType::f64 : e.constant);
      keep(e.b, e.b_count, bins ? DType::i64 : e.constant);
      keep(e.c, e.c_count, DType::u8);
    }
    return [body](const LaunchArgs& args, Stream* stream) {
      Elements run = body;
      run.in = args.inputs[0].data;
      run.out = args.output.data;
      run.stride = args.stride;
      run.first_row = args.first_row;
      run.fault = args.fault;
      return each(run, args.rows, args.output.width, stream);
    };
  });
}

// Calls `f` with a value of an unsigned type as large as `type`.
template <class F>
auto with_size(DType type, const F& f) {
  return size_of(type) == 8 ? f(uint64_t{}) : f(uint32_t{});
}

inline std::unique_ptr<Step> build_codes(Device& device, const StepSpec& spec) {
  return simple(device, [&](DeviceMemory& memory) {
    const void* values =
        spec.arrays.empty() ? nullptr : memory.keep(spec.arrays[0].data, spec.arrays[0].bytes());
    return [values, kind = spec.kind, out = spec.out, entries = spec.integer, flag = spec.flag](
               const LaunchArgs& args, Stream* stream) {
      const auto* codes = static_cast<const int32_t*>(args.inputs[0].data);
      if (kind == StepKind::one_hot)
        return with_float(out, [&](auto zero) {
          using T = decltype(zero);
          const OneHot<T> body{codes, args.output.width, output<T>(args), args.first_row, args.fault};
          return each(body, args.rows, args.output.width, stream);
        });
      return with_size(out, [&](auto zero) {
        using T = decltype(zero);
        const Table<T> body{
            codes, static_cast<const T*>(values), entries, flag, output<T>(args), args.first_row, args.fault};
        return each(body, args.rows, args.output.width, stream);
      });
    };
  });
}

inline std::unique_ptr<Step> build_encode(Device& device, const StepSpec& spec) {
  return simple(device, [&](DeviceMemory& memory) {
    const auto* keys = static_cast<const uint64_t*>(memory.keep(spec.arrays[0].data, spec.arrays[0].bytes()));
    const auto* codes = static_cast<const int32_t*>(memory.keep(spec.arrays[1].data, spec.arrays[1].bytes()));
    return [keys, codes, count = spec.arrays[0].count, in = spec.in, unknown = spec.integer,
            missing = spec.missing](const LaunchArgs& args, Stream* stream) {
      return with_type(in, [&](auto zero) {
        using T = decltype(zero);
        if constexpr (std::is_same_v<T, int32_t>) {
          return Failure{"expected no codes to encode"};
        } else {
          const Encode<T> body{
              static_cast<const T*>(args.inputs[0].data), keys,           codes,     count, unknown, missing,
              static_cast<int32_t*>(args.output.data),    args.first_row, args.fault};
          return each(body, args.rows, 1, stream);
        }
      });
    };
  });
}

inline std::unique_ptr<Step> build_vote(Device& device, const StepSpec& spec) {
  return simple(device, [&](DeviceMemory& memory) {
    Vote body{};
    body.weights = static_cast<const double*>(memory.keep(spec.arrays[0].data, spec.arrays[0].bytes()));
    body.inputs = spec.arrays[0].count;
    body.classes = spec.integer;
    return [body](const LaunchArgs& args, Stream* stream) {
      Vote run = body;
      for (int64_t i = 0; i < run.inputs; ++i)
        run.votes.data[i] = static_cast<const int64_t*>(args.inputs[i].data);
      run.out = static_cast<int64_t*>(args.output.data);
      run.first_row = args.first_row;
      run.fault = args.fault;
      return each(run, args.rows, 1, stream);
    };
  });
}

template <class T>
std::unique_ptr<Step> build_dot(Device& device, const StepSpec& spec) {
  return simple(device, [&](DeviceMemory& memory) {
    Dot<T> body{};
    body.weights = static_cast<const T*>(memory.keep(spec.arrays[0].data, spec.arrays[0].bytes()));
    body.features = spec.arrays[0].count / spec.out_width;
    body.pieces = static_cast<const DotPiece*>(memory.keep(spec.arrays[1].data, spec.arrays[1].bytes()));
    body.count = spec.arrays[1].count / static_cast<int64_t>(sizeof(DotPiece) / sizeof(int64_t));
    if (spec.arrays.size() > 2)
      body.bias = static_cast<const T*>(memory.keep(spec.arrays[2].data, spec.arrays[2].bytes()));
    body.order = static_cast<DotOrder>(spec.function);
    body.skip = spec.flag;
    return [body](const LaunchArgs& args, Stream* stream) {
      Dot<T> run = body;
      for (size_t i = 0; i < kMaxInputs; ++i) run.in.data[i] = args.inputs[i].data;
      run.stride = args.stride;
      run.first_row = args.first_row;
      run.fault = args.fault;
      run.out = output<T>(args);
      return each(run, args.rows, args.output.width, stream);
    };
  });
}

// Of a block of floats to one of the same type, but for those above.
template <class T>
std::unique_ptr<Step> build_rows(Device& device, const StepSpec& spec) {
  return simple(device, [&](DeviceMemory& memory) {
    std::vector<const void*> arrays;
    for (const Array& array : spec.arrays) arrays.push_back(memory.keep(array.data, array.bytes()));
    return [arrays, kind = spec.kind, function = spec.function, flag = spec.flag,
            number = static_cast<T>(spec.number), width = spec.in_width,
            inputs = spec.arrays.empty() ? 0 : spec.arrays[0].count,
            products = spec.arrays.size() > 1 ? spec.arrays[1].count / 3 : 0](const LaunchArgs& args,
                                                                              Stream* stream) {
      const auto in = input<T>(args);
      const auto out = output<T>(args);
      switch (kind) {
        case StepKind::combine: {
          const Combine<T> body{static_cast<Combination>(function), in, input<T>(args, 1),
                                args.inputs[1].width == 1, out};
          return each(body, args.rows, args.output.width, stream);
        }
        case StepKind::argmax:
          return each(Argmax<T>{in, width, static_cast<int64_t*>(args.output.data)}, args.rows, 1, stream);
        case StepKind::complement: return each(Complement<T>{in.data, out}, args.rows, 1, stream);
        case StepKind::softmax:
          return each(SoftmaxRow<T>{static_cast<Softmax>(function), in, width, out}, args.rows, 1, stream);
        case StepKind::poly: {
          const Poly<T> body{in, static_cast<const int64_t*>(arrays[0]),
                             static_cast<const int64_t*>(arrays[1]), products, out};
          return each(body, args.rows, 1, stream);
        }
        case StepKind::normalize:
          return each(Normalize<T>{static_cast<Norm>(function), in, width, out}, args.rows, 1, stream);
        case StepKind::row_normalize:
          return each(RowNormalize<T>{static_cast<ZeroRows>(function), flag, in, width, out}, args.rows, 1,
                      stream);
        default: {
          WeightedSum<T> body{{}, inputs, static_cast<const T*>(arrays[0]), flag, number, out};
          for (int64_t i = 0; i < inputs; ++i) body.in.data[i] = static_cast<const T*>(args.inputs[i].data);
          return each(body, args.rows, args.output.width, stream);
        }
      }
    };
  });
}

inline std::unique_ptr<Step> build_moves(Device& device, const StepSpec& spec) {
  return simple(device, [&](DeviceMemory& memory) {
    const void* array = memory.keep(spec.arrays[0].data, spec.arrays[0].bytes());
    return [array, kind = spec.kind, out = spec.out](const LaunchArgs& args, Stream* stream) {
      return with_size(out, [&](auto zero) {
        using T = decltype(zero);
        if (kind == StepKind::broadcast)
          return each(Broadcast<T>{static_cast<const T*>(array), output<T>(args)}, args.rows,
                      args.output.width, stream);
        return each(Select<T>{input<T>(args), static_cast<const int64_t*>(array), output<T>(args)}, args.rows,
                    args.output.width, stream);
      });
    };
  });
}

// Throws std::bad_alloc or Unable when the device has no room.
inline std::unique_ptr<Step> build_step(Device& device, const StepSpec& spec, size_t shared_bytes) {
  switch (spec.kind) {
    case StepKind::elements: return build_elements(device, spec);
    case StepKind::trees: return build_forest(device, spec, shared_bytes);
    case StepKind::one_hot:
    case StepKind::table: return build_codes(device, spec);
    case StepKind::encode: return build_encode(device, spec);
    case StepKind::vote: return build_vote(device, spec);
    case StepKind::select:
    case StepKind::broadcast: return build_moves(device, spec);
    case StepKind::dot:
      if (spec.out == DType::f64) return build_dot<double>(device, spec);
      return build_dot<float>(device, spec);
    default:
      if (spec.in == DType::f64) return build_rows<double>(device, spec);
      return build_rows<float>(device, spec);
  }
}

}  // namespace mlcore::device
