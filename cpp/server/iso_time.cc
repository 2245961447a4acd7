#include "server/iso_time.h"

#include <charconv>
#include <chrono>
#include <limits>

namespace mlcore::server {
namespace {

using Wide = __int128;

constexpr Wide kNanosPerSecond = 1'000'000'000;
constexpr int64_t kSecondsPerDay = 86'400;

// Reads from the front of a text.
class Reader {
 public:
  explicit Reader(std::string_view text) : left_(text) {}

  bool done() const { return left_.empty(); }
  bool take(char c) {
    if (left_.empty() || left_.front() != c) return false;
    left_.remove_prefix(1);
    return true;
  }
  // Exactly this many digits.
  bool number(size_t digits, int& out) {
    if (left_.size() < digits) return false;
    for (size_t i = 0; i < digits; ++i)
      if (left_[i] < '0' || left_[i] > '9') return false;
    std::from_chars(left_.data(), left_.data() + digits, out);
    left_.remove_prefix(digits);
    return true;
  }
  // Up to nine digits after the point, as nanoseconds.
  bool fraction(int64_t& nanos) {
    size_t digits = 0;
    nanos = 0;
    for (; digits < left_.size() && left_[digits] >= '0' && left_[digits] <= '9'; ++digits) {
      if (digits == 9) return false;
      nanos = nanos * 10 + (left_[digits] - '0');
    }
    for (size_t i = digits; i < 9; ++i) nanos *= 10;
    left_.remove_prefix(digits);
    return digits > 0;
  }

 private:
  std::string_view left_;
};

Wide nanos_per_tick(const LogicalType& type) {
  if (type.kind == Kind::date32) return kSecondsPerDay * kNanosPerSecond;
  if (type.kind == Kind::date64) return 1'000'000;
  switch (type.unit) {
    case TimeUnit::second: return kNanosPerSecond;
    case TimeUnit::milli: return 1'000'000;
    case TimeUnit::micro: return 1'000;
    case TimeUnit::nano: break;
  }
  return 1;
}

bool read_date(Reader& reader, int64_t& days) {
  int year = 0, month = 0, day = 0;
  if (!reader.number(4, year) || !reader.take('-') || !reader.number(2, month) || !reader.take('-') ||
      !reader.number(2, day))
    return false;
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  days = date.ok() ? std::chrono::sys_days(date).time_since_epoch().count() : 0;
  return date.ok();
}

bool read_clock(Reader& reader, int64_t& seconds, int64_t& nanos) {
  int hour = 0, minute = 0, second = 0;
  if (!reader.number(2, hour) || !reader.take(':') || !reader.number(2, minute)) return false;
  if (reader.take(':')) {
    if (!reader.number(2, second)) return false;
    if (reader.take('.') && !reader.fraction(nanos)) return false;
  }
  seconds = hour * 3'600 + minute * 60 + second;
  return hour < 24 && minute < 60 && second < 60;
}

// Seconds east of UTC.
bool read_zone(Reader& reader, int64_t& east) {
  if (reader.take('Z') || reader.take('z')) return true;
  const bool is_west = reader.take('-');
  int hour = 0, minute = 0;
  if (!is_west && !reader.take('+')) return false;
  if (!reader.number(2, hour) || !reader.take(':') || !reader.number(2, minute) || hour > 23 || minute > 59)
    return false;
  east = (hour * 3'600 + minute * 60) * (is_west ? -1 : 1);
  return true;
}

}  // namespace

std::optional<int64_t> ticks_of(std::string_view text, const LogicalType& type) {
  Reader reader(text);
  int64_t days, seconds = 0, nanos = 0, east = 0;
  if (!read_date(reader, days)) return {};
  if (!reader.done()) {
    if (type.kind != Kind::timestamp || (!reader.take('T') && !reader.take('t') && !reader.take(' ')) ||
        !read_clock(reader, seconds, nanos))
      return {};
    if (reader.done() != type.timezone.empty()) return {};
    if (!reader.done() && (!read_zone(reader, east) || !reader.done())) return {};
  } else if (!type.timezone.empty()) {
    return {};
  }
  const Wide total = (Wide{days} * kSecondsPerDay + seconds - east) * kNanosPerSecond + nanos;
  const Wide per_tick = nanos_per_tick(type);
  const Wide ticks = total / per_tick;
  // the smallest int64 means "missing" elsewhere
  if (total % per_tick != 0 || ticks <= std::numeric_limits<int64_t>::min() ||
      ticks > std::numeric_limits<int64_t>::max())
    return {};
  return static_cast<int64_t>(ticks);
}

}  // namespace mlcore::server
