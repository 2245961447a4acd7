# Two commands for a fresh machine with Python >= 3.10 and a C++ compiler: `make demo` and `make test`.
# Everything they need comes from pip and goes into .venv; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
BUILD := build/wheel
JOBS ?= 2
# every library of the tests gets one thread: results must not depend on it, and two cores are shared
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help
help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

# -- what users and CI run --------------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/installed  ## build, install, and show the whole way on generated data
	$(BIN)/mlcore demo

.PHONY: test
test: $(VENV)/installed lint  ## all tests that need pip only
	$(BIN)/ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)
	$(BIN)/python -m pytest -m "not system" -n $(JOBS) --dist worksteal

.PHONY: test-system
test-system: $(VENV)/installed  ## what needs Debian packages or long runs; MLCORE_TEST_SCALE=10 runs ten times the counts
	bash tests/system/install.sh
	$(BIN)/python -m pytest -m system -n 0 --durations=25

.PHONY: lint
lint: $(VENV)/installed  ## formats, types, stubs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	find benchmarks cpp cuda tests examples -name '*.cc' -o -name '*.h' | xargs $(BIN)/clang-format --dry-run --Werror
	$(BIN)/mypy
	$(BIN)/stubtest mlcore._core mlcore._server --allowlist tests/stubtest_allowlist.txt

.PHONY: format
format: $(VENV)/tools  ## rewrite the sources in the house format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	find benchmarks cpp cuda tests examples -name '*.cc' -o -name '*.h' | xargs $(BIN)/clang-format -i

.PHONY: bench bench-peers bench-instructions bench-serve bench-triton bench-gpu check-gpu
bench: $(VENV)/installed  ## side by side with libraries, converters and compilers, under out/; SELECT="encoded large", RECORD=1
	$(BIN)/python benchmarks/run.py $(addprefix --select ,$(SELECT)) $(if $(RECORD),--record)
bench-peers: $(VENV)/tools  ## environments under build/bench-env for the peers that need their own
	$(BIN)/python benchmarks/install_peers.py
bench-instructions: $(VENV)/installed  ## instructions of the kernels against those stored (needs valgrind); RECORD=1 stores
	$(BIN)/python benchmarks/instructions.py $(if $(RECORD),--record)

bench-gpu: $(VENV)/installed  ## forests and transforms on a GPU beside its other libraries (needs CuPy); RECORD=1 keeps the run
	$(BIN)/python benchmarks/gpu.py $(if $(RECORD),--record)
check-gpu: $(VENV)/installed  ## on a machine with a GPU: build, tests, compute-sanitizer and benchmarks, into out/gpu
	PYTHON=$(BIN)/python bash benchmarks/gpu_check.sh out/gpu

bench-triton: $(VENV)/installed  ## the Triton backend beside Triton's Python backend; RECORD=1 keeps the run
	$(BIN)/python benchmarks/install_peers.py benchmarks/peers/triton.txt
	$(BIN)/python benchmarks/triton_bench.py $(if $(RECORD),--record)

bench-serve: $(VENV)/installed  ## the HTTP server beside other servers; RECORD=1 keeps the run
	-$(BIN)/python benchmarks/install_peers.py $(patsubst %,benchmarks/peers/%.txt,fastapi bentoml mlserver triton)
	$(BIN)/python benchmarks/serve_bench.py $(if $(RECORD),--record)

.PHONY: docs
docs: $(VENV)/installed  ## the documentation site, under site/
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict --quiet

# -- how ----------------------------------------------------------------------------------------------------------

$(VENV)/tools: requirements/ci.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/ci.txt
	@touch $@

# the wheel that users get, built once; its build folder also holds the C++ tests
SOURCES := $(shell find cpp python tests/cpp -name '*.cc' -o -name '*.h' -o -name '*.py' -o -name '*.pyi')
$(VENV)/installed: $(VENV)/tools $(SOURCES) benchmarks/instructions.cc CMakeLists.txt pyproject.toml
	$(BIN)/pip wheel . --quiet --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir build/dist \
		--config-settings=build-dir=$(BUILD) --config-settings=cmake.define.MLCORE_TESTS=ON \
		--config-settings=cmake.define.MLCORE_BENCH=ON $(LAUNCHER)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall \
		$$(ls -t build/dist/mlcore-*.whl | head -1)
	@touch $@

LAUNCHER = $(shell command -v ccache >/dev/null && echo --config-settings=cmake.define.CMAKE_CXX_COMPILER_LAUNCHER=ccache)
SITE = $(shell $(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")
LOCK := $(if $(shell command -v flock),flock build/lock,)

# $(call build,preset): configure and build under build/<preset>; one build at a time, several shells may share a tree
define build
@mkdir -p build
@$(LOCK) sh -c '$(BIN)/cmake --preset $(1) -DCMAKE_PREFIX_PATH="$(SITE)" -DCMAKE_MAKE_PROGRAM=$(BIN)/ninja \
	-DPython_EXECUTABLE=$(BIN)/python -Dpybind11_DIR="$(SITE)/pybind11/share/cmake/pybind11" \
	$(patsubst --config-settings=cmake.define.%,-D%,$(LAUNCHER)) \
	>build/configure.log 2>&1 || { cat build/configure.log; exit 1; }; $(BIN)/cmake --build --preset $(1) -j $(JOBS)'
endef

.PHONY: dev
dev: $(VENV)/tools  ## build in place, for work on the code: then run with PYTHONPATH=python
	$(call build,release)

.PHONY: asan tsan fuzz
asan: $(VENV)/tools  ## build with AddressSanitizer and UndefinedBehaviorSanitizer: C++ tests and module
	$(call build,asan-ubsan)
tsan: $(VENV)/tools  ## build the C++ tests with ThreadSanitizer
	$(call build,tsan)
fuzz: $(VENV)/tools  ## build the libFuzzer targets (needs clang)
	$(call build,fuzz)

.PHONY: clean
clean:  ## remove what was built
	rm -rf build out site $(VENV)/installed python/mlcore/*.so python/mlcore/include python/mlcore/cmake python/mlcore/backends
