// The models that are served, by name and version. Requests read a snapshot; a change replaces it whole.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/served.h"

namespace mlcore::server {

// Why a version is not served, or is served in an older form.
struct Refused {
  std::string name;
  int64_t version;
  std::string reason;
};

struct Snapshot {
  // by name, then version; the highest is what is meant when no version is given
  std::map<std::string, std::map<int64_t, std::shared_ptr<const Served>>, std::less<>> models;
  std::vector<Refused> refused;
};

// Which versions in a folder are served.
struct VersionPolicy {
  bool latest = true;          // the highest alone
  std::set<int64_t> versions;  // these; empty and not `latest`: all
};

class ModelStore {
 public:
  // `paths`: .mlc files, which are called as their file is, and folders of them or of
  // <name>/<version>/model.mlc. NAME=PATH: an .mlc file, or a folder of one or of <version>/model.mlc,
  // whatever they are called.
  ModelStore(std::vector<std::string> paths, VersionPolicy policy);

  std::shared_ptr<const Snapshot> snapshot() const { return snapshot_.load(); }

  // Looks at the files again: what is new or has changed is loaded, its golden rows included, before
  // anything is replaced; what cannot be loaded leaves the old one in place.
  void refresh();
  // Throws HttpError when no file is of this name, or when it is refused.
  void load(const std::string& name);
  void unload(const std::string& name);

 private:
  struct Found {
    std::string name;
    int64_t version;
    std::string path;
    std::string source;  // the file, or the folder of the versions: a name has one
  };
  struct Known {
    std::string signature = "unread";  // of the file when it was read last
    std::shared_ptr<const Served> served;
    std::string reason;  // why it was refused then
  };

  std::vector<Found> find_files() const;
  void find_versions(const std::string& name, const std::string& folder, std::vector<Found>& out) const;
  void refresh_locked();

  std::vector<std::string> paths_;
  VersionPolicy policy_;
  std::mutex mutex_;                    // of one who changes; readers take the snapshot
  std::map<std::string, Known> known_;  // by path
  std::set<std::string> unloaded_;
  std::map<std::string, std::shared_ptr<ModelCounts>> counts_;
  std::atomic<std::shared_ptr<const Snapshot>> snapshot_;
};

}  // namespace mlcore::server
