# Two commands do everything on a machine with Python 3.11 or later: make demo, make test.
PYTHON ?= python3
SEED ?= 0
BIN := .venv/bin
INSTALLED := .venv/installed
# What FAST needs of Debian, from xvfb on to draw pictures without a screen; nothing else here does.
SYSTEM_PACKAGES := libglib2.0-0 libusb-1.0-0 libopengl0 libegl1 libgl1 libxcb-xinerama0 ocl-icd-libopencl1 \
	pocl-opencl-icd xvfb xauth libgl1-mesa-dri libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 \
	libxcb-render-util0 libxcb-shape0 libxcb-xkb1 libxkbcommon-x11-0
# The versions that h2g/fast_versions.py calls tested. FAST must not share a process with TensorFlow,
# so each is in an environment of its own, .fast/<version>; FAST=4.10.0 makes that of another one.
TESTED_FASTS := 4.9.2 4.15.1
FAST := $(TESTED_FASTS)
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test check docs lint types pytest base-environment fast-environment system-packages clean

demo: $(INSTALLED)
	$(BIN)/python tools/demo.py --out demo --seed $(SEED)

test: lint types pytest

# What a change can be tried with in two minutes: all but the files in tests/slow_files.txt.
check: lint types
	$(BIN)/pytest -m "not slow" --numprocesses logical --maxprocesses 4 --max-worker-restart 0 --dist loadfile

# The pages of docs/, the commands and the Python reference as a site.
docs: $(INSTALLED)
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy -p h2g

# A file's tests stay in one process, since they share what they trained; a process takes 3 GB.
# If one crashes, pytest stops: pytest-xdist may wait for ever once it has replaced a process.
pytest: $(INSTALLED) base-environment $(TESTED_FASTS:%=.fast/%/installed)
	H2G_REQUIRE_BASE=1 $(BIN)/pytest --numprocesses logical --maxprocesses 4 --max-worker-restart 0 --dist loadfile

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

# A second environment with what prediction needs and no more, so without TensorFlow.
base-environment: .base/installed

.base/installed: setup.cfg pyproject.toml constraints.txt
	test -x .base/bin/python || $(PYTHON) -m venv .base
	.base/bin/pip install -q -c constraints.txt -e .
	touch $@

# Installs the Debian packages, with sudo if need be; make test does so only as root.
fast-environment: system-packages
	$(MAKE) $(FAST:%=.fast/%/installed)

# Without FAST its tests are skipped with the reason, or fail with H2G_REQUIRE_FAST=1.
# Up to 4.10 FAST is built for numpy 1; 4.9 does not say so, and from 4.11 on it names no numpy at all.
.fast/%/installed:
	@{ { test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D); } && \
	  $(@D)/bin/pip install -q pyfast==$* '$(if $(filter 4.9.% 4.10.%,$*),numpy<2,numpy)' && \
	  { [ "$$(id -u)" != 0 ] || $(MAKE) -s system-packages >/dev/null; } && \
	  $(@D)/bin/python -c 'import fast' >/dev/null && touch $@; \
	} || echo "FAST $* does not run here, so its tests are skipped. 'make fast-environment' installs what it needs."

system-packages:
	@if dpkg -s $(SYSTEM_PACKAGES) >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -qq -y $(SYSTEM_PACKAGES); \
	elif command -v sudo >/dev/null; then sudo apt-get update -qq && sudo apt-get install -qq -y $(SYSTEM_PACKAGES); \
	else echo "FAST needs Debian packages. As root: apt-get install $(SYSTEM_PACKAGES)"; fi

clean:
	rm -rf build demo .venv .base .fast
