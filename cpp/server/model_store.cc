#include "server/model_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "base/number.h"
#include "base/status.h"
#include "server/http.h"

namespace mlcore::server {
namespace {

namespace fs = std::filesystem;

// Of the file as it lies there: another one, or other content, has another signature.
std::string signature_of(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return "";
  return text(static_cast<int64_t>(status.st_dev)) + ":" + text(static_cast<int64_t>(status.st_ino)) + ":" +
         text(static_cast<int64_t>(status.st_size)) + ":" +
         text(static_cast<int64_t>(status.st_mtim.tv_sec)) + ":" +
         text(static_cast<int64_t>(status.st_mtim.tv_nsec));
}

bool is_model(const fs::path& path) {
  std::error_code ignored;
  return path.extension() == ".mlc" && fs::is_regular_file(path, ignored);
}

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    out.push_back(at->path());
  std::ranges::sort(out);
  return out;
}

}  // namespace

ModelStore::ModelStore(std::vector<std::string> paths, VersionPolicy policy)
    : paths_(std::move(paths)), policy_(std::move(policy)), snapshot_(std::make_shared<const Snapshot>()) {}

std::vector<ModelStore::Found> ModelStore::find_files() const {
  std::vector<Found> out;
  for (const std::string& path : paths_) {
    std::error_code ignored;
    if (const size_t equals = path.find('='); equals != std::string::npos && !fs::exists(path, ignored)) {
      const std::string name = path.substr(0, equals), place = path.substr(equals + 1);
      if (!fs::is_directory(place, ignored)) {
        out.push_back({name, 1, place, place});
        continue;
      }
      // several files of one name: the store says so of all but the first
      for (const fs::path& entry : entries(place))
        if (is_model(entry)) out.push_back({name, 1, entry.string(), entry.string()});
      find_versions(name, place, out);
      continue;
    }
    if (!fs::is_directory(path, ignored)) {
      out.push_back({fs::path(path).stem().string(), 1, path, path});
      continue;
    }
    for (const fs::path& entry : entries(path)) {
      if (is_model(entry)) out.push_back({entry.stem().string(), 1, entry.string(), entry.string()});
      if (fs::is_directory(entry, ignored)) find_versions(entry.filename().string(), entry.string(), out);
    }
  }
  return out;
}

void ModelStore::find_versions(const std::string& name, const std::string& path,
                               std::vector<Found>& out) const {
  std::vector<Found> versions;
  for (const fs::path& folder : entries(path)) {
    const std::optional<int64_t> version = number_in<int64_t>(folder.filename().string());
    if (version && *version >= 1 && is_model(folder / "model.mlc"))
      versions.push_back({name, *version, (folder / "model.mlc").string(), path});
  }
  std::ranges::sort(versions, std::greater(), &Found::version);
  if (!policy_.versions.empty())
    std::erase_if(versions, [&](const Found& found) { return !policy_.versions.contains(found.version); });
  out.insert(out.end(), versions.begin(), versions.end());
}

void ModelStore::refresh() {
  const std::lock_guard lock(mutex_);
  refresh_locked();
}

void ModelStore::refresh_locked() {
  auto next = std::make_shared<Snapshot>();
  std::map<std::string, Known> known;
  std::map<std::string, std::string> sources;
  bool changed = false;
  for (const Found& found : find_files()) {
    Known& entry = known[found.path];
    if (const auto old = known_.find(found.path); old != known_.end()) entry = old->second;
    if (unloaded_.contains(found.name)) {
      entry = {};
      next->refused.push_back({found.name, found.version, "unloaded"});
      continue;
    }
    const std::string& source = sources.emplace(found.name, found.source).first->second;
    if (source != found.source) {
      entry = {};
      next->refused.push_back({found.name, found.version, "another file has this name: " + source});
      continue;
    }
    // of the versions, the highest first, the first that can be loaded
    if (policy_.latest && next->models.contains(found.name)) {
      entry = {};
      continue;
    }
    const std::string signature = signature_of(found.path);
    if (signature != entry.signature) {
      changed = true;
      entry.signature = signature;
      entry.reason.clear();
      std::shared_ptr<ModelCounts>& counts = counts_[found.name];
      if (!counts) counts = std::make_shared<ModelCounts>();
      try {
        const auto served = std::make_shared<const Served>(found.name, found.version, found.path, counts);
        // who writes a file in place is not done yet: it is read again when it has changed
        if (signature_of(found.path) == signature) entry.served = served;
        else entry.signature = Known().signature;
      } catch (const std::exception& error) {
        entry.reason = error.what();
      }
    }
    if (!entry.reason.empty()) next->refused.push_back({found.name, found.version, entry.reason});
    if (entry.served) next->models[found.name].emplace(found.version, entry.served);
  }
  changed |= known.size() != known_.size();
  for (const auto& [path, entry] : known) {
    const auto old = known_.find(path);
    changed |= old == known_.end() || old->second.served != entry.served;
  }
  known_ = std::move(known);
  if (changed) snapshot_.store(std::move(next));
}

void ModelStore::load(const std::string& name) {
  const std::lock_guard lock(mutex_);
  std::vector<Found> files = find_files();
  std::erase_if(files, [&](const Found& found) { return found.name != name; });
  if (files.empty()) throw HttpError(404, "expected the name of a model file but found none of this name");
  unloaded_.erase(name);
  for (const Found& found : files) known_[found.path].signature = Known().signature;
  refresh_locked();
  for (const Found& found : files)
    if (!known_[found.path].reason.empty()) throw HttpError(400, known_[found.path].reason);
}

void ModelStore::unload(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (!snapshot_.load()->models.contains(name))
    throw HttpError(404, "expected the name of a model that is served but found none of this name");
  unloaded_.insert(name);
  refresh_locked();
}

}  // namespace mlcore::server
