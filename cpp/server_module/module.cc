// The raw module mlcore._server: the HTTP server inside a Python process, and its data plane without HTTP.
#include <csignal>
#include <memory>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <unistd.h>

#include "base/status.h"
#include "bindings/gil.h"
#include "server/service.h"

namespace py = pybind11;

namespace mlcore::server {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

class PyServer {
 public:
  explicit PyServer(const std::vector<std::string>& arguments) : process_(::getpid()) {
    const GilRelease released;
    service_ = std::make_unique<Service>(parse_command_line(arguments));
    service_->server().start();
  }
  ~PyServer() {
    if (!service_) return;
    const GilRelease released;
    // the threads of a server stay behind in the process that forked: there is nothing here to end
    if (process_ != ::getpid()) (void)service_.release();
    else service_.reset();
  }
  PyServer(const PyServer&) = delete;
  PyServer& operator=(const PyServer&) = delete;

  std::vector<std::string> addresses() const { return service_->server().addresses(); }
  std::vector<std::pair<std::string, std::string>> refused() const {
    std::vector<std::pair<std::string, std::string>> out;
    for (const Refused& one : service_->refused()) out.emplace_back(one.name, one.reason);
    return out;
  }

  py::tuple answer(const std::string& method, const std::string& target, const Headers& headers,
                   const py::bytes& body, const std::string& client) {
    require(process_ == ::getpid(), ErrorCode::input,
            "expected the process that started the server but found its child");
    boost::beast::http::fields fields;
    for (const auto& [name, value] : headers) fields.insert(name, value);
    const std::string_view bytes = body;
    Answer out;
    {
      const GilRelease released;
      out = service_->answer({method, target, bytes, fields, std::chrono::steady_clock::now(), client});
    }
    py::list found;
    for (const auto& [name, value] : out.headers) found.append(py::make_tuple(name, value));
    return py::make_tuple(out.status, out.type, found, py::bytes(out.body));
  }

  void stop() {
    if (process_ != ::getpid()) return;
    const GilRelease released;
    service_->server().stop();
    service_->server().wait();
  }

 private:
  pid_t process_;
  std::unique_ptr<Service> service_;
};

}  // namespace
}  // namespace mlcore::server

PYBIND11_MODULE(_server, module, py::mod_gil_not_used()) {
  using mlcore::server::PyServer;
  module.doc() = "The HTTP server as a library; use mlcore.serve.";
  py::module_::import("mlcore._core");  // whose translator knows the core's errors
  py::class_<PyServer>(module, "Server")
      .def(py::init<const std::vector<std::string>&>(), py::arg("arguments"))
      .def_property_readonly("addresses", &PyServer::addresses)
      .def_property_readonly("refused", &PyServer::refused)
      .def("answer", &PyServer::answer, py::arg("method"), py::arg("target"), py::arg("headers"),
           py::arg("body"), py::arg("client") = "")
      .def("stop", &PyServer::stop);
}
