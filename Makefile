# Two commands for a fresh machine with Python >= 3.10 and a C++ compiler: `make demo` and `make test`.
# Everything they need comes from pip and goes into .venv; CONTRIBUTING.md explains the other targets.
PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
# cmake must find the pip-installed Boost and pybind11, not whatever the system has
SITE = $(shell $(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")
LAUNCHER = $(shell command -v ccache >/dev/null && echo -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
CONFIGURE = $(BIN)/cmake --preset
DEFINES = -DCMAKE_PREFIX_PATH="$(SITE)" -DCMAKE_MAKE_PROGRAM=$(BIN)/ninja -DPython_EXECUTABLE=$(BIN)/python \
	-Dpybind11_DIR="$(SITE)/pybind11/share/cmake/pybind11" $(LAUNCHER)
LOCK := $(if $(shell command -v flock),flock /tmp/mlcore.lock,)

.PHONY: dev
dev:  ## build the library, the module and the C++ tests in place
	@mkdir -p build
	@$(LOCK) sh -c '$(CONFIGURE) release $(DEFINES) >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }; \
		$(BIN)/cmake --build --preset release'
